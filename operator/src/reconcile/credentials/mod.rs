//! The Secrets that the operator makes itself, three in a namespace, each of a fixed name, so that its rights can be bound to them: the keys
//! of context tokens, the certificates that policies issue, and the one by which sidecars know each other.
//!
//! Users' Secrets are never read. A Secret of ours that was tampered with is made anew: nothing in it is worth more than being right.

pub mod issued;
pub mod peers;
pub mod ring;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bulkhead_crds::EffectivePolicy;
use bulkhead_crds::kinds::InjectionTemplate;
use bulkhead_crds::names::objects::{
    CONTEXT_KEYS, ISSUED_CERTIFICATES, JWKS_KEY, MANAGER, OWNED, PEER_CERTIFICATES, RESUME_KEY,
    SIGNING_KEY, issued_key,
};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use super::error::Error;
use crate::certificates::make::Identity;
use crate::certificates::stored::{Data, Stored};
use issued::Issued;
use ring::Ring;

/// The key of the Secret that holds the whole ring, and is never mounted.
const RING: &str = "ring.json";
/// How long what was found right is believed to be so.
const BELIEVED: Duration = Duration::from_secs(3600);

/// What a namespace's policies need of what the operator makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    keys: bool,
    /// Whether sidecars reach each other.
    peers: bool,
    /// The names of each policy's certificate.
    certificates: BTreeMap<String, Vec<String>>,
}

/// What has been seen to, and when it is to be looked at again.
#[derive(Debug, Default)]
pub(super) struct SeenTo {
    needs: Needs,
    again: Option<Duration>,
}

impl Needs {
    /// Adds what a policy needs.
    pub(super) fn add(&mut self, policy: &EffectivePolicy, template: &InjectionTemplate) {
        let identity = &policy.identity;
        let jwks = identity
            .signed_context
            .as_ref()
            .and_then(|it| it.jwks.as_ref());
        let by_secret = jwks.and_then(|jwks| jwks.secret_ref.as_ref());
        self.keys |= by_secret.is_some_and(|reference| reference.name == CONTEXT_KEYS)
            || !policy.web_sockets.is_empty();
        self.peers |= policy.resumes();
        let names = issued::names(policy, template);
        if !names.is_empty() {
            self.certificates.insert(policy.name.clone(), names);
        }
    }
}

impl SeenTo {
    /// Sees to it that what is needed is there and not too old. Says whether anything was written.
    ///
    /// # Errors
    /// Those of the API server, of the system's randomness, and a name that cannot be in a certificate.
    pub(super) async fn see_to(
        &mut self,
        client: &Client,
        namespace: &str,
        needs: Needs,
        now: Duration,
    ) -> Result<bool, Error> {
        if needs == self.needs && self.again.is_none_or(|again| now < again) {
            return Ok(false);
        }
        let at = SystemTime::now();
        let api = Api::<Secret>::namespaced(client.clone(), namespace);
        let mut written = false;
        if needs.keys {
            written |= keys(&api, at).await?;
        }
        if !needs.certificates.is_empty() {
            written |= certificates(&api, &needs.certificates, at).await?;
        }
        if needs.peers {
            written |= peers(&api, namespace, at).await?;
        }
        let needed = needs != Needs::default();
        self.again = needed.then_some(now + BELIEVED);
        self.needs = needs;
        Ok(written)
    }

    /// When to look again.
    pub(super) const fn again(&self) -> Option<Duration> {
        self.again
    }
}

async fn keys(api: &Api<Secret>, at: SystemTime) -> Result<bool, Error> {
    let before = read(api, CONTEXT_KEYS).await?;
    let now = at
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let ring = before
        .get(RING)
        .and_then(|text| serde_json::from_str(text).ok());
    let ring: Ring = ring.unwrap_or_default();
    let ring = ring.turned(now)?;
    let data = Data::from([
        (RING.to_owned(), json!(ring).to_string()),
        (JWKS_KEY.to_owned(), ring.public()),
        (RESUME_KEY.to_owned(), ring.resume(now)),
        (
            SIGNING_KEY.to_owned(),
            ring.private(now).unwrap_or_default(),
        ),
    ]);
    write(api, CONTEXT_KEYS, &before, &data).await
}

async fn certificates(
    api: &Api<Secret>,
    wanted: &BTreeMap<String, Vec<String>>,
    at: SystemTime,
) -> Result<bool, Error> {
    let before = read(api, ISSUED_CERTIFICATES).await?;
    let mut data = Data::new();
    for (policy, names) in wanted {
        let issued = issued::renewed(issued_before(&before, policy), policy, names, at)?;
        data.extend([
            (issued_key(policy, "ca.crt"), issued.authority.certificate),
            (issued_key(policy, "ca.key"), issued.authority.key),
            (issued_key(policy, "tls.crt"), issued.shown.certificate),
            (issued_key(policy, "tls.key"), issued.shown.key),
        ]);
    }
    // What other policies' pods still mount stays.
    for (key, text) in &before {
        data.entry(key.clone()).or_insert_with(|| text.clone());
    }
    write(api, ISSUED_CERTIFICATES, &before, &data).await
}

async fn peers(api: &Api<Secret>, namespace: &str, at: SystemTime) -> Result<bool, Error> {
    let before = read(api, PEER_CERTIFICATES).await?;
    let stored = peers::renewed(Stored::of(&before), namespace, at)?;
    write(api, PEER_CERTIFICATES, &before, &stored.data()).await
}

fn issued_before(data: &Data, policy: &str) -> Option<Issued> {
    let identity = |name: &str| {
        Some(Identity {
            certificate: data
                .get(&issued_key(policy, &format!("{name}.crt")))?
                .clone(),
            key: data
                .get(&issued_key(policy, &format!("{name}.key")))?
                .clone(),
        })
    };
    Some(Issued {
        authority: identity("ca")?,
        shown: identity("tls")?,
    })
}

/// What is in a Secret of ours; nothing where there is none.
async fn read(api: &Api<Secret>, name: &str) -> Result<Data, Error> {
    let secret = api.get_opt(name).await?;
    let data = secret.and_then(|secret| secret.data).unwrap_or_default();
    Ok(data
        .into_iter()
        .filter_map(|(key, bytes)| Some((key, String::from_utf8(bytes.0).ok()?)))
        .collect())
}

async fn write(api: &Api<Secret>, name: &str, before: &Data, data: &Data) -> Result<bool, Error> {
    if before == data {
        return Ok(false);
    }
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"name": name, "labels": {OWNED: "true"}},
        "data": data.iter().map(|(key, text)| (key, k8s_openapi::ByteString(text.clone().into_bytes()))).collect::<BTreeMap<_, _>>(),
    });
    let parameters = PatchParams::apply(MANAGER).force();
    api.patch(name, &parameters, &Patch::Apply(&secret)).await?;
    Ok(true)
}
