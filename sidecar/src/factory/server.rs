//! A server connection, typed by whose it is.
//!
//! [`Spare`]: authenticated, and no statement of anybody has run on it. [`Owned`]: belongs to one owner from first use to
//! close. There is no way from `Owned` back to `Spare` but through [`Soiled`], which has no owner and can only be cleaned, and
//! [`Cleansed`], which only the protocol's verified reset makes of it. Only tier `Reset` asks for that. On its way to another
//! worker's user it is [`Relinquished`].

mod relinquished;

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bulkhead_crds::kinds::TargetSessionAttrs;
use tokio::time::Instant;

use super::cancels::Cancels;
use super::fairness::Permit;
use super::key::{FactoryKey, Holder, LaneName, Owner};
use super::register::{Entered, Opened, Register};
use super::seats::Seat;
use crate::protocol::postgres::session::backend::Backend;
use crate::protocol::postgres::session::restore::Cleansed;
use crate::protocol::redis::Far;
use crate::relay::{Inbox, Outbox};
use crate::stream::Stream;
use crate::telemetry::{RetirementReason, ServerState, UpstreamMetrics};
use crate::upstream::Standing;
use crate::upstream::socket::{USER_TIMEOUT_ALLOWANCE, arm_user_timeout};

pub use relinquished::{Ground, Relinquished, Soiled};

/// A connection to the upstream, with everything that belongs to it. Dropping it closes it and passes its permit on.
#[derive(Debug)]
pub struct Server {
    /// The socket.
    pub stream: Stream,
    /// What the server has said and nobody has dealt with.
    pub inbox: Inbox,
    /// What the server has not been given yet.
    pub outbox: Outbox,
    /// What is known of the session on the other side, where it is PostgreSQL's.
    pub backend: Backend,
    /// The same where it is Redis'.
    pub far: Far,
    /// Cancel requests under way: while there is one the connection must not be reused.
    pub cancels: Cancels,
    /// When it goes for its age.
    pub expires: Option<Instant>,
    /// Since when it has been unused.
    pub idle_since: Instant,
    /// Until when the server keeps it open unused, where it has said so.
    pub kept_until: Option<Instant>,
    /// The upstream's settings under which it was opened; an older one than the policy's is not reused.
    pub epoch: u64,
    /// The place that it leads to.
    pub standing: Standing,
    /// Whether it has refused a write, and nobody has asked yet whether it refuses everybody's.
    pub doubted: bool,
    /// Whether the server said at the login that it is a standby.
    standby: Option<bool>,
    wanted: TargetSessionAttrs,
    unasked: Unasked,
    permit: Permit,
    gauge: Gauge,
    /// Its place among the connections that are shown.
    entered: Option<Entered>,
    /// Bytes forwarded since the server was last ready.
    sent: u64,
}

/// For how long a connection may be used.
#[derive(Debug, Default)]
pub struct Terms {
    /// When it goes for its age.
    pub expires: Option<Instant>,
    /// The upstream's settings under which it was opened.
    pub epoch: u64,
    /// The place that it leads to.
    pub standing: Standing,
    /// Whether the server said at the login that it is a standby.
    pub standby: Option<bool>,
    /// Which servers will do.
    pub wanted: TargetSessionAttrs,
    /// What the server may say while nobody has asked it anything.
    pub unasked: Unasked,
    /// Its session, where it is Redis'.
    pub far: Far,
}

/// What a server may say to an idle client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unasked {
    /// PostgreSQL's notices, notifications and parameter changes, which are taken in.
    #[default]
    Messages,
    /// Nothing: whatever it says ends the connection's usefulness.
    Nothing,
}

/// Authenticated and never used by anybody (or proven clean, in tier `Reset`).
#[derive(Debug)]
pub struct Spare {
    server: Box<Server>,
    last_owner: Option<Owner>,
}

/// A connection that belongs to one owner. Moves as three pointers, from pool to session and back.
#[derive(Debug)]
pub struct Owned {
    /// The connection.
    pub server: Box<Server>,
    key: Rc<FactoryKey>,
    seat: Seat,
}

/// The state gauge of one connection; dropping it takes the connection out of the count.
#[derive(Debug)]
struct Gauge {
    metrics: Arc<UpstreamMetrics>,
    state: ServerState,
}

