//! The whole dial: DNS, socket, TLS, startup and authentication, under one deadline.
//!
//! Lives here: [`Connector`], which walks the stations in order and tries the next address where one is of no use. May not
//! live here: how many connections there may be, and when to try again.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_crds::effective::EffectiveDatabase;
use bulkhead_crds::kinds::TlsMode;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Instant;

use super::authenticate::{Authentication, Channel};
use super::binding::tls_server_end_point;
use super::cancel::CancelTarget;
use super::clock::Clock;
use super::credentials::Credentials;
use super::dial::{self, Address, Candidates};
use super::error::{Attempt, ConnectError, Endpoint, Stage, UpstreamError};
use super::health::Health;
use super::resolve::Resolver;
use super::scram::KeyCache;
use super::server_error::ErrorFields;
use super::startup::{self, Startup};
use super::tls::Tls;
use super::wire::Wire;
use crate::secrets::{SecretError, SecretText, Secrets};
use crate::stream::Stream;

/// Dials one upstream. Shared between threads, cheap to clone; one for each database entry and policy revision.
#[derive(Clone)]
pub struct Connector(Arc<Inner>);

struct Inner {
    at: Arc<Endpoint>,
    route: Route,
    resolver: Resolver,
    credentials: Credentials,
    keys: KeyCache,
    patience: Duration,
    health: Health,
}

enum Route {
    Tcp { tls: Option<Tls> },
    Unix { path: PathBuf },
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

/// A connection that is ready for queries, outside any transaction.
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

