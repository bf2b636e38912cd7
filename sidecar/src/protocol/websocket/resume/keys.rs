//! The keys by which session tokens are sealed: those that the pods of a namespace share, and one that this process has made for itself.
//!
//! The operator writes the shared ones, each known everywhere before it seals and for a while after it has. Where there are none, a token is
//! good in the process that has sealed it, and in no other.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bulkhead_crds::names::objects::{CONTEXT_KEYS, RESUME_KEY};
use serde::Deserialize;
use thiserror::Error;

use super::token::{Sealer, TokenKey};
use crate::identity::NoRandomness;
use crate::random;
use crate::secrets::{SecretError, Secrets};

/// The bytes of a key: as many as its hash gives (RFC 2104, section 3).
const KEY: usize = 32;
/// More keys than a ring ever has.
const MOST: usize = 16;
/// What all keys are for, so that none serves two ends.
const PURPOSE: &str = "bulkhead session token 1";

/// Why there are no keys.
#[derive(Debug, Error)]
pub enum ResumeKeysError {
    /// The Secret is there and cannot be read.
    #[error("session tokens: {0}")]
    Secret(#[from] SecretError),
    /// What it says is no list of keys. Nothing of it is shown.
    #[error(
        "session tokens: {CONTEXT_KEYS}/{RESUME_KEY} is no list of 1 to {MOST} keys as RFC 7517 writes it: {{\"keys\": [{{\"kty\": \"oct\", \"k\": 32 bytes in base64url}}, …]}}"
    )]
    NotKeys,
    /// No key of the process's own could be made.
    #[error("session tokens: {0}")]
    Randomness(#[from] NoRandomness),
}

/// The keys of a process, for all its entries.
#[derive(Clone)]
pub struct ResumeKeys {
    own: hmac::Key,
    /// The first one seals.
    shared: Vec<hmac::Key>,
}

impl fmt::Debug for ResumeKeys {
    /// Nothing of the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResumeKeys({} shared)", self.shared.len())
    }
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Jwk>,
}

/// RFC 7518, section 6.4.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    k: String,
}

