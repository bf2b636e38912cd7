//! The choices that a policy makes by a word.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl std::fmt::Display for $name {
            /// The word as a policy writes it.
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(match self { $(Self::$variant => stringify!($variant)),+ })
            }
        }
    };
}

choice!(
    /// What happens to a violation.
    Mode {
        /// Refused.
        Enforce,
        /// Let through, counted and reported.
        Audit,
    }
);
choice!(
    /// How a user context is verified.
    IdentitySource {
        /// A JSON Web Token of the application's identity provider.
        Jwt,
        /// A context token that Bulkhead has signed.
        SignedContext,
        /// The application's word.
        Trusted,
    }
);
choice!(
    /// How long a user context that was set in SQL lasts.
    SqlScope {
        /// Until the transaction ends.
        Transaction,
        /// Until the connection ends or says otherwise.
        Connection,
    }
);
choice!(
    /// How strictly server connections are kept apart.
    Tier {
        /// A server connection belongs to one user from first use to close.
        Dedicated,
        /// A server connection may cross after ROLLBACK and DISCARD ALL.
        Reset,
        /// For work that belongs to no user.
        Shared,
    }
);
choice!(
    /// What a user's lost WebSocket does to their work.
    OnDisconnect {
        /// It is cancelled.
        Cancel,
        /// It may finish; nothing new starts.
        Drain,
        /// Nothing.
        Keep,
    }
);
choice!(
    /// The wire protocol of a database.
    Protocol {
        /// PostgreSQL's frontend/backend protocol.
        PostgreSQL,
        /// RESP.
        Redis,
        /// ClickHouse over HTTP.
        ClickHouse,
    }
);
choice!(
    /// When a server connection goes back to the pool.
    PoolMode {
        /// When the client disconnects.
        Session,
        /// When the transaction ends.
        Transaction,
    }
);
choice!(
    /// How TLS to the upstream is negotiated and verified.
    TlsMode {
        /// No TLS.
        Disable,
        /// TLS, the certificate unverified.
        Require,
        /// TLS, the certificate's issuer verified.
        VerifyCa,
        /// TLS, issuer and host name verified.
        VerifyFull,
    }
);
choice!(
    /// Which of several servers will do.
    #[derive(Default)]
    TargetSessionAttrs {
        /// Every server that takes connections.
        #[default]
        Any,
        /// One whose sessions may write unless they say otherwise.
        ReadWrite,
        /// One whose sessions may not.
        ReadOnly,
        /// One that is no standby.
        Primary,
        /// One that is a standby.
        Standby,
        /// A standby, or where none takes connections, any.
        PreferStandby,
    }
);
choice!(
    /// Where the certificate comes from that the sidecar shows to the application.
    ListenTls {
        /// Issued by the policy's own certificate authority, for the upstream's name.
        Issued,
        /// Read from a Secret.
        Secret,
    }
);
choice!(
    /// How the application authenticates to the sidecar.
    AuthMode {
        /// By SCRAM-SHA-256.
        Scram,
        /// Not at all.
        Trust,
    }
);
choice!(
    /// How row-level security learns who the user is.
    RowLevelSecurity {
        /// From the run-time parameter `userParameter`, which SQL can overwrite: a convenience, no boundary.
        Parameter,
        /// From a claim that the sidecar signs and SQL cannot forge.
        Signed,
    }
);
choice!(
    /// As whom the sidecar does a user's work upstream.
    #[derive(Default)]
    UpstreamRole {
        /// One role for all users: the one of the credentials.
        #[default]
        Shared,
        /// A role of the user's own.
        PerUser,
    }
);
choice!(
    /// Whether a pod's annotation may keep the sidecar out.
    OptOut {
        /// It may.
        Allowed,
        /// It may not.
        Denied,
    }
);
choice!(
    /// What becomes of a pod that was made while nothing was there to inject it.
    Missed {
        /// It is counted and reported.
        Report,
        /// It is evicted too, so that its controller makes it anew.
        Evict,
    }
);
choice!(
    /// Where a WebSocket client's token may stand.
    TokenPlace {
        /// In the header `Authorization: Bearer TOKEN` (RFC 6750).
        Authorization,
        /// In the header `name`, whole.
        Header,
        /// In the cookie `name`.
        Cookie,
        /// In the query parameter `name`, which the application does not see.
        Query,
        /// In `Sec-WebSocket-Protocol`, as `bulkhead.token.BASE64URL` beside `bulkhead.v1`.
        Subprotocol,
    }
);
choice!(
    /// What becomes of requests at a WebSocket's port that are no WebSockets.
    PlainHttp {
        /// A user context is required, in mode `Enforce`.
        Require,
        /// A valid user context is passed on to the application, and none is required.
        Attach,
        /// Tokens are not looked at.
        Ignore,
    }
);
choice!(
    /// What becomes of a user's next socket when they have as many as they may.
    WhenFull {
        /// Their oldest gives way.
        CloseOldest,
        /// The new one is refused.
        Reject,
    }
);
choice!(
    /// What becomes of a client that does not read what is sent to it.
    SlowConsumer {
        /// The application is not read either, until the client has been silent for `ping` and `pong` together.
        Wait,
        /// Messages that are not critical are left out once `bufferPerUser` is reached.
        Drop,
        /// The socket is closed once `bufferPerUser` is reached.
        Close,
    }
);
choice!(
    /// Whether messages may be compressed (permessage-deflate, RFC 7692).
    Compression {
        /// They may, unless the policy makes the sidecar read them.
        Auto,
        /// They may.
        Pass,
        /// The extension is taken from the client's offer.
        Remove,
    }
);

choice!(
    /// What closes the port that the application itself listens on, once the sidecar has taken its name over.
    PortClosing {
        /// A NetworkPolicy that the operator makes.
        Generate,
        /// Nothing of Bulkhead's.
        None,
    }
);

choice!(
    /// Where the records of an audit trail go.
    AuditDestination {
        /// To standard output, a line each.
        StandardOutput,
        /// To files.
        File,
    }
);
choice!(
    /// How an audit trail names users.
    UserIds {
        /// By their ids.
        Plain,
        /// By an HMAC of their ids.
        KeyedHash,
    }
);
choice!(
    /// What happens while an audit trail cannot be written.
    AuditFailure {
        /// No new user context is accepted.
        Refuse,
        /// Records are left out, and counted.
        DropAndCount,
    }
);

impl TargetSessionAttrs {
    /// Whether every server will do.
    #[must_use]
    pub fn is_any(&self) -> bool {
        *self == Self::Any
    }
}

impl UpstreamRole {
    /// Whether all users have one role.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        *self == Self::Shared
    }
}

impl Protocol {
    /// The port that the protocol's servers listen on unless told otherwise.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::PostgreSQL => 5432,
            Self::Redis => 6379,
            Self::ClickHouse => 8123,
        }
    }
}
