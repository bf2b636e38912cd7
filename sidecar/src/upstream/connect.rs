//! The whole dial: DNS, socket, TLS, startup and authentication, under one deadline.
//!
//! Lives here: [`Connector`], and what it keeps between dials. Which host is tried when is told in `rounds`, how one is
//! reached in `host`. May not live here: how many connections there may be.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bulkhead_crds::effective::EffectiveDatabase;
use bulkhead_crds::kinds::TargetSessionAttrs;
use tokio::time::Instant;

use super::cancel::CancelTarget;
use super::clock::Clock;
use super::credentials::Credentials;
use super::dial::{self, Address};
use super::error::{ConnectError, Endpoint, Stage, UpstreamError};
use super::fitness;
use super::health::Health;
use super::host::{Host, Opening, Route};
use super::resolve::Resolver;
use super::scram::KeyCache;
use super::server_error::ErrorFields;
use super::site::{Sites, Standing};
use super::watch::Watch;
use crate::secrets::{SecretError, SecretText, Secrets};
use crate::stream::Stream;

/// Dials one upstream. Shared between threads, cheap to clone; one for each database entry and policy revision.
#[derive(Clone)]
pub struct Connector(Arc<Inner>);

pub(super) struct Inner {
    /// The servers, in the order of the policy; never none.
    pub(super) hosts: Vec<Host>,
    pub(super) wanted: TargetSessionAttrs,
    /// The host that did last: the next dial begins there.
    pub(super) last_good: AtomicUsize,
    pub(super) resolver: Resolver,
    pub(super) credentials: Credentials,
    pub(super) keys: KeyCache,
    pub(super) patience: Duration,
    pub(super) sites: Arc<Sites>,
    pub(super) watch: Arc<Mutex<Watch>>,
    at: Arc<Endpoint>,
    health: Health,
}

/// Who is to be logged in, and where.
#[derive(Clone, Copy, Debug)]
pub struct ConnectRequest<'a> {
    /// The database; empty: the server's choice (the one named like the role).
    pub database: &'a str,
    /// The role.
    pub role: &'a str,
    /// Startup parameters, sent verbatim, `options` included; `user` and `database` among them are left out.
    pub parameters: &'a [(String, String)],
}

/// A connection that is ready for queries, outside any transaction; of another protocol than PostgreSQL's, one on which nothing has been
/// said.
#[derive(Debug)]
pub struct Established {
    /// The bytes from here on.
    pub stream: Stream,
    /// `ParameterStatus` of the server, in the order of arrival.
    pub parameters: Vec<(String, String)>,
    /// How to cancel its queries; `None` where the server gave no key.
    pub cancel: Option<CancelTarget>,
    /// The server's process id; `None` where the server gave no key.
    pub pid: Option<i32>,
    /// Notices of the start-up, at most 16.
    pub notices: Vec<ErrorFields>,
    /// Bytes that the server sent behind `ReadyForQuery`, to be read before the stream's.
    pub leftover: Vec<u8>,
    /// The place that it leads to.
    pub standing: Standing,
}

impl Established {
    /// A connection on which nothing has been said.
    pub(super) const fn silent(stream: Stream, standing: Standing) -> Self {
        Self {
            stream,
            parameters: Vec::new(),
            cancel: None,
            pid: None,
            notices: Vec::new(),
            leftover: Vec::new(),
            standing,
        }
    }

    /// Whether the server says that it is a standby; `None` where it says nothing of it (before PostgreSQL 14).
    #[must_use]
    pub fn in_hot_standby(&self) -> Option<bool> {
        fitness::in_hot_standby(&self.parameters)
    }
}

impl Connector {
    /// Prepares dialling `database`'s upstream. Nothing is dialled; credentials may come later.
    ///
    /// TLS modes are for TCP: a Unix socket never leaves the machine, and has none.
    ///
    /// # Errors
    /// What no connection could be made from: the host's form, TLS that cannot be configured, authorities that cannot be read.
    pub fn new(
        database: &EffectiveDatabase,
        secrets: &Arc<Secrets>,
        resolver: &Resolver,
    ) -> Result<Self, UpstreamError> {
        Ok(Self(Arc::new(Inner::new(database, secrets, resolver)?)))
    }

    /// The same as [`Connector::new`], with a password that is known already instead of the policy's credentials.
    ///
    /// # Errors
    /// See [`Connector::new`].
    pub fn with_password(
        database: &EffectiveDatabase,
        password: SecretText,
        secrets: &Arc<Secrets>,
        resolver: &Resolver,
    ) -> Result<Self, UpstreamError> {
        let mut inner = Inner::new(database, secrets, resolver)?;
        inner.credentials = inner.credentials.with_password(password);
        Ok(Self(Arc::new(inner)))
    }

    pub(super) fn inner(&self) -> &Inner {
        &self.0
    }

    /// The user name of `upstream.credentialsSecretRef`, at most a second old; `None` where the policy has none.
    #[must_use]
    pub fn role(&self) -> Option<String> {
        self.0.credentials.username()
    }

    /// Whether the credentials that the policy names can be read now. Where it names none there is nothing to miss.
    ///
    /// # Errors
    /// A key is missing or unusable; the text names secret, key and file.
    pub fn check_credentials(&self) -> Result<(), SecretError> {
        self.0.credentials.check()
    }

