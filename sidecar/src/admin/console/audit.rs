//! The record of what operators have done: in the audit trail, as a line of the log with the target `audit`, and a count.

use std::fmt;

use super::command::Action;
use super::{Caller, ConsoleError};
use crate::audit::Trail;
use crate::audit::record::Event;
use crate::telemetry::{ActionOutcome, AdminAction, Metrics};
use crate::worker::orders::Tally;

/// Tells what has become of an action, whoever has asked for it.
pub(super) fn tell(
    metrics: &Metrics,
    trail: &Trail,
    caller: &Caller,
    action: &Action,
    told: Result<Tally, &ConsoleError>,
) {
    let (kind, user, upstream) = parts(action);
    let (outcome, tally, error) = match told {
        Ok(tally) => (ActionOutcome::Done, tally, None),
        Err(error) => (
            ActionOutcome::Failed,
            Tally::default(),
            Some(error.to_string()),
        ),
    };
    metrics.admin_action(kind, outcome);
    trail.record(|naming| Event::AdministratorActed {
        action: kind,
        outcome,
        caller: caller.to_string(),
        user: user.map(|user| naming.name_text(user)),
        upstream: upstream.map(str::to_owned),
    });
    tracing::info!(
        target: "audit",
        action = kind.as_str(),
        outcome = outcome.as_str(),
        user,
        upstream,
        %caller,
        clients = tally.clients,
        sockets = tally.sockets,
        servers_closed = tally.closed,
        servers_outstanding = tally.outstanding,
        error,
        "an operator has acted"
    );
}

/// A pause has begun, and has not been answered yet: what it waits for may take its time.
pub(super) fn begins(caller: &Caller, upstreams: &[&str]) {
    tracing::info!(
        target: "audit",
        action = AdminAction::Pause.as_str(),
        outcome = "begun",
        upstream = upstreams.join(", "),
        %caller,
        "an operator acts"
    );
}

fn parts(action: &Action) -> (AdminAction, Option<&str>, Option<&str>) {
    match action {
        Action::Pause { upstream } => (AdminAction::Pause, None, upstream.as_deref()),
        Action::Resume { upstream } => (AdminAction::Resume, None, upstream.as_deref()),
        Action::Reconnect { upstream } => (AdminAction::Reconnect, None, upstream.as_deref()),
        Action::Kill { user, upstream } => (AdminAction::KillUser, Some(user), upstream.as_deref()),
    }
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(peer) => peer.fmt(f),
            Self::Token(address) => write!(f, "token from {address}"),
        }
    }
}
