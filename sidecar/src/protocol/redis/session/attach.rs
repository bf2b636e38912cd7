//! Where a session waits for a server connection, and makes it suit its client.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::Instant;

use super::super::codec::{push_array_header, push_bulk};
use super::super::failure;
use super::super::per_user::become_users;
use super::super::plan::Isolation;
use super::super::versions::database_of;
use super::open::isolation_of;
use super::pending::Due;
use super::{Ending, Session};
use crate::execution::ExecutionState;
use crate::factory::begin::resumed;
use crate::factory::checkout::{Checkout, CheckoutError};
use crate::factory::server::Owned;
use crate::force::DatabaseForce;
use crate::work::Work;
use crate::worker::has_expired;

impl Session {
    /// Gets the client's next command a server connection, or answers it with the reason why not. One that stays with its client has only to
    /// wait for the end of a pause.
    ///
    /// # Errors
    /// The session's end, where it is told to end meanwhile.
    pub(super) async fn attach(&mut self) -> Result<(), Ending> {
        let kept = self.server.is_some();
        // A connection that is held was made for the revision that it is held under.
        if !kept {
            self.renew_force();
        }
        if let Err(line) = self.may_begin() {
            return self.refuse_command(&line);
        }
        let (checkout, force, work) = self.checkout();
        if !kept
            && !checkout.entry.steering.is_paused()
            && let Some(owned) = checkout.idle(force, work)
            && self.is_theirs(&owned)
        {
            self.take_server(owned);
            return Ok(());
        }
        let handle = Rc::clone(&self.handle);
        let ended = poll_fn(|cx| handle.poll_ended(cx));
        let outcome = tokio::select! {
            biased;
            outcome = self.find_server() => outcome,
            signal = ended => return Err(self.ended_by(signal)),
        };
        match outcome {
            Ok(Some(owned)) => {
                self.take_server(owned);
                Ok(())
            }
            Ok(None) => Ok(()),
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
        if has_expired(self.context.as_ref(), self.socket.as_ref()) {
            return Err(failure::EXPIRED.to_owned());
        }
        self.pass_breaker()
    }

    /// What the client is told whose user is cut off. The session is told to end as well, a moment later.
    pub(super) fn revocation(&self) -> Option<String> {
        let owner = &self.factory.key.owner;
        let rejection = self.worker.revocation(owner, self.context.as_ref())?;
        Some(failure::revoked_line(&rejection))
    }

    /// New work begins under the revision that is in force now.
    pub(super) fn renew_force(&mut self) {
        if !self.is_in_force() {
            self.force = self.entry.force();
            self.isolation = isolation_of(&self.force, &self.factory);
        }
    }

    fn is_in_force(&self) -> bool {
        Arc::ptr_eq(&self.entry.force_now(), &self.force)
    }

    /// Whether the revision in force keeps users' keys apart as this session does. A server connection that is held was made for that.
    pub(super) fn is_isolated_as_before(&self) -> bool {
        self.is_in_force() || isolation_of(&self.entry.force_now(), &self.factory) == self.isolation
    }

    /// How a server connection is checked out, under which revision and for which work.
    fn checkout(&mut self) -> (Checkout<'_>, &DatabaseForce, &mut Work) {
        let checkout = Checkout {
            worker: &self.worker,
            entry: &self.entry,
            factory: &self.factory,
            wanted: None,
        };
        (checkout, &self.force, &mut self.work)
    }

    /// None where it has one already.
    async fn find_server(&mut self) -> Result<Option<Owned>, String> {
        let found = if self.server.is_some() {
            let (checkout, force, work) = self.checkout();
            let resumed = resumed(checkout.entry, force, work).await;
            resumed.map(|()| None)
        } else {
            self.check_out().await.map(Some)
        };
        match &found {
            Ok(Some(_)) => self.work.advance(ExecutionState::Running),
            Ok(None) => self.work.run(Instant::now()),
            Err(error) => self.note_checkout_error(error),
        }
        found.map_err(|error| failure::checkout_line(&error))
    }

    async fn check_out(&mut self) -> Result<Owned, CheckoutError> {
        loop {
            let (checkout, force, work) = self.checkout();
            let owned = checkout.begin(force, work).await?;
            // It was opened under the one that is in force by now.
            self.renew_force();
            if let Some(owned) = self.make_theirs(owned).await? {
                return Ok(owned);
            }
        }
    }

    /// Whether the server takes what comes on this connection for the user's own, where it is to hold them to their keys.
    fn is_theirs(&self, owned: &Owned) -> bool {
        let wanted = self.isolation.as_ref().and_then(Isolation::held_to);
        owned.server.far.held_to.as_ref() == wanted
    }

    /// Makes a connection that has been checked out the user's own. None where it is somebody's already, under another revision of the policy.
    async fn make_theirs(&self, mut owned: Owned) -> Result<Option<Owned>, CheckoutError> {
        if self.is_theirs(&owned) {
            return Ok(Some(owned));
        }
        let wanted = self.isolation.as_ref().and_then(Isolation::held_to);
        let (None, Some(prefix)) = (&owned.server.far.held_to, wanted) else {
            return Ok(None);
        };
        let deadline = Instant::now() + self.force.settings.timeouts.connect;
        let server = &mut owned.server;
        let made = become_users(&self.entry, &self.force, server, prefix, deadline).await;
        made.map(|()| Some(owned)).map_err(CheckoutError::Connect)
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
