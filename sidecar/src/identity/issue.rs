//! Context tokens: what the sidecar vouches for, signed, for the application to pass on to its databases and to other pods.
//!
//! Lives here: the claims, how long a token lives, and the key set that its readers need. May not live here: who a token is given to.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bulkhead_crds::effective::EffectivePolicy;
use bulkhead_crds::names::objects::{CONTEXT_KEYS, JWKS_KEY, SIGNING_KEY};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::authority::IdentityError;
use super::claims::{Expected, LEEWAY};
use super::jwk::Kinds;
use super::keys::KeySet;
use super::signing::{NoRandomness, SigningKey, random_id};
use super::user::UserContext;
use crate::secrets::Secrets;

/// How long a token is good for new connections.
const LIFETIME: Duration = Duration::from_secs(5 * 60);

/// What a token says of itself, so that no other kind of token is ever taken for one (RFC 8725, section 3.11).
const TYPE: &str = "bulkhead-context+jwt";

/// What errors about the Secret are about.
const FIELD: &str = "context tokens";

/// Signs context tokens for one revision of one policy. Shared by all workers.
#[derive(Debug)]
pub struct Issuer {
    key: Arc<SigningKey>,
    /// The token's first part, ready.
    header: String,
    issuer: String,
    audiences: Vec<String>,
    key_set: String,
}

/// RFC 7519, section 4.1, and the ids that [`UserContext`] has.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a [String],
    sub: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sid: Option<&'a str>,
    jti: &'a str,
    iat: u64,
    /// Of the credential that the context came with ([`super::claims::ORIGIN`]).
    orig_iat: u64,
    nbf: u64,
    exp: u64,
}

impl Issuer {
    /// Reads the namespace's keys. Where there is none that signs, the process makes one of its own.
    ///
    /// # Errors
    /// A key or key set that is there and cannot be used.
    pub fn new(policy: &EffectivePolicy, secrets: &Secrets) -> Result<Self, IdentityError> {
        let key = signing_key(secrets)?;
        let header = json!({"alg": "EdDSA", "typ": TYPE, "kid": key.id()});
        let Expected {
            issuer, audiences, ..
        } = Expected::of_context_tokens(&policy.name, &policy.identity);
        Ok(Self {
            header: URL_SAFE_NO_PAD.encode(header.to_string()),
            issuer: issuer.unwrap_or_else(|| name(policy)),
            audiences,
            key_set: key_set(&key, secrets)?,
            key,
        })
    }

    /// A token for `context`, of the live session `session` where there is one. It ends after five minutes, or with the
    /// context where that ends sooner.
    ///
    /// # Errors
    /// See [`NoRandomness`].
    pub fn issue(
        &self,
        context: &UserContext,
        session: Option<&str>,
        now: SystemTime,
    ) -> Result<String, NoRandomness> {
        let issued = seconds(now);
        // Whoever verifies adds the leeway: what the context has of it already is not given twice.
        let ends = context
            .expires_at()
            .map(|end| seconds(end.checked_sub(LEEWAY).unwrap_or(UNIX_EPOCH)));
        let claims = Claims {
            iss: &self.issuer,
            aud: &self.audiences,
            sub: context.user_id().as_str(),
            thread_id: context.thread_id().map(|id| &**id),
            run_id: context.run_id().map(|id| &**id),
            request_id: context.request_id().map(|id| &**id),
            sid: session.or(context.session_id().map(|id| &**id)),
            jti: &random_id()?,
            iat: issued,
            orig_iat: context.issued_at().map_or(0, seconds),
            nbf: issued,
            exp: (issued + LIFETIME.as_secs()).min(ends.unwrap_or(u64::MAX)),
        };
        // Texts and numbers are JSON always.
        let claims = serde_json::to_vec(&claims).unwrap_or_default();
        let signed = format!("{}.{}", self.header, URL_SAFE_NO_PAD.encode(claims));
        let signature = self.key.sign(&signed);
        Ok(format!("{signed}.{signature}"))
    }

    /// The public keys (RFC 7517, section 5) of every token that an application of this namespace may be shown.
    #[must_use]
    pub fn key_set(&self) -> &str {
        &self.key_set
    }
}

/// The namespace whose keys sign, and its cluster, where that has a name: namespaces of two clusters may be called the same, and a reader
/// of both takes the key set by the issuer.
fn name(policy: &EffectivePolicy) -> String {
    let namespace = &policy.namespace;
    match &policy.cluster {
        Some(cluster) => format!("bulkhead/{cluster}/{namespace}"),
        None => format!("bulkhead/{namespace}"),
    }
}

fn signing_key(secrets: &Secrets) -> Result<Arc<SigningKey>, IdentityError> {
    match secrets.read(CONTEXT_KEYS, SIGNING_KEY) {
        Ok(json) => Ok(Arc::new(SigningKey::parse(json.expose())?)),
        Err(error) if error.is_missing() => Ok(SigningKey::own()?),
        Err(source) => Err(IdentityError::Secret {
            field: FIELD,
            source,
        }),
    }
}

/// What the namespace publishes, and whatever this process signs or has signed with.
fn key_set(signing: &SigningKey, secrets: &Secrets) -> Result<String, IdentityError> {
    let mut keys = vec![signing.public()];
    keys.extend(SigningKey::own_if_made().map(|own| own.public()));
    match secrets.read(CONTEXT_KEYS, JWKS_KEY) {
        Ok(json) => {
            KeySet::parse(json.expose(), Kinds::Ed25519).map_err(|source| IdentityError::Jwks {
                field: FIELD,
                source,
            })?;
            keys.extend(published(json.expose()));
        }
        Err(error) if error.is_missing() => {}
        Err(source) => {
            return Err(IdentityError::Secret {
                field: FIELD,
                source,
            });
        }
    }
    let mut seen = Vec::new();
    keys.retain(|key| {
        let new = !seen.contains(&key["kid"]);
        seen.push(key["kid"].clone());
        new
    });
    Ok(json!({ "keys": keys }).to_string())
}

/// The Ed25519 keys of a document, of each what is public: a private half that somebody put there by mistake goes no further.
fn published(json: &[u8]) -> Vec<Value> {
    const PUBLIC: [&str; 6] = ["kty", "crv", "alg", "use", "kid", "x"];
    let document: Value = serde_json::from_slice(json).unwrap_or_default();
    let keys = document["keys"].as_array().into_iter().flatten();
    keys.filter(|key| key["crv"] == "Ed25519" && key["kid"].is_string())
        .map(|key| {
            let member = |name: &str| Some((name.to_owned(), key.get(name)?.clone()));
            Value::Object(PUBLIC.into_iter().filter_map(member).collect::<Map<_, _>>())
        })
        .collect()
}

fn seconds(moment: SystemTime) -> u64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_secs()
}
