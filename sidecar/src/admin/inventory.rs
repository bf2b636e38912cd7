//! The question that only the engine can answer: who uses this sidecar now.

use std::pin::Pin;

use serde::{Deserialize, Serialize};

use crate::policy::Diagnostic;
use crate::telemetry::{self, Attribution, Standing};

/// One user's factory, or one of the factories that belong to nobody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// The verified user id; for a factory of nobody, its name (`unattributed`).
    pub user_id: String,
    /// The policy's name for the database.
    pub upstream: String,
    /// The database on the server.
    pub database: String,
    /// The role on the server.
    pub role: String,
    /// Client connections now.
    pub clients: u32,
    /// Server connections now, idle ones included.
    pub server_connections: u32,
    /// Of those, unused ones.
    pub idle: u32,
    /// Clients that wait for a server connection.
    pub waiting: u32,
    /// Transactions since the factory was created.
    pub transactions: u64,
    /// Of those, ended with an error.
    pub errors: u64,
    /// Timeouts that fired.
    pub timeouts: u64,
    /// Seconds since anything happened.
    pub last_active_seconds: u64,
    /// Whether a user context was verified.
    pub attributed: bool,
    /// What the clients call themselves.
    pub application_names: Vec<String>,
}

/// Connections or queries, by what is known of whose work they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttributionCounts {
    /// Under a verified user context.
    pub verified: u64,
    /// A comment or the application's name names a user, which nothing proves.
    pub claimed: u64,
    /// A placeholder was named, which is nobody.
    pub placeholder: u64,
    /// Nobody was named.
    pub unattributed: u64,
}

/// What one application has come to in mode `Audit`, since the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplicationRow {
    /// The protocol's label (`postgresql`).
    pub protocol: String,
    /// The name that its clients gave, without what looks like an id; `other` for those beyond the hundredth.
    pub application: String,
    /// Its connections.
    pub connections: AttributionCounts,
    /// Its queries.
    pub queries: AttributionCounts,
}

/// What `/users` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsersReport {
    /// The factories.
    pub users: Vec<UserRow>,
    /// Which applications name their users: the inventory of a migration, taken in mode `Audit`.
    pub applications: Vec<ApplicationRow>,
}

impl AttributionCounts {
    fn of(counts: [u64; Attribution::ALL.len()]) -> Self {
        let [verified, claimed, placeholder, unattributed] = counts;
        Self {
            verified,
            claimed,
            placeholder,
            unattributed,
        }
    }

    /// Those of which nobody knows whose they are.
    #[must_use]
    pub const fn nobodys(&self) -> u64 {
        self.placeholder.saturating_add(self.unattributed)
    }
}

impl ApplicationRow {
    /// The inventory as it stands, those first that have most to name yet.
    #[must_use]
    pub fn all(inventory: &telemetry::Inventory) -> Vec<Self> {
        let row = |standing: Standing| Self {
            protocol: standing.protocol.to_owned(),
            application: standing.application,
            connections: AttributionCounts::of(standing.connections),
            queries: AttributionCounts::of(standing.queries),
        };
        let mut rows: Vec<Self> = inventory.standings().into_iter().map(row).collect();
        rows.sort_by_key(|row| {
            std::cmp::Reverse((row.queries.nobodys(), row.connections.nobodys()))
        });
        rows
    }
}

/// A run of the application that has ended without having been completed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionRow {
    /// Whose it was.
    pub user_id: String,
    /// The policy's name for the WebSocket entry.
    pub upstream: String,
    /// Its id; empty where the application has named none.
    pub run_id: String,
    /// How it ended: `failed`, `timed_out`, `cancelled`, `dead`.
    pub outcome: String,
    /// Seconds for which it had been under way.
    pub age_seconds: u64,
    /// Seconds since its end.
    pub ended_seconds_ago: u64,
}

/// What `/executions` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecutionsReport {
    /// The last runs that were not completed, the newest first.
    pub unfinished: Vec<ExecutionRow>,
}

/// A user who is cut off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationRow {
    /// The revocation's name.
    pub name: String,
    /// The user.
    pub user_id: String,
    /// What was issued at this moment or before is refused (RFC 3339).
    pub not_before: String,
    /// Until when (RFC 3339); none: until the revocation is taken away.
    pub expires_at: Option<String>,
    /// Why, in one word.
    pub reason: Option<String>,
}

/// What `/revocations` answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevocationsReport {
    /// The revision of the list in force.
    pub revision: String,
    /// The revocations that have not ended.
    pub revocations: Vec<RevocationRow>,
    /// Why a newer list was refused.
    pub rejection: Vec<Diagnostic>,
}

/// Answers for the engine. Asked on the control thread; the workers are asked by message, so the answer may take a moment.
pub trait Inventory: Send + Sync + 'static {
    /// The public keys of the context tokens that are signed here (RFC 7517, section 5), where there are any.
    fn context_keys(&self) -> Option<String> {
        None
    }

    /// The factories of all workers, in no order.
    fn users(&self) -> Pin<Box<dyn Future<Output = Vec<UserRow>> + Send + '_>>;
}
