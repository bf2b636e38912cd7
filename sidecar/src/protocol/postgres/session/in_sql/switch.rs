//! From one user to the next: verified, at home on the user's worker, and back to nobody when what was said is over.

use std::rc::Rc;

use bulkhead_crds::kinds::SqlScope;

use super::super::super::error_response::{ErrorResponse, SqlState};
use super::super::super::statement_text::{Lasts, Name};
use super::super::baseline::Settings;
use super::super::clocks::Clocks;
use super::super::statements::Change;
use super::super::{Ending, Session, login};
use super::naming::Switch;
use super::{InSql, Who};
use crate::breaker::users::Attempt;
use crate::factory::key::{FactoryKey, Owner};
use crate::identity::{Presented, Rejection, UserContext};
use crate::telemetry::SwitchOutcome;
use crate::worker::kills::Moment;
use crate::worker::{Signal, TooManyUsers};

impl Session {
    /// Makes the switch that the client has asked for.
    ///
    /// # Errors
    /// The session goes on with the user's worker; or the sidecar stops meanwhile.
    pub(in super::super) async fn switch(&mut self) -> Result<(), Ending> {
        let switch = self.in_sql.as_deref_mut().and_then(|it| it.switch.take());
        let Some(switch) = switch else {
            return Ok(());
        };
        self.renew_force();
        if self.force.in_sql().is_none() {
            self.refuse_switch(&switch, self.not_in_sql_error());
            return Ok(());
        }
        let presented = self.worker.process.kills.now();
        let handle = Rc::clone(&self.handle);
        let interrupted = std::future::poll_fn(|cx| handle.poll_interrupted(cx));
        let verified = tokio::select! {
            biased;
            verified = self.verify(&switch) => verified,
            signal = interrupted => return match signal {
                Signal::Cancel | Signal::RunOver => {
                    self.refuse_switch(&switch, cancelled());
                    Ok(())
                }
                signal => Err(self.ended_by(signal)),
            },
        };
        match self.recorded(verified) {
            Ok(context) => self.go_to(context, switch, presented),
            Err(rejection) => {
                let metrics = &self.worker.process.metrics;
                metrics.identity_rejection(rejection.reason);
                let error = self.rejection_error(&rejection);
                self.refuse_switch(&switch, error);
                Ok(())
            }
        }
    }

    async fn verify(&self, switch: &Switch) -> Result<UserContext, Rejection> {
        let value = Some(switch.value.expose());
        let presented = match switch.name {
            Name::Context => Presented {
                token: value,
                user: None,
            },
            Name::User | Name::Setting => Presented {
                token: None,
                user: value,
            },
        };
        let live = &self.worker.process.live;
        self.force.verifier.verify_live(&presented, live).await
    }

    /// What has become of the switch, where that can be recorded.
    fn recorded(&self, verified: Result<UserContext, Rejection>) -> Result<UserContext, Rejection> {
        let trail = &self.entry.trail;
        let context = verified.inspect_err(|rejection| trail.refused(rejection))?;
        match trail.accepted(&Owner::User(context.user_id().clone())) {
            Ok(()) => Ok(context),
            Err(_) => Err(Rejection::unrecorded(&self.force.policy)),
        }
    }

    /// A switch that fails leaves the client nobody, never who it was before.
    fn refuse_switch(&mut self, switch: &Switch, error: ErrorResponse) {
        self.count_switch(SwitchOutcome::Refused);
        self.become_nobody();
        self.fail_locally(&error, switch.reply.is_simple());
    }

    fn go_to(
        &mut self,
        context: UserContext,
        switch: Box<Switch>,
        presented: Moment,
    ) -> Result<(), Ending> {
        let workers = self.worker.process.workers();
        let owner = Owner::User(context.user_id().clone());
        if owner.home(workers, self.worker.index) == self.worker.index {
            self.count_switch(SwitchOutcome::Here);
            self.take_user(context, &switch, &presented);
            return Ok(());
        }
        self.count_switch(SwitchOutcome::Moved);
        self.become_nobody();
        Err(Ending::Moves(Box::new(
            self.pack(context, switch, presented),
        )))
    }

    /// The client works for this user from here on, which it has said at the moment `presented`.
    pub(super) fn take_user(&mut self, context: UserContext, switch: &Switch, presented: &Moment) {
        let owner = Owner::User(context.user_id().clone());
        if self.factory.key.owner != owner {
            self.become_nobody();
            if self.join(owner).is_err() {
                let error = login::too_many_users(&self.force);
                self.refuse_switch(switch, error);
                return;
            }
            if let Some(in_sql) = self.in_sql.as_deref_mut() {
                in_sql.baseline = Rc::clone(&self.baseline);
            }
            self.set_baseline(Settings::clone(&self.baseline));
        }
        self.worker
            .end_if_over(&self.handle, Some(&context), presented);
        self.socket = self.worker.join_socket(&context, &self.handle);
        self.context = Some(context);
        let scope = self.force.in_sql().unwrap_or(SqlScope::Transaction);
        if let Some(in_sql) = self.in_sql.as_deref_mut() {
            let lasts = match switch.lasts {
                Lasts::Transaction => SqlScope::Transaction,
                Lasts::Scope => scope,
            };
            in_sql.worked = false;
            in_sql.who = Who::User {
                lasts,
                fresh: in_sql.begun.is_some(),
            };
        }
        self.answer_naming(&switch.form, switch.reply, switch.value.expose());
    }