    /// The upstream, for messages; of several hosts the first.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0.at
    }

    /// The same, with what an earlier revision's connector knows of the same servers.
    #[must_use]
    pub fn succeeding(self, before: &Self) -> Self {
        let Ok(mut inner) = Arc::try_unwrap(self.0) else {
            return before.clone();
        };
        inner.sites = Arc::clone(&before.0.sites);
        inner.watch = Arc::clone(&before.0.watch);
        Self(Arc::new(inner))
    }

    /// Connects, up to `ReadyForQuery`. Dropping the future closes what was opened.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(
        &self,
        request: &ConnectRequest<'_>,
        deadline: Instant,
    ) -> Result<Established, ConnectError> {
        let inner = &*self.0;
        let outcome = inner.connect(request, inner.clock(deadline)).await;
        self.note_outcome(outcome.as_ref().map(drop));
        outcome
    }

    /// Opens a connection for another protocol than PostgreSQL's: DNS, socket and TLS, and nothing is said on it. Dropping the future closes
    /// what was opened.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn open(&self, deadline: Instant) -> Result<Established, ConnectError> {
        let inner = &*self.0;
        inner.open(Opening::Silence, inner.clock(deadline)).await
    }

    /// The same for another connection to the server that has this address, where there is one to go by; else to any.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn open_at(
        &self,
        address: Option<SocketAddr>,
        deadline: Instant,
    ) -> Result<Stream, ConnectError> {
        let inner = &*self.0;
        let Some(address) = address else {
            let opened = inner.open(Opening::Silence, inner.clock(deadline)).await;
            return Ok(opened?.stream);
        };
        let host = inner.host(0);
        let clock = Clock::new(&host.at, deadline);
        let dialled = async {
            dial::tcp(address, inner.patience)
                .await
                .map_err(|e| host.unreachable(address.to_string(), &e))
        };
        let tcp = clock.within(Stage::Connect, dialled).await?;
        match &host.route {
            Route::Tcp { tls: Some(tls) } => {
                let tls = clock.within(Stage::Tls, tls.negotiate(tcp)).await?;
                Ok(Stream::TlsClient(Box::new(tls)))
            }
            _ => Ok(Stream::Tcp(tcp)),
        }
    }

    /// Keeps in mind how a dial has ended whose login the caller has made, so that trouble that goes on is told once.
    pub fn note_outcome(&self, outcome: Result<(), &ConnectError>) {
        let inner = &*self.0;
        match outcome {
            Ok(()) => inner.health.succeeded(&inner.at.entry),
            Err(error) => inner.health.failed(&inner.at.entry, error),
        }
    }

    /// The password of `upstream.credentialsSecretRef` as the file has it now; `None` where the policy names no Secret.
    ///
    /// # Errors
    /// The key is missing or unusable; the text names secret, key and file.
    pub fn password(&self) -> Result<Option<SecretText>, SecretError> {
        self.0.credentials.password()
    }

    /// Asks the server to cancel the query of `target`; returns when the server has closed that socket.
    ///
    /// # Errors
    /// See [`ConnectError`]; whether a query was cancelled is not known in any case.
    pub async fn cancel(
        &self,
        target: &CancelTarget,
        deadline: Instant,
    ) -> Result<(), ConnectError> {
        let inner = &*self.0;
        let host = inner.host(target.host);
        let clock = Clock::new(&host.at, deadline);
        let stream = match &target.addr {
            Address::Unix(path) => clock.within(Stage::Connect, host.unix(path)).await?,
            Address::Tcp(address) => {
                let dialled = async {
                    dial::tcp(*address, inner.patience)
                        .await
                        .map_err(|e| host.unreachable(address.to_string(), &e))
                };
                let tcp = clock.within(Stage::Connect, dialled).await?;
                match (&host.route, target.tls) {
                    (Route::Tcp { tls: Some(tls) }, true) => {
                        let tls = clock.within(Stage::Tls, tls.negotiate(tcp)).await?;
                        Stream::TlsClient(Box::new(tls))
                    }
                    _ => Stream::Tcp(tcp),
                }
            }
        };
        let sent = async {
            target
                .send(stream)
                .await
                .map_err(|e| ConnectError::Protocol {
                    at: Arc::clone(&host.at),
                    stage: Stage::Cancel,
                    reason: format!("the connection was lost: {e}"),
                    lost: true,
                })
        };
        clock.within(Stage::Cancel, sent).await
    }
}

impl Inner {
    fn new(
        database: &EffectiveDatabase,
        secrets: &Arc<Secrets>,
        resolver: &Resolver,
    ) -> Result<Self, UpstreamError> {
        let upstream = &database.upstream;
        let hosts = upstream
            .hosts()
            .enumerate()
            .map(|(index, host)| Host::new(index, &host, database, secrets))
            .collect::<Result<Vec<_>, _>>()?;
        // A policy that resolves names one host at the least.
        let at = hosts.first().map(|first| Arc::clone(&first.at));
        let at = at.unwrap_or_default();
        let reference = upstream.credentials_secret_ref.clone();
        Ok(Self {
            at,
            hosts,
            wanted: upstream.target_session_attrs,
            last_good: AtomicUsize::new(0),
            sites: Arc::default(),
            watch: Arc::default(),
            resolver: resolver.clone(),
            credentials: Credentials::new(Arc::clone(secrets), reference),
            keys: KeyCache::default(),
            patience: database.timeouts.connect,
            health: Health::default(),
        })
    }

    /// The upstream, for messages.
    pub(super) fn at(&self) -> &Arc<Endpoint> {
        &self.at
    }

    fn clock(&self, deadline: Instant) -> Clock<'_> {
        Clock::new(&self.at, deadline)
    }

    /// The host of this number; of a revision that had more, the first.
    fn host(&self, index: usize) -> &Host {
        self.hosts.get(index).unwrap_or(&self.hosts[0])
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("at", &self.0.at)
            .finish_non_exhaustive()
    }
}
