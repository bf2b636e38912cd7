//! Whoever signs tokens that a policy accepts: its keys, wherever they are kept, and what its tokens must say.
//!
//! Lives here: reading keys from the policy or a Secret, and one token's whole verification. May not live here: choosing
//! among authorities, the cache.

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use bulkhead_crds::effective::EffectiveIdentity;
use bulkhead_crds::kinds::Jwks;
use bulkhead_crds::names::objects::{CONTEXT_KEYS, JWKS_KEY, SIGNING_KEY};
use thiserror::Error;

use super::claims::{Expected, LEEWAY, date};
use super::endpoint::Endpoint;
use super::fetch::Fetcher;
use super::issue::Issuer;
use super::jwk::Kinds;
use super::keys::{JwksError, KeySet, Signed};
use super::rejection::Refusal;
use super::signing::{NoRandomness, SigningKeyError};
use super::token::{Algorithm, Token};
use super::user::{UserContext, Verified};
use crate::secrets::{SecretError, Secrets};

/// Why a policy's identity settings cannot be used. The text names the field.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// A field that the source needs is not there.
    #[error("{field} is missing: this identity.source needs it")]
    Missing {
        /// Which.
        field: &'static str,
    },
    /// None or several of `secretRef`, `uri` and `inline`.
    #[error("{field}: give exactly one of secretRef, uri and inline")]
    NotOne {
        /// Which.
        field: &'static str,
    },
    /// The Secret cannot be read.
    #[error("{field}: {source}")]
    Secret {
        /// Which field refers to it.
        field: &'static str,
        /// Why.
        source: SecretError,
    },
    /// The document is no usable key set.
    #[error("{field}: {source}")]
    Jwks {
        /// Which field it came from.
        field: &'static str,
        /// Why.
        source: JwksError,
    },
    /// The address may not be used.
    #[error("{field}: {problem}")]
    Uri {
        /// Which field names it.
        field: &'static str,
        /// Why.
        problem: String,
    },
    /// The key that is there to sign context tokens cannot.
    #[error("context tokens: secret {CONTEXT_KEYS}/{SIGNING_KEY}: {0}")]
    SigningKey(#[from] SigningKeyError),
    /// No key can be made to sign context tokens.
    #[error("context tokens: {0}")]
    Randomness(#[from] NoRandomness),
}

/// One signer.
#[derive(Debug)]
pub(super) struct Authority {
    keys: Keys,
    expected: Expected,
    /// Whether its tokens are the sidecars' own.
    house: bool,
}

/// Where the keys are.
enum Keys {
    /// In the policy, or put together with it: they change with it.
    Inline(Arc<KeySet>),
    /// In a Secret: read again when it changes.
    Secret {
        at: SecretKeys,
        current: ArcSwap<KeySet>,
    },
    /// At an address.
    Endpoint(Arc<Endpoint>),
}

/// A key set in a Secret.
struct SecretKeys {
    field: &'static str,
    name: String,
    key: String,
    kinds: Kinds,
    /// Whether the Secret may be absent, which then means no keys.
    optional: bool,
}

/// A token's fate.
pub(super) enum Outcome {
    /// Verified, by the key set of this generation.
    Verified(UserContext, u64),
    /// The key that it names is not there.
    UnknownKey,
}

impl Authority {
    /// The application's identity provider.
    pub(super) fn jwt(
        identity: &EffectiveIdentity,
        secrets: &Secrets,
    ) -> Result<Self, IdentityError> {
        let jwt = identity.jwt.as_ref().ok_or(IdentityError::Missing {
            field: "identity.jwt",
        })?;
        let expected = Expected {
            issuer: jwt.issuer.clone(),
            audiences: jwt.audiences.clone().unwrap_or_default(),
            user_claim: jwt.user_claim.clone().unwrap_or_else(|| "sub".into()),
            leeway: jwt.leeway.map_or(LEEWAY, |leeway| leeway.get()),
            reject_placeholders: identity.reject_placeholders,
        };
        Ok(Self {
            keys: Keys::new(&jwt.jwks, "identity.jwt.jwks", Kinds::All, secrets)?,
            expected,
            house: false,
        })
    }

    /// Bulkhead itself: the namespace's context keys. Where they are not `needed` they count if they are there.
    pub(super) fn context(
        policy: &str,
        identity: &EffectiveIdentity,
        needed: bool,
        secrets: &Secrets,
    ) -> Result<Self, IdentityError> {
        let settings = identity.signed_context.as_ref();
        let expected = Expected::of_context_tokens(policy, identity);
        let field = "identity.signedContext.jwks";
        let keys = match settings.and_then(|settings| settings.jwks.as_ref()) {
            Some(jwks) => Keys::new(jwks, field, Kinds::Ed25519, secrets)?,
            None => {
                let (name, key) = (CONTEXT_KEYS.to_owned(), JWKS_KEY.to_owned());
                Keys::secret(
                    SecretKeys {
                        field,
                        name,
                        key,
                        kinds: Kinds::Ed25519,
                        optional: !needed,
                    },
                    secrets,
                )?
            }
        };
        Ok(Self {
            keys,
            expected,
            house: false,
        })
    }

    /// This sidecar and those beside it: whatever signs what `issuer` vouches for.
    pub(super) fn house(
        policy: &str,
        identity: &EffectiveIdentity,
        issuer: &Issuer,
    ) -> Result<Self, IdentityError> {
        let keys = parse(
            issuer.key_set().as_bytes(),
            Kinds::Ed25519,
            "context tokens",
        )?;
        Ok(Self {
            keys: Keys::Inline(Arc::new(keys)),
            expected: Expected::of_context_tokens(policy, identity),
            house: true,
        })
    }

    /// Verifies signature and claims.
    pub(super) fn verify(&self, token: &Token<'_>, now: SystemTime) -> Result<Outcome, Refusal> {
        let keys = self.keys.current();
        match keys.verify(token)? {
            Signed::UnknownKey => Ok(Outcome::UnknownKey),
            Signed::By(key_id) => {
                let verified = Verified {
                    of_house: self.house,
                    ..self.expected.check(&token.claims()?, key_id, now)?
                };
                Ok(Outcome::Verified(
                    UserContext::new(verified),
                    keys.generation(),
                ))
            }
        }
    }

    /// The context of a token of the house as it was when it was issued, whatever the time is now.
    pub(super) fn as_issued(&self, token: &Token<'_>) -> Option<UserContext> {
        let issued = date(&token.claims().ok()?, "iat").ok()??;
        match self.verify(token, issued) {
            Ok(Outcome::Verified(context, _)) if self.house => Some(context),
            _ => None,
        }
    }

    /// Whether the token is by its header one of this authority's: signed with EdDSA by a key that is here.
    pub(super) fn owns(&self, token: &Token<'_>) -> bool {
        token.algorithm == Algorithm(jsonwebtoken::Algorithm::EdDSA)
            && token
                .key_id
                .as_deref()
                .is_some_and(|key_id| self.keys.current().has(key_id))
    }

    /// Which key set is in force.
    pub(super) fn generation(&self) -> u64 {
        self.keys.current().generation()
    }

    /// The address that more keys can be fetched from.
    pub(super) const fn endpoint(&self) -> Option<&Arc<Endpoint>> {
        match &self.keys {
            Keys::Endpoint(endpoint) => Some(endpoint),
            Keys::Inline(_) | Keys::Secret { .. } => None,
        }
    }

    /// Reads the Secret again; says whether other keys are in force now. A Secret that cannot be used leaves them as they are.
    pub(super) fn reload(&self, secrets: &Secrets) -> Result<bool, IdentityError> {
        let Keys::Secret { at, current } = &self.keys else {
            return Ok(false);
        };
        let read = at.read(secrets)?;
        if read.same_document(&current.load()) {
            return Ok(false);
        }
        current.store(Arc::new(read));
        Ok(true)
    }
}

impl Keys {
    fn new(
        jwks: &Jwks,
        field: &'static str,
        kinds: Kinds,
        secrets: &Secrets,
    ) -> Result<Self, IdentityError> {
        match (&jwks.secret_ref, &jwks.uri, &jwks.inline) {
            (None, None, Some(json)) => {
                parse(json.as_bytes(), kinds, field).map(|keys| Self::Inline(Arc::new(keys)))
            }
            (Some(reference), None, None) => {
                let key = reference.key.clone().unwrap_or_else(|| JWKS_KEY.into());
                Self::secret(
                    SecretKeys {
                        field,
                        name: reference.name.clone(),
                        key,
                        kinds,
                        optional: false,
                    },
                    secrets,
                )
            }
            (None, Some(uri), None) => {
                let fetcher =
                    Fetcher::new(uri).map_err(|problem| IdentityError::Uri { field, problem })?;
                let public = if kinds == Kinds::All {
                    Kinds::Public
                } else {
                    kinds
                };
                Ok(Self::Endpoint(Arc::new(Endpoint::new(fetcher, public))))
            }
            _ => Err(IdentityError::NotOne { field }),
        }
    }

    fn secret(at: SecretKeys, secrets: &Secrets) -> Result<Self, IdentityError> {
        let current = ArcSwap::from_pointee(at.read(secrets)?);
        Ok(Self::Secret { at, current })
    }

    fn current(&self) -> Arc<KeySet> {
        match self {
            Self::Inline(keys) => Arc::clone(keys),
            Self::Secret { current, .. } => current.load_full(),
            Self::Endpoint(endpoint) => Arc::clone(&endpoint.keys()),
        }
    }
}

impl SecretKeys {
    fn read(&self, secrets: &Secrets) -> Result<KeySet, IdentityError> {
        match secrets.read(&self.name, &self.key) {
            Ok(json) => parse(json.expose(), self.kinds, self.field),
            Err(error) if self.optional && error.is_missing() => Ok(KeySet::empty()),
            Err(source) => Err(IdentityError::Secret {
                field: self.field,
                source,
            }),
        }
    }
}

fn parse(json: &[u8], kinds: Kinds, field: &'static str) -> Result<KeySet, IdentityError> {
    let keys =
        KeySet::parse(json, kinds).map_err(|source| IdentityError::Jwks { field, source })?;
    if !keys.skipped().is_empty() {
        tracing::warn!(field, left_out = %keys.skipped().join("; "), "some keys cannot be used");
    }
    Ok(keys)
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.current().fmt(f)
    }
}
