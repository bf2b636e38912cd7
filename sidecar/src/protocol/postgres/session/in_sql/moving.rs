//! A client moves to the worker of its user: between transactions, with what it has sent and is owed.

use std::rc::Rc;
use std::sync::Arc;

use super::super::baseline::Settings;
use super::super::{Ending, Session, finish};
use super::naming::Switch;
use super::portals::Portals;
use super::{InSql, Who};
use crate::attribution::Counted;
use crate::factory::key::FactoryKey;
use crate::identity::UserContext;
use crate::protocol::postgres::handshake::CancelKey;
use crate::stream::Stream;
use crate::worker::kills::Moment;
use crate::worker::mailbox::Letter;
use crate::worker::{Handle, Place, Worker};

/// A client on its way.
#[derive(Debug)]
pub struct Moving {
    entry: Arc<str>,
    /// The factory of nobody's that it leaves; the one that it joins differs by the owner alone.
    key: FactoryKey,
    context: UserContext,
    /// When it has named the user.
    presented: Moment,
    switch: Box<Switch>,
    client: Stream,
    unread: Vec<u8>,
    unsent: Vec<u8>,
    startup: Settings,
    baseline: Settings,
    statements: Vec<(Vec<u8>, Vec<u8>)>,
    cancel: Option<CancelKey>,
    home: Place,
    setting: Option<Box<str>>,
    strict: bool,
    begun: Option<Box<[u8]>>,
    counted: bool,
    /// What counts it in the inventory.
    inventory: Option<Box<Counted>>,
}

impl Moving {
    /// On which worker the user lives.
    #[must_use]
    pub fn destination(&self, workers: usize) -> usize {
        self.context.user_id().home(workers)
    }
}

impl Session {
    /// Takes out of a session, which has no server, what goes with the client.
    pub(super) fn pack(
        &mut self,
        context: UserContext,
        switch: Box<Switch>,
        presented: Moment,
    ) -> Moving {
        let in_sql = self.in_sql.as_deref_mut();
        let (begun, setting, strict, counted) = in_sql.map_or_else(Default::default, |it| {
            (it.begun.take(), it.setting.take(), it.strict, it.counted)
        });
        let unsent = self.outbox.unsent().to_vec();
        self.outbox.discard();
        let unread = self.inbox.bytes().to_vec();
        self.inbox.consume(unread.len());
        Moving {
            entry: Arc::clone(&self.force.name),
            key: FactoryKey::clone(&self.factory.key),
            context,
            presented,
            switch,
            client: std::mem::replace(&mut self.client, Stream::Gone),
            unread,
            unsent,
            startup: Settings::clone(&self.startup),
            baseline: Settings::clone(&self.baseline),
            statements: self.statements.texts(),
            cancel: self.handle.key().cloned(),
            home: self.home,
            setting,
            strict,
            begun,
            counted,
            inventory: self.counted.take(),
        }
    }
}

/// Serves a client that has come to its user's worker.
pub(in super::super) async fn arrive(worker: Rc<Worker>, moving: Box<Moving>) {
    let Some(mut session) = unpack(&worker, *moving) else {
        return;
    };
    let ending = session.run().await;
    Box::pin(finish::finish(session, ending)).await;
}

fn unpack(worker: &Rc<Worker>, mut moving: Moving) -> Option<Box<Session>> {
    let entry = worker.entry(&moving.entry)?;
    if let Err(error) = moving.client.settle_here() {
        tracing::debug!(%error, "a client's socket could not be moved");
    }
    // Nobody is not limited.
    let factory = worker.admit(&entry, moving.key).ok()?;
    let startup = Rc::new(moving.startup);
    let session = Session::new(worker, &entry, factory, moving.client, startup);
    let mut session = Box::new(session);
    session.in_sql = Some(Box::new(InSql {
        setting: moving.setting,
        strict: moving.strict,
        who: Who::Nobody,
        begun: moving.begun,
        baseline: Rc::clone(&session.baseline),
        portals: Portals::default(),
        switch: None,
        pending: Vec::new(),
        rolled_back: false,
        reset: false,
        worked: false,
        counted: moving.counted,
    }));
    let texts = moving.statements;
    session.statements.take_texts(texts, &worker.interner);
    session.counted = moving.inventory;
    session.set_baseline(moving.baseline);
    session.inbox.preload(&moving.unread);
    session.outbox.push(&moving.unsent);
    session.settle_at(moving.home, moving.cancel);
    entry.metrics.clients.connections.inc();
    session.take_user(moving.context, &moving.switch, &moving.presented);
    session.hold.until_taken();
    Some(session)
}

impl Session {
    /// Enters this worker's list, and tells the worker that the client's cancel key names where it is now.
    fn settle_at(&mut self, home: Place, cancel: Option<CancelKey>) {
        self.home = home;
        if let Some(key) = cancel {
            self.handle.set_key(key);
        }
        let handle: Rc<Handle> = Rc::clone(&self.handle);
        if home.worker == self.worker.index {
            self.worker.come_home(home.slot, handle);
            self.slot = home.slot;
            return;
        }
        self.slot = self.worker.enter_session(handle);
        let now = Place {
            worker: self.worker.index,
            slot: self.slot,
        };
        let letter = Letter::Whereabouts {
            slot: home.slot,
            now,
        };
        self.worker.process.send(home.worker, letter);
    }
}

/// The session has left: its place waits for cancel requests as long as the client lives.
pub(in super::super) fn depart(session: &Session, moving: Box<Moving>) {
    let worker = &session.worker;
    let destination = moving.destination(worker.process.workers());
    worker.send_session_away(session.slot, session.home, destination);
    session.entry.metrics.clients.connections.dec();
    worker.dismiss(&session.entry, &session.factory);
    worker.process.send(destination, Letter::Moving(moving));
}

impl Ending {
    /// Whether the client goes on elsewhere.
    pub(in super::super) fn into_moving(self) -> Result<Box<Moving>, Self> {
        match self {
            Self::Moves(moving) => Ok(moving),
            other => Err(other),
        }
    }
}
