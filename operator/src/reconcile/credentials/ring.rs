//! The keys by which a namespace's context tokens are signed, and when they change. Pure, but for the making of a key.
//!
//! ```text
//!   made ──1 h──▶ signs ──30 d──▶ its successor signs ──1 d──▶ forgotten
//!   └────────────── published in jwks.json ───────────────┘
//! ```
//!
//! A key is published before it signs, so that whoever verifies has it by then, and stays published until the last token that it signed
//! has long expired: nobody is ever shown a signature of a key that they cannot know.

use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How long a key is published before it signs; a kubelet renews Secrets within two minutes.
pub const PUBLISHED: Duration = Duration::from_secs(3600);
/// How long a key signs.
pub const SIGNS: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a key stays published after its successor signs; tokens live for minutes.
pub const LINGERS: Duration = Duration::from_secs(24 * 3600);

/// The length of an Ed25519 seed (RFC 8032, section 5.1.5).
const SEED: usize = 32;

/// What the keys of session tokens are drawn for, so that a signing key serves one end only.
const RESUME: &[u8] = b"bulkhead keys of session tokens 1";

/// The keys of a namespace, the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    keys: Vec<Key>,
}

/// One key (RFC 8037, section 2).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    kid: String,
    /// When it was made, in seconds since the epoch.
    made: u64,
    /// The public half.
    x: String,
    /// The private half.
    d: String,
}

impl std::fmt::Debug for Key {
    /// Not the private half.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({}, made {})", self.kid, self.made)
    }
}

/// The system has no randomness to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the system has no randomness to make a key of")]
pub struct NoRandomness;

impl Ring {
    /// What the ring is at `now` (seconds since the epoch): a successor is made in time, and who has lingered long enough is forgotten.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn turned(mut self, now: u64) -> Result<Self, NoRandomness> {
        let due = SIGNS.as_secs();
        if self.keys.last().is_none_or(|key| key.made + due <= now) {
            self.keys.push(Key::new(now)?);
        }
        // Whoever came before a key that has signed for so long has signed nothing that is still valid.
        let over = (PUBLISHED + LINGERS).as_secs();
        let first = self.keys.iter().rposition(|key| key.made + over <= now);
        self.keys.drain(..first.unwrap_or(0));
        Ok(self)
    }

    /// The key that signs at `now`: the youngest that has been published for long enough, or else the oldest.
    fn signing(&self, now: u64) -> Option<&Key> {
        let published = PUBLISHED.as_secs();
        let mut known = self.keys.iter().rev();
        known
            .find(|key| key.made + published <= now)
            .or(self.keys.first())
    }

    /// `jwks.json`: the public halves (RFC 7517, section 5).
    #[must_use]
    pub fn public(&self) -> String {
        let keys: Vec<Value> = self.keys.iter().map(Key::public).collect();
        json!({ "keys": keys }).to_string()
    }

    /// `resume.json`: a key of session tokens for each of the ring, drawn from its private half, as JWKs (RFC 7518, section 6.4). That of the
    /// key that signs comes first: it seals, and all of them open.
    #[must_use]
    pub fn resume(&self, now: u64) -> String {
        let signing = self.signing(now);
        let is_signing = |key: &&Key| signing.is_some_and(|signing| signing.kid == key.kid);
        let (first, rest): (Vec<&Key>, Vec<&Key>) = self.keys.iter().partition(is_signing);
        let keys: Vec<Value> = first.iter().chain(&rest).map(|key| key.resume()).collect();
        json!({ "keys": keys }).to_string()
    }

    /// `signing.json`: the private half of the key that signs, as a JWK.
    #[must_use]
    pub fn private(&self, now: u64) -> Option<String> {
        let key = self.signing(now)?;
        let mut jwk = key.public();
        jwk["d"] = key.d.clone().into();
        Some(jwk.to_string())
    }
}

