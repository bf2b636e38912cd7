//! Where a session waits for a server connection, and makes it suit its client.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::{Instant, timeout};

use super::super::codec::{push_array_header, push_bulk};
use super::super::failure;
use super::super::versions::database_of;
use super::open::isolation_of;
use super::pending::Due;
use super::{Ending, Session};
use crate::execution::ExecutionState;
use crate::factory::checkout::{Checkout, CheckoutError};
use crate::factory::parking::park;
use crate::factory::server::Owned;
use crate::identity::UserContext;
use crate::worker::Joined;

impl Session {
    /// Gets the client's next command a server connection, or answers it with the reason why not.
    ///
    /// # Errors
    /// The session's end, where it is told to end meanwhile.
    pub(super) async fn attach(&mut self) -> Result<(), Ending> {
        self.renew_force();
        if let Err(line) = self.may_begin() {
            return self.refuse_command(&line);
        }
        if !self.entry.steering.is_paused()
            && let Some(owned) = self.take_idle()
        {
            self.take_server(owned);
            return Ok(());
        }
        let handle = Rc::clone(&self.handle);
        let ended = poll_fn(|cx| handle.poll_ended(cx));
        let outcome = tokio::select! {
            biased;
            outcome = self.check_out() => outcome,
            signal = ended => return Err(self.ended_by(signal)),
        };
        match outcome {
            Ok(owned) => {
                self.take_server(owned);
                Ok(())
            }
            Err(line) => {
                self.work.end(ExecutionState::Failed);
                self.refuse_command(&line)
            }
        }
    }

    /// What must hold before work begins: a user who is still one, and a breaker that lets it pass.
    ///
    /// # Errors
    /// The error line for the client.
    pub(super) fn may_begin(&mut self) -> Result<(), String> {
        if let Some(line) = self.revocation() {
            return Err(line);
        }
        if self.context_has_expired() {
            return Err(failure::EXPIRED.to_owned());
        }
        self.pass_breaker()
    }

    /// What the client is told whose user is cut off. The session is told to end as well, a moment later.
    pub(super) fn revocation(&self) -> Option<String> {
        let user = self.factory.key.owner.user()?;
        let issued = self.context.as_ref().and_then(UserContext::issued_at);
        let rejection = self.worker.process.revocations.refusal(user, issued)?;
        Some(failure::revoked_line(&rejection))
    }

    /// New work begins under the revision that is in force now.
    pub(super) fn renew_force(&mut self) {
        if !Arc::ptr_eq(&self.entry.force_now(), &self.force) {
            self.force = self.entry.force();
            self.isolation = isolation_of(&self.force, &self.factory);
        }
    }

    /// A context that has expired begins nothing new, unless the WebSocket lives that it was made for.
    pub(super) fn context_has_expired(&self) -> bool {
        self.context.as_ref().is_some_and(|context| {
            context.expires_at().is_some()
                && !self.socket.as_ref().is_some_and(Joined::is_open)
                && context.is_expired(SystemTime::now())
        })
    }

    fn take_idle(&mut self) -> Option<Owned> {
        let now = Instant::now();
        let epoch = self.entry.epoch_under(&self.force);
        let owned = self.factory.take_idle(now, epoch)?;
        self.work.run(now);
        Some(owned)
    }

    /// What is checked out when a pause begins waits for its end.
    async fn check_out(&mut self) -> Result<Owned, String> {
        loop {
            self.wait_for_resume().await?;
            if let Some(owned) = self.take_idle() {
                return Ok(owned);
            }
            self.work.wait(Instant::now());
            let checkout = Checkout {
                worker: &self.worker,
                entry: &self.entry,
                factory: &self.factory,
                wanted: None,
            };
            match checkout.wait().await {
                Ok(owned) if self.entry.steering.is_paused() => {
                    park(&self.entry, &self.factory, owned, Instant::now());
                }
                Ok(owned) => {
                    self.work.run(Instant::now());
                    return Ok(owned);
                }
                Err(CheckoutError::Paused(_)) => {}
                Err(error) => {
                    self.note_checkout_error(&error);
                    return Err(failure::checkout_line(&self.force, &error));
                }
            }
        }
    }

    /// While an operator has paused the upstream nothing begins on it. Waits no longer than for a connection.
    async fn wait_for_resume(&mut self) -> Result<(), String> {
        let steering = Arc::clone(&self.entry.steering);
        if !steering.is_paused() {
            return Ok(());
        }
        self.work.wait(Instant::now());
        let limit = self.force.settings.timeouts.acquire;
        if timeout(limit, steering.resumed()).await.is_ok() {
            return Ok(());
        }
        self.count_acquire_timeout();
        Err(failure::paused_line(&self.force))
    }

    fn take_server(&mut self, mut owned: Owned) {
        self.prepare(&mut owned);
        self.handle.badge.hold(None);
        self.server = Some(owned);
    }

    /// Has the connection in the client's database and version of the protocol before its first command: two commands of the sidecar's own
    /// at the most, in the same flight.
    fn prepare(&mut self, owned: &mut Owned) {
        let server = &mut *owned.server;
        let database = self.database();
        if server.far.resp != self.choices.resp {
            server.far.resp = self.choices.resp;
            let version = [b'0' + self.choices.resp.number()];
            say_own(server.outbox.writer(), &[b"HELLO", &version]);
            self.pending.push(Due::Own);
        }
        if server.far.database != database {
            server.far.database = database;
            say_own(
                server.outbox.writer(),
                &[b"SELECT", database.to_string().as_bytes()],
            );
            self.pending.push(Due::Own);
        }
    }

    /// The logical database that the client works in.
    pub(super) fn database(&self) -> u32 {
        let policys = || database_of(&self.force).parse().unwrap_or(0);
        self.choices.database.unwrap_or_else(policys)
    }
}

fn say_own(out: &mut Vec<u8>, command: &[&[u8]]) {
    push_array_header(out, command.len());
    command.iter().for_each(|argument| push_bulk(out, argument));
}
