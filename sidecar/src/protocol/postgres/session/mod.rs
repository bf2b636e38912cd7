//! A client's session: from its login to its end, transaction by transaction.
//!
//! ```text
//! login → ┌ client: what it sends ─→ checkout (between transactions) ─→ server
//!         └ server: what it answers ─→ client ─→ release (at ReadyForQuery 'I')      → finish
//! ```
//!
//! [`Session::run`] is the loop; [`client`] and [`extended`] read one side, [`server`] the other, and neither waits;
//! [`hold`] says when the client's messages do. `fixed` refuses what the policy does not let clients set; [`in_sql`] is for clients that
//! say in SQL who they work for.
//!
//! `begin` says what must hold before work begins; [`attach`] is where a session waits for a server connection, `prepare` makes that what
//! the work must find, [`signed`] proves to it whose it is, and `refused` is for work that gets none. [`breaking`] keeps the user's breaker.
//!
//! `attribution` counts queries by whose work they are, in mode `Audit`.
//!
//! `ready` is where a statement ends, `failure` where it fails; [`clocks`] says what may take how long and [`overdue`] what still reaches a
//! client whose time is over; [`aborted`] answers for a transaction that the sidecar has ended, [`loss`] for a server that has gone,
//! `fail_over` for one that is no longer the right one. `signals` is what others want of the session, `ending` why it ends.

pub mod aborted;
pub mod attach;
mod attribution;
pub mod backend;
pub mod baseline;
mod begin;
mod breaking;
pub mod cancel_key;
pub mod client;
pub mod clocks;
mod ending;
pub mod extended;
mod fail_over;
mod failure;
pub mod finish;
mod fixed;
pub mod greetings;
pub mod hold;
pub mod in_sql;
pub mod login;
pub mod loss;
pub mod overdue;
pub mod parameters;
mod pause;
mod prepare;
mod ready;
mod refused;
pub mod replies;
pub mod restore;
pub mod server;
mod signals;
pub mod signed;
pub mod statements;

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bulkhead_crds::kinds::PoolMode;

use super::error_response::ErrorResponse;
use crate::attribution::Counted;
use crate::breaker::users::Attempt;
use crate::deadline::LazyTimer;
use crate::factory::pool::Factory;
use crate::factory::server::Owned;
use crate::force::DatabaseForce;
use crate::identity::UserContext;
use crate::protocol::postgres::admission::Admitted;
use crate::relay::{Inbox, Outbox};
use crate::stream::Stream;
use crate::work::Work;
use crate::worker::{Entry, Handle, Joined, Place, Signal, Worker};
use aborted::Local;
use attach::Attached;
use backend::Rest;
use baseline::Settings;
use clocks::Clocks;
use ending::Ending;
use hold::Hold;
use in_sql::{InSql, Moving};
use statements::{ClientStatements, Statement};

/// One client's session.
#[derive(Debug)]
pub struct Session {
    worker: Rc<Worker>,
    entry: Rc<Entry>,
    factory: Rc<Factory>,
    handle: Rc<Handle>,
    /// Its place in the worker's list.
    slot: usize,
    /// Where its cancel requests come: the place of its login.
    home: Place,
    /// The revision under which the present work began.
    force: Arc<DatabaseForce>,
    context: Option<UserContext>,
    /// What is kept of a client that may say in SQL who it works for.
    in_sql: Option<Box<InSql>>,
    /// The WebSocket that the work is for, where its context says so.
    socket: Option<Joined>,
    client: Stream,
    inbox: Inbox,
    outbox: Outbox,
    /// What is left of a client's message that is dealt with in pieces.
    rest: Rest,
    /// Why its messages wait, where they do.
    hold: Hold,
    server: Option<Owned>,
    /// How the session holds its server connection: as the policy said at its login.
    mode: PoolMode,
    pinned: bool,
    /// Pinned for its parameters alone: a `RESET ALL` ends that.
    parameters_pinned: bool,
    /// Whether the user parameter may have been reset, and is said again when the transaction is over.
    reassert: bool,
    statements: ClientStatements,
    /// The statement that the client's last Bind named.
    bound: Option<Rc<Statement>>,
    /// What the client has asked for at start-up.
    startup: Rc<Settings>,
    /// The same, with what it has SET since.
    baseline: Rc<Settings>,
    /// The baseline and what the policy adds: what its work must find.
    wanted: Rc<Settings>,
    /// Says who the user is, where the policy names a parameter for it.
    assertion: Option<Rc<[u8]>>,
    local: Local,
    clocks: Clocks,
    /// The piece of work under way, as the metrics show it.
    work: Work,
    /// The transaction under way, where it decides whether the user's breaker closes.
    attempt: Attempt,
    timer: LazyTimer,
    turns: u8,
    /// The last words of a server that has said goodbye and not gone yet.
    lost_words: Option<Box<[u8]>>,
    /// Why it ends as soon as it has no work open, where it does.
    draining: Option<Signal>,
    /// What counts it in the inventory, where one is taken.
    counted: Option<Box<Counted>>,
}

/// Turns of the loop after which the timer is looked at first.
const TURNS_BEFORE_TIMER: u8 = 32;

/// What happened next.
enum Event {
    Client(io::Result<usize>),
    Server(io::Result<usize>),
    /// What the client has sent need not wait any more.
    Resume,
    Deadline,
    Signal(Signal),
}

