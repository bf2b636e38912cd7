//! What a client is told whose work gets no server connection, or loses the one that it had: Redis' errors, in one place.
//!
//! The first word is the code that clients tell errors apart by: `ERR` for what is the policy's doing, `UNAVAILABLE` where the server cannot
//! be reached, `TIMEOUT` for a limit that has run out.

use crate::breaker::{Refused, seconds};
use crate::factory::checkout::CheckoutError;
use crate::force::DatabaseForce;
use crate::identity::Rejection;
use crate::telemetry::TimeoutKind;
use crate::worker::dial::name_breaker;

/// No server connection was to be had.
pub(super) fn checkout_line(error: &CheckoutError) -> String {
    match error {
        CheckoutError::Acquire { .. } => format!("TIMEOUT {error}"),
        CheckoutError::Connect(error) => format!("UNAVAILABLE {error}"),
        CheckoutError::Broken(error) => format!("UNAVAILABLE {error}"),
        CheckoutError::Paused { .. } => {
            format!("UNAVAILABLE {error}; nothing was begun, try again")
        }
    }
}

/// The user's breaker is open.
pub(super) fn broken_line(force: &DatabaseForce, refused: Refused) -> String {
    let (failures, window) = name_breaker(force);
    let after = seconds(refused.after);
    format!(
        "ERR the work of this user is refused: {failures} of their commands took too long within {window}; try again in {after} s"
    )
}

/// The policy keeps users' keys apart in another way than when the client's server connection became its own.
pub(super) fn outdated_line(force: &DatabaseForce) -> String {
    let name = &force.name;
    format!(
        "UNAVAILABLE databases[{name}].session.keyPrefix or acl has changed since this connection began; connect again"
    )
}

/// A limit has run out.
pub(super) fn timeout_line(force: &DatabaseForce, kind: TimeoutKind) -> String {
    let setting = force.name_timeout(kind);
    match kind {
        TimeoutKind::Transaction => format!("the transaction took longer than {setting}"),
        TimeoutKind::IdleInTransaction => {
            format!("the client was silent inside a transaction for longer than {setting}")
        }
        _ => format!("the command took longer than {setting}; whether it was done is not known"),
    }
}

/// The server connection has gone.
pub(super) fn lost_line(why: &str) -> String {
    format!("UNAVAILABLE {why}; whether the command was done is not known")
}

/// The user is cut off.
pub(super) fn revoked_line(rejection: &Rejection) -> String {
    format!("NOAUTH {}. {}", rejection.message, rejection.hint)
}

/// The client's context has expired.
pub(super) const EXPIRED: &str =
    "NOAUTH the user context of this connection has expired. AUTH again with a fresh token.";
