//! Where a session waits for a server connection, and what must hold before work begins on it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::Instant;

use super::super::codec;
use super::super::error_response::{ErrorResponse, Severity, SqlState};
use super::super::message::{self, Field, NoticeFields, TransactionStatus};
use super::aborted::Local;
use super::baseline::{self, Settings, Value};
use super::replies::Expect;
use super::restore;
use super::{Ending, Session};
use crate::execution::ExecutionState;
use crate::factory::checkout::{Checkout, CheckoutError};
use crate::factory::server::{Owned, Server};
use crate::force::DatabaseForce;
use crate::telemetry::{ErrorClass, TimeoutKind};
use crate::upstream::ConnectError;
use crate::worker::{Joined, Signal};

/// Parameters that are never a client's to carry from one server connection to the next.
const NEVER_BASELINE: [&str; 3] = ["role", "session_authorization", "bulkhead.claim"];

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
        if paused || self.context_has_expired() || self.breaker_concerns() {
            return Attached::NotYet(None);
        }
        let Some(mut owned) = self.take_idle() else {
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
            _ => Err(Ending::drained()),
        }
    }

    pub(super) fn refuse_waiting(&mut self, error: &ErrorResponse) {
        self.probe = None;
        self.work.end(match error.code {
            SqlState::QUERY_CANCELED => ExecutionState::Cancelled,
            SqlState::TOO_MANY_CONNECTIONS | SqlState::CANNOT_CONNECT_NOW => {
                ExecutionState::TimedOut
            }
            _ => ExecutionState::Failed,
        });
        self.refuse_work(error);
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
        self.wait_for_resume().await?;
        let mut owned = match found {
            Some(owned) => owned,
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
        self.wait_for_resume().await?;
        let mut owned = self.check_out().await?;
        self.prepare(&mut owned).await?;
        self.work.advance(ExecutionState::Running);
        self.take_server(owned);
        Ok(())
    }

    fn take_idle(&mut self) -> Option<Owned> {
        let now = Instant::now();
        let epoch = self.entry.epoch_under(&self.force);
        let owned = self.factory.take_idle(now, epoch)?;
        self.work.run(now);
        Some(owned)
    }

    fn take_server(&mut self, owned: Owned) {
        self.handle.badge.hold(owned.server.backend.process_id);
        self.server = Some(owned);
        self.send_begun();
    }

    /// What is checked out when a pause begins waits for its end.
    async fn check_out(&mut self) -> Result<Owned, Box<ErrorResponse>> {
        loop {
            if let Some(owned) = self.take_idle() {
                return Ok(owned);
            }
            self.work.wait(Instant::now());
            let checkout = Checkout {
                worker: &self.worker,
                entry: &self.entry,
                factory: &self.factory,
            };
            match checkout.wait().await {
                Ok(owned) if self.entry.steering.is_paused() => {
                    super::finish::park(&self.entry, &self.factory, owned, Instant::now());
                }
                Ok(owned) => {
                    self.work.advance(ExecutionState::Starting);
                    return Ok(owned);
                }
                Err(CheckoutError::Paused(_)) => {}
                Err(error) => return Err(self.checkout_error(&error)),
            }
            self.wait_for_resume().await?;
        }
    }

    /// A transaction begins on a server connection that stays with its client: under the revision in force, and for a user
    /// who is still one.
    pub(super) fn begin_on_held_server(&mut self) -> Result<(), Box<ErrorResponse>> {
        self.renew_force();
        self.check_context()?;
        self.pass_breaker()?;
        if !self.work.is_under_way() {
            self.work.begin(ExecutionState::Running, Instant::now());
        }
        self.renew_signature();
        Ok(())
    }

    /// New work begins under the revision that is in force now.
    pub(super) fn renew_force(&mut self) {
        if !Arc::ptr_eq(&self.entry.force_now(), &self.force) {
            self.force = self.entry.force();
            self.set_baseline(Settings::clone(&self.baseline));
        }
    }

    /// A context that has expired begins nothing new, unless the WebSocket lives that it was made for; a transaction that is open may
    /// finish.
    fn check_context(&self) -> Result<(), Box<ErrorResponse>> {
        if !self.context_has_expired() {
            return Ok(());
        }
        Err(Box::new(
            ErrorResponse::error(
                SqlState::INVALID_AUTHORIZATION,
                "the user context of this connection has expired",
            )
            .with_hint("Connect again with a fresh token: options=-c bulkhead.context=TOKEN."),
        ))
    }

    fn context_has_expired(&self) -> bool {
        self.context.as_ref().is_some_and(|context| {
            context.expires_at().is_some()
                && !self.socket.as_ref().is_some_and(Joined::is_open)
                && context.is_expired(SystemTime::now())
        })
    }

    /// Makes the connection what the client's work must find, but for who the user is, which is said when work begins.
    async fn prepare(&mut self, owned: &mut Owned) -> Result<(), Box<ErrorResponse>> {
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
    fn say_user(&self, server: &mut Server) {
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

    /// Answers the message that wanted a server with an error, and leaves the client where an error leaves it.
    pub(super) fn refuse_work(&mut self, error: &ErrorResponse) {
        let header = codec::peek(self.inbox.bytes()).ok().flatten();
        let Some(header) = header else {
            self.say(error);
            return;
        };
        self.discard(header);
        let simple = matches!(header.tag, b'Q' | b'F');
        if self.in_sql.is_some() {
            self.fail_locally(error, simple);
            return;
        }
        self.say(error);
        if simple {
            message::ready_for_query(TransactionStatus::Idle, self.outbox.writer());
        } else {
            self.local = Local::Skipping;
        }
    }

    fn checkout_error(&self, error: &CheckoutError) -> Box<ErrorResponse> {
        let metrics = &self.entry.metrics;
        let code = match error {
            CheckoutError::Acquire { .. } => {
                metrics.timeout(TimeoutKind::Acquire);
                metrics.error(ErrorClass::Timeout);
                self.factory.activity.count_timeout();
                SqlState::TOO_MANY_CONNECTIONS
            }
            CheckoutError::Connect(ConnectError::Server { fields, .. }) => {
                metrics.error(ErrorClass::Connection);
                return Box::new(server_error(fields.body()));
            }
            CheckoutError::Connect(_) | CheckoutError::Broken(_) | CheckoutError::Paused(_) => {
                metrics.error(ErrorClass::Connection);
                SqlState::UNABLE_TO_CONNECT
            }
        };
        let mut message = error.to_string();
        if let CheckoutError::Connect(ConnectError::DeadlineExceeded { .. }) = error {
            let setting = self.force.name_timeout(TimeoutKind::Connect);
            message = format!("{message}: {setting}");
        }
        Box::new(ErrorResponse::error(code, message))
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

pub(super) fn push_assertion(assertion: &[u8], server: &mut Server) {
    server.outbox.push(assertion);
    server.backend.statements.set_unnamed(None);
    server.backend.replies.push(Expect::Own);
}

fn cancelled_while_waiting() -> ErrorResponse {
    ErrorResponse::error(
        SqlState::QUERY_CANCELED,
        "canceling statement due to user request: it was waiting for a server connection",
    )
}

/// Whether a parameter may be part of a client's baseline.
#[must_use]
pub fn may_be_baseline(force: &DatabaseForce, name: &str) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    !NEVER_BASELINE.into_iter().any(is) && !force.user_parameters().any(is)
}

/// The server's own error, passed on with its code and its words.
fn server_error(body: &[u8]) -> ErrorResponse {
    let fields = NoticeFields::read(body).ok();
    let mut error = server_words(fields);
    for (field, slot) in [
        (Field::Detail, &mut error.detail),
        (Field::Hint, &mut error.hint),
    ] {
        let words = text_of(fields, field);
        if !words.is_empty() {
            *slot = Some(words.into());
        }
    }
    error
}

/// What the server has said, with its code, as an error of this session.
pub(super) fn server_words(fields: Option<NoticeFields<'_>>) -> ErrorResponse {
    let code = fields.and_then(|fields| fields.sqlstate().copied());
    let code = code.map_or(SqlState::CONNECTION_FAILURE, SqlState::new);
    let message = text_of(fields, Field::Message);
    ErrorResponse::error(code, format!("the server said: {message}"))
}

fn text_of(fields: Option<NoticeFields<'_>>, field: Field) -> String {
    let bytes = fields.and_then(|fields| fields.get(field));
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}