    /// The client works for nobody from here on. What it holds of a server's is closed: that was one user's, and state may be left.
    pub(super) fn become_nobody(&mut self) {
        let Some(in_sql) = self.in_sql.as_deref_mut() else {
            return;
        };
        in_sql.reset = false;
        if in_sql.is_nobody() {
            return;
        }
        in_sql.who = Who::Nobody;
        let owner = InSql::nobody(in_sql.strict);
        let baseline = Settings::clone(&in_sql.baseline);
        if self.server.take().is_some() {
            self.handle.badge.let_go();
            self.clocks = Clocks::default();
            self.wind();
        }
        self.let_go_of_session();
        self.context = None;
        self.socket = None;
        // There is no limit to nobodies.
        let _ = self.join(owner);
        self.set_baseline(baseline);
    }

    /// Nothing ties the client to a server connection any more.
    fn let_go_of_session(&mut self) {
        self.pinned = false;
        self.parameters_pinned = false;
        self.reassert = false;
        self.bound = None;
    }

    /// Leaves one factory for another of the same database and role.
    fn join(&mut self, owner: Owner) -> Result<(), TooManyUsers> {
        let key = FactoryKey {
            owner,
            ..FactoryKey::clone(&self.factory.key)
        };
        let factory = self.worker.admit(&self.entry, key)?;
        let left = std::mem::replace(&mut self.factory, factory);
        self.handle.badge.change_factory(&self.factory);
        // What was said to the one user is not said to the next.
        self.handle.withdraw(Signal::Killed);
        self.handle.withdraw(Signal::Revoked);
        let ledger = self.worker.ledger(&self.factory.key.owner);
        self.statements.move_to(ledger);
        self.attempt = Attempt::default();
        self.worker.dismiss(&self.entry, &left);
        if let Some(super::super::baseline::Value::Text(name)) =
            self.startup.get("application_name")
        {
            self.factory.activity.note_application(name);
        }
        Ok(())
    }

    /// A transaction is over that no server knew of, or whose server has gone.
    pub(in super::super) fn transaction_is_over(&mut self, rolled_back: bool) {
        let Some(in_sql) = self.in_sql.as_deref_mut() else {
            return;
        };
        in_sql.rolled_back = rolled_back;
        in_sql.pending.clear();
        let ends = in_sql.ends_with_transaction();
        in_sql.end_transaction();
        if ends {
            self.become_nobody();
        }
    }

    /// A transaction on a server has been answered to its end: whether what the client has said is over with it.
    pub(in super::super) fn naming_ends(&self) -> bool {
        let in_sql = self.in_sql.as_deref();
        in_sql.is_some_and(|in_sql| in_sql.worked && in_sql.ends_with_transaction())
    }

    /// The server connection has been given back, or stays where the client has said it once and for all.
    pub(in super::super) fn after_transaction(&mut self, ends: bool) {
        let Some(in_sql) = self.in_sql.as_deref_mut() else {
            return;
        };
        in_sql.worked = false;
        let pending = std::mem::take(&mut in_sql.pending);
        let committed = !in_sql.rolled_back;
        in_sql.end_transaction();
        if ends {
            self.become_nobody();
        } else if self.is_unidentified() {
            self.let_go_of_session();
            for change in pending.into_iter().filter(|_| committed) {
                if let Some(baseline) = self.changed_baseline(&change) {
                    self.set_baseline(baseline);
                }
            }
        }
    }

    /// How the last transaction ended, by its command tag.
    pub(in super::super) fn note_transaction_end(&mut self, rolled_back: bool) {
        if let Some(in_sql) = self.in_sql.as_deref_mut() {
            in_sql.rolled_back = rolled_back;
        }
    }

    /// RESET ALL or DISCARD ALL has been carried out by a server: it takes the user with it.
    pub(in super::super) fn note_reset(&mut self) {
        let startup = Rc::clone(&self.startup);
        if let Some(in_sql) = self.in_sql.as_deref_mut() {
            in_sql.reset = true;
            in_sql.baseline = startup;
        }
    }

    fn count_switch(&self, outcome: SwitchOutcome) {
        self.entry.metrics.user_switch(outcome);
    }
}

impl InSql {
    /// Nobody has set a parameter inside of a transaction.
    pub(in super::super) fn keep(&mut self, change: Change) {
        self.pending.push(change);
    }

    fn end_transaction(&mut self) {
        self.rolled_back = false;
        if let Who::User { fresh, .. } = &mut self.who {
            *fresh = false;
        }
    }
}

fn cancelled() -> ErrorResponse {
    ErrorResponse::error(
        SqlState::QUERY_CANCELED,
        "canceling statement due to user request: it was waiting for the keys of the user context's issuer",
    )
}
