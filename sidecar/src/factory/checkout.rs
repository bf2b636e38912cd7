//! From a factory whose pool is empty to a server connection: room within the owner's limit, a spare, a permit, a dial.
//!
//! `acquire` bounds the wait for room and permit; `connect` begins when they are granted.

use std::rc::Rc;

use bulkhead_crds::kinds::Tier;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::fairness::{Permit, Turn};
use super::handover;
use super::lane::Lane;
use super::pool::Factory;
use super::seats::{self, Grant, Seat};
use super::server::{Owned, Relinquished, Soiled, Spare};
use crate::force::DatabaseForce;
use crate::protocol::postgres::session::baseline::Settings;
use crate::protocol::postgres::session::restore;
use crate::telemetry::TimeoutKind;
use crate::upstream::ConnectError;
use crate::worker::dial::{Broken, DialError};
use crate::worker::{Entry, Worker};

/// Why a client's work did not get a server connection.
#[derive(Debug, Error)]
pub enum CheckoutError {
    /// No room or permit within `acquire`.
    #[error(
        "no server connection became free within {setting}: {limit} bounds them, and {} ahead",
        waiters(*.ahead)
    )]
    Acquire {
        /// The timeout, with its value and origin.
        setting: String,
        /// Waiters that were in front.
        ahead: usize,
        /// The limit that was reached, with its value and origin.
        limit: String,
    },
    /// The dial failed, or took longer than `connect`.
    #[error(transparent)]
    Connect(ConnectError),
    /// An administrator has said that nothing begins: whoever asks again once it is resumed has lost nothing.
    #[error(
        "databases[{name}] is paused by an administrator (PAUSE), and was not resumed within {setting}"
    )]
    Paused {
        /// The policy's name for the database.
        name: std::sync::Arc<str>,
        /// How long a client waits for the end of a pause: the timeout, with its value and origin.
        setting: String,
    },
    /// The upstream's breaker is open: nobody is dialled for.
    #[error(transparent)]
    Broken(#[from] Broken),
}

impl From<DialError> for CheckoutError {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Connect(error) => Self::Connect(error),
            DialError::Broken(broken) => Self::Broken(broken),
        }
    }
}

/// A checkout that is being made.
#[derive(Clone, Copy, Debug)]
pub struct Checkout<'a> {
    /// The worker.
    pub worker: &'a Rc<Worker>,
    /// The database entry.
    pub entry: &'a Rc<Entry>,
    /// Whose connection it will be.
    pub factory: &'a Rc<Factory>,
    /// The settings that its work will want: a connection that is cleaned for it is given them at once.
    pub wanted: Option<&'a Rc<Settings>>,
}

