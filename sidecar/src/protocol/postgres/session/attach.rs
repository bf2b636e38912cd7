//! Where a session waits for a server connection.

use std::rc::Rc;

use super::super::error_response::{ErrorResponse, Severity, SqlState};
use super::{Ending, Session};
use crate::breaker::users::Attempt;
use crate::execution::ExecutionState;
use crate::factory::checkout::Checkout;
use crate::factory::server::Owned;
use crate::force::DatabaseForce;
use crate::work::Work;
use crate::worker::Signal;

/// Whether a session has got a server connection without waiting.
pub(super) enum Attached {
    /// It has.
    Yes,
    /// It must wait: for a connection, or for what the one that was found must be told first.
    NotYet(Option<Owned>),
    /// The one that stays with it must be asked for another tenure first, or must wait for the end of a pause.
    Held(Owned),
}

impl Session {
    /// The common case of [`Session::attach`]: an idle connection of this user's, as this client's work must find it.
    pub(super) fn attach_at_once(&mut self) -> Attached {
        self.renew_force();
        if let Some(owned) = self.server.take() {
            return Attached::Held(owned);
        }
        let paused = self.entry.steering.is_paused();
        if paused || self.context_is_over() || self.breaker_concerns() {
            return Attached::NotYet(None);
        }
        let (checkout, force, work) = self.checkout();
        let Some(mut owned) = checkout.idle(force, work) else {
            return Attached::NotYet(None);
        };
        let now = &owned.server.backend.now;
        if !now
            .as_ref()
            .is_some_and(|now| Rc::ptr_eq(now, &self.wanted))
            || self.lacks_tenure(&owned.server)
        {
            return Attached::NotYet(Some(owned));
        }
        self.say_user(&mut owned.server);
        self.take_server(owned);
        self.attempt = Attempt::default();
        Attached::Yes
    }

    /// Gets the client's next message a server connection, or answers it with the reason why not. `found`: one that
    /// [`Session::attach_at_once`] has taken.
    ///
    /// # Errors
    /// The session's end, where the sidecar stops meanwhile.
    pub(super) async fn attach(&mut self, found: Option<Owned>) -> Result<(), Ending> {
        if let Err(error) = self.pass_breaker() {
            self.refuse_work(&error);
            return Ok(());
        }
        let handle = Rc::clone(&self.handle);
        let interrupted = std::future::poll_fn(|cx| handle.poll_interrupted(cx));
        let outcome = tokio::select! {
            biased;
            outcome = self.acquire(found) => outcome,
            signal = interrupted => Err(self.interrupted(signal)?),
        };
        if let Err(error) = outcome {
            self.refuse_waiting(&error);
        }
        Ok(())
    }

    /// What ends a wait for a server connection: an error for the client, or its session.
    pub(super) fn interrupted(&mut self, signal: Signal) -> Result<Box<ErrorResponse>, Ending> {
        match signal {
            Signal::Cancel => {
                drop(self.handle.take_cancellers());
                Ok(Box::new(cancelled_while_waiting()))
            }
            Signal::RunOver => Ok(Box::new(
                self.run_over_error()
                    .unwrap_or_else(cancelled_while_waiting),
            )),
            Signal::Lost => Err(self.socket_lost()),
            Signal::Killed => Err(self.killed()),
            Signal::Revoked => Err(self.revoked()),
            _ => Err(Ending::drained()),
        }
    }

    /// Asks the connection that stays with the client for another tenure, once nothing is paused.
    ///
    /// # Errors
    /// The session's end, where it has not answered: another connection would not be what the client has made of this one.
    pub(super) async fn attach_again(&mut self, mut held: Owned) -> Result<(), Ending> {
        if self.entry.steering.is_paused() {
            return self.wait_with(held).await;
        }
        if let Err(error) = self.begin_tenure(&mut held.server).await {
            self.work.end(ExecutionState::Failed);
            return Err(Ending::Fatal(Box::new(ErrorResponse {
                severity: Severity::Fatal,
                ..*error
            })));
        }
        self.server = Some(held);
        self.assert_user_again();
        Ok(())
    }

    /// Takes a server connection whose session is what this client's work must find.
    ///
    /// # Errors
    /// What the client is told.
    pub(super) async fn acquire(&mut self, found: Option<Owned>) -> Result<(), Box<ErrorResponse>> {
        self.renew_force();
        self.check_context()?;
        let mut owned = match found {
            Some(owned) => {
                self.wait_for_resume().await?;
                owned
            }
            None => self.check_out().await?,
        };
        self.prepare(&mut owned).await?;
        self.say_user(&mut owned.server);
        self.work.advance(ExecutionState::Running);
        self.take_server(owned);
        Ok(())
    }

    /// The same at the login: where the connection does not stay, no work follows yet, and nobody is told whose it is.
    ///
    /// # Errors
    /// As [`Session::acquire`].
    pub(super) async fn acquire_for_greeting(&mut self) -> Result<(), Box<ErrorResponse>> {
        if self.is_pinned() {
            return self.acquire(None).await;
        }
        self.renew_force();
        self.check_context()?;
        let mut owned = self.check_out().await?;
        self.prepare(&mut owned).await?;
        self.work.advance(ExecutionState::Running);
        self.take_server(owned);
        Ok(())
    }

    fn take_server(&mut self, owned: Owned) {
        self.handle.badge.hold(owned.server.backend.process_id);
        self.server = Some(owned);
        self.send_begun();
    }

    /// How a server connection is checked out, under which revision and for which work.
    fn checkout(&mut self) -> (Checkout<'_>, &DatabaseForce, &mut Work) {
        let checkout = Checkout {
            worker: &self.worker,
            entry: &self.entry,
            factory: &self.factory,
            wanted: Some(&self.wanted),
        };
        (checkout, &self.force, &mut self.work)
    }

    async fn check_out(&mut self) -> Result<Owned, Box<ErrorResponse>> {
        let (checkout, force, work) = self.checkout();
        let outcome = checkout.begin(force, work).await;
        outcome.map_err(|error| self.checkout_error(&error))
    }
}

fn cancelled_while_waiting() -> ErrorResponse {
    ErrorResponse::error(
        SqlState::QUERY_CANCELED,
        "canceling statement due to user request: it was waiting for a server connection",
    )
}
