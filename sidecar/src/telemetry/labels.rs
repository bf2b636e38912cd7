//! The closed sets of label values, as enums: what is not here cannot become a label.

use bulkhead_crds::kinds::Protocol;

macro_rules! label {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// Every value, in declaration order; the index of a value is `value as usize`.
            pub const ALL: [Self; [$($text),+].len()] = [$(Self::$variant),+];

            /// The label's text.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

pub(super) use label;

label!(
    /// What became of a client connection once its handshake was over: `bulkhead_connections_total{outcome}`.
    ConnectionOutcome {
        /// Served under a verified user context.
        Accepted = "accepted",
        /// Served without one, because the mode is `Audit`.
        Unattributed = "unattributed",
        /// Refused: no valid user context.
        Rejected = "rejected",
        /// Refused: the listener's own authentication failed.
        Unauthenticated = "unauthenticated",
        /// Refused: a limit of the policy is reached.
        Limited = "limited",
        /// Refused: the application does not accept, does not answer, or refuses itself.
        Unavailable = "unavailable",
        /// Refused: the sidecar is draining.
        Draining = "draining",
        /// The client broke the protocol or its TLS handshake failed.
        ProtocolError = "protocol_error",
        /// The client went away, or was silent too long, before the handshake was over.
        Abandoned = "abandoned",
        /// A connection that only carried a request to cancel.
        Cancel = "cancel",
    }
);

label!(
    /// What is known of whose work a connection or a query is: `bulkhead_inventory_queries_total{attribution}`.
    Attribution {
        /// A user context has been verified.
        Verified = "verified",
        /// A comment or the application's name for itself names a user: nothing proves it, and nothing follows from it.
        Claimed = "claimed",
        /// What was named is a placeholder, which names nobody.
        Placeholder = "placeholder",
        /// No user was named.
        Unattributed = "unattributed",
    }
);

label!(
    /// What became of a user that a client named in SQL: `bulkhead_user_switches_total{outcome}`.
    SwitchOutcome {
        /// The user lives on the worker that the client was on.
        Here = "here",
        /// The client has moved to the user's worker.
        Moved = "moved",
        /// Refused: the client works for nobody.
        Refused = "refused",
    }
);

label!(
    /// Which timeout fired: `bulkhead_timeouts_total{kind}`.
    TimeoutKind {
        /// DNS, TCP, TLS and authentication towards the upstream.
        Connect = "connect",
        /// The wait for a permit.
        Acquire = "acquire",
        /// First byte forwarded to `ReadyForQuery`.
        Statement = "statement",
        /// First statement to the end of the transaction.
        Transaction = "transaction",
        /// A client's silence inside a transaction.
        IdleInTransaction = "idle_in_transaction",
        /// A server connection unused in its pool, or a silent WebSocket.
        Idle = "idle",
        /// A server connection's or a WebSocket's age.
        Lifetime = "lifetime",
        /// A client's handshake.
        Handshake = "handshake",
        /// A ping without its pong.
        Ping = "ping",
        /// The application's start.
        ColdStart = "cold_start",
    }
);

label!(
    /// What kind of error a user's work ended with: `bulkhead_errors_total{class}`.
    ErrorClass {
        /// The transaction was rolled back by the server and may be tried again.
        Transaction = "transaction",
        /// The transaction was the victim of a deadlock.
        Deadlock = "deadlock",
        /// The server is gone, going, or out of resources.
        Connection = "connection",
        /// The work was stopped because it took too long, or was cancelled.
        Timeout = "timeout",
        /// Everything else: the statement's own mistakes.
        Other = "other",
    }
);

label!(
    /// Where a server connection stands: `bulkhead_server_connections{state}`.
    ServerState {
        /// In a user's pool, unused.
        Idle = "idle",
        /// Lent to a client.
        Active = "active",
        /// Authenticated and never used, waiting for a user.
        Spare = "spare",
        /// Being dialled.
        Connecting = "connecting",
    }
);

label!(
    /// A breaker's state; `bulkhead_breaker_state` is its index.
    BreakerState {
        /// 0: work passes.
        Closed = "closed",
        /// 1: trial connections only.
        HalfOpen = "half_open",
        /// 2: work is refused at once.
        Open = "open",
    }
);

label!(
    /// Whose breaker it is: `bulkhead_breaker_opens_total{scope}`.
    BreakerScope {
        /// A user's own, for their own failing work.
        User = "user",
        /// The upstream's, for trouble in reaching it.
        Upstream = "upstream",
    }
);

label!(
    /// Why a server connection was closed before its time: `bulkhead_servers_retired_total{reason}`.
    RetirementReason {
        /// Its address has left the upstream's name.
        Dns = "dns",
        /// Its server shuts down, starts anew, or has become another kind of server.
        Failover = "failover",
        /// Its server takes no writes, and the policy wants one that does.
        ReadOnly = "read_only",
    }
);

label!(
    /// What an operator has asked for: `bulkhead_admin_actions_total{action}`.
    AdminAction {
        /// No transaction begins on an upstream.
        Pause = "pause",
        /// Transactions begin again.
        Resume = "resume",
        /// Server connections are made anew.
        Reconnect = "reconnect",
        /// A user's connections end.
        KillUser = "kill_user",
        /// The sidecar is not ready any more.
        Drain = "drain",
    }
);

label!(
    /// What became of it: `bulkhead_admin_actions_total{outcome}`.
    ActionOutcome {
        /// It was done.
        Done = "done",
        /// It was not.
        Failed = "failed",
    }
);

label!(
    /// What a record of the audit trail tells of: `bulkhead_audit_records_total{event}`, and the record's own `event`.
    AuditEvent {
        /// A sidecar has begun to write.
        TrailBegan = "trail_began",
        /// It has ended.
        TrailEnded = "trail_ended",
        /// Records could not be taken.
        RecordsDropped = "records_dropped",
        /// The oldest file was removed.
        SegmentRemoved = "segment_removed",
        /// A revision of the policy is in force.
        PolicyInForce = "policy_in_force",
        /// A policy was not taken over.
        PolicyRefused = "policy_refused",
        /// A client works for a user from now on.
        ContextAccepted = "context_accepted",
        /// A client was refused.
        ContextRefused = "context_refused",
        /// A connection factory was made.
        FactoryCreated = "factory_created",
        /// A connection factory has ended.
        FactoryEnded = "factory_ended",
        /// A server connection went from one owner to another.
        ServerHandedOver = "server_handed_over",
        /// A timeout fired.
        TimedOut = "timed_out",
        /// Work was cancelled.
        Cancelled = "cancelled",
        /// A session was ended because its user is cut off.
        SessionRevoked = "session_revoked",
        /// A list of revocations is in force.
        RevocationsInForce = "revocations_in_force",
        /// A list of revocations was not put in force.
        RevocationsRefused = "revocations_refused",
        /// An administrator has done something.
        AdministratorActed = "administrator_acted",
    }
);

/// The label of a wire protocol.
#[must_use]
pub const fn protocol_label(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::PostgreSQL => "postgresql",
        Protocol::Redis => "redis",
        Protocol::ClickHouse => "clickhouse",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::RejectionReason;

    #[test]
    fn a_value_stands_at_its_own_index() {
        for (at, kind) in TimeoutKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, at);
        }
        for (at, reason) in RejectionReason::ALL.into_iter().enumerate() {
            assert_eq!(
                reason as usize, at,
                "the identity room's reasons index a counter"
            );
        }
    }
}
