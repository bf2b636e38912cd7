//! Where a statement of the client's, or one of the sidecar's own, has come to its end: the clocks of what follows, and of a transaction
//! that is rolled back.

use tokio::time::Instant;

use super::super::message::{self, TransactionStatus};
use super::Session;
use super::aborted::Local;
use super::backend::Backend;
use super::clocks;
use super::overdue::Overdue;
use super::replies::Expect;
use crate::execution::ExecutionState;
use crate::telemetry::TimeoutKind;

impl Session {
    /// `ReadyForQuery` has come: a statement is over, and perhaps its transaction.
    pub(super) fn ready(&mut self) {
        let Some(owned) = &mut self.server else {
            return;
        };
        let backend = &owned.server.backend;
        let (status, waits) = (backend.status, backend.replies.client_waits());
        owned
            .server
            .note_ready(self.force.settings.timeouts.connect);
        let now = Instant::now();
        if let Some(began) = self.clocks.statement.take() {
            let took = now.saturating_duration_since(began).as_secs_f64();
            self.entry.metrics.query_seconds.observe(took);
        }
        let open = status != TransactionStatus::Idle;
        if !open {
            self.factory.activity.count_transaction(now);
            self.work.complete();
            self.end_probe();
            if waits {
                self.work.begin(ExecutionState::Running, now);
            }
        }
        self.clocks.copying = false;
        self.clocks.statement = waits.then_some(now);
        self.clocks.silence = (open && !waits && self.local.is_normal()).then_some(now);
        if !open {
            self.clocks.transaction = waits.then_some(now);
        }
        if let Some(overdue) = self.clocks.overdue.take() {
            self.overdue_is_over(overdue, open, waits);
        }
        // Without a tenure the next transaction begins one, and says it then.
        if self.reassert && !open && !waits && self.is_pinned() && !self.held_lacks_tenure() {
            self.assert_user_again();
        }
    }

    /// The statement whose time was over has come to its end: where its answer is not whole, the client is told why.
    pub(super) fn tell_overdue(&mut self) {
        let owed = self.clocks.overdue.as_mut().and_then(Overdue::owed);
        if let Some(error) = owed {
            self.say(&error);
        }
    }

    /// The statement whose time was over has ended. Where that was the transaction's time and it is still open, it is rolled
    /// back, and the client learns at its next message; what it has sent already runs into the cancel first.
    fn overdue_is_over(&mut self, overdue: Overdue, open: bool, waits: bool) {
        if overdue.kind != TimeoutKind::Transaction || !open {
            self.clocks.late = overdue.into_late();
            return;
        }
        let error = clocks::timeout_error(&self.force, overdue.kind);
        if waits {
            self.clocks.overdue = Some(overdue.again(Box::new(error)));
            self.cancel_statement();
        } else {
            self.roll_back();
            self.local = Local::aborted(error);
        }
    }

    /// A statement of the sidecar's own is over. What the client has sent behind it goes on under its own clock.
    pub(super) fn ready_after_own(&mut self) {
        let at_rest = |backend: &Backend| {
            backend.status == TransactionStatus::Idle && !backend.replies.client_waits()
        };
        if self
            .server
            .as_ref()
            .is_some_and(|owned| at_rest(&owned.server.backend))
        {
            self.handle.badge.rest();
        }
        let more = self.server.as_ref();
        let more = more.is_some_and(|owned| !owned.server.backend.replies.client_is_next());
        self.clocks
            .overdue
            .take_if(|overdue| !more && overdue.is_own());
    }

    /// Rolls the transaction back by a statement of the sidecar's own, which the client does not see.
    pub(super) fn roll_back(&mut self) {
        self.clocks.silence = None;
        self.clocks.transaction = None;
        let Some(server) = self.server_mut() else {
            return;
        };
        if server.backend.replies.is_skipping() {
            message::sync(server.outbox.writer());
            server.backend.replies.push_own_sync();
        }
        // In a batch that has not been ended it takes back what the batch has done, where a Sync would commit it.
        let query = message::Query { text: b"ROLLBACK" };
        if query.write(server.outbox.writer()).is_ok() {
            server.backend.replies.push(Expect::Own);
        }
        self.clocks.statement = None;
        // A server that does not even answer a ROLLBACK is not waited for.
        self.clocks.overdue = Some(Overdue::own(Instant::now()));
    }
}
