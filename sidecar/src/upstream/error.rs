//! What can go wrong between a policy's `upstream` and a connection that is ready for queries.
//!
//! Lives here: the room's two error enums and the words that they are told in. Every text names the host and the policy
//! field that would mend it; none holds a password, a key or bytes of a certificate.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_crds::kinds::TargetSessionAttrs;
use thiserror::Error;

use super::server_error::ErrorFields;

/// Which upstream an error speaks of: the policy's entry, and what it dials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The name of the entry in `spec.databases`.
    pub entry: String,
    /// `upstream.host`, as written.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Whether it is one of `upstream.hosts`.
    pub listed: bool,
    /// What sort of server is expected there: `PostgreSQL`.
    pub server: &'static str,
}

impl Endpoint {
    /// The path of one of the entry's fields: `databases[main].timeouts.connect`.
    #[must_use]
    pub fn field(&self, path: &str) -> String {
        format!("databases[{}].{path}", self.entry)
    }

    /// The field that names the host.
    #[must_use]
    pub fn host_field(&self) -> String {
        self.field(if self.listed {
            "upstream.hosts"
        } else {
            "upstream.host"
        })
    }

    /// Host and port, as they are written.
    #[must_use]
    pub fn place(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "upstream {}", self.place())
    }
}

/// How far a connection attempt had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Looking the host name up.
    Resolve,
    /// Opening the socket.
    Connect,
    /// `SSLRequest` and the TLS handshake.
    Tls,
    /// Startup message, authentication, and everything up to the first `ReadyForQuery`.
    Authenticate,
    /// Sending a cancel request, and waiting for the server to close that socket.
    Cancel,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "resolving the name",
            Self::Connect => "opening the TCP connection",
            Self::Tls => "negotiating TLS",
            Self::Authenticate => "starting up and authenticating",
            Self::Cancel => "cancelling",
        })
    }
}

/// One address that was tried without success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The address or socket path.
    pub address: String,
    /// What the system said.
    pub reason: String,
}

/// A policy entry that no connection can be made from.
#[derive(Clone, Debug, Error)]
pub enum UpstreamError {
    /// `upstream.host` is neither an address, a socket directory, nor a DNS name.
    #[error("{}: {host:?} is not a host name, an IP address or an absolute socket directory: {reason}", at.host_field())]
    Host {
        /// The upstream.
        at: Arc<Endpoint>,
        /// What was written, cut.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Issuer verification without an issuer: every publicly issued certificate would pass.
    #[error(
        "{}: VerifyCa needs an authority of your own, or a certificate that anybody can buy would pass: set {}, or use VerifyFull",
        at.field("upstream.tls.mode"), at.field("upstream.tls.caSecretRef")
    )]
    NoAuthority {
        /// The upstream.
        at: Arc<Endpoint>,
    },
    /// The authority cannot be read, or holds no certificate.
    #[error("{}: {reason}", at.field("upstream.tls.caSecretRef"))]
    Authority {
        /// The upstream.
        at: Arc<Endpoint>,
        /// What is wrong; names secret and key.
        reason: String,
    },
    /// rustls would not take the configuration.
    #[error("{}: {reason}", at.field("upstream.tls"))]
    Tls {
        /// The upstream.
        at: Arc<Endpoint>,
        /// What rustls said.
        reason: String,
    },
}

/// Why there is no connection. Cloneable, so that all who waited for it can be told.
#[derive(Clone, Debug, Error)]
pub enum ConnectError {
    /// `timeouts.connect` ran out.
    #[error(
        "{at}: no connection after {:.1} s, while {stage}{}; raise {} if the server is only slow",
        elapsed.as_secs_f64(), Tried(attempts), at.field("timeouts.connect")
    )]
    DeadlineExceeded {
        /// The upstream.
        at: Arc<Endpoint>,
        /// What it was doing then.
        stage: Stage,
        /// Since the attempt began.
        elapsed: Duration,
        /// Addresses that had failed before.
        attempts: Vec<Attempt>,
    },
    /// The host name has no address.
    #[error("{at}: the name cannot be resolved: {reason}; check {}", at.host_field())]
    Resolve {
        /// The upstream.
        at: Arc<Endpoint>,
        /// What DNS said.
        reason: String,
    },
    /// No address accepted a connection.
    #[error("{at}: no address accepts connections{}; check that the server runs, and {} and {}", Tried(attempts), at.host_field(), at.field("upstream.port"))]
    Unreachable {
        /// The upstream.
        at: Arc<Endpoint>,
        /// Every address, with its reason.
        attempts: Vec<Attempt>,
    },
    /// None of the hosts takes connections and is what `targetSessionAttrs` asks for.
    #[error(
        "databases[{}].upstream: none of its servers will do{}; check that one runs{}, and {}",
        at.entry, Tried(attempts), Wanted(at, *wanted), at.host_field()
    )]
    NoHost {
        /// The first of them.
        at: Arc<Endpoint>,
        /// What is asked of them.
        wanted: TargetSessionAttrs,
        /// Every host, with what became of it.
        attempts: Vec<Attempt>,
        /// Whether one may do soon: it is starting, or is not yet what it may become.
        soon: bool,
    },
    /// TLS was refused, or the certificate is not the right one.
    #[error("{at}: TLS failed: {reason}")]
    Tls {
        /// The upstream.
        at: Arc<Endpoint>,
        /// What is wrong, and the field that mends it.
        reason: String,
    },
    /// The server asks for what the sidecar cannot or will not give, or did not prove itself.
    #[error("{at}: authentication failed: {reason}")]
    Authentication {
        /// The upstream.
        at: Arc<Endpoint>,
        /// What is wrong, and what mends it.
        reason: String,
    },
    /// The server itself refused, in its own words.
    #[error("{at} answered {fields}")]
    Server {
        /// The upstream.
        at: Arc<Endpoint>,
        /// The whole `ErrorResponse`.
        fields: ErrorFields,
    },
    /// The server refuses the login, in its own words (Redis).
    #[error("{at} answered {reply}")]
    Refused {
        /// The upstream.
        at: Arc<Endpoint>,
        /// Its error, code word first.
        reply: String,
    },
    /// What answers does not speak the protocol, or closed the connection in the middle of it.
    #[error("{at}: protocol error while {stage}: {reason}; check that {} and {} name a {} server", at.host_field(), at.field("upstream.port"), at.server)]
    Protocol {
        /// The upstream.
        at: Arc<Endpoint>,
        /// How far it had come.
        stage: Stage,
        /// What was wrong.
        reason: String,
        /// Whether the connection was lost, as against nonsense received.
        lost: bool,
    },
    /// The request cannot be put into a startup message.
    #[error("{at}: the startup message cannot be sent: {reason}")]
    Request {
        /// The upstream.
        at: Arc<Endpoint>,
        /// What is wrong with it.
        reason: String,
    },
    /// A password is needed, and there is none.
    #[error("{at}: {reason}")]
    Credentials {
        /// The upstream.
        at: Arc<Endpoint>,
        /// Names the secret and key, or the field where one belongs.
        reason: String,
    },
}

