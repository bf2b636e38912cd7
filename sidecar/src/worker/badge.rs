//! What a session shows of itself to whoever asks: plain cells, which it writes as it goes and nobody waits for.

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use crate::execution::ExecutionState;
use crate::factory::pool::Factory;
use crate::identity::{UserContext, UserId};
use crate::protocol::postgres::session::baseline::{Settings, Value};

/// What one session shows.
#[derive(Debug, Default)]
pub struct Badge {
    who: RefCell<Option<Who>>,
    /// When the context was issued that it works under.
    issued: Cell<Option<SystemTime>>,
    since: Cell<Option<Instant>>,
    work: Cell<Option<ExecutionState>>,
    began: Cell<Option<Instant>>,
    in_transaction: Cell<bool>,
    /// The process id of its server connection, 0 where the server gave none.
    server: Cell<Option<i32>>,
}

/// Whose session it is.
#[derive(Debug)]
pub enum Who {
    /// A client of a database.
    Client {
        /// The factory that serves it.
        factory: Rc<Factory>,
        /// What it has asked for at start-up.
        startup: Rc<Settings>,
    },
    /// A WebSocket.
    Socket {
        /// The entry's name.
        upstream: Arc<str>,
        /// Its user; none in mode `Audit`.
        user: Option<UserId>,
    },
}

/// What a client is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It waits for a server connection, or for one to be made ready.
    Waiting,
    /// It is in a transaction, or in a statement outside of one.
    Active,
    /// It keeps a server connection, between transactions.
    Holding,
    /// It has none, and wants none.
    Idle,
}

impl Doing {
    /// As it is shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Active => "active",
            Self::Holding => "holding",
            Self::Idle => "idle",
        }
    }
}

impl Badge {
    /// Says who it is, from now on.
    pub fn show(&self, who: Who) {
        *self.who.borrow_mut() = Some(who);
        self.since.set(Some(Instant::now()));
    }

    /// It works under this context from now on.
    pub fn believe(&self, context: Option<&UserContext>) {
        self.issued.set(context.and_then(UserContext::issued_at));
    }

    /// It lives on by a fresh token of the same user: the later of the two counts.
    pub fn renew(&self, fresh: &UserContext) {
        self.issued.set(self.issued.get().max(fresh.issued_at()));
    }

    /// When its context was issued, where that is known.
    #[must_use]
    pub fn issued(&self) -> Option<SystemTime> {
        self.issued.get()
    }

    /// The client is served by another factory: it has named a user, or nobody any more.
    pub fn change_factory(&self, to: &Rc<Factory>) {
        if let Some(Who::Client { factory, .. }) = &mut *self.who.borrow_mut() {
            *factory = Rc::clone(to);
        }
    }

    /// Who it is; none before the session has begun.
    #[must_use]
    pub fn who(&self) -> Ref<'_, Option<Who>> {
        self.who.borrow()
    }

    /// Since when it is there.
    #[must_use]
    pub fn since(&self) -> Option<Instant> {
        self.since.get()
    }

    /// A piece of work begins.
    pub fn begin(&self, at: ExecutionState, now: Instant) {
        self.began.set(Some(now));
        self.advance(at);
    }

    /// It has come to this state.
    pub fn advance(&self, to: ExecutionState) {
        self.work.set(Some(to));
        if to == ExecutionState::Running {
            self.in_transaction.set(true);
        }
    }

    /// It has ended. The transaction may still be open, where that was an error.
    pub fn end(&self) {
        self.work.set(None);
    }

    /// No transaction is open.
    pub fn rest(&self) {
        self.in_transaction.set(false);
    }

    /// It has a server connection with this process id.
    pub fn hold(&self, process_id: Option<i32>) {
        self.server.set(Some(process_id.unwrap_or_default()));
    }

    /// It has none.
    pub fn let_go(&self) {
        self.server.set(None);
        self.in_transaction.set(false);
    }

    /// The piece of work under way, and since when.
    #[must_use]
    pub fn work(&self) -> Option<(ExecutionState, Instant)> {
        self.work.get().zip(self.began.get())
    }

    /// The process id of its server connection, where it has one and the server gave one.
    #[must_use]
    pub fn server(&self) -> Option<i32> {
        self.server.get().filter(|id| *id != 0)
    }

    /// What it is doing.
    #[must_use]
    pub fn doing(&self) -> Doing {
        match self.work.get() {
            Some(ExecutionState::Pending | ExecutionState::Starting) => Doing::Waiting,
            _ if self.server.get().is_none() => Doing::Idle,
            _ if self.in_transaction.get() => Doing::Active,
            _ => Doing::Holding,
        }
    }

    /// Whether a server connection is under way with a transaction of it, or is being made ready for one.
    #[must_use]
    pub fn keeps_busy(&self) -> bool {
        self.doing() == Doing::Active || self.work.get() == Some(ExecutionState::Starting)
    }
}

impl Who {
    /// The entry's name.
    #[must_use]
    pub fn upstream(&self) -> &Arc<str> {
        match self {
            Self::Client { factory, .. } => &factory.key.upstream,
            Self::Socket { upstream, .. } => upstream,
        }
    }

    /// The user, where there is one.
    #[must_use]
    pub fn user(&self) -> Option<&UserId> {
        match self {
            Self::Client { factory, .. } => factory.key.owner.user(),
            Self::Socket { user, .. } => user.as_ref(),
        }
    }

    /// What the client calls itself.
    #[must_use]
    pub fn application(&self) -> Option<&str> {
        match self {
            Self::Client { startup, .. } => match startup.get("application_name") {
                Some(Value::Text(name)) => Some(name),
                _ => None,
            },
            Self::Socket { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_does_is_read_off_its_work_and_its_server() {
        let (badge, now) = (Badge::default(), Instant::now());
        assert_eq!(badge.doing(), Doing::Idle);
        badge.begin(ExecutionState::Pending, now);
        assert_eq!(badge.doing(), Doing::Waiting);
        assert!(!badge.keeps_busy(), "it has nothing yet");
        badge.advance(ExecutionState::Starting);
        assert!(badge.keeps_busy());
        badge.advance(ExecutionState::Running);
        badge.hold(None);
        assert_eq!((badge.doing(), badge.server()), (Doing::Active, None));
        // An error in a transaction ends the work, and not the transaction.
        badge.end();
        assert_eq!((badge.doing(), badge.work()), (Doing::Active, None));
        badge.rest();
        assert_eq!(badge.doing(), Doing::Holding);
        assert!(!badge.keeps_busy());
        badge.let_go();
        assert_eq!(badge.doing(), Doing::Idle);
    }
}
