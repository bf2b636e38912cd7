//! What changes something: each is done on the workers by message, told in the log by [`super::audit`], and counted.

use std::sync::Arc;
use std::time::Duration;

use bulkhead_crds::kinds::Protocol;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::command::Action;
use super::views::PATIENCE;
use super::{Caller, Console, ConsoleError, audit, result};
use crate::identity::UserId;
use crate::protocol::postgres::error_response::{ErrorResponse, Severity, SqlState};
use crate::telemetry::ServerState;
use crate::worker::mailbox::Letter;
use crate::worker::orders::{Order, Ordered, Tally};

/// Between two looks at whether everything is at rest.
const LOOK: Duration = Duration::from_millis(25);

/// What was done, in words for the client.
struct Done {
    tally: Tally,
    tag: String,
    notice: Option<String>,
}

/// Does it, and appends the answer.
pub(super) async fn perform(
    console: &Console,
    caller: &Caller,
    action: &Action,
    out: &mut Vec<u8>,
) -> Result<(), ConsoleError> {
    let outcome = match action {
        Action::Kill { user, upstream } => kill(console, user, upstream.as_deref()).await,
        Action::Reconnect { upstream } => reconnect(console, upstream.as_deref()).await,
        Action::Pause { upstream } => pause(console, caller, upstream.as_deref()).await,
        Action::Resume { upstream } => resume(console, upstream.as_deref()),
    };
    let told = outcome.as_ref().map(|done| done.tally);
    let trail = &console.process.trail;
    audit::tell(&console.admin.metrics, trail, caller, action, told);
    let done = outcome?;
    if let Some(notice) = done.notice {
        ErrorResponse::new(Severity::Notice, SqlState::SUCCESS, notice).write(out);
    }
    result::done(&done.tag, out);
    Ok(())
}

/// Ends every client of a user's: on the worker where the user lives, and on its way there.
async fn kill(console: &Console, user: &str, upstream: Option<&str>) -> Result<Done, ConsoleError> {
    let user = UserId::parse(user).map_err(ConsoleError::NoUser)?;
    let upstream = match upstream {
        Some(name) => Some(any_entry(console, name)?),
        None => None,
    };
    console.process.kills.tell(&user, upstream.as_ref());
    let home = user.home(console.process.workers());
    let tally = order(console, home, Order::Kill { user, upstream }).await?;
    let ended = tally.clients + tally.sockets;
    let notice = (ended == 0).then(|| "the user has no connections here".to_owned());
    Ok(Done {
        tally,
        tag: format!("KILL {ended}"),
        notice,
    })
}

async fn reconnect(console: &Console, upstream: Option<&str>) -> Result<Done, ConsoleError> {
    let mut tally = Tally::default();
    for (upstream, _) in databases(console, upstream)? {
        console.process.steering(&upstream).reconnect();
        tally += order_all(console, &Order::Reconnect { upstream }).await?;
    }
    let notice = format!(
        "server connections: {} closed, {} more when they are given back",
        tally.closed, tally.outstanding
    );
    Ok(Done {
        tally,
        tag: "RECONNECT".to_owned(),
        notice: Some(notice),
    })
}

/// Returns when everything is at rest. Takes itself back by nothing: only RESUME does.
async fn pause(
    console: &Console,
    caller: &Caller,
    upstream: Option<&str>,
) -> Result<Done, ConsoleError> {
    let mut paused = databases(console, upstream)?;
    paused.retain(|(upstream, _)| console.process.steering(upstream).pause());
    if paused.is_empty() {
        return Err(ConsoleError::AlreadyPaused);
    }
    let names: Vec<&str> = paused.iter().map(|(upstream, _)| &**upstream).collect();
    audit::begins(caller, &names);
    let mut tally = Tally::default();
    for (upstream, _) in &paused {
        let order = Order::Pause {
            upstream: Arc::clone(upstream),
        };
        tally.closed += order_all(console, &order).await?.closed;
    }
    for (upstream, protocol) in &paused {
        tally.held += until_at_rest(console, upstream, *protocol).await?;
    }
    let notice = (tally.held > 0).then(|| {
        format!(
            "{} server connections stay with clients that keep them, between transactions",
            tally.held
        )
    });
    Ok(Done {
        tally,
        tag: "PAUSE".to_owned(),
        notice,
    })
}

