//! Who a factory belongs to.

use std::sync::Arc;

use crate::identity::UserId;

/// Whose work a server connection does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Owner {
    /// A verified end user.
    User(UserId),
    /// Clients that named no acceptable user, in mode `Audit`.
    Unattributed,
    /// Work that belongs to no user, in tier `Shared`.
    Shared,
    /// What drivers and pools ask before their clients have said who they work for.
    Bootstrap,
}

impl Owner {
    /// What the `users` list calls this owner.
    #[must_use]
    pub fn label(&self) -> &str {
        match self {
            Self::User(id) => id.as_str(),
            Self::Unattributed => "unattributed",
            Self::Shared => "shared",
            Self::Bootstrap => "bootstrap",
        }
    }

    /// The user, where there is one.
    #[must_use]
    pub const fn user(&self) -> Option<&UserId> {
        match self {
            Self::User(id) => Some(id),
            Self::Unattributed | Self::Shared | Self::Bootstrap => None,
        }
    }

    /// The worker on which this owner lives: a user's is fixed by the id; the others are split, so they stay at `here`.
    #[must_use]
    pub fn home(&self, workers: usize, here: usize) -> usize {
        match self {
            Self::User(id) => id.home(workers),
            Self::Unattributed | Self::Shared | Self::Bootstrap => here,
        }
    }
}

/// What tells two factories apart. Compared whole, by `Eq`; a hash alone decides nothing.
///
/// Thread, run and request ids label work; they never key a connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FactoryKey {
    /// The policy's namespace and name.
    pub policy: Arc<str>,
    /// The name of the policy's database entry.
    pub upstream: Arc<str>,
    /// The database that the client asked for.
    pub database: Arc<str>,
    /// The role that the server sees.
    pub role: Arc<str>,
    /// Whose work it is.
    pub owner: Owner,
}

/// A database and a role of one upstream: only among connections that have both alike may one take the place of another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LaneName {
    /// The database.
    pub database: Arc<str>,
    /// The role that the server sees.
    pub role: Arc<str>,
}

impl FactoryKey {
    /// The lane of its connections.
    #[must_use]
    pub fn lane(&self) -> LaneName {
        LaneName {
            database: Arc::clone(&self.database),
            role: Arc::clone(&self.role),
        }
    }
}

/// An owner on a worker: how the limiter, which spans workers, knows who holds what.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Holder {
    /// Whose connections.
    pub owner: Owner,
    /// The worker that has them.
    pub worker: usize,
}
