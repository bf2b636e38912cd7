//! A socket's session: from the moment at which both sides have upgraded to the end of both.
//!
//! ```text
//! client ─→ inbox ─ walker ─→ application      (up)
//! client ←─ walker ─ inbox ←─ application      (down)
//! ```
//!
//! `Session::run` is the loop; `pump` moves bytes in one direction, `control` deals with control frames, `close` ends a socket with a code,
//! `clocks` says what may take how long and `due` does what is due. Bytes are written from the buffer that they were read into, and a side is not read
//! while the other takes nothing: that is what bounds the memory of a socket.
//!
//! A session whose client has opted in survives its connection: `resuming` keeps the application's messages until they are acknowledged,
//! `whole` holds the client's until they are whole, and `away` is what happens in between two connections.

mod away;
mod clocks;
mod close;
mod control;
mod deliveries;
mod due;
mod following;
mod giving;
mod pump;
mod reading;
mod renewing;
mod resuming;
mod side;
mod spare;
mod whole;

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bulkhead_crds::effective::EffectiveExecution;
use tokio::time::Instant;

use super::codec::{Close, Sender, Walker};
use super::credential::Credential;
use super::entry::SocketEntry;
use super::runs::Runs;
use super::upgraded::Upgraded;
use super::user::UserSockets;
use crate::deadline::LazyTimer;
use crate::force::WebSocketForce;
use crate::identity::{UserContext, UserId};
use crate::telemetry::Initiator;
use crate::worker::badge::Who;
use crate::worker::{Handle, Signal, Worker};
use clocks::{Clocks, Due, expiry};
use close::Ending;
use deliveries::Deliveries;
use reading::Reading;
use renewing::Renewing;
use resuming::Resuming;
use side::{Direction, Side, sides};

/// One socket of one user.
#[derive(Debug)]
pub struct Session {
    worker: Rc<Worker>,
    entry: Rc<SocketEntry>,
    /// The revision under which it was opened, and whose timeouts and size of messages it keeps. How much its user may send is the
    /// revision's that is in force.
    force: Arc<WebSocketForce>,
    user_id: Option<UserId>,
    /// The id that its context token carries.
    id: Option<Arc<str>>,
    user: Rc<UserSockets>,
    handle: Rc<Handle>,
    slot: usize,
    client: Side,
    application: Side,
    /// What it lives by; none without a user.
    credential: Option<Rc<Credential>>,
    /// A fresh token that is being verified.
    renewing: Option<Renewing>,
    clocks: Clocks,
    timer: LazyTimer,
    turns: u8,
    /// When a peer last sent anything.
    read_at: Instant,
    /// Whether a ping of ours has gone whose pong has not come.
    unanswered: bool,
    /// Whether the client's next message has been counted against its user's rate.
    paid: bool,
    /// Since when the client has had more to say than it may.
    slowed: Option<Instant>,
    /// Whether its messages are compressed.
    deflates: bool,
    /// Whether the user's ledger is full and the client takes nothing, so that messages are left out.
    is_full: bool,
    /// Whether the application's message under way is left out.
    leaves_out: bool,
    /// The application's runs, where the policy limits them.
    runs: Option<Box<Runs>>,
    /// The run of the user context.
    run_id: Option<Arc<str>>,
    /// The application's critical events on their way.
    deliveries: Deliveries,
    /// Bytes that stand in the user's ledger for this socket.
    held: usize,
    /// How it will have ended, where the sidecar ends it.
    closing: Option<Ending>,
    /// Which way the first Close frame went, where a peer ends it.
    closed_first: Option<Direction>,
    /// Until when a drain waits for the end of a message.
    drain_limit: Option<Instant>,
    /// What it has beside others where it survives its connection.
    resuming: Option<Box<Resuming>>,
}

/// What happened next.
#[derive(Debug)]
enum Event {
    Due(Due),
    Signal(Signal),
    End(Ending),
}

/// Turns of the loop after which the timer is looked at first.
const TURNS_BEFORE_TIMER: u8 = 32;

/// Serves one socket to its end.
pub async fn serve(worker: Rc<Worker>, entry: Rc<SocketEntry>, upgraded: Box<Upgraded>) {
    let mut session = Session::begin(worker, entry, *upgraded);
    let ending = session.run().await;
    Box::pin(session.finish(ending)).await;
}

