//! Sessions of this worker's users that survive their connection: where a client that comes back finds its own, and for a while what became
//! of one that is gone.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Handle, Signal, Worker};
use crate::identity::{UserContext, UserId};
use crate::protocol::websocket::resume::{LostReason, SessionId};
use crate::stream::Stream;

/// Sessions that are gone and whose clients may still ask, on one worker.
const MOST_GONE: usize = 1024;

/// A session's place among those that can be resumed.
#[derive(Debug)]
pub struct ResumePoint {
    /// What its tokens name.
    pub id: SessionId,
    entry: Arc<str>,
    user: UserId,
    /// The subprotocol that its client was told.
    protocol: String,
    handle: Rc<Handle>,
    /// The generations of its tokens that are good: the newest, and those before it since the client has acknowledged under one.
    oldest: Cell<u32>,
    newest: Cell<u32>,
    /// Until when a client that has been told to come is waited for.
    awaited: Cell<Option<Instant>>,
    returned: RefCell<Option<Box<Returned>>>,
}

/// A client that has come back, on a connection of its own.
#[derive(Debug)]
pub struct Returned {
    /// To which session.
    pub session: SessionId,
    /// Its user, as its token has just said.
    pub context: UserContext,
    /// The connection.
    pub stream: Stream,
    /// What it has sent behind its request.
    pub early: Bytes,
    /// How many of the application's messages it has.
    pub count: u64,
}

/// What a client asks that comes back.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The entry that it came to.
    pub entry: Arc<str>,
    /// To which session.
    pub session: SessionId,
    /// The generation of its token.
    pub generation: u32,
    /// Whose token it carries.
    pub user: UserId,
    /// For how long its connection is waited for.
    pub patience: Duration,
}

/// Why it does not find it; and how many of its messages had reached the application, where that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Why.
    pub reason: LostReason,
    /// How many messages.
    pub written: Option<u64>,
}

impl Lost {
    /// Nothing is known of it.
    pub const UNKNOWN: Self = Self {
        reason: LostReason::Unknown,
        written: None,
    };
}

/// A session that is gone.
#[derive(Debug)]
struct Gone {
    id: SessionId,
    user: UserId,
    lost: Lost,
    until: Instant,
}

/// The sessions of one worker.
#[derive(Debug, Default)]
pub(super) struct Resumable {
    points: RefCell<std::collections::HashMap<SessionId, Rc<ResumePoint>>>,
    gone: RefCell<VecDeque<Gone>>,
}

impl ResumePoint {
    /// The place of a session that begins. The first token that it is given has generation 1.
    #[must_use]
    pub const fn new(
        id: SessionId,
        entry: Arc<str>,
        user: UserId,
        protocol: String,
        handle: Rc<Handle>,
    ) -> Self {
        Self {
            id,
            entry,
            user,
            protocol,
            handle,
            oldest: Cell::new(1),
            newest: Cell::new(0),
            awaited: Cell::new(None),
            returned: RefCell::new(None),
        }
    }

    /// Another generation of its token; those before it stay good until [`ResumePoint::acknowledged`].
    #[must_use]
    pub fn next_generation(&self) -> u32 {
        self.newest.set(self.newest.get().saturating_add(1));
        self.newest.get()
    }

    /// The client has the newest token: those before it are good no more.
    pub fn acknowledged(&self) {
        self.oldest.set(self.newest.get());
    }

    /// The client that has come back, if one has.
    #[must_use]
    pub fn take_returned(&self) -> Option<Box<Returned>> {
        self.awaited.set(None);
        self.returned.take()
    }

    /// Until when a client is waited for that has been told to come.
    #[must_use]
    pub fn awaited(&self) -> Option<Instant> {
        self.awaited.get()
    }
}

impl Worker {
    /// A session can be resumed from now on.
    pub fn enter_resumable(&self, point: Rc<ResumePoint>) {
        self.resumable.points.borrow_mut().insert(point.id, point);
    }

    /// It cannot any more. Where the client may ask for it all the same, `lost` is what it is told until then.
    pub fn leave_resumable(&self, point: &ResumePoint, lost: Option<(Lost, Duration)>) {
        self.resumable.points.borrow_mut().remove(&point.id);
        let Some((lost, window)) = lost else {
            return;
        };
        let now = Instant::now();
        let mut gone = self.resumable.gone.borrow_mut();
        gone.retain(|gone| gone.until > now);
        if gone.len() == MOST_GONE {
            gone.pop_front();
        }
        gone.push_back(Gone {
            id: point.id,
            user: point.user.clone(),
            lost,
            until: now + window,
        });
    }