/// What handling an event leads to.
#[derive(Debug)]
enum Flow {
    /// On to the next event.
    Continue,
    /// The client's next message needs a server connection.
    Attach,
    /// The client has named a user, who must be verified.
    Switch,
}

/// Serves one admitted client to its end.
pub async fn serve(worker: Rc<Worker>, admitted: Box<Admitted>) {
    // The login's future is large and short-lived, the session's small and long-lived: they do not share an allocation. Nor is the session a
    // part of this future, which would have room for it twice: where it comes from, and where it is.
    if let Some(mut session) = Box::pin(login::log_in(worker, admitted)).await {
        let ending = session.run().await;
        Box::pin(finish::finish(session, ending)).await;
    }
}

/// Serves a client that has come to its user's worker, to its end.
pub async fn go_on(worker: Rc<Worker>, moving: Box<Moving>) {
    in_sql::arrive(worker, moving).await;
}

impl Session {
    /// Relays until the session ends.
    async fn run(&mut self) -> Ending {
        loop {
            let event = poll_fn(|cx| self.poll_event(cx)).await;
            let mut flow = self.handle_event(event);
            loop {
                match flow {
                    Ok(Flow::Attach) => {}
                    Ok(Flow::Switch) => {
                        flow = match Box::pin(self.switch()).await {
                            Ok(()) => self.client_bytes(),
                            Err(ending) => Err(ending),
                        };
                        continue;
                    }
                    Ok(Flow::Continue) | Err(_) => break,
                }
                flow = match self.attach_at_once() {
                    Attached::Yes => self.client_bytes(),
                    // A checkout that waits has a large future, which is not part of every session.
                    Attached::NotYet(found) => match Box::pin(self.attach(found)).await {
                        Ok(()) => self.client_bytes(),
                        Err(ending) => Err(ending),
                    },
                    Attached::Held(owned) => match Box::pin(self.attach_again(owned)).await {
                        Ok(()) => self.client_bytes(),
                        Err(ending) => Err(ending),
                    },
                };
            }
            if let Err(ending) = flow {
                return ending;
            }
        }
    }

    fn handle_event(&mut self, event: Event) -> Result<Flow, Ending> {
        match event {
            Event::Client(Ok(0) | Err(_)) => Err(Ending::ClientGone),
            Event::Client(Ok(_)) | Event::Resume => self.client_bytes(),
            Event::Server(Ok(count)) if count > 0 => self.server_bytes(),
            Event::Server(_) => self.server_lost(None),
            Event::Deadline => self.deadline_passed(),
            Event::Signal(signal) => self.signalled(signal),
        }
    }

    /// Writes what is due, then reads whichever side may be read: never one whose bytes the other side has not taken.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some(signal) = self.handle.take(cx) {
            return Poll::Ready(Event::Signal(signal));
        }
        if let Poll::Ready(Err(error)) = self.outbox.poll_flush(&mut self.client, cx) {
            if !self.hold.is_leaving() {
                return Poll::Ready(Event::Client(Err(error)));
            }
            // Who has said goodbye need not hear how their work ends.
            self.outbox.discard();
        }
        let client_takes = self.outbox.is_empty();
        if let Some(signal) = self.draining
            && client_takes
            && self.drain_if_idle().is_err()
        {
            return Poll::Ready(Event::Signal(signal));
        }
        // A side that is always readable must not keep a deadline from being noticed.
        self.turns = self.turns.wrapping_add(1);
        if self.turns.is_multiple_of(TURNS_BEFORE_TIMER) && self.timer.poll_fired(cx).is_ready() {
            return Poll::Ready(Event::Deadline);
        }
        let mut server_takes = true;
        let reads_server = self.reads_server();
        if let Some(owned) = &mut self.server {
            let server = &mut owned.server;
            if let Poll::Ready(Err(error)) = server.outbox.poll_flush(&mut server.stream, cx) {
                return Poll::Ready(Event::Server(Err(error)));
            }
            server_takes = server.outbox.is_empty();
            if (client_takes || reads_server)
                && let Poll::Ready(read) = server.inbox.poll_fill(&mut server.stream, cx)
            {
                return Poll::Ready(Event::Server(read));
            }
        }
        if client_takes && self.may_resume(cx) {
            return Poll::Ready(Event::Resume);
        }
        if server_takes
            && client_takes
            && !self.hold.is_held()
            && let Poll::Ready(read) = self.inbox.poll_fill(&mut self.client, cx)
        {
            return Poll::Ready(Event::Client(read));
        }
        self.timer.poll_fired(cx).map(|()| Event::Deadline)
    }

    /// Whether the server connection stays with this client until its end.
    fn is_pinned(&self) -> bool {
        (self.pinned || self.parameters_pinned || self.mode == PoolMode::Session)
            && !self.is_unidentified()
    }

    /// Whether statement names are the sidecar's: in Session mode the server connection has one client, and they pass, unless the
    /// client may go on to another one with its statements.
    fn renames(&self) -> bool {
        self.mode == PoolMode::Transaction || self.in_sql.is_some()
    }

    /// An error of the sidecar's own, in the place of an answer.
    fn say(&mut self, error: &ErrorResponse) {
        self.factory.activity.count_error();
        error.write(self.outbox.writer());
    }
}

#[cfg(test)]
mod tests;
