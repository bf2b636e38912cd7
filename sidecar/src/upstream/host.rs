//! One of an upstream's servers: the way to it, address by address, up to a session that is ready for queries.
//!
//! May not live here: whether the server will do, and which host is tried next.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bulkhead_crds::effective::{EffectiveDatabase, EffectiveHost};
use bulkhead_crds::kinds::{Protocol, TlsMode};
use tokio::net::{TcpStream, UnixStream};

use super::authenticate::{Authentication, Channel};
use super::binding::tls_server_end_point;
use super::cancel::CancelTarget;
use super::clock::Clock;
use super::connect::{Established, Inner};
use super::dial::{Address, Candidates};
use super::error::{Attempt, ConnectError, Endpoint, Stage, UpstreamError};
use super::fitness::{self, Fit};
use super::site::Standing;
use super::startup::{self, Startup};
use super::tls::Tls;
use super::wire::Wire;
use crate::secrets::Secrets;
use crate::stream::Stream;
use crate::telemetry::RetirementReason;

/// A server that a policy names.
pub(super) struct Host {
    pub(super) at: Arc<Endpoint>,
    pub(super) name: Arc<str>,
    pub(super) route: Route,
    /// Its place in the policy's list.
    index: usize,
}

/// How it is reached.
pub(super) enum Route {
    Tcp { tls: Option<Tls> },
    Unix { path: PathBuf },
}

/// What is said on a socket that has been opened.
#[derive(Clone, Copy)]
pub(super) enum Opening<'a> {
    /// PostgreSQL's start-up and authentication.
    Session {
        role: &'a str,
        /// The startup message.
        message: &'a [u8],
    },
    /// Nothing: the caller's protocol begins.
    Silence,
}

/// A session that is ready for queries, and whether its server will do.
pub(super) struct Opened {
    pub(super) established: Established,
    /// Why it will not do, where it will not.
    pub(super) unfit: Option<&'static str>,
}

/// Where a stream leads.
struct Leading {
    address: Address,
    standing: Standing,
    channel: Channel,
}

const fn name_of(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::PostgreSQL => "PostgreSQL",
        Protocol::Redis => "Redis",
        Protocol::ClickHouse => "ClickHouse",
    }
}

/// PostgreSQL's clients name the folder of a socket; of the other protocols' sockets the file is named.
fn socket_path(protocol: Protocol, host: &EffectiveHost) -> PathBuf {
    let named = PathBuf::from(&host.host);
    match protocol {
        Protocol::PostgreSQL => named.join(format!(".s.PGSQL.{}", host.port)),
        Protocol::Redis | Protocol::ClickHouse => named,
    }
}

impl Host {
    pub(super) fn new(
        index: usize,
        host: &EffectiveHost,
        database: &EffectiveDatabase,
        secrets: &Arc<Secrets>,
    ) -> Result<Self, UpstreamError> {
        let upstream = &database.upstream;
        let at = Arc::new(Endpoint {
            entry: database.name.clone(),
            host: host.host.clone(),
            port: host.port,
            listed: !upstream.other_hosts.is_empty(),
            server: name_of(database.protocol),
        });
        let route = if host.host.starts_with('/') {
            Route::Unix {
                path: socket_path(database.protocol, host),
            }
        } else if upstream.tls_mode == TlsMode::Disable {
            Route::Tcp { tls: None }
        } else {
            let ca = upstream.tls_ca_secret_ref.as_ref();
            let tls = Tls::new(&at, database.protocol, upstream.tls_mode, ca, secrets)?;
            Route::Tcp { tls: Some(tls) }
        };
        Ok(Self {
            name: host.host.as_str().into(),
            at,
            route,
            index,
        })
    }

    /// Opens a session, within `clock`'s time.
    pub(super) async fn open(
        &self,
        of: &Inner,
        clock: Clock<'_>,
        opening: Opening<'_>,
    ) -> Result<Opened, ConnectError> {
        match &self.route {
            Route::Unix { path } => {
                let address = Address::Unix(path.clone());
                let leading = Leading {
                    standing: of.sites.standing(&self.name, &address),
                    channel: Channel::Plain,
                    address,
                };
                let stream = clock.within(Stage::Connect, self.unix(path)).await?;
                self.log_in(of, clock, opening, leading, stream).await
            }
            Route::Tcp { tls } => self.over_tcp(of, clock, opening, tls.as_ref()).await,
        }
    }

