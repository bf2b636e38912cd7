//! A policy revision in the form in which the engine uses it: keys loaded, connectors made, keys of factories spelled once.
//!
//! Built off the workers whenever the policy or a secret changes, and handed to every worker as one `Arc`. What a worker
//! reads from it holds for new work at once; work under way keeps the revision with which it began.

mod database;
mod error;
mod parts;
mod web_socket;

use std::sync::Arc;

use bulkhead_crds::effective::EffectivePolicy;
use bulkhead_crds::kinds::TlsMode;

use crate::audit::Trail;
use crate::identity::{Issuer, Verifier};
use crate::protocol::websocket::events::CriticalEvents;
use crate::protocol::websocket::http::PeerTls;
use crate::protocol::websocket::resume::ResumeKeys;
use crate::secrets::Secrets;
use crate::telemetry::{CertificateEnd, CertificateUse};
use crate::upstream::Resolver;
pub use database::DatabaseForce;
pub use error::ForceError;
pub(crate) use parts::signing_keys;
use parts::{client_auth, connector, epoch, key_prefix, listen_tls};
pub use web_socket::WebSocketForce;

/// A revision in force.
#[derive(Debug)]
pub struct Force {
    /// The revision's id.
    pub revision: Arc<str>,
    /// The policy.
    pub policy: Arc<EffectivePolicy>,
    /// Signs context tokens, where the policy has WebSockets for which there are any.
    pub issuer: Option<Arc<Issuer>>,
    /// Verifies user contexts.
    pub verifier: Arc<Verifier>,
    /// Seal the tokens of sessions that survive their connection, where the policy has WebSockets.
    pub resume_keys: Option<ResumeKeys>,
    /// Its databases.
    pub databases: Vec<Arc<DatabaseForce>>,
    /// Its WebSocket listeners.
    pub web_sockets: Vec<Arc<WebSocketForce>>,
}

impl Force {
    /// Builds a revision. `previous` is the one that it replaces: an upstream that is the same keeps its epoch.
    ///
    /// # Errors
    /// A secret that cannot be read, a key or certificate that cannot be used; the previous revision stays in force then.
    pub fn build(
        revision: Arc<str>,
        policy: &Arc<EffectivePolicy>,
        secrets: &Arc<Secrets>,
        resolver: &Resolver,
        previous: Option<&Self>,
    ) -> Result<Self, ForceError> {
        Trail::check(policy, secrets)?;
        let issuer = if policy.web_sockets.is_empty() {
            None
        } else {
            Some(Arc::new(Issuer::new(policy, secrets)?))
        };
        let mut verifier = Verifier::new(policy, secrets, issuer.as_deref())?;
        if let Some(previous) = previous {
            verifier = verifier.under(previous.verifier.revocations());
        }
        let verifier = Arc::new(verifier);
        let policy_key: Arc<str> = format!("{}/{}", policy.namespace, policy.name).into();
        let mut databases = Vec::new();
        for settings in &policy.databases {
            let before = previous.and_then(|force| force.database(&settings.name));
            databases.push(Arc::new(DatabaseForce {
                settings: settings.clone(),
                policy: Arc::clone(policy),
                policy_key: Arc::clone(&policy_key),
                name: settings.name.as_str().into(),
                verifier: Arc::clone(&verifier),
                connector: connector(settings, before, secrets, resolver)?,
                epoch: epoch(settings, policy, before),
                auth: client_auth(settings, secrets)?,
                tls: listen_tls(settings, &policy.name, secrets)?,
                signing: signing_keys(settings, secrets)?,
                key_prefix: key_prefix(settings)?,
            }));
        }
        let mut force = Self {
            revision,
            policy: Arc::clone(policy),
            issuer,
            verifier,
            resume_keys: None,
            databases,
            web_sockets: Vec::new(),
        };
        if !policy.web_sockets.is_empty() {
            let before = previous.and_then(|force| force.resume_keys.as_ref());
            force.add_web_sockets(
                &policy_key,
                ResumeKeys::read(secrets, before)?,
                PeerTls::read(secrets, &policy.namespace)?.as_ref(),
            );
        }
        Ok(force)
    }

    fn add_web_sockets(&mut self, policy_key: &str, keys: ResumeKeys, peers: Option<&PeerTls>) {
        let entries = self.policy.web_sockets.iter().map(|settings| {
            Arc::new(WebSocketForce {
                settings: settings.clone(),
                policy: Arc::clone(&self.policy),
                name: settings.name.as_str().into(),
                events: Arc::new(CriticalEvents::new(&settings.critical_events)),
                verifier: Arc::clone(&self.verifier),
                issuer: self.issuer.clone(),
                sealer: keys.sealer(policy_key, &settings.name),
                peers: peers.cloned(),
            })
        });
        self.web_sockets = entries.collect();
        self.resume_keys = Some(keys);
    }

    /// The entry of this name.
    #[must_use]
    pub fn database(&self, name: &str) -> Option<&Arc<DatabaseForce>> {
        self.databases.iter().find(|entry| *entry.name == *name)
    }

    /// Whether connections may be encrypted, a client's or the sidecar's own.
    #[must_use]
    pub fn uses_tls(&self) -> bool {
        let databases = self.databases.iter();
        let mut encrypted = databases.map(|entry| {
            entry.tls.is_some() || entry.settings.upstream.tls_mode != TlsMode::Disable
        });
        // Keys at an address are fetched over TLS.
        let fetches = self.verifier.refresher().is_some();
        fetches || !self.web_sockets.is_empty() || encrypted.any(|encrypted| encrypted)
    }

    /// When the certificates that are shown under this revision expire.
    #[must_use]
    pub fn certificates(&self) -> Vec<CertificateEnd> {
        let listeners = self.databases.iter().filter_map(|entry| {
            Some(CertificateEnd {
                upstream: entry.name.to_string(),
                of: CertificateUse::Listener,
                at: entry.tls.as_ref()?.ends()?,
            })
        });
        // One for all entries of the pod.
        let peers = self.web_sockets.first().and_then(|entry| {
            Some(CertificateEnd {
                upstream: String::new(),
                of: CertificateUse::Peers,
                at: entry.peers.as_ref()?.ends()?,
            })
        });
        listeners.chain(peers).collect()
    }

    /// The WebSocket entry of this name.
    #[must_use]
    pub fn web_socket(&self, name: &str) -> Option<&Arc<WebSocketForce>> {
        self.web_sockets.iter().find(|entry| *entry.name == *name)
    }
}

#[cfg(test)]
mod tests;
