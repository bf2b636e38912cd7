//! The whole room at work: real keys, real signatures, a real HTTP server.

mod algorithms;
mod attacks;
mod endpoint;
mod issue;
mod revoked;
mod signer;
mod sources;
mod times;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bulkhead_crds::effective::EffectiveIdentity;
use bulkhead_crds::kinds::{IdentitySource, Jwks, Jwt, SecretKeyRef, SignedContext};
use bulkhead_crds::names::objects::{CONTEXT_KEYS, JWKS_KEY};
use serde_json::{Value, json};

use super::keys::MAX_JWKS;
use super::*;
use crate::secrets::Secrets;

/// The policy's name in every test here.
const POLICY: &str = "chat";

/// A fixed moment, so that nothing depends on when the tests run.
const NOW: u64 = 1_800_000_000;

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

/// The claims of a token that is good at [`NOW`].
fn claims() -> Value {
    json!({"iss": "https://id.example.com", "aud": "chat-api", "sub": "alice", "exp": NOW + 300})
}

/// [`claims`] with some members replaced, or removed where they are null.
fn claims_with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn jwks(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn inline(keys: &[Value]) -> Jwks {
    Jwks {
        secret_ref: None,
        uri: None,
        inline: Some(jwks(keys)),
    }
}

fn in_secret(name: &str) -> Jwks {
    Jwks {
        secret_ref: Some(SecretKeyRef {
            name: name.into(),
            key: None,
        }),
        uri: None,
        inline: None,
    }
}

fn at_uri(uri: &str) -> Jwks {
    Jwks {
        secret_ref: None,
        uri: Some(uri.into()),
        inline: None,
    }
}

fn identity(source: IdentitySource) -> EffectiveIdentity {
    EffectiveIdentity {
        source,
        jwt: None,
        signed_context: None,
        trusted: None,
        reject_placeholders: true,
        in_sql: None,
    }
}

fn jwt_identity(jwks: Jwks) -> EffectiveIdentity {
    let jwt = Jwt {
        issuer: Some("https://id.example.com".into()),
        audiences: Some(vec!["chat-api".into(), "chat-web".into()]),
        jwks,
        user_claim: None,
        leeway: None,
    };
    EffectiveIdentity {
        jwt: Some(jwt),
        ..identity(IdentitySource::Jwt)
    }
}

fn context_identity(jwks: Option<Jwks>) -> EffectiveIdentity {
    let signed_context = SignedContext {
        issuer: None,
        audiences: None,
        jwks,
    };
    EffectiveIdentity {
        signed_context: Some(signed_context),
        ..identity(IdentitySource::SignedContext)
    }
}

fn verifier(identity: &EffectiveIdentity) -> Verifier {
    Verifier::for_identity(POLICY, identity, &Secrets::new(None)).unwrap()
}

/// A verifier of JWTs whose keys stand in the policy.
fn jwt_verifier(keys: &[Value]) -> Verifier {
    verifier(&jwt_identity(inline(keys)))
}

fn token(token: &str) -> Presented<'_> {
    Presented {
        token: Some(token),
        user: None,
    }
}

fn user(user: &str) -> Presented<'_> {
    Presented {
        token: None,
        user: Some(user),
    }
}

/// The refusal of what is presented at [`NOW`].
fn refused(verifier: &Verifier, presented: Presented<'_>) -> Rejection {
    match verifier.verify_now(&presented, at(NOW)) {
        Err(VerifyOutcome::Rejected(rejection)) => rejection,
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

/// A directory of secrets for one test, removed at the end.
struct SecretsDir(PathBuf);

impl SecretsDir {
    fn new(test: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("bulkhead-identity-{test}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn put(&self, name: &str, json: &str) {
        fs::create_dir_all(self.0.join(name)).unwrap();
        fs::write(self.0.join(name).join(JWKS_KEY), json).unwrap();
    }

    fn remove(&self, name: &str) {
        fs::remove_dir_all(self.0.join(name)).unwrap();
    }

    fn secrets(&self) -> Secrets {
        Secrets::new(Some(self.0.clone()))
    }
}

impl Drop for SecretsDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
