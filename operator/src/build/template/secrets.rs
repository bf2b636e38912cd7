//! The Secrets that the sidecar mounts, key by key: it sees nothing of a Secret that the policy does not name.

use std::collections::{BTreeMap, BTreeSet};

use bulkhead_crds::EffectivePolicy;
use bulkhead_crds::kinds::template::{KeyToPath, Projection, SecretProjection};
use bulkhead_crds::kinds::{
    IdentitySource, Jwks, ListenTls, RowLevelSecurity, SecretKeyRef, SecretRef,
};
use bulkhead_crds::names::objects::{self, JWKS_KEY, RESUME_KEY, SIGNING_KEY, SIGNING_KEYS};

use super::{Rendering, volumes};

/// The keys to mount, by the Secret's name.
#[derive(Default)]
struct Keys(BTreeMap<String, BTreeSet<String>>);

/// The files of an issued certificate.
const CERTIFICATE: [&str; 2] = ["tls.crt", "tls.key"];

impl Keys {
    fn add(&mut self, secret: &str, keys: &[&str]) {
        let of = self.0.entry(secret.to_owned()).or_default();
        of.extend(keys.iter().map(|key| (*key).to_owned()));
    }

    fn whole(&mut self, reference: Option<&SecretRef>, keys: &[&str]) {
        if let Some(SecretRef { name }) = reference {
            self.add(name, keys);
        }
    }

    fn one(&mut self, reference: Option<&SecretKeyRef>, or: &str) {
        if let Some(SecretKeyRef { name, key }) = reference {
            self.add(name, &[key.as_deref().unwrap_or(or)]);
        }
    }
}

/// A source of the projected volume for each Secret, every key at `NAME/KEY`.
pub(super) fn of(rendering: &Rendering<'_>) -> Vec<Projection> {
    let mut keys = Keys::default();
    databases(rendering, &mut keys);
    identity(rendering.effective, &mut keys);
    let trail = rendering.effective.audit_trail.as_ref();
    keys.one(
        trail.and_then(|trail| trail.key_secret_ref.as_ref()),
        objects::AUDIT_KEY,
    );
    if rendering.serves.web_sockets && !rendering.effective.web_sockets.is_empty() {
        keys.add(objects::CONTEXT_KEYS, &[JWKS_KEY, SIGNING_KEY]);
    }
    if rendering.resumes() {
        keys.add(objects::CONTEXT_KEYS, &[RESUME_KEY]);
        keys.add(
            objects::PEER_CERTIFICATES,
            &["ca.crt", "tls.crt", "tls.key"],
        );
    }
    let mut sources: Vec<Projection> = keys.0.into_iter().map(projection).collect();
    if volumes::issues_a_certificate(rendering) {
        sources.push(issued(&rendering.effective.name));
    }
    sources
}

/// Of the databases that the sidecar opens a listener for: it reads all of theirs before it takes a policy on, and no others.
fn databases(rendering: &Rendering<'_>, keys: &mut Keys) {
    for database in rendering.served() {
        let (upstream, listen) = (&database.upstream, &database.listen);
        keys.whole(
            upstream.credentials_secret_ref.as_ref(),
            &["username", "password"],
        );
        keys.whole(upstream.tls_ca_secret_ref.as_ref(), &["ca.crt"]);
        if listen.tls == Some(ListenTls::Secret) {
            keys.whole(listen.tls_secret_ref.as_ref(), &CERTIFICATE);
        }
        keys.one(listen.auth_secret_ref.as_ref(), "password");
        if database.row_level_security == RowLevelSecurity::Signed {
            keys.one(database.signing_key_secret_ref.as_ref(), SIGNING_KEYS);
        }
    }
}

fn identity(policy: &EffectivePolicy, keys: &mut Keys) {
    let mut jwks = |jwks: Option<&Jwks>| {
        keys.one(jwks.and_then(|it| it.secret_ref.as_ref()), JWKS_KEY);
    };
    jwks(policy.identity.jwt.as_ref().map(|jwt| &jwt.jwks));
    let context = policy.identity.signed_context.as_ref();
    jwks(context.and_then(|context| context.jwks.as_ref()));
    if context.is_none() && policy.identity.source != IdentitySource::Trusted {
        // What another policy's sidecars of this namespace sign is accepted beside the identity provider's tokens.
        keys.add(objects::CONTEXT_KEYS, &[JWKS_KEY]);
    }
}

fn projection((name, keys): (String, BTreeSet<String>)) -> Projection {
    let items = keys
        .into_iter()
        .map(|key| KeyToPath {
            path: format!("{name}/{key}"),
            key,
        })
        .collect();
    // The operator makes it when the first policy needs it: a pod that came sooner starts, and refuses tokens until then, or other pods.
    let ours = [objects::CONTEXT_KEYS, objects::PEER_CERTIFICATES];
    let optional = ours.contains(&name.as_str()).then_some(true);
    Projection {
        secret: SecretProjection {
            name,
            items,
            optional,
        },
    }
}

/// A policy's own certificate, of the Secret that holds those of all policies of the namespace.
fn issued(policy: &str) -> Projection {
    let folder = objects::issued_certificate(policy);
    let items = CERTIFICATE.map(|file| KeyToPath {
        key: objects::issued_key(policy, file),
        path: format!("{folder}/{file}"),
    });
    Projection {
        secret: SecretProjection {
            name: objects::ISSUED_CERTIFICATES.to_owned(),
            items: items.to_vec(),
            optional: None,
        },
    }
}