    /// The upstream, for messages.
    #[must_use]
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.0.at
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
        match &outcome {
            Ok(_) => inner.health.succeeded(&inner.at.entry),
            Err(error) => inner.health.failed(&inner.at.entry, error),
        }
        outcome
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
        let clock = inner.clock(deadline);
        let stream = match &target.addr {
            Address::Unix(path) => clock.within(Stage::Connect, inner.unix(path)).await?,
            Address::Tcp(address) => {
                let dialled = async {
                    dial::tcp(*address, inner.patience)
                        .await
                        .map_err(|e| inner.unreachable(address.to_string(), &e))
                };
                let tcp = clock.within(Stage::Connect, dialled).await?;
                match (&inner.route, target.tls) {
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
                    at: Arc::clone(&inner.at),
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
        let at = Arc::new(Endpoint {
            entry: database.name.clone(),
            host: upstream.host.clone(),
            port: upstream.port,
        });
        let route = if upstream.host.starts_with('/') {
            let file = format!(".s.PGSQL.{}", upstream.port);
            let path = PathBuf::from(&upstream.host).join(file);
            Route::Unix { path }
        } else if upstream.tls_mode == TlsMode::Disable {
            Route::Tcp { tls: None }
        } else {
            let ca = upstream.tls_ca_secret_ref.as_ref();
            let tls = Tls::new(&at, upstream.tls_mode, ca, secrets)?;
            Route::Tcp { tls: Some(tls) }
        };
        let reference = upstream.credentials_secret_ref.clone();
        Ok(Self {
            at,
            route,
            resolver: resolver.clone(),
            credentials: Credentials::new(Arc::clone(secrets), reference),
            keys: KeyCache::default(),
            patience: database.timeouts.connect,
            health: Health::default(),
        })
    }

    fn clock(&self, deadline: Instant) -> Clock<'_> {
        Clock::new(&self.at, deadline)
    }

    async fn connect(
        &self,
        request: &ConnectRequest<'_>,
        clock: Clock<'_>,
    ) -> Result<Established, ConnectError> {
        let (database, role) = (request.database, request.role);
        let message = startup::message(&self.at, database, role, request.parameters)?;
        match &self.route {
            Route::Unix { path } => {
                let stream = clock.within(Stage::Connect, self.unix(path)).await?;
                let address = Address::Unix(path.clone());
                self.log_in(clock, role, &message, address, stream, Channel::Plain)
                    .await
            }
            Route::Tcp { tls } => self.over_tcp(clock, role, &message, tls.as_ref()).await,
        }
    }

    /// Address by address, until one is ready for queries or has given an answer that counts for all.
    async fn over_tcp(
        &self,
        clock: Clock<'_>,
        role: &str,
        message: &[u8],
        tls: Option<&Tls>,
    ) -> Result<Established, ConnectError> {
        let addresses = clock.within(Stage::Resolve, self.resolve()).await?;
        let mut candidates = Candidates::new(addresses, self.at.port, self.patience);
        let mut last: Option<ConnectError> = None;
        loop {
            let dialled = clock
                .within(Stage::Connect, async { Ok(candidates.next().await) })
                .await;
            let dialled = dialled.map_err(|e| e.having_tried(candidates.failed()))?;
            let Some((address, tcp)) = dialled else {
                // They may all have moved.
                self.resolver.forget(&self.at.host);
                let attempts = candidates.failed();
                return Err(match last {
                    Some(error) => error.having_tried(attempts),
                    None => ConnectError::Unreachable {
                        at: Arc::clone(&self.at),
                        attempts: attempts.to_vec(),
                    },
                });
            };
            let share = clock.share(candidates.left());
            match self
                .over_socket(share, role, message, tls, address, tcp)
                .await
            {
                Err(e) if e.speaks_of_one_address() && candidates.left() > 0 => {
                    candidates.fail(address, e.reason());
                    last = Some(e);
                }
                outcome => return outcome,
            }
        }
    }

    async fn over_socket(
        &self,
        clock: Clock<'_>,
        role: &str,
        message: &[u8],
        tls: Option<&Tls>,
        address: SocketAddr,
        tcp: TcpStream,
    ) -> Result<Established, ConnectError> {
        let (stream, channel) = match tls {
            None => (Stream::Tcp(tcp), Channel::Plain),
            Some(tls) => {
                let stream = clock.within(Stage::Tls, tls.negotiate(tcp)).await?;
                let certificates = stream.get_ref().1.peer_certificates();
                let end_point = certificates
                    .and_then(<[_]>::first)
                    .and_then(|certificate| tls_server_end_point(certificate));
                (Stream::TlsClient(Box::new(stream)), Channel::Tls(end_point))
            }
        };
        self.log_in(clock, role, message, Address::Tcp(address), stream, channel)
            .await
    }

    async fn log_in(
        &self,
        clock: Clock<'_>,
        role: &str,
        message: &[u8],
        addr: Address,
        stream: Stream,
        channel: Channel,
    ) -> Result<Established, ConnectError> {
        let tls = stream.is_tls();
        let mut wire = Wire::new(stream);
        let startup = Startup::new(&self.at, &mut wire);
        let authentication =
            Authentication::new(&self.at, role, &self.credentials, &self.keys, channel);
        let run = startup.run(message, authentication);
        let greeting = clock.within(Stage::Authenticate, run).await?;
        let cancel = greeting.key.map(|key| CancelTarget { addr, tls, key });
        let (stream, leftover) = wire.into_parts();
        Ok(Established {
            stream,
            parameters: greeting.parameters,
            pid: cancel.as_ref().and_then(CancelTarget::pid),
            cancel,
            notices: greeting.notices,
            leftover,
        })
    }

    async fn resolve(&self) -> Result<Vec<std::net::IpAddr>, ConnectError> {
        let found = self.resolver.lookup(&self.at.host).await;
        found.map_err(|reason| ConnectError::Resolve {
            at: Arc::clone(&self.at),
            reason,
        })
    }

    async fn unix(&self, path: &PathBuf) -> Result<Stream, ConnectError> {
        let stream = UnixStream::connect(path).await;
        stream
            .map(Stream::Unix)
            .map_err(|e| self.unreachable(path.display().to_string(), &e))
    }

    fn unreachable(&self, address: String, error: &std::io::Error) -> ConnectError {
        let reason = error.to_string();
        ConnectError::Unreachable {
            at: Arc::clone(&self.at),
            attempts: vec![Attempt { address, reason }],
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("at", &self.0.at)
            .finish_non_exhaustive()
    }
}