impl ConnectError {
    /// The upstream that it speaks of.
    #[must_use]
    pub const fn endpoint(&self) -> &Arc<Endpoint> {
        match self {
            Self::DeadlineExceeded { at, .. }
            | Self::Resolve { at, .. }
            | Self::Unreachable { at, .. }
            | Self::NoHost { at, .. }
            | Self::Tls { at, .. }
            | Self::Authentication { at, .. }
            | Self::Server { at, .. }
            | Self::Refused { at, .. }
            | Self::Protocol { at, .. }
            | Self::Request { at, .. }
            | Self::Credentials { at, .. } => at,
        }
    }

    /// What is wrong, without the upstream and the advice: for a list of attempts.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::DeadlineExceeded { stage, .. } => format!("no answer while {stage}"),
            Self::Server { fields, .. } => fields.to_string(),
            Self::Refused { reply, .. } => reply.clone(),
            Self::Resolve { reason, .. }
            | Self::Tls { reason, .. }
            | Self::Authentication { reason, .. }
            | Self::Protocol { reason, .. }
            | Self::Request { reason, .. }
            | Self::Credentials { reason, .. } => reason.clone(),
            Self::Unreachable { attempts, .. } | Self::NoHost { attempts, .. } => {
                let last = attempts.last();
                last.map_or_else(String::new, |attempt| attempt.reason.clone())
            }
        }
    }

    /// Adds the addresses that had failed before the deadline.
    pub(super) fn having_tried(mut self, failed: &[Attempt]) -> Self {
        if let Self::DeadlineExceeded { attempts, .. } = &mut self {
            *attempts = failed.to_vec();
        }
        self
    }

    /// What became of a whole host, for a list of hosts.
    pub(super) fn reason_of_host(&self) -> String {
        match self {
            Self::Unreachable { attempts, .. } if attempts.len() > 1 => {
                let each = attempts.iter();
                let each = each.map(|one| format!("{}: {}", one.address, one.reason));
                each.collect::<Vec<_>>().join(", ")
            }
            other => other.reason(),
        }
    }

    /// Whether another host of the list may do better, as libpq has it.
    pub(super) fn speaks_of_one_host(&self) -> bool {
        matches!(self, Self::Resolve { .. }) || self.speaks_of_one_address()
    }

    /// Whether nobody answers where a server should be.
    pub(super) fn is_of_absence(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::NoHost { .. })
    }

    /// Whether the same host may do better in a moment: it is starting.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Server { fields, .. } => fields.sqlstate() == Some("57P03"),
            Self::NoHost { soon, .. } => *soon,
            _ => false,
        }
    }

    /// Whether another address of the same host may do better: the server there is gone, hangs, or is still starting
    /// (SQLSTATE 57P03), as against having given an answer that counts for all.
    #[must_use]
    pub(super) fn speaks_of_one_address(&self) -> bool {
        match self {
            Self::DeadlineExceeded { .. } | Self::Unreachable { .. } => true,
            Self::Protocol { lost, .. } => *lost,
            Self::Server { fields, .. } => fields.sqlstate() == Some("57P03"),
            Self::Resolve { .. }
            | Self::NoHost { .. }
            | Self::Tls { .. }
            | Self::Authentication { .. }
            | Self::Refused { .. }
            | Self::Request { .. }
            | Self::Credentials { .. } => false,
        }
    }
}

/// ` and is what databases[main].upstream.targetSessionAttrs = ReadWrite asks for`, or nothing.
struct Wanted<'a>(&'a Endpoint, TargetSessionAttrs);

impl fmt::Display for Wanted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(at, wanted) = self;
        if wanted.is_any() {
            return Ok(());
        }
        let field = at.field("upstream.targetSessionAttrs");
        write!(f, " and is what {field} = {wanted} asks for")
    }
}

/// ` (10.0.0.1:5432: connection refused; …)`, or nothing.
struct Tried<'a>(&'a [Attempt]);

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, attempt) in self.0.iter().enumerate() {
            f.write_str(if i == 0 { " (" } else { "; " })?;
            write!(f, "{}: {}", attempt.address, attempt.reason)?;
        }
        if self.0.is_empty() {
            Ok(())
        } else {
            f.write_str(")")
        }
    }
}