impl Session {
    fn begin(worker: Rc<Worker>, entry: Rc<SocketEntry>, upgraded: Upgraded) -> Self {
        let force = entry.force();
        let settings = &force.settings;
        let seat = upgraded.seat.map(super::seat::Seat::take);
        let (user_id, id, number) = seat.map_or((None, None, None), |(user, id, number)| {
            (Some(user), id, Some(number))
        });
        let user = user_id
            .as_ref()
            .map_or_else(Rc::default, |user| entry.user(user));
        let handle = Rc::new(Handle::default());
        handle.badge.show(Who::Socket {
            upstream: Arc::clone(&force.name),
            user: user_id.clone(),
        });
        let credential = upgraded.context.as_ref().map(Credential::of).map(Rc::new);
        user.arrive(number, Rc::clone(&handle), credential.clone());
        let slot = worker.enter_session(Rc::clone(&handle));
        worker.end_if_over(&handle, upgraded.context.as_ref(), &upgraded.presented);
        entry.metrics.clients.connections.inc();
        let now = Instant::now();
        let mut clocks = Clocks::started(now);
        clocks.lifetime = settings
            .max_lifetime
            .map(|age| now + worker.jitter.shorten(age));
        clocks.expires = credential
            .as_deref()
            .and_then(|credential| expiry(credential, settings.expiry_grace));
        let deflates = upgraded.deflates;
        // What is compressed cannot be read.
        let checks_text = settings.validate_utf8 && !deflates;
        let mut down = Reading::new(checks_text);
        if !deflates {
            down = down.looking_for(&force.events);
        }
        let mut runs = None;
        if settings.execution != EffectiveExecution::default() && down.events().is_some() {
            down = down.naming_runs();
            runs = Some(Box::new(Runs::new(settings.execution)));
        }
        let context = upgraded.context.as_ref();
        let run_id = context.and_then(UserContext::run_id).cloned();
        let client = Side::new(
            &worker,
            upgraded.client,
            &upgraded.client_early,
            Walker::new(Sender::Client, Some(settings.message_bytes), deflates),
            Reading::new(checks_text),
        );
        let application = Side::new(
            &worker,
            upgraded.application,
            &upgraded.application_early,
            Walker::new(Sender::Server, None, deflates),
            down,
        );
        let mut session = Self {
            client,
            application,
            worker,
            entry,
            force,
            user_id,
            id,
            user,
            handle,
            slot,
            credential,
            renewing: None,
            clocks,
            timer: LazyTimer::default(),
            turns: 0,
            read_at: now,
            unanswered: false,
            paid: false,
            slowed: None,
            deflates,
            is_full: false,
            leaves_out: false,
            runs,
            run_id,
            deliveries: Deliveries::default(),
            held: 0,
            closing: None,
            closed_first: None,
            drain_limit: None,
            resuming: None,
        };
        if let Some(resumes) = upgraded.resumes {
            session.begin_resuming(resumes.protocol, resumes.lost);
        }
        session
    }

    /// Relays until the socket ends.
    async fn run(&mut self) -> Ending {
        loop {
            let event = poll_fn(|cx| self.poll_event(cx)).await;
            let flow = match event {
                Event::End(ending) => Err(ending),
                Event::Signal(signal) => self.signalled(signal),
                Event::Due(due) => self.due(due),
            };
            if let Err(ending) = flow {
                return ending;
            }
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if let Some(signal) = self.handle.take(cx) {
            return Poll::Ready(Event::Signal(signal));
        }
        // A side that is always readable must not keep a deadline from being noticed.
        self.turns = self.turns.wrapping_add(1);
        if self.turns.is_multiple_of(TURNS_BEFORE_TIMER)
            && let Poll::Ready(due) = self.poll_due(cx)
        {
            return Poll::Ready(Event::Due(due));
        }
        for direction in [Direction::Up, Direction::Down] {
            if let Poll::Ready(ending) = self.poll_pump(direction, cx) {
                return Poll::Ready(Event::End(ending));
            }
        }
        // What the application has said may have to be answered.
        self.answer_ping();
        if !self.application.own.is_empty()
            && let Poll::Ready(ending) = self.poll_pump(Direction::Up, cx)
        {
            return Poll::Ready(Event::End(ending));
        }
        if self.poll_renewed(cx)
            && let Poll::Ready(ending) = self.poll_pump(Direction::Down, cx)
        {
            return Poll::Ready(Event::End(ending));
        }
        self.account();
        if let Some(ending) = self.ended() {
            return Poll::Ready(Event::End(ending));
        }
        self.poll_due(cx).map(Event::Due)
    }

    /// Ready when something is due. What has been put off meanwhile is waited for anew.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<Due> {
        loop {
            let Some((at, due)) = self.clocks.next(&self.force.settings) else {
                self.timer.set(None);
                return Poll::Pending;
            };
            self.timer.set(Some(at));
            std::task::ready!(self.timer.poll_fired(cx));
            if Instant::now() >= at {
                return Poll::Ready(due);
            }
        }
    }

    /// Keeps the user's ledger right.
    fn account(&mut self) {
        let of = |side: &Side| side.inbox.len() + side.own.len();
        let says = self.resuming.as_ref().map_or(0, |it| it.says.len());
        let held = of(&self.client) + of(&self.application) + says;
        if held != self.held {
            self.user.hold(self.held, held);
            self.held = held;
        }
        self.account_kept();
    }

    /// The two peers of a direction: who sends, and who receives.
    const fn sides(&mut self, direction: Direction) -> (&mut Side, &mut Side) {
        sides(&mut self.client, &mut self.application, direction)
    }

    fn signalled(&mut self, signal: Signal) -> Result<(), Ending> {
        match signal {
            Signal::Stop => return Err(self.cut_off()),
            Signal::Drain | Signal::Leave => self.drain(),
            Signal::GiveWay => self.give_way(),
            Signal::Killed => self.killed(),
            Signal::Revoked => self.revoked(),
            Signal::Returned => self.come_back(),
            // Nobody has a cancel key of a WebSocket, and it works for no other one.
            Signal::Cancel | Signal::Lost | Signal::Orphaned | Signal::RunOver => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
