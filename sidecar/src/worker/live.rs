//! The sockets of this worker's users, and the database sessions that work for each: what becomes of the work when its socket is lost.
//!
//! ```text
//! seat kept ── token issued ── upgraded ── … ── ended for good
//!              └ database sessions join ……………… └ are told, as isolation.onDisconnect says
//! ```
//!
//! A user's sockets and sessions live on one worker, so this is its plain memory; what logins on other workers must know is in
//! [`LiveSockets`](crate::identity::LiveSockets).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use bulkhead_crds::kinds::OnDisconnect;
use slab::Slab as Slots;

use super::{Handle, Signal, Worker};
use crate::audit::record::Canceller;
use crate::identity::{UserContext, UserId};

/// A socket that is open, or on its way: its token has been issued.
#[derive(Debug)]
pub(super) struct LiveSocket {
    user: UserId,
    open: Cell<bool>,
    /// The sessions that work for it.
    work: RefCell<Slots<Rc<Work>>>,
}

/// A session that works for a socket.
#[derive(Debug)]
struct Work {
    handle: Rc<Handle>,
    /// The run that its context names.
    run_id: Option<Arc<str>>,
    /// Which limit its run has reached; taken when the session has been told.
    over: RefCell<Option<Rc<str>>>,
}

/// A run of the application's that has reached a limit.
#[derive(Clone, Debug)]
pub struct RunOver {
    /// Its id; empty where it has none.
    pub id: Box<str>,
    /// The setting, with its value.
    pub setting: Rc<str>,
}

/// A session's place among those that work for a socket; left when it is dropped.
#[derive(Debug)]
pub struct Joined {
    socket: Rc<LiveSocket>,
    work: Rc<Work>,
    slot: usize,
}

impl Joined {
    /// Whether the socket has not ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.socket.open.get()
    }

    /// The setting that the run has reached, as the session was told ([`Signal::RunOver`]).
    #[must_use]
    pub fn take_run_over(&self) -> Option<Rc<str>> {
        self.work.over.take()
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.socket.work.borrow_mut().try_remove(self.slot);
    }
}

impl Worker {
    /// A socket of a user who lives here is on its way: gives the id that its token carries. None where the system has no randomness to
    /// give; such a socket has no work that could be told from other work.
    #[must_use]
    pub fn open_socket(&self, user: &UserId) -> Option<Arc<str>> {
        let id = self.process.live.open(user);
        let id = id
            .inspect_err(|error| tracing::error!(%error, "a socket has no id"))
            .ok()?;
        let socket = LiveSocket {
            user: user.clone(),
            open: Cell::new(true),
            work: RefCell::default(),
        };
        self.live
            .borrow_mut()
            .insert(Arc::clone(&id), Rc::new(socket));
        Some(id)
    }

    /// A socket has ended, and its client does not come back to it.
    pub fn close_socket(&self, id: &str, on_disconnect: OnDisconnect) {
        self.process.live.close(id);
        let Some(socket) = self.live.borrow_mut().remove(id) else {
            return;
        };
        socket.open.set(false);
        let signal = match on_disconnect {
            OnDisconnect::Cancel => Signal::Lost,
            OnDisconnect::Drain => Signal::Orphaned,
            OnDisconnect::Keep => return,
        };
        for (_, work) in socket.work.borrow().iter() {
            work.handle.send(signal);
            if signal == Signal::Lost {
                self.record_cancel(&work.handle, Canceller::SocketLost);
            }
        }
    }

    /// A run on a socket has reached a limit: the work that belongs to it is told. That is work whose context names the run; and where no
    /// other run is under way on the socket (`alone`), all work that names none.
    pub fn end_run(&self, socket: &str, run: &RunOver, alone: bool) {
        let Some(socket) = self.live.borrow().get(socket).map(Rc::clone) else {
            return;
        };
        for (_, work) in socket.work.borrow().iter() {
            let belongs = work
                .run_id
                .as_ref()
                .map_or(alone, |named| **named == *run.id);
            if belongs {
                *work.over.borrow_mut() = Some(Rc::clone(&run.setting));
                work.handle.send(Signal::RunOver);
                self.record_cancel(&work.handle, Canceller::RunLimit);
            }
        }
    }

    /// A session joins the socket that its context token was made for, if that is open.
    #[must_use]
    pub fn join_socket(&self, context: &UserContext, handle: &Rc<Handle>) -> Option<Joined> {
        let socket = Rc::clone(self.live.borrow().get(context.socket_id()?)?);
        if socket.user != *context.user_id() {
            return None;
        }
        let work = Rc::new(Work {
            handle: Rc::clone(handle),
            run_id: context.run_id().cloned(),
            over: RefCell::default(),
        });
        let slot = socket.work.borrow_mut().insert(Rc::clone(&work));
        Some(Joined { socket, work, slot })
    }
}
