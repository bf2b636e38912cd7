//! What nobody waits for: idle and aged connections close, dead and retired ones are noticed, spares are opened, unused
//! factories freed.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::key::LaneName;
use super::lane::Lane;
use super::server::Spare;
use crate::force::DatabaseForce;
use crate::protocol::postgres::session::signed;
use crate::telemetry::TimeoutKind;
use crate::worker::{Entry, Worker};

/// Between two turns, at the most; a shorter `idle` or `lifetime` makes it shorter.
const LONGEST_TURN: Duration = Duration::from_secs(1);

/// Between two turns, at the least.
const SHORTEST_TURN: Duration = Duration::from_millis(50);

/// Why an idle connection goes.
enum Verdict {
    Idle,
    Lifetime,
    /// Dead, retired, or of an upstream that the policy no longer has.
    Useless,
}

/// Takes its turns until the worker ends.
pub async fn run(worker: Rc<Worker>) {
    let mut backoffs: HashMap<Arc<str>, Rc<RefCell<Backoff>>> = HashMap::new();
    loop {
        tokio::time::sleep(next_turn(&worker)).await;
        for entry in worker.entries() {
            if worker.index == 0 {
                look_at_names(&entry);
            }
            sweep(&worker, &entry);
            let now = Instant::now();
            let limits = entry.force_now().settings.breaker;
            entry.breaker.pass_time(&limits, now);
            entry.user_breakers.sweep(&limits, now);
            if let Some(next) = entry.limiter.next_in_turn() {
                // Connections may have become idle since it was asked for the first time.
                worker.reclaim(&entry, &next);
            }
            let name = Arc::clone(&entry.force().name);
            refill(&worker, &entry, backoffs.entry(name).or_default());
        }
    }
}

fn next_turn(worker: &Worker) -> Duration {
    let entries = worker.entries();
    let shortest = entries
        .iter()
        .filter_map(|entry| {
            let timeouts = entry.force().settings.timeouts;
            timeouts.idle.into_iter().chain(timeouts.lifetime).min()
        })
        .min();
    shortest.map_or(LONGEST_TURN, |limit| {
        (limit / 4).clamp(SHORTEST_TURN, LONGEST_TURN)
    })
}

/// Asks for the upstream's names again, where it is time, so that connections to addresses that have left them are retired.
fn look_at_names(entry: &Entry) {
    let force = entry.force();
    let due = force.connector.names_due(std::time::Instant::now());
    if !due.is_empty() {
        spawn_local(async move { force.connector.look_at_names(due).await });
    }
}

/// Closes what has been idle too long, is too old, or is dead; frees factories that nobody needs.
fn sweep(worker: &Worker, entry: &Entry) {
    let force = entry.force();
    let now = Instant::now();
    for factory in worker.factories_of(&force.name) {
        let epoch = entry.epoch_under(&force);
        let gone = factory.sweep(|owned| judge(&mut owned.server, &force, epoch, now));
        let owner = Some(&factory.key.owner);
        for (verdict, owned) in gone {
            match verdict {
                Verdict::Idle => entry.timed_out(TimeoutKind::Idle, owner),
                Verdict::Lifetime => entry.timed_out(TimeoutKind::Lifetime, owner),
                Verdict::Useless => {}
            }
            drop(owned);
        }
        worker.release_factory(entry, &factory);
    }
    for lane in entry.lanes() {
        for _ in 0..lane.sweep_spares(now, entry.epoch_under(&force)) {
            entry.timed_out(TimeoutKind::Lifetime, None);
        }
    }
}

fn judge(
    server: &mut super::server::Server,
    force: &DatabaseForce,
    epoch: u64,
    now: Instant,
) -> Option<Verdict> {
    let unused = now.saturating_duration_since(server.idle_since);
    if force
        .settings
        .timeouts
        .idle
        .is_some_and(|limit| unused >= limit)
    {
        Some(Verdict::Idle)
    } else if !server.is_young(now) {
        Some(Verdict::Lifetime)
    } else if !server.is_usable(epoch) {
        Some(Verdict::Useless)
    } else {
        None
    }
}

/// Opens spares up to this worker's part of `pool.warm`, no faster than `pool.warmRate`. Spares come last: none is opened
/// while somebody waits for a permit, and after a failure later and later.
fn refill(worker: &Rc<Worker>, entry: &Rc<Entry>, backoff: &Rc<RefCell<Backoff>>) {
    if entry.steering.is_paused() {
        return;
    }
    let force = entry.force();
    let (Some(database), Some(role)) = (&force.settings.upstream.database, force.connector.role())
    else {
        return;
    };
    let lane = entry.lane(&LaneName {
        database: database.as_str().into(),
        role: role.as_str().into(),
    });
    let workers = worker.process.workers();
    let warm = force.settings.pool.warm as usize;
    let share = warm / workers + usize::from(worker.index < warm % workers);
    let missing = share.saturating_sub(lane.spares());
    let rate = (force.settings.pool.warm_rate as usize)
        .div_ceil(workers)
        .max(1);
    let most = missing.min(rate);
    let allowed = backoff.borrow_mut().allowed(&force, Instant::now(), most);
    for _ in 0..allowed {
        let Some(permit) = entry.limiter.try_acquire(None) else {
            return;
        };
        spawn_local(open_spare(
            Rc::clone(worker),
            Rc::clone(entry),
            Rc::clone(&lane),
            Arc::clone(&force),
            Rc::clone(backoff),
            permit,
        ));
    }
}

async fn open_spare(
    worker: Rc<Worker>,
    entry: Rc<Entry>,
    lane: Rc<Lane>,
    force: Arc<DatabaseForce>,
    backoff: Rc<RefCell<Backoff>>,
    permit: super::fairness::Permit,
) {
    lane.dialling.set(lane.dialling.get() + 1);
    let dialled = entry.dial(&worker, &force, &lane, None, permit).await;
    let opened = match dialled {
        Ok(mut server) if force.signing.is_some() => {
            // So that its first user need not wait for that too.
            let begun = signed::begin_tenure(&mut server).await;
            begun.map(|()| server).map_err(|error| error.to_string())
        }
        dialled => dialled.map_err(|error| error.to_string()),
    };
    lane.dialling.set(lane.dialling.get().saturating_sub(1));
    match opened {
        Ok(server) => {
            backoff.borrow_mut().succeeded();
            // Where somebody waits for a permit, closing the spare gives them this one; or the limit was lowered.
            if !entry.limiter.wants_room() && !entry.steering.is_paused() {
                lane.keep(Spare::new(server));
            }
        }
        Err(error) => {
            if let Some(wait) = backoff.borrow_mut().failed(&force, Instant::now()) {
                let again_in = format!("{}s", wait.as_secs());
                tracing::warn!(upstream = %force.name, %error, again_in, "a spare could not be opened");
            }
        }
    }
}
