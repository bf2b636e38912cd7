//! A policy revision in the form in which the engine uses it: keys loaded, connectors made, keys of factories spelled once.
//!
//! Built off the workers whenever the policy or a secret changes, and handed to every worker as one `Arc`. What a worker
//! reads from it holds for new work at once; work under way keeps the revision with which it began.

mod web_socket;

use std::sync::Arc;
use std::time::Duration;

use bulkhead_crds::effective::{EffectiveDatabase, EffectivePolicy};
use bulkhead_crds::kinds::{
    AuthMode, IdentitySource, ListenTls as Source, Mode, Protocol, RowLevelSecurity, SqlScope,
    Tier, TlsMode,
};
use bulkhead_crds::names::objects::{SIGNING_KEYS, issued_certificate};
use thiserror::Error;

use crate::identity::{IdentityError, Issuer, Verifier};
use crate::protocol::postgres::handshake::{ClientAuth, HandshakeError, ListenTls, ScramVerifier};
use crate::protocol::websocket::events::CriticalEvents;
use crate::protocol::websocket::http::{PeerTls, PeerTlsError};
use crate::protocol::websocket::resume::{ResumeKeys, ResumeKeysError};
use crate::secrets::{SecretError, Secrets};
use crate::signed::{KeysError, SigningKeys};
use crate::telemetry::TimeoutKind;
use crate::upstream::{Connector, Resolver, UpstreamError};
pub use web_socket::WebSocketForce;

/// How far the server's own timeouts stand above the sidecar's: a backstop for a sidecar that has died.
const BACKSTOP: Duration = Duration::from_secs(2);

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

/// One database entry of a revision.
#[derive(Debug)]
pub struct DatabaseForce {
    /// The entry.
    pub settings: EffectiveDatabase,
    /// The policy that it stands in.
    pub policy: Arc<EffectivePolicy>,
    /// `namespace/name` of the policy, for factory keys.
    pub policy_key: Arc<str>,
    /// The entry's name, for factory keys.
    pub name: Arc<str>,
    /// Verifies user contexts.
    pub verifier: Arc<Verifier>,
    /// Dials the upstream.
    pub connector: Connector,
    /// Changes with what the upstream is: connections of an older epoch are not reused.
    pub epoch: u64,
    /// How the application authenticates.
    pub auth: ClientAuth,
    /// The certificate for clients that ask for TLS.
    pub tls: Option<ListenTls>,
    /// What claims to be a user are signed with, where row-level security asks for them.
    pub signing: Option<Arc<SigningKeys>>,
}

