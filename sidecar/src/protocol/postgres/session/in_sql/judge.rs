//! What a client's text is, under who the client is now.

use super::super::super::error_response::ErrorResponse;
use super::super::super::statement_text::{
    Answered, Mention, Naming, answered_statements, read_naming,
};
use super::super::Session;
use super::bootstrap;

/// What a text is.
pub(super) enum Verdict {
    /// It names a user, or takes the name back.
    Names(Naming),
    /// It can be answered here; its statements.
    Answered(Vec<Answered>),
    /// It needs a server, and may have one.
    Work,
    /// It is refused.
    Refused(ErrorResponse),
}

impl Session {
    /// What a text is, under who the client is now.
    pub(super) fn judge(&self, text: &[u8]) -> Verdict {
        let setting = self
            .in_sql
            .as_deref()
            .and_then(|in_sql| in_sql.setting.as_deref());
        match read_naming(text, setting) {
            Mention::Names(naming) => return Verdict::Names(naming),
            Mention::Hidden(hidden) => return Verdict::Refused(self.hidden_error(hidden)),
            Mention::Nothing => {}
        }
        if self.is_free()
            && let Some(known) = answered_statements(text)
            && (self.server.is_none() || !known.iter().any(Answered::resets))
        {
            return Verdict::Answered(known);
        }
        if self.is_refused(text) {
            return Verdict::Refused(self.nobody_error());
        }
        Verdict::Work
    }

    /// Whether this is work, and the client has to say first who it is for.
    pub(super) fn is_refused(&self, text: &[u8]) -> bool {
        self.is_unidentified() && !bootstrap::allows(text, |name| self.may_be_baseline(name))
    }
}
