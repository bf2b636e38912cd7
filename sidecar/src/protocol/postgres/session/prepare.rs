//! What a server connection is made before a client's work begins on it: its parameters as the client knows them, and whose it is.

use std::rc::Rc;

use tokio::time::Instant;

use super::super::error_response::{ErrorResponse, SqlState};
use super::Session;
use super::baseline::{self, Settings, Value};
use super::refused::server_error;
use super::replies::Expect;
use super::restore;
use crate::factory::server::{Owned, Server};
use crate::force::DatabaseForce;

/// Parameters that are never a client's to carry from one server connection to the next.
const NEVER_BASELINE: [&str; 3] = ["role", "session_authorization", "bulkhead.claim"];

impl Session {
    /// Makes the connection what the client's work must find, but for who the user is, which is said when work begins.
    pub(super) async fn prepare(&mut self, owned: &mut Owned) -> Result<(), Box<ErrorResponse>> {
        self.apply_baseline(&mut owned.server).await?;
        self.begin_tenure(&mut owned.server).await
    }

    /// Applies the client's baseline, by difference; in the common case that is a comparison of two pointers.
    async fn apply_baseline(&self, server: &mut Server) -> Result<(), Box<ErrorResponse>> {
        let sql = match &server.backend.now {
            Some(now) if Rc::ptr_eq(now, &self.wanted) => return Ok(()),
            Some(now) => baseline::difference(&server.backend.start, now, &self.wanted),
            None => baseline::assert_all(&self.wanted),
        };
        if !sql.is_empty() {
            let deadline = Instant::now() + restore::RESTORE_LIMIT;
            let outcome = restore::run(server, &sql, deadline).await;
            let outcome = outcome.map_err(|error| {
                Box::new(ErrorResponse::error(
                    SqlState::CONNECTION_FAILURE,
                    format!(
                        "the connection to databases[{}].upstream could not be prepared: {error}",
                        self.force.name
                    ),
                ))
            })?;
            if let Some(body) = outcome.error {
                return Err(Box::new(server_error(&body)));
            }
        }
        server.backend.now = Some(Rc::clone(&self.wanted));
        Ok(())
    }

    /// Says who the user is, ahead of the client's own first message and in the same write: a function may have changed the user
    /// parameter, or the claim, where nobody could see it.
    pub(super) fn say_user(&self, server: &mut Server) {
        if let Some(assertion) = &self.assertion {
            push_assertion(assertion, server);
        }
        self.sign_user(server);
    }

    /// The same between transactions, on a connection that stays with its client after a RESET, DISCARD ALL or SET.
    pub(super) fn assert_user_again(&mut self) {
        self.reassert = false;
        if let Some(mut owned) = self.server.take() {
            self.say_user(&mut owned.server);
            self.server = Some(owned);
        }
    }

    /// Whether a parameter may be carried from one server connection to the next.
    pub(super) fn may_be_baseline(&self, name: &str) -> bool {
        may_be_baseline(&self.force, name)
    }
}

/// The parameters that the policy gives to every server connection of the entry.
pub(super) fn policy_settings(force: &DatabaseForce) -> Settings {
    let mut settings = Settings::new();
    for (name, value) in force.server_parameters() {
        settings.set(name, Value::Text(value.into()));
    }
    settings
}

/// Whether a parameter may be part of a client's baseline.
#[must_use]
pub fn may_be_baseline(force: &DatabaseForce, name: &str) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    !NEVER_BASELINE.into_iter().any(is) && !force.user_parameters().any(is)
}

pub(super) fn push_assertion(assertion: &[u8], server: &mut Server) {
    server.outbox.push(assertion);
    server.backend.statements.set_unnamed(None);
    server.backend.replies.push(Expect::Own);
}
