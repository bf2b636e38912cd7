//! The private key by which context tokens are signed, and its public half.
//!
//! Lives here: reading the key from a Secret, making one where there is none, the signature. May not live here: what is signed.

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bulkhead_crds::names::objects::{CONTEXT_KEYS, SIGNING_KEY};
use serde::Deserialize;
use serde_json::{Value, json};
use thiserror::Error;

use super::user::check_id;

use crate::random;

/// The length of an Ed25519 seed (RFC 8032, section 5.1.5).
const SEED: usize = 32;

/// Why a text is no key that can sign. Never shows anything of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SigningKeyError {
    /// Not a JWK with both halves of an Ed25519 key and a name.
    #[error(
        "it is not an Ed25519 key as RFC 8037 writes it: {{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"kid\": …, \"x\": …, \"d\": …}}"
    )]
    NotKey,
    /// The key is marked for something else than signing with EdDSA.
    #[error("its use or alg is for something else than signing with EdDSA")]
    Purpose,
    /// The public half is another key's.
    #[error("its public half x does not belong to its private half d")]
    Halves,
}

/// The system has no randomness to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the system has no randomness to give")]
pub struct NoRandomness;

/// Random bytes of an id that nobody can guess.
const ID_BYTES: usize = 16;

/// An id that nobody has and nobody can guess: 128 random bits in base64url.
pub(super) fn random_id() -> Result<String, NoRandomness> {
    let mut bytes = [0; ID_BYTES];
    random::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// A key that signs.
pub(super) struct SigningKey {
    pair: Ed25519KeyPair,
    id: String,
}

/// The key as the operator writes it (RFC 8037, section 2).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: String,
    kid: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    x: String,
    d: String,
}

/// The key of this process, made when it is first needed: its tokens are good here and nowhere else.
static OWN: OnceLock<Result<Arc<SigningKey>, NoRandomness>> = OnceLock::new();

impl SigningKey {
    /// Reads a key that has been kept.
    pub(super) fn parse(json: &[u8]) -> Result<Self, SigningKeyError> {
        let jwk: Jwk = serde_json::from_slice(json).map_err(|_| SigningKeyError::NotKey)?;
        if jwk.kty != "OKP" || jwk.crv != "Ed25519" || check_id(&jwk.kid).is_err() {
            return Err(SigningKeyError::NotKey);
        }
        let is = |member: &Option<String>, known: &[&str]| {
            member.as_deref().is_none_or(|it| known.contains(&it))
        };
        if !is(&jwk.purpose, &["sig"]) || !is(&jwk.alg, &["EdDSA", "Ed25519"]) {
            return Err(SigningKeyError::Purpose);
        }
        let part = |text: &str| {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok();
            bytes.filter(|bytes| bytes.len() == SEED)
        };
        let (Some(x), Some(d)) = (part(&jwk.x), part(&jwk.d)) else {
            return Err(SigningKeyError::NotKey);
        };
        let pair = Ed25519KeyPair::from_seed_and_public_key(&d, &x)
            .map_err(|_| SigningKeyError::Halves)?;
        Ok(Self { pair, id: jwk.kid })
    }

    /// The key of this process.
    pub(super) fn own() -> Result<Arc<Self>, NoRandomness> {
        OWN.get_or_init(|| {
            let own = Self::made()?;
            tracing::info!(
                key = own.id,
                "there is no {CONTEXT_KEYS}/{SIGNING_KEY} to sign context tokens with: a key was made, and only this process accepts its tokens"
            );
            Ok(Arc::new(own))
        })
        .clone()
    }

    /// The key of this process, if it has been needed.
    pub(super) fn own_if_made() -> Option<Arc<Self>> {
        OWN.get()?.clone().ok()
    }

    fn made() -> Result<Self, NoRandomness> {
        let mut seed = [0; SEED];
        random::fill(&mut seed).map_err(|_| NoRandomness)?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| NoRandomness)?;
        let short = pair.public_key().as_ref().iter().take(8);
        let short: String = short.map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            pair,
            id: format!("process-{short}"),
        })
    }

    /// The key's name (`kid`).
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The public half, as a key set has it.
    pub(super) fn public(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
        json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.id, "x": x})
    }

    /// The signature over `message`, in base64url. Some 20 µs.
    pub(super) fn sign(&self, message: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.pair.sign(message.as_bytes()))
    }
}

impl fmt::Debug for SigningKey {
    /// Its name alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({:?})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8037, appendices A.1 and A.2.
    const D: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    fn jwk() -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": "k1", "x": X, "d": D})
    }

    #[test]
    fn the_standards_own_example_is_signed_as_it_says() {
        let key = SigningKey::parse(jwk().to_string().as_bytes()).unwrap();
        // RFC 8037, appendix A.4.
        assert_eq!(
            key.sign("eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"),
            "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
        );
        assert_eq!(key.public()["x"], X);
        assert_eq!(key.public().get("d"), None);
        assert_eq!(format!("{key:?}"), "SigningKey(\"k1\")");
    }

    #[test]
    fn what_is_no_key_that_signs_is_refused_by_its_reason() {
        use SigningKeyError::{Halves, NotKey, Purpose};
        for (member, value, error) in [
            ("kty", json!("EC"), NotKey),
            ("crv", json!("X25519"), NotKey),
            ("kid", json!(""), NotKey),
            ("kid", json!(null), NotKey),
            ("kid", json!("k\n1"), NotKey),
            ("d", json!(null), NotKey),
            ("d", json!("AAAA"), NotKey),
            ("d", json!(format!("{D}=")), NotKey),
            ("x", json!(null), NotKey),
            ("x", json!(D), Halves),
            ("d", json!(X), Halves),
            ("use", json!("enc"), Purpose),
            ("alg", json!("ES256"), Purpose),
        ] {
            let mut jwk = jwk();
            jwk[member] = value.clone();
            let refused = SigningKey::parse(jwk.to_string().as_bytes()).unwrap_err();
            assert_eq!(refused, error, "{member}: {value}");
        }
        for text in ["", "{", "[]", "null", "\"d\""] {
            assert_eq!(SigningKey::parse(text.as_bytes()).unwrap_err(), NotKey);
        }
    }

    #[test]
    fn the_key_of_a_process_is_made_once() {
        let (one, again) = (SigningKey::own().unwrap(), SigningKey::own().unwrap());
        assert!(Arc::ptr_eq(&one, &again));
        assert!(one.id().starts_with("process-"));
        assert!(SigningKey::own_if_made().is_some_and(|own| Arc::ptr_eq(&own, &one)));
        assert_ne!(SigningKey::made().unwrap().id(), one.id());
    }
}
