//! What a client is told that has not said who it works for, or not in a form that is understood.

use super::super::super::arrival::state_of;
use super::super::super::error_response::{ErrorResponse, SqlState};
use super::super::super::statement_text::Hidden;
use super::super::Session;
use super::portals::NoPortal;
use crate::identity::{Rejection, RejectionReason};

impl Session {
    /// Nobody has been named.
    pub(super) fn nobody_error(&self) -> ErrorResponse {
        ErrorResponse::error(
            SqlState::INVALID_AUTHORIZATION,
            "no user context: this connection has not said which end user the statement is for",
        )
        .with_hint(self.how_to_name())
    }

    /// How the policy lets a client name its user.
    fn how_to_name(&self) -> String {
        let setting = self.in_sql.as_deref().and_then(|it| it.setting.as_deref());
        let statement = match setting {
            Some(setting) => format!("SET {setting} = 'ID'"),
            None if self.force.trusts() => "SET bulkhead.user = 'ID'".to_owned(),
            None => "SET bulkhead.context = 'TOKEN'".to_owned(),
        };
        format!(
            "Say it between transactions, or behind BEGIN: {statement}, as a statement of its own."
        )
    }

    /// The user that was named is none.
    pub(super) fn rejection_error(&self, rejection: &Rejection) -> ErrorResponse {
        let state = state_of(rejection.reason);
        let error = ErrorResponse::error(state, rejection.message.clone());
        let way = match rejection.reason {
            RejectionReason::AuditUnavailable => rejection.hint.clone(),
            _ => self.how_to_name(),
        };
        error.with_hint(format!("The connection works for nobody now. {way}"))
    }

    /// A name stands where nobody can say what comes of it.
    pub(super) fn hidden_error(&self, hidden: Hidden) -> ErrorResponse {
        let what = match hidden {
            Hidden::OtherForm => {
                "the statement names a user context, but not in a form that can be followed"
            }
            Hidden::UnicodeEscape => {
                "the statement has a name or a string with Unicode escapes, which could hide a user context"
            }
            Hidden::ComputedName => {
                "the statement calls set_config with a name that is computed, which could be that of a user context"
            }
            Hidden::UpdatesSettings => {
                "the statement changes pg_settings, which could set a user context"
            }
        };
        ErrorResponse::error(SqlState::FEATURE_NOT_SUPPORTED, what).with_hint(self.how_to_name())
    }

    /// A user cannot be named here.
    pub(super) fn in_transaction_error(&self) -> ErrorResponse {
        ErrorResponse::error(
            SqlState::ACTIVE_TRANSACTION,
            "the user cannot be switched inside of a transaction or a batch that has begun",
        )
        .with_hint(self.how_to_name())
    }

    /// A text that is too long to be judged.
    pub(in super::super) fn text_too_long(&self) -> ErrorResponse {
        self.beyond_limit(
            "the statement cannot be searched for what it may not set: it is longer than",
        )
        .with_hint(
            "Send values as parameters, or by COPY; or raise limits.memoryPerUser in the policy.",
        )
    }

    /// The policy does not let users be named in SQL any more.
    pub(super) fn not_in_sql_error(&self) -> ErrorResponse {
        ErrorResponse::error(
            SqlState::FEATURE_NOT_SUPPORTED,
            "the policy has changed: users are not named in SQL any more",
        )
        .with_hint("Set identity.inSql in the policy, or connect anew.")
    }
}

/// A value of `set_config` that is no text.
pub(super) fn not_text() -> ErrorResponse {
    ErrorResponse::error(
        SqlState::FEATURE_NOT_SUPPORTED,
        "the value of a user context must be one parameter of type text, in UTF-8",
    )
}

/// A portal of a statement that is answered here cannot be made.
pub(super) fn no_portal(why: NoPortal) -> ErrorResponse {
    match why {
        NoPortal::Duplicate => {
            ErrorResponse::error(SqlState::DUPLICATE_CURSOR, "the portal already exists")
        }
        NoPortal::TooMany => ErrorResponse::error(
            SqlState::LIMIT_EXCEEDED,
            "too many portals are open whose statements the sidecar answers",
        ),
    }
}

/// A portal that nobody has made.
pub(super) fn unknown_portal(name: &[u8]) -> ErrorResponse {
    let name = String::from_utf8_lossy(name);
    ErrorResponse::error(
        SqlState::INVALID_CURSOR_NAME,
        format!("portal \"{name}\" does not exist"),
    )
}

/// More than one statement in a `Parse`.
pub(super) fn several_statements() -> ErrorResponse {
    ErrorResponse::error(
        SqlState::SYNTAX_ERROR,
        "cannot insert multiple commands into a prepared statement",
    )
}