impl Server {
    /// A connection that has just been authenticated.
    #[must_use]
    pub fn new(
        stream: Stream,
        inbox: Inbox,
        backend: Backend,
        permit: Permit,
        metrics: Arc<UpstreamMetrics>,
        terms: Terms,
    ) -> Self {
        metrics.server_connections(ServerState::Spare).inc();
        Self {
            stream,
            outbox: Outbox::new(inbox.slab()),
            inbox,
            backend,
            far: terms.far,
            cancels: Cancels::default(),
            expires: terms.expires,
            idle_since: Instant::now(),
            kept_until: None,
            epoch: terms.epoch,
            standing: terms.standing,
            doubted: false,
            standby: terms.standby,
            wanted: terms.wanted,
            unasked: terms.unasked,
            permit,
            gauge: Gauge {
                metrics,
                state: ServerState::Spare,
            },
            entered: None,
            sent: 0,
        }
    }

    /// Shows the connection under another state in the metrics.
    pub fn show_as(&mut self, state: ServerState) {
        self.gauge.show_as(state);
        if let Some(entered) = &self.entered {
            entered.show(state, self.idle_since);
        }
    }

    /// Enters it into the list of those that are shown.
    pub fn enter(&mut self, register: &Rc<Register>, lane: &LaneName, opened: Instant) {
        let opened = Opened {
            process_id: self.backend.process_id,
            lane: lane.clone(),
            at: opened,
            epoch: self.epoch,
        };
        self.entered = Some(register.enter(opened));
    }

    fn show_owner(&self, owner: Option<&Rc<FactoryKey>>) {
        if let Some(entered) = &self.entered {
            entered.belongs_to(owner);
        }
    }

    /// Bytes have been forwarded. Beyond what a live server acknowledges unread, the kernel's user timeout would end a
    /// connection whose server is busy, so it is taken off until the server is ready again.
    pub fn note_sent(&mut self, count: usize) {
        let before = self.sent;
        self.sent = before.saturating_add(count as u64);
        if before <= USER_TIMEOUT_ALLOWANCE && self.sent > USER_TIMEOUT_ALLOWANCE {
            // A socket that refuses has gone, and the next write says so.
            let _ = arm_user_timeout(&self.stream, None);
        }
    }

    /// The server is ready again: a dead link is found within `connect` from here on.
    pub fn note_ready(&mut self, connect: Duration) {
        if self.sent > USER_TIMEOUT_ALLOWANCE {
            let _ = arm_user_timeout(&self.stream, Some(connect));
        }
        self.sent = 0;
    }

    /// Counts a hand-over from one owner to another.
    pub fn count_handoff(&self) {
        self.gauge.metrics.cross_user_handoffs.inc();
    }

    /// Whether its age allows another use.
    #[must_use]
    pub fn is_young(&self, now: Instant) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }

    /// Whether work may begin on it under this epoch: it was opened under it, is alive, and leads to the right place. That it does not is
    /// counted, and the caller closes it then.
    pub fn is_usable(&mut self, epoch: u64) -> bool {
        self.epoch == epoch && !self.is_dead() && !self.is_retired()
    }

    /// Whether the place that it leads to is not the right one any more. That is counted, and the caller closes it then.
    pub fn is_retired(&mut self) -> bool {
        if !self.wanted.is_any() && self.has_changed() {
            self.standing.retire(RetirementReason::Failover);
        }
        let why = self.standing.retired();
        if let Some(why) = why {
            self.gauge.metrics.server_retired(why);
        }
        why.is_some()
    }

    /// Whether the server has become a primary since the login, or a standby: whether it still will do, the next login says.
    fn has_changed(&self) -> bool {
        self.wanted != TargetSessionAttrs::PreferStandby
            && self.standby.is_some()
            && self.backend.in_hot_standby() != self.standby
    }

    /// Whether the socket has something to say that ends its usefulness: an end of stream, an error, a FATAL. What else a
    /// server may say to an idle client (notices, parameter changes) is taken in.
    pub fn is_dead(&mut self) -> bool {
        if self.kept_until.is_some_and(|until| Instant::now() >= until) {
            return true;
        }
        if !self.inbox.is_empty() {
            return true;
        }
        if self.stream.is_quiet() {
            return false;
        }
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match self.inbox.poll_fill(&mut self.stream, &mut cx) {
                Poll::Pending => return false,
                Poll::Ready(Ok(count)) if count > 0 => {
                    let taken_in = self.unasked == Unasked::Messages
                        && self.backend.take_idle_messages(&mut self.inbox);
                    if !taken_in {
                        return true;
                    }
                }
                Poll::Ready(_) => return true,
            }
        }
    }
}