impl Key {
    fn new(now: u64) -> Result<Self, NoRandomness> {
        let mut seed = [0; SEED];
        rand::fill(&mut seed).map_err(|_| NoRandomness)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| NoRandomness)?;
        let public = pair.public_key().as_ref();
        let short: String = public.iter().take(8).map(|b| format!("{b:02x}")).collect();
        Ok(Self {
            kid: short,
            made: now,
            x: BASE64_URL_SAFE_NO_PAD.encode(public),
            d: BASE64_URL_SAFE_NO_PAD.encode(seed),
        })
    }

    fn resume(&self) -> Value {
        let drawn = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, self.d.as_bytes()),
            RESUME,
        );
        json!({"kty": "oct", "alg": "HS256", "k": BASE64_URL_SAFE_NO_PAD.encode(drawn)})
    }

    fn public(&self) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.kid, "x": self.x})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: u64 = 3600;
    const DAY: u64 = 24 * HOUR;

    fn signs(ring: &Ring, now: u64) -> String {
        let jwk: Value = serde_json::from_str(&ring.private(now).unwrap()).unwrap();
        jwk["kid"].as_str().unwrap().to_owned()
    }

    fn published(ring: &Ring) -> Vec<String> {
        let set: Value = serde_json::from_str(&ring.public()).unwrap();
        let keys = set["keys"].as_array().unwrap().iter();
        keys.map(|key| key["kid"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn the_first_key_signs_at_once() {
        let ring = Ring::default().turned(0).unwrap();
        assert_eq!(published(&ring), [signs(&ring, 0)]);
        assert_eq!(ring.clone().turned(0).unwrap(), ring, "nothing has changed");
        assert!(!ring.public().contains("\"d\""));
    }

    #[test]
    fn who_verifies_always_knows_the_key_that_signs_and_has_signed() {
        let mut ring = Ring::default();
        let mut signed: Vec<(u64, String)> = Vec::new();
        let mut known_an_hour_ago: Vec<String> = Vec::new();
        for now in (0..120 * DAY).step_by(usize::try_from(HOUR / 2).unwrap()) {
            ring = ring.turned(now).unwrap();
            let kid = signs(&ring, now);
            if now >= HOUR {
                assert!(
                    known_an_hour_ago.contains(&kid),
                    "{kid} signs before it is known"
                );
            }
            signed.push((now, kid));
            let known = published(&ring);
            // A token lives for minutes; an hour is generous.
            for (_, kid) in signed.iter().rev().take_while(|(at, _)| at + HOUR >= now) {
                assert!(known.contains(kid), "{kid} has signed and is not known");
            }
            assert!(known.len() <= 3);
            if now % HOUR == 0 {
                known_an_hour_ago = known;
            }
        }
        let mut kids: Vec<_> = signed.into_iter().map(|(_, kid)| kid).collect();
        kids.dedup();
        assert_eq!(kids.len(), 4, "one each month");
    }

    #[test]
    fn whoever_opens_a_session_token_knows_the_key_that_sealed_it_however_late_it_learns_of_a_turn()
    {
        let keys = |ring: &Ring, now| -> Vec<String> {
            let set: Value = serde_json::from_str(&ring.resume(now)).unwrap();
            let keys = set["keys"].as_array().unwrap().iter();
            keys.map(|key| key["k"].as_str().unwrap().to_owned())
                .collect()
        };
        let mut ring = Ring::default();
        let mut an_hour_ago: Vec<String> = Vec::new();
        let mut sealed: Vec<String> = Vec::new();
        for now in (0..120 * DAY).step_by(usize::try_from(HOUR).unwrap()) {
            ring = ring.turned(now).unwrap();
            let known = keys(&ring, now);
            assert!(an_hour_ago.is_empty() || an_hour_ago.contains(&known[0]));
            assert!(sealed.last().is_none_or(|last| known.contains(last)));
            assert!(
                !ring.public().contains(&known[0])
                    && !ring.private(now).unwrap().contains(&known[0])
            );
            sealed.push(known[0].clone());
            an_hour_ago = known;
        }
        sealed.dedup();
        assert_eq!(sealed.len(), 4, "one each month");
    }

    #[test]
    fn a_signature_of_the_private_half_is_one_of_the_public_half() {
        let ring = Ring::default().turned(0).unwrap();
        let decode = |text: &Value| {
            BASE64_URL_SAFE_NO_PAD
                .decode(text.as_str().unwrap())
                .unwrap()
        };
        let private: Value = serde_json::from_str(&ring.private(0).unwrap()).unwrap();
        let pair = Ed25519KeyPair::from_seed_unchecked(&decode(&private["d"])).unwrap();
        let signature = pair.sign(b"a token");
        let public: Value = serde_json::from_str(&ring.public()).unwrap();
        let key = aws_lc_rs::signature::UnparsedPublicKey::new(
            &aws_lc_rs::signature::ED25519,
            decode(&public["keys"][0]["x"]),
        );
        assert!(key.verify(b"a token", signature.as_ref()).is_ok());
    }
}
