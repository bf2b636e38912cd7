//! A key set (RFC 7517): which keys there are, what each may be used for, and whether one of them signed a token.
//!
//! Lives here: reading the document and choosing the key. The algorithms that a key accepts follow from the key alone; a
//! token's header can only pick among them. May not live here: where the document came from, and what the claims say.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm::{
    ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512,
};
use jsonwebtoken::{Algorithm as Alg, DecodingKey};
use serde::Deserialize;
use thiserror::Error;

use super::rejection::{Refusal, RejectionReason, shown};
use super::token::{Algorithm, Token};

/// The largest document, in bytes. The largest in public use have some 30 KiB.
pub const MAX_JWKS: usize = 256 * 1024;

/// The most keys that are read of one document.
const MAX_KEYS: usize = 100;

/// The most signatures that are tried for one token that does not say which key it means.
const MAX_TRIED: usize = 4;

/// The shortest RSA modulus, in bits (RFC 7518, section 3.3), and the longest that the library verifies.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Which kinds of key a source may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kinds {
    /// Public keys and shared secrets: the document is the policy's own.
    All,
    /// Public keys only: a document that anybody can fetch holds no secret.
    Public,
    /// Ed25519 only: what Bulkhead signs with.
    Ed25519,
}

/// The keys of one document.
pub(super) struct KeySet {
    keys: Vec<Key>,
    digest: Option<digest::Digest>,
    generation: u64,
    skipped: Vec<String>,
}

struct Key {
    id: Option<Arc<str>>,
    algorithms: Vec<Alg>,
    key: DecodingKey,
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
    /// Above [`MAX_JWKS`].
    #[error("the key set has {0} bytes, more than the {MAX_JWKS} allowed")]
    TooLarge(usize),
    /// Not `{{"keys": […]}}`.
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

/// A key as the document has it (RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    k: Option<String>,
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

impl Key {
    fn read(jwk: Jwk, kinds: Kinds) -> Result<Self, String> {
        if jwk
            .purpose
            .as_deref()
            .is_some_and(|purpose| purpose != "sig")
        {
            return Err("its use is not sig".into());
        }
        if jwk
            .key_ops
            .as_ref()
            .is_some_and(|ops| !ops.iter().any(|op| op == "verify"))
        {
            return Err("its key_ops do not allow verify".into());
        }
        let (mut algorithms, key) = match (jwk.kty.as_str(), kinds) {
            ("OKP", _) => ed25519(&jwk)?,
            (_, Kinds::Ed25519) => return Err("only Ed25519 keys sign context tokens".into()),
            ("RSA", _) => rsa(&jwk)?,
            ("EC", _) => elliptic(&jwk)?,
            ("oct", Kinds::All) => shared(&jwk)?,
            ("oct", Kinds::Public) => return Err(
                "a shared secret (kty oct) from an address that anybody can read proves nothing"
                    .into(),
            ),
            (other, _) => return Err(format!("its kty {} is not supported", shown(other))),
        };
        if let Some(name) = &jwk.alg {
            let only = Algorithm::parse(name);
            algorithms.retain(|algorithm| only == Some(Algorithm(*algorithm)));
            if algorithms.is_empty() {
                return Err(format!(
                    "its alg {} does not fit its type or size",
                    shown(name)
                ));
            }
        }
        Ok(Self {
            id: jwk.kid.map(Arc::from),
            algorithms,
            key,
        })
    }
}

fn rsa(jwk: &Jwk) -> Result<(Vec<Alg>, DecodingKey), String> {
    let (n, e) = (part(&jwk.n, "n")?, part(&jwk.e, "e")?);
    let leading = n.iter().position(|byte| *byte != 0).unwrap_or(n.len());
    let bits = n[leading..].first().map_or(0, |top| {
        (n.len() - leading) * 8 - top.leading_zeros() as usize
    });
    if !RSA_BITS.contains(&bits) {
        return Err(format!(
            "its modulus has {bits} bits; {} to {} are accepted",
            RSA_BITS.start(),
            RSA_BITS.end()
        ));
    }
    let key = DecodingKey::from_rsa_raw_components(&n[leading..], &e);
    Ok((vec![RS256, RS384, RS512, PS256, PS384, PS512], key))
}

fn elliptic(jwk: &Jwk) -> Result<(Vec<Alg>, DecodingKey), String> {
    let (algorithm, size) = match jwk.crv.as_deref() {
        Some("P-256") => (ES256, 32),
        Some("P-384") => (ES384, 48),
        other => {
            return Err(format!(
                "its crv {} is not supported",
                shown(other.unwrap_or_default())
            ));
        }
    };
    let (x, y) = (part(&jwk.x, "x")?, part(&jwk.y, "y")?);
    if x.len() != size || y.len() != size {
        return Err(format!("its x and y are not {size} bytes each"));
    }
    // The uncompressed point (SEC 1, section 2.3.3), which is what the library takes for a public key.
    let point = [&[0x04], x.as_slice(), y.as_slice()].concat();
    Ok((vec![algorithm], DecodingKey::from_ec_der(&point)))
}

fn ed25519(jwk: &Jwk) -> Result<(Vec<Alg>, DecodingKey), String> {
    if jwk.crv.as_deref() != Some("Ed25519") {
        return Err(format!(
            "its crv {} is not supported",
            shown(jwk.crv.as_deref().unwrap_or_default())
        ));
    }
    let x = part(&jwk.x, "x")?;
    if x.len() != 32 {
        return Err("its x is not 32 bytes".into());
    }
    Ok((vec![EdDSA], DecodingKey::from_ed_der(&x)))
}

/// A shared secret serves the algorithms whose hash is no longer than it is (RFC 7518, section 3.2).
fn shared(jwk: &Jwk) -> Result<(Vec<Alg>, DecodingKey), String> {
    let secret = part(&jwk.k, "k")?;
    let algorithms: Vec<Alg> = [(HS256, 32), (HS384, 48), (HS512, 64)]
        .into_iter()
        .filter(|(_, least)| secret.len() >= *least)
        .map(|(algorithm, _)| algorithm)
        .collect();
    if algorithms.is_empty() {
        return Err(format!(
            "its secret has {} bytes; HS256 needs 32 or more",
            secret.len()
        ));
    }
    Ok((algorithms, DecodingKey::from_secret(&secret)))
}

fn part(member: &Option<String>, name: &str) -> Result<Vec<u8>, String> {
    member
        .as_ref()
        .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .ok_or_else(|| format!("its {name} is not base64url"))
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