impl Spare {
    /// A connection on which nothing has run.
    #[must_use]
    pub fn new(server: Server) -> Self {
        Self {
            server: Box::new(server),
            last_owner: None,
        }
    }

    /// The connection, to see whether it is still alive and young.
    pub fn server(&mut self) -> &mut Server {
        &mut self.server
    }

    /// Whose it was, where that was somebody else than this owner.
    #[must_use]
    pub fn comes_from(&self, owner: &Owner) -> Option<&Owner> {
        self.last_owner.as_ref().filter(|last| *last != owner)
    }

    /// Gives the connection to an owner. From one owner to another is a hand-over, and counted.
    #[must_use]
    pub fn claim(mut self, key: &Rc<FactoryKey>, mut seat: Seat, holder: &Holder) -> Owned {
        if self.last_owner.take().is_some_and(|last| last != key.owner) {
            self.server.count_handoff();
        }
        self.server.permit.assign(holder);
        self.server.show_as(ServerState::Active);
        self.server.show_owner(Some(key));
        seat.connect();
        Owned {
            server: self.server,
            key: Rc::clone(key),
            seat,
        }
    }
}

impl Owned {
    /// Whose it is.
    #[must_use]
    pub fn key(&self) -> &Rc<FactoryKey> {
        &self.key
    }

    /// Whether its owner's connections have been closed by an operator since it was theirs: it is not used again.
    #[must_use]
    pub fn is_recalled(&self) -> bool {
        self.seat.is_recalled()
    }

    /// Takes the connection from its owner, who has room for another one from now on.
    #[must_use]
    pub fn disown(self) -> Soiled {
        Soiled::new(self.server, &self.key)
    }
}

impl From<Cleansed> for Spare {
    /// The owner is given up: it is proven that nothing of theirs is left on the connection.
    fn from(cleansed: Cleansed) -> Self {
        let (server, last_owner) = cleansed.into_soiled().into_parts();
        Self {
            server,
            last_owner: Some(last_owner),
        }
    }
}

impl Gauge {
    fn show_as(&mut self, state: ServerState) {
        self.metrics.server_connections(self.state).dec();
        self.metrics.server_connections(state).inc();
        self.state = state;
    }
}

impl Drop for Gauge {
    fn drop(&mut self) {
        self.metrics.server_connections(self.state).dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::worker::fixtures::{Stage, message, settle};

    #[tokio::test]
    async fn a_connection_that_says_nothing_is_alive_and_holds_no_buffer() {
        let stage = Stage::new(|_| {});
        let (mut server, _peer) = stage.server();
        assert!(!server.is_dead());
        assert!(server.inbox.is_empty());
    }

    #[tokio::test]
    async fn what_a_server_may_say_to_nobody_is_taken_in() {
        let stage = Stage::new(|_| {});
        let (mut server, mut peer) = stage.server();
        peer.send(&[message(b'S', b"TimeZone\0CET\0"), message(b'N', b"\0")])
            .await;
        settle().await;
        assert!(!server.is_dead());
        let reported = server.backend.reported();
        assert_eq!(reported, [("TimeZone".into(), "CET".into())]);
    }

    #[tokio::test]
    async fn an_answer_that_nobody_waits_for_ends_a_connection() {
        let stage = Stage::new(|_| {});
        let (mut server, mut peer) = stage.server();
        peer.send(&[message(b'Z', b"I")]).await;
        settle().await;
        assert!(server.is_dead());
    }

    #[tokio::test]
    async fn a_spare_becomes_its_first_users_without_being_counted() {
        let stage = Stage::new(|_| {});
        let factory = stage.factory("alice");
        let (owned, _peer) = stage.owned(&factory);
        assert_eq!(**owned.key(), *factory.key);
        assert_eq!(stage.entry.metrics.cross_user_handoffs.get(), 0);
    }

    #[tokio::test]
    async fn a_connection_leaves_every_count_when_it_closes() {
        let stage = Stage::new(|_| {});
        let factory = stage.factory("alice");
        let (owned, _peer) = stage.owned(&factory);
        let active = stage.entry.metrics.server_connections(ServerState::Active);
        assert_eq!(
            (active.get(), factory.open(), stage.entry.limiter.in_use()),
            (1, 1, 1)
        );
        drop(owned);
        assert_eq!(
            (active.get(), factory.open(), stage.entry.limiter.in_use()),
            (0, 0, 0)
        );
    }
}
