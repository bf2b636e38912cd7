//! The end of a session: the last word to the client, and the server connection back to where it belongs.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_crds::kinds::PoolMode;
use tokio::io::AsyncWriteExt;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout};

use super::restore::{self, RestoreError};
use super::{Ending, Session, fail_over, in_sql};
use crate::execution::ExecutionState;
use crate::factory::cancels::Flight;
use crate::factory::parking::park;
use crate::factory::pool::Factory;
use crate::factory::server::Owned;
use crate::force::DatabaseForce;
use crate::upstream::CancelTarget;
use crate::worker::{Entry, Worker};

/// How long a client may take to read its last message.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);

/// Where a server connection goes when its client lets go of it.
#[derive(Clone, Debug)]
pub(super) struct Home {
    pub(super) worker: Rc<Worker>,
    pub(super) entry: Rc<Entry>,
    pub(super) factory: Rc<Factory>,
    pub(super) force: Arc<DatabaseForce>,
}

/// Ends a session.
pub(super) async fn finish(mut session: Box<Session>, ending: Ending) {
    let ending = match ending.into_moving() {
        Ok(moving) => return in_sql::depart(&session, moving),
        Err(_) if session.is_inside_message() => Ending::CutOff,
        Err(ending) => ending,
    };
    if matches!(ending, Ending::ClientGone) {
        session.work.end(ExecutionState::Cancelled);
    }
    if let Some(owned) = session.server.take() {
        let partial = session.rest.left > 0 && session.rest.forward;
        let (home, keep_state) = (session.home(), session.is_pinned());
        send_home(home, owned, partial, keep_state);
    }
    session.say_farewell(ending).await;
    session.leave();
}

impl Session {
    pub(super) fn home(&self) -> Home {
        Home {
            worker: Rc::clone(&self.worker),
            entry: Rc::clone(&self.entry),
            factory: Rc::clone(&self.factory),
            force: Arc::clone(&self.force),
        }
    }

    /// Whether the client has been given a part of a message.
    fn is_inside_message(&self) -> bool {
        let rest = self.server.as_ref().map(|owned| owned.server.backend.rest);
        rest.is_some_and(|rest| rest.left > 0 && rest.forward)
    }

    async fn say_farewell(&mut self, ending: Ending) {
        match ending {
            Ending::ClientGone | Ending::CutOff | Ending::Moves(_) => return,
            Ending::Fatal(error) => error.write(self.outbox.writer()),
            Ending::ServerFatal(body) => {
                let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
                self.outbox.push(b"E");
                self.outbox.push(&length.to_be_bytes());
                self.outbox.push(&body);
            }
        }
        let Self { outbox, client, .. } = self;
        let flushed = poll_fn(|cx| outbox.poll_flush(client, cx));
        if timeout(FAREWELL_LIMIT, flushed).await.is_ok() {
            // A client that has gone meanwhile does not need the end of the stream.
            let _ = timeout(FAREWELL_LIMIT, client.shutdown()).await;
        }
    }

    /// Takes the session out of the worker's lists.
    fn leave(&self) {
        self.worker.leave_session(self.slot);
        self.worker.leave_home(self.home);
        self.entry.metrics.clients.seen();
        self.entry.metrics.clients.connections.dec();
        self.worker.dismiss(&self.entry, &self.factory);
    }

    /// Gives the server connection back, if the transaction is over and nothing keeps it here.
    pub(super) fn release_if_settled(&mut self) {
        let settled = self.server.as_ref().is_some_and(|owned| {
            let server = &owned.server;
            server.backend.is_idle() && server.inbox.is_empty() && server.outbox.is_empty()
        });
        if !settled || self.rest.left > 0 {
            return;
        }
        let ends = self.naming_ends();
        if self.is_pinned() && !ends {
            return;
        }
        // What a user's session may hold is not given to a client who has named somebody else, not even of the same user.
        let closes = self.pinned || (self.mode == PoolMode::Session && self.is_pinned());
        let unsettled = self.parameters_pinned;
        if let Some(mut owned) = self.server.take() {
            self.handle.badge.let_go();
            self.bound = None;
            self.work.complete();
            if unsettled {
                owned.server.backend.now = None;
            }
            if closes {
                drop(owned);
            } else if owned.server.cancels.is_empty() && !owned.server.doubted {
                park(&self.entry, &self.factory, owned, Instant::now());
            } else {
                send_home(self.home(), owned, false, false);
            }
        }
        self.after_transaction(ends);
    }
}

/// Brings a connection that its client has left back into a known state, and parks it; or closes it. The worker does not end
/// before.
///
/// `partial`: a message to the server was cut off, which nothing can mend. `has_state`: the session holds what the next
/// client must not find.
pub(super) fn send_home(home: Home, owned: Owned, partial: bool, has_state: bool) {
    let errand = home.worker.errands.begin();
    spawn_local(async move {
        take_home(home, owned, partial, has_state).await;
        drop(errand);
    });
}

async fn take_home(home: Home, mut owned: Owned, partial: bool, has_state: bool) {
    if partial {
        // A server notices that its client has gone only when it has something to say: what it runs is ended first.
        cancel_outstanding(&home, &owned);
        owned.server.cancels.settled().await;
        drop(owned);
        home.worker.release_factory(&home.entry, &home.factory);
        return;
    }
    match restore_session(&home, &mut owned, has_state).await {
        Ok(()) => park(&home.entry, &home.factory, owned, Instant::now()),
        Err(error) => {
            tracing::debug!(upstream = %home.force.name, %error, "a server connection could not be reused");
        }
    }
    // The factory may have been kept alive by this connection alone.
    home.worker.release_factory(&home.entry, &home.factory);
}

async fn restore_session(
    home: &Home,
    owned: &mut Owned,
    has_state: bool,
) -> Result<(), RestoreError> {
    // What is discarded below may have changed the session, and nobody looks at it.
    let has_state = has_state || owned.server.backend.replies.is_outstanding();
    cancel_outstanding(home, owned);
    let server = &mut owned.server;
    let deadline = Instant::now() + restore::RESTORE_LIMIT;
    restore::settle(server, deadline).await?;
    server.cancels.settled().await;
    if !server.cancels.is_empty() {
        return Err(RestoreError::cancel_may_come());
    }
    if has_state {
        restore::cleanse(server, deadline).await?;
    } else {
        restore::rollback(server, deadline).await?;
    }
    fail_over::settle_doubt(server, deadline).await
}

/// Sends a cancel request for what the server still runs, if anything.
fn cancel_outstanding(home: &Home, owned: &Owned) {
    let server = &owned.server;
    if server.backend.replies.is_outstanding()
        && let Some(target) = &server.backend.cancel
    {
        let flight = server.cancels.begin(Vec::new());
        send_cancel(&home.force, Arc::clone(target), flight);
    }
}

/// Sends a cancel request on a connection of its own. Until that has closed, a late cancel could hit the next statement, so
/// the server connection gets none before, neither this client's nor anybody's.
pub(super) fn send_cancel(force: &Arc<DatabaseForce>, target: Arc<CancelTarget>, flight: Flight) {
    let force = Arc::clone(force);
    spawn_local(async move {
        let deadline = Instant::now() + restore::RESTORE_LIMIT;
        if let Err(error) = force.connector.cancel(&target, deadline).await {
            tracing::debug!(upstream = %force.name, %error, "a cancel request failed");
            flight.lose();
        }
    });
}