/// Why a revision cannot be put in force.
#[derive(Debug, Error)]
pub enum ForceError {
    /// The identity settings.
    #[error("spec.identity: {0}")]
    Identity(#[from] IdentityError),
    /// The keys of session tokens.
    #[error(transparent)]
    ResumeKeys(#[from] ResumeKeysError),
    /// The certificates of pods.
    #[error(transparent)]
    Peers(#[from] PeerTlsError),
    /// An upstream's settings.
    #[error("{0}")]
    Upstream(#[from] UpstreamError),
    /// An upstream's user name or password.
    #[error("databases[{entry}].upstream.credentialsSecretRef: {source}")]
    Credentials {
        /// The entry.
        entry: String,
        /// What is wrong.
        source: SecretError,
    },
    /// A listener's certificate or password.
    #[error("databases[{entry}].listen.{field}: {source}")]
    Secret {
        /// The entry.
        entry: String,
        /// The field below `listen`.
        field: &'static str,
        /// What is wrong.
        source: SecretError,
    },
    /// A listener's certificate that nobody has issued.
    #[error(
        "databases[{entry}].listen.tls: Issued: {source}; the operator issues it in a cluster, and elsewhere it is made by hand: openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj '/CN={host}' -addext 'subjectAltName=DNS:{host}' -keyout tls.key -out tls.crt"
    )]
    NotIssued {
        /// The entry.
        entry: String,
        /// The name that the certificate is for.
        host: String,
        /// What is wrong.
        source: Box<SecretError>,
    },
    /// The keys of signed users cannot be read.
    #[error("databases[{entry}].session.signingKeySecretRef: {source}")]
    SigningSecret {
        /// The entry.
        entry: String,
        /// What is wrong.
        source: SecretError,
    },
    /// The keys of signed users are none.
    #[error("databases[{entry}].session.signingKeySecretRef: secret {name}/{key}: {source}")]
    SigningKeys {
        /// The entry.
        entry: String,
        /// The Secret.
        name: String,
        /// Its key.
        key: String,
        /// What is wrong.
        source: KeysError,
    },
    /// A listener's certificate cannot be used.
    #[error("databases[{entry}].listen.{field}: {source}")]
    Certificate {
        /// The entry.
        entry: String,
        /// The field below `listen`.
        field: &'static str,
        /// What is wrong.
        source: HandshakeError,
    },
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
        let issuer = if policy.web_sockets.is_empty() {
            None
        } else {
            Some(Arc::new(Issuer::new(policy, secrets)?))
        };
        let verifier = Arc::new(Verifier::new(policy, secrets, issuer.as_deref())?);
        let policy_key: Arc<str> = format!("{}/{}", policy.namespace, policy.name).into();
        let mut databases = Vec::new();
        for settings in &policy.databases {
            if settings.protocol != Protocol::PostgreSQL {
                continue;
            }
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

    /// The WebSocket entry of this name.
    #[must_use]
    pub fn web_socket(&self, name: &str) -> Option<&Arc<WebSocketForce>> {
        self.web_sockets.iter().find(|entry| *entry.name == *name)
    }
}

impl DatabaseForce {
    /// How strictly connections are kept apart.
    #[must_use]
    pub fn tier(&self) -> Tier {
        self.policy.isolation.tier
    }

    /// Whether violations are refused.
    #[must_use]
    pub fn enforces(&self) -> bool {
        self.policy.mode == Mode::Enforce
    }

    /// Whether a client's bare word for who it is counts.
    #[must_use]
    pub fn trusts(&self) -> bool {
        self.policy.identity.source == IdentitySource::Trusted
    }

    /// Whether a client may say in SQL who it works for, and how long that lasts where the statement does not say so.
    #[must_use]
    pub fn in_sql(&self) -> Option<SqlScope> {
        let allowed = self.policy.identity.in_sql;
        allowed.or_else(|| self.naming_setting().map(|_| SqlScope::Transaction))
    }

    /// The application's own setting that names its user, where its word counts.
    #[must_use]
    pub fn naming_setting(&self) -> Option<&str> {
        let trusted = self.policy.identity.trusted.as_ref();
        let trusted = trusted.filter(|_| self.trusts());
        trusted.and_then(|trusted| trusted.setting.as_deref())
    }

    /// The parameters that say on the server who the user is: the policy's own, and the one that the application reads.
    pub fn user_parameters(&self) -> impl Iterator<Item = &str> {
        let own = self.settings.user_parameter.as_deref();
        let setting = self
            .naming_setting()
            .filter(|setting| own.is_none_or(|own| !own.eq_ignore_ascii_case(setting)));
        own.into_iter().chain(setting)
    }

    /// Whether the policy names this parameter as one that clients may not change.
    #[must_use]
    pub fn names_fixed(&self, name: &str) -> bool {
        let mut fixed = self.settings.fixed_parameters.iter();
        fixed.any(|fixed| fixed.eq_ignore_ascii_case(name))
    }

    /// Whether clients may not change this parameter; in mode `Audit` they may change every one.
    #[must_use]
    pub fn fixes(&self, name: &str) -> bool {
        self.enforces() && self.names_fixed(name)
    }

    /// A field of this entry as error messages name it, with its value, the environment and where the value came from:
    /// `databases[main].timeouts.statement = 30s (environment staging, from base)`.
    #[must_use]
    pub fn name_field(&self, field: &str, value: &str) -> String {
        let path = format!("databases[{}].{field}", self.name);
        self.policy.name_field(&path, value)
    }

    /// A timeout as error messages name it.
    #[must_use]
    pub fn name_timeout(&self, kind: TimeoutKind) -> String {
        let timeouts = &self.settings.timeouts;
        let (field, value) = match kind {
            TimeoutKind::Connect => ("connect", Some(timeouts.connect)),
            TimeoutKind::Acquire => ("acquire", Some(timeouts.acquire)),
            TimeoutKind::Transaction => ("transaction", timeouts.transaction),
            TimeoutKind::IdleInTransaction => ("idleInTransaction", timeouts.idle_in_transaction),
            TimeoutKind::Idle => ("idle", timeouts.idle),
            TimeoutKind::Lifetime => ("lifetime", timeouts.lifetime),
            _ => ("statement", timeouts.statement),
        };
        let value = bulkhead_crds::names::Duration::from(value.unwrap_or_default()).to_string();
        self.name_field(&format!("timeouts.{field}"), &value)
    }

    /// What a server connection is opened with besides database and role: the server's own timeouts, 2 s above the
    /// sidecar's, as a backstop, and what the policy says, which counts where both do. A COPY is bounded by `transaction`
    /// alone, so the statement's backstop stands above both.
    #[must_use]
    pub fn server_parameters(&self) -> Vec<(&str, String)> {
        let timeouts = &self.settings.timeouts;
        let milliseconds =
            |limit: Option<Duration>| limit.map_or(0, |limit| (limit + BACKSTOP).as_millis());
        let statement = match (timeouts.statement, timeouts.transaction) {
            (Some(statement), Some(transaction)) => Some(statement.max(transaction)),
            _ => None,
        };
        let written = &self.settings.parameters;
        let own = [
            (
                "idle_in_transaction_session_timeout",
                milliseconds(timeouts.idle_in_transaction).to_string(),
            ),
            ("statement_timeout", milliseconds(statement).to_string()),
        ];
        let is_written = |name: &str| written.keys().any(|it| it.eq_ignore_ascii_case(name));
        let own = own.into_iter().filter(|(name, _)| !is_written(name));
        let policys = written
            .iter()
            .map(|(name, value)| (name.as_str(), value.clone()));
        own.chain(policys).collect()
    }
}

/// Connections of an older epoch are not reused: to another upstream, and where what RESET goes back to, or what row-level security goes
/// by, has changed with the tier or the session's settings.
fn epoch(
    settings: &EffectiveDatabase,
    policy: &EffectivePolicy,
    before: Option<&Arc<DatabaseForce>>,
) -> u64 {
    before.map_or(0, |before| {
        let same = before.settings.upstream == settings.upstream
            && before.settings.user_parameter == settings.user_parameter
            && before.settings.row_level_security == settings.row_level_security
            && before.settings.parameters == settings.parameters
            && before.tier() == policy.isolation.tier;
        before.epoch + u64::from(!same)
    })
}

/// Credentials are read afresh at each dial; that they are there is asked now, so that a reference to nowhere is refused
/// before anybody depends on it.
fn connector(
    settings: &EffectiveDatabase,
    before: Option<&Arc<DatabaseForce>>,
    secrets: &Arc<Secrets>,
    resolver: &Resolver,
) -> Result<Connector, ForceError> {
    let connector = Connector::new(settings, secrets, resolver)?;
    connector
        .check_credentials()
        .map_err(|source| ForceError::Credentials {
            entry: settings.name.clone(),
            source,
        })?;
    // What is known of servers holds for every revision that dials the same ones.
    let same = before.filter(|before| before.settings.upstream == settings.upstream);
    Ok(match same {
        Some(before) => connector.succeeding(&before.connector),
        None => connector,
    })
}

/// The keys of an entry whose row-level security asks for them; validation has seen to it that they are named.
pub(crate) fn signing_keys(
    settings: &EffectiveDatabase,
    secrets: &Secrets,
) -> Result<Option<Arc<SigningKeys>>, ForceError> {
    let reference = settings.signing_key_secret_ref.as_ref();
    let signed = settings.row_level_security == RowLevelSecurity::Signed;
    let Some(reference) = reference.filter(|_| signed) else {
        return Ok(None);
    };
    let entry = || settings.name.clone();
    let key = reference.key.as_deref().unwrap_or(SIGNING_KEYS);
    let text =
        secrets
            .read_text(&reference.name, key)
            .map_err(|source| ForceError::SigningSecret {
                entry: entry(),
                source,
            })?;
    let keys = SigningKeys::read(text.expose()).map_err(|source| ForceError::SigningKeys {
        entry: entry(),
        name: reference.name.clone(),
        key: key.to_owned(),
        source,
    })?;
    Ok(Some(Arc::new(keys)))
}

fn client_auth(
    settings: &EffectiveDatabase,
    secrets: &Arc<Secrets>,
) -> Result<ClientAuth, ForceError> {
    let (AuthMode::Scram, Some(reference)) =
        (settings.listen.auth_mode, &settings.listen.auth_secret_ref)
    else {
        return Ok(ClientAuth::Trust);
    };
    let key = reference.key.as_deref().unwrap_or("password");
    let password =
        secrets
            .read_text(&reference.name, key)
            .map_err(|source| ForceError::Secret {
                entry: settings.name.clone(),
                field: "auth.secretRef",
                source,
            })?;
    Ok(ClientAuth::Scram(ScramVerifier::new(password.expose())))
}

/// The certificate of a listener: from the Secret that the policy names, or from the one that the operator issues.
fn listen_tls(
    settings: &EffectiveDatabase,
    policy: &str,
    secrets: &Arc<Secrets>,
) -> Result<Option<ListenTls>, ForceError> {
    let entry = || settings.name.clone();
    let (name, field) = match (settings.listen.tls, &settings.listen.tls_secret_ref) {
        (Some(Source::Issued), _) => (issued_certificate(policy), "tls"),
        (_, Some(reference)) => (reference.name.clone(), "tlsSecretRef"),
        (_, None) => return Ok(None),
    };
    let read = |key: &str| {
        secrets.read(&name, key).map_err(|source| {
            if field == "tls" && source.is_missing() {
                let host = settings.upstream.host.clone();
                return ForceError::NotIssued {
                    entry: entry(),
                    host,
                    source: Box::new(source),
                };
            }
            ForceError::Secret {
                entry: entry(),
                field,
                source,
            }
        })
    };
    let tls = ListenTls::from_pem(read("tls.crt")?.expose(), read("tls.key")?.expose());
    tls.map(Some).map_err(|source| ForceError::Certificate {
        entry: entry(),
        field,
        source,
    })
}

#[cfg(test)]
mod tests;