    /// Address by address, until one is ready for queries or has given an answer that counts for all.
    async fn over_tcp(
        &self,
        of: &Inner,
        clock: Clock<'_>,
        opening: Opening<'_>,
        tls: Option<&Tls>,
    ) -> Result<Opened, ConnectError> {
        let addresses = clock.within(Stage::Resolve, self.resolve(of)).await?;
        let mut candidates = Candidates::new(addresses, self.at.port, of.patience);
        let mut last: Option<ConnectError> = None;
        loop {
            let dialled = clock
                .within(Stage::Connect, async { Ok(candidates.next().await) })
                .await;
            let dialled = dialled.map_err(|e| e.having_tried(candidates.failed()))?;
            let Some((address, tcp)) = dialled else {
                // They may all have moved.
                of.resolver.forget(&self.at.host);
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
                .over_socket(of, share, opening, tls, address, tcp)
                .await
            {
                Err(e) if e.speaks_of_one_address() && candidates.left() > 0 => {
                    candidates.fail(address, e.reason());
                    last = Some(e);
                }
                // One address of the name may be what another is not.
                Ok(Opened {
                    unfit: Some(why), ..
                }) if candidates.left() > 0 => {
                    candidates.fail(address, why.to_owned());
                }
                outcome => return outcome,
            }
        }
    }

    async fn over_socket(
        &self,
        of: &Inner,
        clock: Clock<'_>,
        opening: Opening<'_>,
        tls: Option<&Tls>,
        address: SocketAddr,
        tcp: TcpStream,
    ) -> Result<Opened, ConnectError> {
        let address = Address::Tcp(address);
        let standing = of.sites.standing(&self.name, &address);
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
        let leading = Leading {
            address,
            standing,
            channel,
        };
        self.log_in(of, clock, opening, leading, stream).await
    }

    async fn log_in(
        &self,
        of: &Inner,
        clock: Clock<'_>,
        opening: Opening<'_>,
        leading: Leading,
        stream: Stream,
    ) -> Result<Opened, ConnectError> {
        let Opening::Session { role, message } = opening else {
            return Ok(Opened {
                established: Established::silent(stream, leading.standing),
                unfit: None,
            });
        };
        let tls = stream.is_tls();
        let mut wire = Wire::new(stream);
        let startup = Startup::new(&self.at, &mut wire);
        let authentication =
            Authentication::new(&self.at, role, &of.credentials, &of.keys, leading.channel);
        let run = startup.run(message, authentication);
        let greeting = clock.within(Stage::Authenticate, run).await;
        let greeting = greeting.inspect_err(|error| {
            // Whoever is connected to it still will not be for long.
            if error.may_pass() {
                leading.standing.turned_away(Instant::now());
            }
        })?;
        let unfit = match fitness::judge(of.wanted, &greeting.parameters) {
            Fit::Yes => None,
            Fit::No(why) => Some(why),
            Fit::Ask(question) => {
                let asked = startup::ask(&self.at, &mut wire, question.sql());
                let answer = clock.within(Stage::Authenticate, asked).await?;
                match fitness::answered(of.wanted, question, &answer) {
                    Fit::No(why) => Some(why),
                    _ => None,
                }
            }
        };
        if unfit.is_some() {
            self.note_unfit(of, &leading.standing);
        }
        let cancel = greeting.key.map(|key| CancelTarget {
            addr: leading.address,
            host: self.index,
            tls,
            key,
        });
        let (stream, leftover) = wire.into_parts();
        let established = Established {
            stream,
            parameters: greeting.parameters,
            pid: cancel.as_ref().and_then(CancelTarget::pid),
            cancel,
            notices: greeting.notices,
            leftover,
            standing: leading.standing,
        };
        Ok(Opened { established, unfit })
    }

    /// A server that will not do: connections of when it did are retired.
    fn note_unfit(&self, of: &Inner, standing: &Standing) {
        use bulkhead_crds::kinds::TargetSessionAttrs as T;
        match of.wanted {
            T::Any | T::PreferStandby => {}
            T::ReadWrite | T::Primary => standing.retire(RetirementReason::ReadOnly),
            T::ReadOnly | T::Standby => standing.retire(RetirementReason::Failover),
        }
    }

    async fn resolve(&self, of: &Inner) -> Result<Vec<IpAddr>, ConnectError> {
        let found = of.resolver.lookup(&self.at.host).await;
        found.map_err(|reason| ConnectError::Resolve {
            at: Arc::clone(&self.at),
            reason,
        })
    }

    pub(super) async fn unix(&self, path: &Path) -> Result<Stream, ConnectError> {
        let stream = UnixStream::connect(path).await;
        stream
            .and_then(Stream::unix)
            .map_err(|e| self.unreachable(path.display().to_string(), &e))
    }

    pub(super) fn unreachable(&self, address: String, error: &io::Error) -> ConnectError {
        let reason = error.to_string();
        ConnectError::Unreachable {
            at: Arc::clone(&self.at),
            attempts: vec![Attempt { address, reason }],
        }
    }
}
