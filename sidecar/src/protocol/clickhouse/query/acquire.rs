//! What a query waits for: a breaker that lets it pass, a server connection, and a user who is still one.

use tokio::time::Instant;

use super::super::ask::Knows;
use super::super::error::{Code, Exception};
use super::super::identity;
use super::Query;
use crate::execution::ExecutionState;
use crate::factory::checkout::Checkout;
use crate::factory::server::Owned;
use crate::identity::RejectionReason;
use crate::telemetry::TimeoutKind;
use crate::worker::has_expired;

impl Query {
    /// A server connection, and what its server knows.
    pub(super) async fn acquire(&mut self) -> Result<(Owned, Knows), Exception> {
        self.pass_breaker()?;
        let mut owned = self.check_out().await?;
        self.check_context()?;
        let epoch = owned.server.epoch;
        let knowledge = &self.entry.knowledge;
        if let Some(knows) = knowledge.of(epoch) {
            return Ok((owned, knows));
        }
        let stream = &mut owned.server.stream;
        let found = knowledge.find_out(stream, &self.force, &self.account, epoch);
        match found.await {
            Ok((knows, true)) => Ok((owned, knows)),
            // The server closes connections after each answer: the next one begins with the query.
            Ok((knows, false)) => {
                drop(owned);
                let owned = self.check_out().await?;
                Ok((owned, knows))
            }
            Err(error) => {
                let message = format!("{}: {error}", self.force.connector.endpoint());
                Err(Exception::new(Code::NetworkError, message))
            }
        }
    }

    async fn check_out(&mut self) -> Result<Owned, Exception> {
        let checkout = Checkout {
            worker: &self.worker,
            entry: &self.entry,
            factory: &self.factory,
            wanted: None,
        };
        match checkout.begin(&self.force, &mut self.work).await {
            Ok(owned) => {
                self.work.advance(ExecutionState::Running);
                Ok(owned)
            }
            Err(error) => Err(self.checkout_error(&error)),
        }
    }

    /// Nothing begins under a context that has ended meanwhile, or for a user who is cut off.
    fn check_context(&self) -> Result<(), Exception> {
        if let Some(revoked) = self.revocation() {
            return Err(revoked);
        }
        if !has_expired(self.context.as_ref(), self.socket.as_ref()) {
            return Ok(());
        }
        let source = self.force.policy.identity.source;
        let hint = identity::hint(RejectionReason::Expired, source);
        let message = "the user context of this request has expired while it waited";
        Err(Exception::new(Code::AuthenticationFailed, message).with_hint(hint))
    }

    /// As a probe, where the user's breaker is half open.
    fn pass_breaker(&mut self) -> Result<(), Exception> {
        let (force, owner) = (&self.force, &self.factory.key.owner);
        let (limits, enforces) = (&force.settings.breaker, force.enforces());
        let breakers = &self.entry.user_breakers;
        let passed = breakers.admit(owner, limits, enforces, Instant::now());
        self.attempt = passed.map_err(|refused| super::refusals::broken(force, refused))?;
        Ok(())
    }

    /// A clock has run out.
    pub(in super::super) fn count_timeout(&mut self, kind: TimeoutKind) {
        self.entry.timed_out(kind, Some(&self.factory.key.owner));
        self.factory.activity.count_timeout();
        let (owner, limits) = (&self.factory.key.owner, &self.force.settings.breaker);
        let breakers = &self.entry.user_breakers;
        breakers.timed_out(owner, kind, &mut self.attempt, limits);
    }
}
