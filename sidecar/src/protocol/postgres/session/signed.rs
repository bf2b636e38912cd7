//! Proving to the server whose a session is, where row-level security asks for a signed user.
//!
//! A claim is made for one tenure of one server session. A tenure begins with an answer that must be waited for: after the dial, after a
//! hand-over, and when the client has discarded it. The claim itself goes ahead of the client's first message, in the same write, at every
//! checkout, because a function may have overwritten it where nobody could see it.

use thiserror::Error;
use tokio::time::Instant;

use super::super::codec::{HEADER_LENGTH, Header};
use super::super::error_response::{ErrorResponse, SqlState};
use super::super::message;
use super::Session;
use super::prepare::push_assertion;
use super::restore::{self, RestoreError};
use crate::factory::server::Server;
use crate::identity::UserId;
use crate::signed::{ASSERT, HELLO, SigningKeys, Tenure, TenureError};

/// What an administrator is told to do.
const INSTALL: &str = "An administrator installs what it needs once in each database: bulkhead-sidecar sql signed-user | psql -v app=ROLE -d DATABASE, then bulkhead.add_key(). See docs/row-level-security.md.";

/// The same where the server can have no tenures, whatever is installed.
const PRIMARY: &str = "Name the primary, or set upstream.targetSessionAttrs to Primary where several servers may be it. See docs/row-level-security.md.";

impl Session {
    /// Whether a claim cannot be made for a connection before it has been asked.
    pub(super) fn lacks_tenure(&self, server: &Server) -> bool {
        let Some((keys, _)) = self.signs() else {
            return false;
        };
        let tenure = server.backend.tenure.as_ref();
        !tenure.is_some_and(|tenure| tenure.serves(keys, Instant::now()))
    }

    /// The same of the connection that stays with the client.
    pub(super) fn held_lacks_tenure(&self) -> bool {
        let owned = self.server.as_ref();
        owned.is_some_and(|owned| self.lacks_tenure(&owned.server))
    }

    /// Asks a connection what a claim for it must say, where that is not known.
    ///
    /// # Errors
    /// What the client is told. The connection is to be closed then.
    pub(super) async fn begin_tenure(&self, server: &mut Server) -> Result<(), Box<ErrorResponse>> {
        let Some((keys, _)) = self.signs() else {
            return Ok(());
        };
        if !self.lacks_tenure(server) {
            return Ok(());
        }
        begin_tenure(server)
            .await
            .map_err(|error| self.untenured(&error))?;
        let tenure = server.backend.tenure.as_ref();
        let shared = tenure.map_or(Ok(()), |tenure| tenure.check(keys));
        shared.map_err(|error| self.unsigned(error))
    }

    /// Says whose the connection is, ahead of the client's own first message and in the same write.
    pub(super) fn sign_user(&self, server: &mut Server) {
        if let Some((keys, user)) = self.signs() {
            push_claim(keys, user, server);
        }
    }

    /// The same on the connection that stays with the client, where the claim would not be good for long.
    pub(super) fn renew_signature(&mut self) {
        let Some(mut owned) = self.server.take() else {
            return;
        };
        let tenure = owned.server.backend.tenure.as_ref();
        if tenure.is_some_and(|tenure| tenure.is_due(Instant::now())) {
            self.sign_user(&mut owned.server);
        }
        self.server = Some(owned);
    }

    /// The server has refused a statement of the sidecar's own: why, where that was a claim.
    pub(super) fn own_refused(&self, header: Header) -> Option<Box<ErrorResponse>> {
        self.signs()?;
        let bytes = self.server.as_ref()?.server.inbox.bytes();
        let body = bytes.get(HEADER_LENGTH..header.message_length())?;
        let said = NoTenure::Refused(restore::message_of(body));
        Some(self.unsigned(said))
    }

    /// The keys and the user, where this session's connections must be told of one.
    fn signs(&self) -> Option<(&SigningKeys, &UserId)> {
        let keys = self.force.signing.as_deref()?;
        Some((keys, self.factory.key.owner.user()?))
    }

    fn untenured(&self, why: &NoTenure) -> Box<ErrorResponse> {
        match why {
            NoTenure::Standby => self.unproven(why, PRIMARY),
            _ => self.unproven(why, INSTALL),
        }
    }

    fn unsigned(&self, why: impl std::fmt::Display) -> Box<ErrorResponse> {
        self.unproven(why, INSTALL)
    }

    fn unproven(&self, why: impl std::fmt::Display, hint: &'static str) -> Box<ErrorResponse> {
        let setting = self.force.name_field("session.rowLevelSecurity", "Signed");
        let message =
            format!("the session's user could not be proven to the server: {why}: {setting}");
        Box::new(ErrorResponse::error(SqlState::CONNECTION_FAILURE, message).with_hint(hint))
    }
}

/// Why a connection has no tenure. It is to be closed then.
#[derive(Debug, Error)]
pub enum NoTenure {
    /// It did not answer.
    #[error(transparent)]
    Asked(#[from] RestoreError),
    /// The server takes no writes.
    #[error("the server is a standby, where no session can begin a tenure")]
    Standby,
    /// The server refused.
    #[error("the server said: {0}")]
    Refused(String),
    /// Its answer is of no use.
    #[error(transparent)]
    Answer(#[from] TenureError),
}

/// What a standby says to the BEGIN READ WRITE of [`HELLO`], and nothing else in that: `feature_not_supported`.
const NO_WRITES: &[u8] = b"0A000";

/// Asks a connection what a claim for it must say, whoever's it will be. Takes at most [`restore::RESTORE_LIMIT`].
///
/// Not cancel safe: a connection on which this was dropped half-way must be closed.
///
/// # Errors
/// See [`NoTenure`].
pub async fn begin_tenure(server: &mut Server) -> Result<(), NoTenure> {
    let deadline = Instant::now() + restore::RESTORE_LIMIT;
    let outcome = restore::run(server, HELLO, deadline).await?;
    if let Some(body) = outcome.error {
        if restore::code_of(&body) == NO_WRITES {
            return Err(NoTenure::Standby);
        }
        return Err(NoTenure::Refused(restore::message_of(&body)));
    }
    let answer = outcome.answer.unwrap_or_default();
    let tenure = Tenure::read(&answer, Instant::now())?;
    server.backend.tenure = Some(Box::new(tenure));
    Ok(())
}

/// A claim that cannot be made is not made: the session then is nobody's, as far as row-level security goes.
fn push_claim(keys: &SigningKeys, user: &UserId, server: &mut Server) {
    let Some(tenure) = &mut server.backend.tenure else {
        return;
    };
    let Ok(claim) = tenure.claim(keys, user.as_str(), Instant::now()) else {
        return;
    };
    let mut query = Vec::with_capacity(2 * claim.len());
    if message::query_with_text(ASSERT.as_bytes(), claim.as_bytes(), &mut query).is_ok() {
        push_assertion(&query, server);
    }
}
