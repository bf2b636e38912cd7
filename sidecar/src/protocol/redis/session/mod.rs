//! A client's session: from its admission to its end, command by command.
//!
//! ```text
//! open → ┌ client: what it sends ─→ attach (a server connection, between transactions) ─→ server
//!        └ server: what it answers ─→ client ─→ release (once nothing is owed)            → finish
//! ```
//!
//! [`Session::run`] is the loop; `client` reads one side (what becomes of a command is told in `judging`, what it means in [`plan`](super::plan);
//! `passing` is how it goes on), `server` the other, and `pending` is what is owed, in order. `effects` is what a command does to the connection, `kept` those that the sidecar answers. `attach` is where a session waits for a server connection. `transaction` is the client's MULTI and
//! WATCH, `clocks` what may take how long, `overdue` what becomes of work whose time is over, `signals` what others want, `finish` the end.

mod attach;
mod breaking;
mod client;
mod clocks;
mod effects;
mod finish;
mod judging;
mod kept;
mod open;
mod overdue;
mod passing;
mod pending;
mod server;
mod signals;
mod transaction;

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use super::admission::Admitted;
use super::client::Choices;
use super::codec::{RequestWalker, Tail};
use super::plan::{Isolation, Plan};
use crate::attribution::Counted;
use crate::breaker::users::Attempt;
use crate::deadline::LazyTimer;
use crate::factory::pool::Factory;
use crate::factory::server::Owned;
use crate::force::DatabaseForce;
use crate::identity::UserContext;
use crate::relay::{Inbox, Outbox};
use crate::stream::Stream;
use crate::work::Work;
use crate::worker::{Entry, Handle, Joined, Signal, Worker};
use clocks::Clocks;
use pending::Pending;
use server::Reading;
use transaction::Transaction;

/// Bytes that stand in wait for a side that does not read, before the other side is not read either. A client may send a pipeline to its
/// end before it reads the first reply, so a side that has something to take does not stop the other at once.
const STANDING: usize = 256 * 1024;

/// Turns of the loop after which the timer is looked at first.
const TURNS_BEFORE_TIMER: u8 = 32;

/// One client's session.
#[derive(Debug)]
pub struct Session {
    worker: Rc<Worker>,
    entry: Rc<Entry>,
    factory: Rc<Factory>,
    handle: Rc<Handle>,
    /// Its place in the worker's list.
    slot: usize,
    /// The revision under which the present work began.
    force: Arc<DatabaseForce>,
    context: Option<UserContext>,
    /// The WebSocket that the work is for, where its context says so.
    socket: Option<Joined>,
    client: Stream,
    inbox: Inbox,
    outbox: Outbox,
    walker: RequestWalker,
    /// The rest of a command that is passed on, or dropped, before it has come whole.
    tail: Option<Passing>,
    choices: Choices,
    /// What keeps the user's keys from others', where the policy says so.
    isolation: Option<Isolation>,
    server: Option<Owned>,
    pending: Pending,
    /// How the reply under way is dealt with.
    reading: Reading,
    transaction: Transaction,
    /// Why the server connection stays with the client until its end.
    stays: Option<Stays>,
    /// What waits until nothing is owed, and keeps the client from being read.
    waits: Option<Waits>,
    /// Whether what the client has sent stands unread because too much is owed.
    crowded: bool,
    clocks: Clocks,
    /// The piece of work under way, as the metrics show it.
    work: Work,
    /// The work under way, where it decides whether the user's breaker closes.
    attempt: Attempt,
    timer: LazyTimer,
    turns: u8,
    /// Why it ends as soon as it has no work open, where it does.
    draining: Option<Signal>,
    /// What counts it in the inventory, where one is taken.
    counted: Option<Box<Counted>>,
}

/// The rest of a command.
#[derive(Debug)]
struct Passing {
    tail: Tail,
    /// How it goes to the server; none: nowhere, because the server has gone or the command was refused.
    plan: Option<Plan>,
}

/// Why a server connection stays with its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stays {
    /// It has subscribed to channels.
    Subscriber,
    /// It is shown what the server does (`MONITOR`): what comes answers nothing.
    Monitor,
    /// A command has been sent that leaves something behind, or that nobody knows.
    State,
}

/// What must wait until nothing is owed.
#[derive(Debug)]
enum Waits {
    /// The client says again who it is: `AUTH` or `HELLO … AUTH`, which stands unread.
    Identity,
    /// The client gives up whom it works for (`RESET`).
    Reset,
    /// The client goes (`QUIT`).
    Quit,
}

/// What happened next.
enum Event {
    Client(io::Result<usize>),
    Server(io::Result<usize>),
    /// What waited need not wait any more.
    Settled,
    Deadline,
    Signal(Signal),
}

