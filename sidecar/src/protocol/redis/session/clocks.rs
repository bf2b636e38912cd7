//! What may take how long inside a session: a command (`timeouts.statement`), a transaction, and a client's silence in it.
//!
//! The sidecar's clock is authoritative. A server cannot be told to stop a command, so one whose time is over costs its connection: it may
//! still run there to its end.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::force::DatabaseForce;
use crate::telemetry::TimeoutKind;

/// When things began.
#[derive(Debug, Default)]
pub(super) struct Clocks {
    /// The command whose reply is outstanding.
    pub(super) command: Option<Instant>,
    /// `MULTI` or `WATCH`.
    pub(super) transaction: Option<Instant>,
    /// The client's silence in it.
    pub(super) silence: Option<Instant>,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Overdue {
    /// A limit of the policy.
    Limit(TimeoutKind),
    /// The client's context has expired while it waits for what may come at any time.
    Context,
}

impl Clocks {
    /// The next moment at which something is due, and what. `exempt`: no limit of a command's holds for what is waited for; `expiry`: until
    /// then it may be waited for.
    pub(super) fn next(
        &self,
        force: &DatabaseForce,
        exempt: bool,
        expiry: Option<Instant>,
    ) -> Option<(Instant, Overdue)> {
        let timeouts = &force.settings.timeouts;
        let due = |since: Option<Instant>, limit: Option<Duration>, kind| {
            Some((since? + limit?, Overdue::Limit(kind)))
        };
        let command = self.command.filter(|_| !exempt);
        let of_context = expiry.filter(|_| exempt).map(|at| (at, Overdue::Context));
        [
            due(command, timeouts.statement, TimeoutKind::Statement),
            due(
                self.transaction,
                timeouts.transaction,
                TimeoutKind::Transaction,
            ),
            due(
                self.silence,
                timeouts.idle_in_transaction,
                TimeoutKind::IdleInTransaction,
            ),
            of_context,
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }
}

/// The same moment on the clock that timers go by.
pub(super) fn instant_of(at: SystemTime, now: Instant) -> Instant {
    let left = at.duration_since(SystemTime::now()).unwrap_or_default();
    now + left
}
