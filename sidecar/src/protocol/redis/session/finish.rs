//! The end of a session: the last word to the client, and the server connection back to where it belongs.

use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout};

use super::super::arrival;
use super::{Ending, Session};
use crate::execution::ExecutionState;
use crate::factory::parking::park;
use crate::stream::Stream;

/// How long a client may take to read its last replies.
const FAREWELL_LIMIT: Duration = Duration::from_secs(1);

/// Ends a session.
pub(super) async fn finish(mut session: Box<Session>, ending: Ending) {
    let inside = session.is_inside_reply();
    // While it is known what the server owes: a connection on which an answer is still to come is nobody's any more.
    session.let_server_go();
    match &ending {
        Ending::ClientGone => session.work.end(ExecutionState::Cancelled),
        // Nothing can be said inside of a reply.
        Ending::Told(line) if !inside => session.fail_pending(line),
        Ending::Told(_) | Ending::Quit | Ending::Renewed => {}
    }
    match ending {
        Ending::Renewed => {
            let flushed = session.flush().await;
            session.leave();
            if flushed {
                session.begin_again();
            }
        }
        ending => {
            if !matches!(ending, Ending::ClientGone) && session.flush().await {
                // A client that has gone meanwhile does not need the end of the stream.
                let _ = timeout(FAREWELL_LIMIT, session.client.shutdown()).await;
            }
            session.leave();
        }
    }
}

impl Session {
    /// Where nothing is owed any more, the work is complete; and the server connection goes back, if nothing keeps it here.
    pub(super) fn release_if_settled(&mut self) {
        let under_way = self.tail.is_some() || self.transaction.is_open();
        if under_way || !self.pending.is_empty() || self.server.is_none() {
            return;
        }
        let now = Instant::now();
        if self.work.is_under_way() {
            self.work.complete();
            self.end_probe();
            self.factory.activity.count_transaction(now);
            self.clocks.command = None;
        }
        if self.stays.is_some() {
            return;
        }
        if let Some(mut owned) = self.server.take() {
            self.handle.badge.let_go();
            let connect = self.force.settings.timeouts.connect;
            let server = &mut owned.server;
            if server.inbox.is_empty() && server.outbox.is_empty() {
                server.note_ready(connect);
                park(&self.entry, &self.factory, owned, now);
            }
        }
    }

    /// The client lets go of its connection: one on which something is under way, or that holds what the next must not find, is closed.
    fn let_server_go(&mut self) {
        self.release_if_settled();
        if self.server.take().is_some() {
            self.handle.badge.let_go();
            self.worker.release_factory(&self.entry, &self.factory);
        }
    }

    async fn flush(&mut self) -> bool {
        let Self { outbox, client, .. } = self;
        let flushed = poll_fn(|cx| outbox.poll_flush(client, cx));
        timeout(FAREWELL_LIMIT, flushed)
            .await
            .is_ok_and(|outcome| outcome.is_ok())
    }

    /// Takes the session out of the worker's lists.
    fn leave(&self) {
        self.worker.leave_session(self.slot);
        self.entry.metrics.clients.seen();
        self.entry.metrics.clients.connections.dec();
        self.worker.dismiss(&self.entry, &self.factory);
    }

    /// The client begins anew, as nobody's: with what it has sent, and what it has chosen if it did not give that up.
    fn begin_again(&mut self) {
        let stream = std::mem::replace(&mut self.client, Stream::Gone);
        let unread = self.inbox.bytes().to_vec();
        let choices = std::mem::take(&mut self.choices);
        spawn_local(arrival::begin_again(
            Rc::clone(&self.worker),
            Rc::clone(&self.entry),
            stream,
            unread,
            choices,
        ));
    }
}