/// What handling an event leads to.
#[derive(Debug)]
enum Flow {
    /// On to the next event.
    Continue,
    /// The client's next command needs a server connection.
    Attach,
    /// The client says again who it is.
    Identify,
}

/// Why a session ends.
#[derive(Debug)]
enum Ending {
    /// The client has gone, or is told nothing.
    ClientGone,
    /// The client is told this line for each command that waits, and the connection is closed.
    Told(String),
    /// The client has said goodbye, and was answered.
    Quit,
    /// The client begins again: it has given up whom it worked for, or brings somebody else.
    Renewed,
}

/// Serves one admitted client to its end.
pub async fn serve(worker: Rc<Worker>, admitted: Box<Admitted>) {
    if let Some(mut session) = open::open(worker, *admitted).await {
        let ending = session.run().await;
        Box::pin(finish::finish(session, ending)).await;
    }
}

impl Session {
    /// Relays until the session ends.
    async fn run(&mut self) -> Ending {
        // It may have sent more than what it was admitted by.
        let mut flow = self.client_bytes();
        loop {
            loop {
                flow = match flow {
                    Ok(Flow::Attach) => match Box::pin(self.attach()).await {
                        Ok(()) => self.client_bytes(),
                        Err(ending) => Err(ending),
                    },
                    Ok(Flow::Identify) => match Box::pin(self.identify_again()).await {
                        Ok(()) => self.client_bytes(),
                        Err(ending) => Err(ending),
                    },
                    Ok(Flow::Continue) => break,
                    Err(ending) => return ending,
                };
            }
            self.wind();
            let event = poll_fn(|cx| self.poll_event(cx)).await;
            flow = self.handle_event(event);
        }
    }

    fn handle_event(&mut self, event: Event) -> Result<Flow, Ending> {
        match event {
            Event::Client(Ok(0) | Err(_)) => Err(Ending::ClientGone),
            Event::Client(Ok(_)) | Event::Settled => self.client_bytes(),
            Event::Server(Ok(count)) if count > 0 => self.server_bytes(),
            Event::Server(_) => self.server_lost("the server has closed its connection"),
            Event::Deadline => self.deadline_passed(),
            Event::Signal(signal) => self.signalled(signal),
        }
    }

    /// Writes what is due, then reads whichever side may be read.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some(signal) = self.handle.take(cx) {
            return Poll::Ready(Event::Signal(signal));
        }
        if let Poll::Ready(Err(error)) = self.outbox.poll_flush(&mut self.client, cx) {
            return Poll::Ready(Event::Client(Err(error)));
        }
        if let Some(signal) = self.draining
            && self.is_idle()
        {
            return Poll::Ready(Event::Signal(signal));
        }
        // A side that is always readable must not keep a deadline from being noticed.
        self.turns = self.turns.wrapping_add(1);
        if self.turns.is_multiple_of(TURNS_BEFORE_TIMER) && self.timer.poll_fired(cx).is_ready() {
            return Poll::Ready(Event::Deadline);
        }
        let client_takes = self.outbox.len() < STANDING;
        let mut server_takes = true;
        if let Some(owned) = &mut self.server {
            let server = &mut owned.server;
            if let Poll::Ready(Err(error)) = server.outbox.poll_flush(&mut server.stream, cx) {
                return Poll::Ready(Event::Server(Err(error)));
            }
            server_takes = server.outbox.len() < STANDING;
            if client_takes
                && let Poll::Ready(read) = server.inbox.poll_fill(&mut server.stream, cx)
            {
                return Poll::Ready(Event::Server(read));
            }
        }
        if self.waits.is_some() {
            if self.pending.is_empty() {
                return Poll::Ready(Event::Settled);
            }
        } else if server_takes
            && client_takes
            && !self.crowded
            && let Poll::Ready(read) = self.inbox.poll_fill(&mut self.client, cx)
        {
            return Poll::Ready(Event::Client(read));
        }
        self.timer.poll_fired(cx).map(|()| Event::Deadline)
    }

    /// Whether nothing of the client's is under way.
    fn is_idle(&self) -> bool {
        self.pending.is_empty()
            && !self.transaction.is_open()
            && self.tail.is_none()
            && self.outbox.is_empty()
    }

    /// Tells the client something in its turn: at once where nothing is owed, else behind what is.
    fn say(&mut self, bytes: &[u8]) {
        if self.pending.is_empty() {
            self.outbox.push(bytes);
        } else {
            self.pending.push(pending::Due::Said(bytes.into()));
        }
    }

    /// The same for an error line.
    fn say_error(&mut self, line: &str) {
        self.factory.activity.count_error();
        let mut bytes = Vec::new();
        super::codec::push_error(&mut bytes, line);
        self.say(&bytes);
    }
}
