//! Parameters that clients may not change (`session.fixedParameters`): a text that sets one is refused before any server
//! hears it.
//!
//! What cannot be seen in a text (a function, a DO block, a computed name) is not refused: this keeps applications from
//! changing what the policy says, and is no boundary against SQL written by users.

use super::super::codec::{FrontendTag, HEADER_LENGTH, Header};
use super::super::error_response::{ErrorResponse, SqlState};
use super::super::statement_text::{Sets, sets_one_of};
use super::Session;
use super::client::Step;
use crate::force::DatabaseForce;
use crate::worker::Entry;

impl Session {
    /// Refuses a text that sets what the policy fixes, or in mode `Audit` only counts it; one that has not arrived whole is waited for. `None` for all else.
    pub(super) fn refuse_fixed(&mut self, tag: FrontendTag, header: Header) -> Option<Step> {
        let simple = match tag {
            FrontendTag::Query => true,
            FrontendTag::Parse => false,
            _ => return None,
        };
        if self.entry.force_now().settings.fixed_parameters.is_empty() || self.is_skipping() {
            return None;
        }
        let total = header.message_length();
        if total > self.inbox.len() {
            if total > self.statement_limit() {
                let error = self.text_too_long();
                return Some(self.complain(header, error, simple));
            }
            self.inbox.reserve(total);
            return Some(Step::Wait);
        }
        let sets = {
            let force = self.entry.force_now();
            let text = if simple {
                self.query_text(header)
            } else {
                self.parsed_text(header)
            };
            sets_one_of(text, |name| force.names_fixed(name))?
        };
        let force = self.entry.force();
        // What is let through comes by here again once it has a server.
        if force.enforces() || self.server.is_some() {
            note_fixed(&self.entry);
        }
        force
            .enforces()
            .then(|| self.complain(header, fixed_error(&force, &sets), simple))
    }

    /// Whether the server passes over what comes, up to the next Sync.
    fn is_skipping(&self) -> bool {
        let server = self.server.as_ref();
        server.is_some_and(|owned| owned.server.backend.replies.is_skipping())
    }

    /// The text of a Parse that has arrived whole.
    fn parsed_text(&self, header: Header) -> &[u8] {
        let body = self
            .inbox
            .bytes()
            .get(HEADER_LENGTH..header.message_length())
            .unwrap_or_default();
        let mut parts = body.splitn(3, |byte| *byte == 0);
        parts.nth(1).unwrap_or_default()
    }
}

/// Counts that a client sets what the policy fixes, and tells of it.
pub(super) fn note_fixed(entry: &Entry) {
    entry.metrics.fixed_parameters.inc();
    entry.metrics.clients.notice("fixed", |upstream, left_out| {
        tracing::warn!(
            upstream,
            left_out,
            "a client sets a parameter that the policy fixes (session.fixedParameters)"
        );
    });
}

/// What a client is told that sets a parameter which the policy fixes, at its login or in SQL.
pub(super) fn fixed_error(force: &DatabaseForce, sets: &Sets) -> ErrorResponse {
    let what = match sets {
        Sets::Parameter(name) => format!("parameter \"{name}\" cannot be changed"),
        Sets::Settings => "pg_settings cannot be updated".to_owned(),
        Sets::Unread => "this form of SET cannot be read".to_owned(),
    };
    let names = force.settings.fixed_parameters.join(", ");
    let field = force.name_field("session.fixedParameters", &names);
    ErrorResponse::error(
        SqlState::INSUFFICIENT_PRIVILEGE,
        format!("{what}, because the policy fixes parameters: {field}"),
    )
    .with_hint("RESET and SET … TO DEFAULT go back to what the policy says.")
}
