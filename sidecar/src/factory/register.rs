//! The server connections of one upstream on one worker, for whoever asks what there is.

use std::cell::{Cell, Ref, RefCell};
use std::rc::Rc;

use slab::Slab as Slots;
use tokio::time::Instant;

use super::key::{FactoryKey, LaneName};
use crate::telemetry::ServerState;

/// All that are open.
#[derive(Debug, Default)]
pub struct Register(RefCell<Slots<Rc<Face>>>);

/// What one connection shows of itself.
#[derive(Debug)]
pub struct Face {
    /// What it has been since it was opened.
    pub opened: Opened,
    state: Cell<ServerState>,
    unused_since: Cell<Instant>,
    owner: RefCell<Option<Rc<FactoryKey>>>,
}

/// What of a connection does not change while it is open.
#[derive(Debug)]
pub struct Opened {
    /// The process id that the server has given.
    pub process_id: Option<i32>,
    /// The database, and the role that the server sees.
    pub lane: LaneName,
    /// Since when it is open.
    pub at: Instant,
    /// The upstream's settings under which it was opened.
    pub epoch: u64,
}

/// A connection's place in the register; left when it is dropped.
#[derive(Debug)]
pub struct Entered {
    register: Rc<Register>,
    slot: usize,
    face: Rc<Face>,
}

impl Register {
    /// Enters a connection, which nobody uses yet.
    #[must_use]
    pub fn enter(self: &Rc<Self>, opened: Opened) -> Entered {
        let face = Rc::new(Face {
            opened,
            state: Cell::new(ServerState::Spare),
            unused_since: Cell::new(Instant::now()),
            owner: RefCell::default(),
        });
        let slot = self.0.borrow_mut().insert(Rc::clone(&face));
        Entered {
            register: Rc::clone(self),
            slot,
            face,
        }
    }

    /// Shows each, in no order.
    pub fn each(&self, mut show: impl FnMut(&Face)) {
        self.0.borrow().iter().for_each(|(_, face)| show(face));
    }
}

impl Face {
    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> ServerState {
        self.state.get()
    }

    /// Since when nobody uses it; none while somebody does.
    #[must_use]
    pub fn unused_since(&self) -> Option<Instant> {
        (self.state.get() != ServerState::Active).then(|| self.unused_since.get())
    }

    /// Whose it is; none of a spare.
    #[must_use]
    pub fn owner(&self) -> Ref<'_, Option<Rc<FactoryKey>>> {
        self.owner.borrow()
    }
}

impl Entered {
    /// It stands otherwise now; unused since then, where it is.
    pub(super) fn show(&self, state: ServerState, unused_since: Instant) {
        self.face.state.set(state);
        self.face.unused_since.set(unused_since);
    }

    pub(super) fn opened_at(&self) -> Instant {
        self.face.opened.at
    }

    /// It has another owner.
    pub(super) fn belongs_to(&self, owner: Option<&Rc<FactoryKey>>) {
        *self.face.owner.borrow_mut() = owner.map(Rc::clone);
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.register.0.borrow_mut().try_remove(self.slot);
    }
}