/// Waits until no transaction is open; gives how many connections clients keep.
async fn until_at_rest(
    console: &Console,
    upstream: &Arc<str>,
    protocol: Protocol,
) -> Result<u64, ConsoleError> {
    let steering = console.process.steering(upstream);
    let metrics = console.admin.metrics.upstream(upstream, protocol);
    loop {
        let order = Order::Count {
            upstream: Arc::clone(upstream),
        };
        let tally = order_all(console, &order).await?;
        if !steering.is_paused() {
            return Err(ConsoleError::Resumed);
        }
        let dialling = metrics.server_connections(ServerState::Connecting).get();
        if tally.busy == 0 && tally.outstanding == 0 && dialling <= 0 {
            return Ok(tally.held);
        }
        sleep(LOOK).await;
    }
}

fn resume(console: &Console, upstream: Option<&str>) -> Result<Done, ConsoleError> {
    let mut resumed = databases(console, upstream)?;
    resumed.retain(|(upstream, _)| console.process.steering(upstream).resume());
    if resumed.is_empty() {
        return Err(ConsoleError::NotPaused);
    }
    Ok(Done {
        tally: Tally::default(),
        tag: "RESUME".to_owned(),
        notice: None,
    })
}

/// The database entry of this name, or all of them, each with its protocol.
fn databases(
    console: &Console,
    upstream: Option<&str>,
) -> Result<Vec<(Arc<str>, Protocol)>, ConsoleError> {
    let revision = console.admin.store.current();
    let all = revision.policy.databases.iter();
    let all: Vec<(Arc<str>, Protocol)> = all
        .map(|entry| (entry.name.as_str().into(), entry.protocol))
        .collect();
    if all.is_empty() {
        return Err(ConsoleError::NoDatabases);
    }
    let Some(name) = upstream else {
        return Ok(all);
    };
    match all.iter().find(|(entry, _)| **entry == *name) {
        Some(found) => Ok(vec![found.clone()]),
        None => Err(unknown(name, all.iter().map(|(entry, _)| entry))),
    }
}

/// The entry of this name, of whatever kind.
fn any_entry(console: &Console, name: &str) -> Result<Arc<str>, ConsoleError> {
    let revision = console.admin.store.current();
    let databases = revision.policy.databases.iter().map(|entry| &entry.name);
    let sockets = revision.policy.web_sockets.iter().map(|entry| &entry.name);
    let all: Vec<Arc<str>> = databases
        .chain(sockets)
        .map(|it| it.as_str().into())
        .collect();
    let found = all.iter().find(|entry| ***entry == *name).map(Arc::clone);
    found.ok_or_else(|| unknown(name, &all))
}

fn unknown<'a>(name: &str, known: impl IntoIterator<Item = &'a Arc<str>>) -> ConsoleError {
    let known: Vec<&str> = known.into_iter().map(|entry| &**entry).collect();
    ConsoleError::NoUpstream {
        name: name.to_owned(),
        known: known.join(", "),
    }
}

async fn order(console: &Console, worker: usize, order: Order) -> Result<Tally, ConsoleError> {
    let (reply, answer) = oneshot::channel();
    let ordered = Box::new(Ordered { order, reply });
    console.process.send(worker, Letter::Order(ordered));
    match timeout(PATIENCE, answer).await {
        Ok(Ok(tally)) => Ok(tally),
        Ok(Err(_)) => Err(ConsoleError::Ending),
        Err(_) => Err(ConsoleError::Silent { worker }),
    }
}

async fn order_all(console: &Console, what: &Order) -> Result<Tally, ConsoleError> {
    let mut tally = Tally::default();
    for worker in 0..console.process.workers() {
        tally += order(console, worker, what.clone()).await?;
    }
    Ok(tally)
}