    /// A client asks for a session to be resumed. Gives the subprotocol under which it goes on; it is kept until the client has come, or
    /// its patience is over.
    ///
    /// # Errors
    /// It is gone, or not this client's.
    pub fn claim(&self, claim: &Claim) -> Result<String, Lost> {
        let points = self.resumable.points.borrow();
        let Some(point) = points.get(&claim.session) else {
            return Err(self.gone(claim));
        };
        if point.user != claim.user {
            return Err(Lost {
                reason: LostReason::User,
                written: None,
            });
        }
        let generations = point.oldest.get()..=point.newest.get();
        if point.entry != claim.entry || !generations.contains(&claim.generation) {
            return Err(Lost::UNKNOWN);
        }
        point.awaited.set(Some(Instant::now() + claim.patience));
        Ok(point.protocol.clone())
    }

    fn gone(&self, claim: &Claim) -> Lost {
        let gone = self.resumable.gone.borrow();
        let known = gone
            .iter()
            .find(|gone| gone.id == claim.session && gone.user == claim.user);
        known.map_or(Lost::UNKNOWN, |gone| gone.lost)
    }

    /// A client has come back whose session was there a moment ago. Where it is gone meanwhile, the connection ends, and the client asks
    /// once more.
    pub fn take_returned(&self, mut returned: Box<Returned>) {
        let points = self.resumable.points.borrow();
        let Some(point) = points.get(&returned.session) else {
            return;
        };
        if let Err(error) = returned.stream.settle_here() {
            tracing::debug!(%error, "a client's socket could not be moved");
        }
        *point.returned.borrow_mut() = Some(returned);
        point.handle.send(Signal::Returned);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::Process;
    use crate::telemetry::Metrics;

    fn worker() -> Worker {
        let process = Process::new(Metrics::new().unwrap(), Vec::new());
        Worker::new(0, Arc::new(process))
    }

    const SESSION: SessionId = SessionId([7; 16]);

    fn point(worker: &Worker) -> Rc<ResumePoint> {
        let user = UserId::parse("alice").unwrap();
        let handle = Rc::default();
        let protocol = "bulkhead.resume.v1".to_owned();
        let point = Rc::new(ResumePoint::new(
            SESSION,
            "chat".into(),
            user,
            protocol,
            handle,
        ));
        worker.enter_resumable(Rc::clone(&point));
        point
    }

    fn claim(user: &str, generation: u32) -> Claim {
        Claim {
            entry: "chat".into(),
            session: SESSION,
            generation,
            user: UserId::parse(user).unwrap(),
            patience: Duration::from_secs(1),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_good_until_its_successor_was_acknowledged() {
        let worker = worker();
        let point = point(&worker);
        assert_eq!(point.next_generation(), 1);
        assert!(worker.claim(&claim("alice", 1)).is_ok());
        assert_eq!(point.next_generation(), 2);
        assert!(worker.claim(&claim("alice", 1)).is_ok());
        assert!(worker.claim(&claim("alice", 2)).is_ok());
        point.acknowledged();
        assert_eq!(worker.claim(&claim("alice", 1)), Err(Lost::UNKNOWN));
        assert!(worker.claim(&claim("alice", 2)).is_ok());
        assert_eq!(worker.claim(&claim("alice", 3)), Err(Lost::UNKNOWN));
    }

    #[tokio::test(start_paused = true)]
    async fn a_session_is_its_users_alone_and_its_entrys() {
        let worker = worker();
        let point = point(&worker);
        let _ = point.next_generation();
        let lost = worker.claim(&claim("bob", 1)).unwrap_err();
        assert_eq!(lost.reason, LostReason::User);
        let other = Claim {
            entry: "other".into(),
            ..claim("alice", 1)
        };
        assert_eq!(worker.claim(&other), Err(Lost::UNKNOWN));
        assert!(worker.claim(&claim("alice", 1)).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn what_became_of_a_session_is_told_for_a_while_and_to_its_user() {
        let worker = worker();
        let point = point(&worker);
        let lost = Lost {
            reason: LostReason::Application,
            written: Some(3),
        };
        worker.leave_resumable(&point, Some((lost, Duration::from_secs(60))));
        assert_eq!(worker.claim(&claim("alice", 1)), Err(lost));
        assert_eq!(worker.claim(&claim("bob", 1)), Err(Lost::UNKNOWN));
        tokio::time::advance(Duration::from_secs(61)).await;
        // Another one that goes sweeps it out.
        let window = Some((lost, Duration::from_secs(1)));
        let other = ResumePoint::new(
            SessionId([8; 16]),
            "chat".into(),
            UserId::parse("bob").unwrap(),
            String::new(),
            Rc::default(),
        );
        worker.leave_resumable(&other, window);
        assert_eq!(worker.claim(&claim("alice", 1)), Err(Lost::UNKNOWN));
    }
}
