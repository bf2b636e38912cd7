//! A key set (RFC 7517, section 5): which keys there are, and whether one of them signed a token.
//!
//! Lives here: reading the document and choosing the key. A token's header can only pick among the algorithms that the key
//! accepts anyway. May not live here: where the document came from, and what the claims say.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest;
use jsonwebtoken::Algorithm as Alg;
use serde::Deserialize;
use thiserror::Error;

use super::jwk::{Jwk, Key, Kinds};
use super::rejection::{Refusal, RejectionReason, shown};
use super::token::{Algorithm, Token};

/// The largest document, in bytes. The largest in public use have some 30 KiB.
pub(super) const MAX_JWKS: usize = 256 * 1024;

/// The most keys that are read of one document.
const MAX_KEYS: usize = 100;

/// The most signatures that are tried for one token that does not say which key it means.
const MAX_TRIED: usize = 4;

/// The keys of one document.
pub(super) struct KeySet {
    keys: Vec<Key>,
    digest: Option<digest::Digest>,
    generation: u64,
    skipped: Vec<String>,
}

/// What became of a token whose signature was looked at.
pub(super) enum Signed {
    /// By the key of this name.
    By(Option<Arc<str>>),
    /// No key here could have signed it: there is none of its name, or none at all.
    UnknownKey,
}

/// Why a document is not a key set.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JwksError {
    /// Above `MAX_JWKS`.
    #[error("the key set has {0} bytes, more than the {MAX_JWKS} allowed")]
    TooLarge(usize),
    /// Not `{"keys": […]}`.
    #[error("the key set is not a JSON object with an array \"keys\"")]
    NotKeys,
    /// Above the most keys that are read.
    #[error("the key set has {0} keys, more than the {MAX_KEYS} allowed")]
    TooMany(usize),
    /// Not one key that can be used; with the reason for each.
    #[error("the key set has no usable key{0}")]
    NoneUsable(String),
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<serde_json::Value>,
}

impl KeySet {
    /// A set without keys, for a source that has not been read yet or is not there.
    pub(super) fn empty() -> Self {
        Self {
            keys: Vec::new(),
            digest: None,
            generation: next_generation(),
            skipped: Vec::new(),
        }
    }

    /// Reads a document. Keys that cannot be used (of another kind, too short, for encryption) are left out and remembered.
    pub(super) fn parse(json: &[u8], kinds: Kinds) -> Result<Self, JwksError> {
        if json.len() > MAX_JWKS {
            return Err(JwksError::TooLarge(json.len()));
        }
        let document: Document = serde_json::from_slice(json).map_err(|_| JwksError::NotKeys)?;
        if document.keys.len() > MAX_KEYS {
            return Err(JwksError::TooMany(document.keys.len()));
        }
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for (at, value) in document.keys.into_iter().enumerate() {
            match serde_json::from_value::<Jwk>(value)
                .map_err(|_| "not a key of RFC 7517".to_owned())
                .and_then(|jwk| Key::read(jwk, kinds))
            {
                Ok(key) => keys.push(key),
                Err(why) => skipped.push(format!("keys[{at}]: {why}")),
            }
        }
        if keys.is_empty() {
            let reasons = skipped
                .iter()
                .take(5)
                .map(|why| format!("; {why}"))
                .collect();
            return Err(JwksError::NoneUsable(reasons));
        }
        let digest = Some(digest::digest(&digest::SHA256, json));
        Ok(Self {
            keys,
            digest,
            generation: next_generation(),
            skipped,
        })
    }

    /// Whether both were read from the same bytes.
    pub(super) fn same_document(&self, other: &Self) -> bool {
        match (&self.digest, &other.digest) {
            (Some(ours), Some(theirs)) => ours.as_ref() == theirs.as_ref(),
            (None, None) => true,
            _ => false,
        }
    }

    /// A number that no other set of this process has: what was verified under another one is to be verified again.
    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Why keys of the document were left out, one text a key.
    pub(super) fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// The keys' names, for the log: `a, b, one without a name`.
    pub(super) fn names(&self) -> String {
        let names = self.keys.iter().map(|key| match key.id.as_deref() {
            Some(id) => shown(id),
            None => "one without a name".to_owned(),
        });
        names.collect::<Vec<_>>().join(", ")
    }

    /// Whether there is no key.
    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether a key has exactly this name.
    pub(super) fn has(&self, key_id: &str) -> bool {
        self.keys
            .iter()
            .any(|key| key.id.as_deref() == Some(key_id))
    }

    /// Checks a token's signature against the key that it names; where it names none, against the few that fit.
    pub(super) fn verify(&self, token: &Token<'_>) -> Result<Signed, Refusal> {
        let named: Vec<&Key> = self.named(token.key_id.as_deref());
        if named.is_empty() {
            return Ok(Signed::UnknownKey);
        }
        let Algorithm(algorithm) = token.algorithm;
        let fitting: Vec<&Key> = named
            .iter()
            .copied()
            .filter(|key| key.algorithms.contains(&algorithm))
            .collect();
        if fitting.is_empty() {
            return Err(wrong_algorithm(algorithm, &named));
        }
        if fitting.len() > MAX_TRIED {
            let message = "the context token's header names no key (kid), and the policy has too many keys to try them all";
            return Err(Refusal::new(RejectionReason::UnknownKey, message));
        }
        for key in fitting {
            if let Ok(true) = jsonwebtoken::crypto::verify(
                token.signature,
                token.signed.as_bytes(),
                &key.key,
                algorithm,
            ) {
                return Ok(Signed::By(key.id.clone()));
            }
        }
        let named = token
            .key_id
            .as_deref()
            .map(|id| format!(" of key {}", shown(id)))
            .unwrap_or_default();
        Err(Refusal::new(
            RejectionReason::Signature,
            format!("the context token's signature{named} does not hold"),
        ))
    }

    /// The keys of this name; where none has it, those without a name, which may be anybody's.
    fn named(&self, key_id: Option<&str>) -> Vec<&Key> {
        let Some(key_id) = key_id else {
            return self.keys.iter().collect();
        };
        let exact: Vec<&Key> = self
            .keys
            .iter()
            .filter(|key| key.id.as_deref() == Some(key_id))
            .collect();
        if exact.is_empty() {
            self.keys.iter().filter(|key| key.id.is_none()).collect()
        } else {
            exact
        }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.keys.iter().map(|key| key.id.as_deref()).collect();
        f.debug_struct("KeySet")
            .field("ids", &ids)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

fn wrong_algorithm(algorithm: Alg, keys: &[&Key]) -> Refusal {
    let mut accepted: Vec<String> = keys
        .iter()
        .flat_map(|key| &key.algorithms)
        .map(|alg| format!("{alg:?}"))
        .collect();
    accepted.sort();
    accepted.dedup();
    let message = format!(
        "the context token is signed with {algorithm:?}; the policy's key accepts {}",
        accepted.join(", ")
    );
    Refusal::new(RejectionReason::Algorithm, message)
}

fn next_generation() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