impl ResumeKeys {
    /// Reads the namespace's keys. The process's own one is that of `previous`, so that what it has sealed stays good.
    ///
    /// # Errors
    /// Keys that are there and cannot be used; no randomness where there is no previous revision.
    pub fn read(secrets: &Secrets, previous: Option<&Self>) -> Result<Self, ResumeKeysError> {
        let own = match previous {
            Some(previous) => previous.own.clone(),
            None => made()?,
        };
        let shared = match secrets.read(CONTEXT_KEYS, RESUME_KEY) {
            Ok(json) => parsed(json.expose()).ok_or(ResumeKeysError::NotKeys)?,
            Err(error) if error.is_missing() => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        Ok(Self { own, shared })
    }

    /// Whether other pods can open what is sealed here.
    #[must_use]
    pub fn are_shared(&self) -> bool {
        !self.shared.is_empty()
    }

    /// What seals and opens the tokens of one entry of one policy (`namespace/name`).
    #[must_use]
    pub fn sealer(&self, policy: &str, entry: &str) -> Sealer {
        let derive = |key: &hmac::Key| TokenKey::derive(key, &[PURPOSE, policy, entry]);
        let mut all = self.shared.iter().chain([&self.own]).map(derive);
        let seals = all.next().unwrap_or_else(|| derive(&self.own));
        Sealer::new(seals, all.collect())
    }
}

fn made() -> Result<hmac::Key, NoRandomness> {
    let mut bytes = [0; KEY];
    random::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

fn parsed(json: &[u8]) -> Option<Vec<hmac::Key>> {
    let document: Document = serde_json::from_slice(json).ok()?;
    if !(1..=MOST).contains(&document.keys.len()) {
        return None;
    }
    document.keys.iter().map(key).collect()
}

fn key(jwk: &Jwk) -> Option<hmac::Key> {
    let bytes = URL_SAFE_NO_PAD.decode(&jwk.k).ok()?;
    let usable = jwk.kty == "oct" && bytes.len() == KEY;
    usable.then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::*;
    use crate::protocol::websocket::resume::{PodAddress, SessionId, SessionToken, TokenError};

    /// The keys of a process that is given this document.
    fn read(document: Option<&str>) -> Result<ResumeKeys, ResumeKeysError> {
        let directory = tempfile::tempdir().unwrap();
        if let Some(text) = document {
            let folder = directory.path().join(CONTEXT_KEYS);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join(RESUME_KEY), text).unwrap();
        }
        let secrets = Secrets::new(Some(directory.path().to_owned()));
        ResumeKeys::read(&secrets, None)
    }

    fn of(seeds: &[u8]) -> ResumeKeys {
        let keys: Vec<Value> = seeds
            .iter()
            .map(|seed| json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode([*seed; KEY])}))
            .collect();
        read(Some(&json!({ "keys": keys }).to_string())).unwrap()
    }

    fn token() -> SessionToken {
        SessionToken {
            pod: PodAddress::Here,
            worker: 0,
            session: SessionId([1; 16]),
            generation: 1,
        }
    }

    #[test]
    fn pods_that_share_a_key_know_each_others_tokens_while_it_turns() {
        let chat = |keys: &ResumeKeys| keys.sealer("shop/chat", "main");
        let (early, late) = (of(&[1, 2]), of(&[2, 1]));
        for (seals, opens) in [(&early, &late), (&late, &early)] {
            assert_eq!(chat(opens).open(&chat(seals).seal(&token())), Ok(token()));
        }
        let sealed = chat(&of(&[3])).seal(&token());
        assert_eq!(chat(&early).open(&sealed), Err(TokenError::UnknownKey));
        for other in [
            early.sealer("shop/chat", "other"),
            early.sealer("shop/other", "main"),
        ] {
            let sealed = chat(&early).seal(&token());
            assert_eq!(other.open(&sealed), Err(TokenError::UnknownKey));
        }
    }

    #[test]
    fn without_shared_keys_a_token_is_good_in_its_own_process_alone() {
        let (one, two) = (read(None).unwrap(), read(None).unwrap());
        assert!(!one.are_shared() && of(&[1]).are_shared());
        let sealed = one.sealer("p", "e").seal(&token());
        assert_eq!(one.sealer("p", "e").open(&sealed), Ok(token()));
        assert_eq!(
            two.sealer("p", "e").open(&sealed),
            Err(TokenError::UnknownKey)
        );
    }

    #[test]
    fn what_a_process_has_sealed_by_its_own_key_stays_good_when_shared_keys_come() {
        let before = read(None).unwrap();
        let sealed = before.sealer("p", "e").seal(&token());
        let directory = tempfile::tempdir().unwrap();
        let folder = directory.path().join(CONTEXT_KEYS);
        fs::create_dir(&folder).unwrap();
        let document = json!({"keys": [{"kty": "oct", "k": URL_SAFE_NO_PAD.encode([9; KEY])}]});
        fs::write(folder.join(RESUME_KEY), document.to_string()).unwrap();
        let secrets = Secrets::new(Some(directory.path().to_owned()));
        let after = ResumeKeys::read(&secrets, Some(&before)).unwrap();
        assert!(after.are_shared());
        assert_eq!(after.sealer("p", "e").open(&sealed), Ok(token()));
    }

    #[test]
    fn what_is_no_list_of_keys_is_refused_and_not_shown() {
        let good = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode([1; KEY])});
        let short = json!({"kty": "oct", "k": URL_SAFE_NO_PAD.encode([1; KEY - 1])});
        for document in [
            String::new(),
            "[]".to_owned(),
            json!({"keys": []}).to_string(),
            json!({"keys": [good, short]}).to_string(),
            json!({"keys": [{"kty": "OKP", "k": good["k"]}]}).to_string(),
            json!({"keys": [{"kty": "oct", "k": "secret!"}]}).to_string(),
            json!({"keys": vec![good; MOST + 1]}).to_string(),
        ] {
            let refused = read(Some(&document)).unwrap_err().to_string();
            assert!(
                refused.contains("bulkhead-context-keys/resume.json"),
                "{refused}"
            );
            assert!(!refused.contains("secret!"));
        }
    }
}