impl Checkout<'_> {
    /// A server connection for this factory.
    ///
    /// Cancel safe: what has been granted meanwhile is passed on.
    ///
    /// # Errors
    /// See [`CheckoutError`].
    pub async fn wait(&self) -> Result<Owned, CheckoutError> {
        let began = Instant::now();
        let deadline = began + self.entry.force_now().settings.timeouts.acquire;
        loop {
            let force = self.entry.force();
            let seat = match self.seat(&force, deadline).await? {
                Grant::Connection(owned) => return Ok(self.granted(owned, began)),
                Grant::Seat(seat) => seat,
            };
            self.may_begin(&force)?;
            let lane = self.entry.lane(&self.factory.key.lane());
            let room = match self.spare(&lane, &force).await {
                Some(spare) => Room::Spare(spare),
                None => {
                    self.entry.look_at_breaker(&force)?;
                    self.permit(&lane, &force, deadline).await?
                }
            };
            let permit = match room {
                Room::Connection(owned) => return Ok(self.granted(owned, began)),
                // The owner's limit was lowered meanwhile: this one waits again, and holds nothing.
                _ if self.factory.is_crowded() => continue,
                Room::Spare(spare) => return Ok(self.granted(self.claim(spare, seat), began)),
                Room::Permit(permit) => permit,
            };
            self.may_begin(&force)?;
            self.count_wait(began);
            let owner = Some(&self.factory.key.owner);
            let server = self
                .entry
                .dial(self.worker, &force, &lane, owner, permit)
                .await?;
            return Ok(self.claim(Spare::new(server), seat));
        }
    }

    /// Nothing is opened while an operator has paused the entry.
    fn may_begin(&self, force: &DatabaseForce) -> Result<(), CheckoutError> {
        if self.entry.steering.is_paused() {
            return Err(CheckoutError::paused(force));
        }
        Ok(())
    }

    /// Room within the owner's own limit, or a connection that another of its clients gives back.
    async fn seat(&self, force: &DatabaseForce, deadline: Instant) -> Result<Grant, CheckoutError> {
        if let Some(seat) = self.factory.try_seat() {
            return Ok(Grant::Seat(seat));
        }
        let ahead = self.factory.waiting();
        if let Ok(Ok(grant)) = timeout_at(deadline, self.factory.wait()).await {
            return Ok(grant);
        }
        let (max, field) = seats::limit_of(&self.factory.key.owner, &force.settings.pool);
        let limit = force.name_field(field, &max.to_string());
        Err(acquire_error(force, ahead, limit))
    }

    /// A connection that has no owner: a spare, or in tier `Reset` another user's that is idle, cleaned.
    async fn spare(&self, lane: &Rc<Lane>, force: &DatabaseForce) -> Option<Spare> {
        if let Some(spare) = lane.take_spare(Instant::now(), self.entry.epoch_under(force)) {
            return Some(spare);
        }
        // What is idle while somebody waits goes to whose turn it is.
        while force.tier() == Tier::Reset
            && !self.entry.limiter.has_waiters()
            && let Some(mut owned) = lane.take_resettable()
        {
            let epoch = self.entry.epoch_under(force);
            if owned.is_recalled() || !owned.server.is_usable(epoch) {
                continue;
            }
            if let Ok(spare) = self.clean(owned.disown()).await {
                return Some(spare);
            }
        }
        None
    }

    /// A permit of the upstream's, or meanwhile a connection that another client of this owner gives back, or in tier `Reset`
    /// another owner's, cleaned.
    async fn permit(
        &self,
        lane: &Lane,
        force: &DatabaseForce,
        deadline: Instant,
    ) -> Result<Room, CheckoutError> {
        let (limiter, holder) = (&self.entry.limiter, &self.factory.holder);
        if let Some(permit) = limiter.try_acquire(Some(holder)) {
            return Ok(Room::Permit(permit));
        }
        let takes = (force.tier() == Tier::Reset).then(|| lane.name.clone());
        let mut ticket = limiter.enqueue(holder, takes);
        self.worker.reclaim(self.entry, holder);
        let mut handed = self.factory.wait_seated();
        let turn = tokio::select! {
            biased;
            turn = &mut ticket.turn => {
                self.refuse(handed);
                turn.ok()
            }
            grant = &mut handed => {
                if let Ok(Grant::Connection(owned)) = grant {
                    return Ok(Room::Connection(owned));
                }
                None
            }
            () = tokio::time::sleep_until(deadline) => None,
        };
        match turn {
            Some(Turn::Permit(permit)) => Ok(Room::Permit(permit)),
            Some(Turn::Connection(given)) => Ok(self.receive(*given).await),
            None => {
                let max = force.settings.pool.max_connections.to_string();
                let limit = force.name_field("pool.maxConnections", &max);
                Err(acquire_error(force, ticket.ahead, limit))
            }
        }
    }

    /// A connection that another owner has given up, cleaned; or its permit, where it is of no use.
    async fn receive(&self, given: Relinquished) -> Room {
        let received = match handover::receive(self.worker, self.entry, given) {
            Ok(soiled) => self.clean(soiled).await,
            Err(permit) => Err(permit),
        };
        received.map_or_else(Room::Permit, Room::Spare)
    }

    /// Has a connection cleaned that is for this owner. Where it cannot be proven clean it is closed, and its permit comes back.
    /// It takes the place of a dial, and has no more time than one.
    async fn clean(&self, soiled: Soiled) -> Result<Spare, Permit> {
        let connect = self.entry.force_now().settings.timeouts.connect;
        let limit = Instant::now() + connect.min(restore::RESTORE_LIMIT);
        let proven = restore::prove_clean(soiled, self.wanted, limit).await;
        proven.map(Spare::from).map_err(|(soiled, error)| {
            tracing::debug!(%error, "a server connection could not be handed over");
            soiled.close()
        })
    }

    /// Leaves the owner's queue; a connection that was handed over in the same moment goes back.
    fn refuse(&self, mut handed: oneshot::Receiver<Grant>) {
        handed.close();
        if let Ok(Grant::Connection(owned)) = handed.try_recv() {
            self.factory.park(owned, Instant::now());
        }
    }

    fn claim(&self, spare: Spare, seat: Seat) -> Owned {
        let owner = &self.factory.key.owner;
        if let Some(last) = spare.comes_from(owner) {
            self.entry.trail.handed_over(last, owner);
        }
        spare.claim(&self.factory.key, seat, &self.factory.holder)
    }

    fn granted(&self, owned: Owned, began: Instant) -> Owned {
        self.count_wait(began);
        owned
    }

    fn count_wait(&self, began: Instant) {
        let waited = began.elapsed().as_secs_f64();
        self.entry.metrics.acquire_seconds.observe(waited);
    }
}

fn waiters(ahead: usize) -> String {
    match ahead {
        0 => "nobody was".to_owned(),
        1 => "one waiter was".to_owned(),
        more => format!("{more} waiters were"),
    }
}

enum Room {
    Connection(Owned),
    Spare(Spare),
    Permit(Permit),
}

fn acquire_error(force: &DatabaseForce, ahead: usize, limit: String) -> CheckoutError {
    CheckoutError::Acquire {
        setting: force.name_timeout(TimeoutKind::Acquire),
        ahead,
        limit,
    }
}

#[cfg(test)]
mod tests;
