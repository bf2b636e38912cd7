//! What pools and drivers say between transactions, answered without a server.

use super::super::super::error_response::{ErrorResponse, Severity, SqlState};
use super::super::super::message::{
    self, Column, CommandComplete, Format, Type, data_row, empty_query_response,
};
use super::super::super::statement_text::Answered;
use super::super::Session;
use super::super::baseline::Settings;

impl Session {
    /// Answers a simple query whose statements are these.
    pub(super) fn answer_query(&mut self, statements: Vec<Answered>) {
        if statements.is_empty() {
            empty_query_response(self.outbox.writer());
        }
        for statement in statements {
            if let Some(column) = column_of(&statement, Format::Text) {
                column.write(self.outbox.writer());
            }
            if let Err(error) = self.run_answered(statement, Format::Text) {
                self.fail_locally(&error, true);
                return;
            }
        }
        let status = self.local_status();
        message::ready_for_query(status, self.outbox.writer());
    }

    /// Carries one out: its row, where it has one, and its tag.
    pub(super) fn run_answered(
        &mut self,
        statement: Answered,
        format: Format,
    ) -> Result<(), ErrorResponse> {
        let tag: &[u8] = match statement {
            Answered::Begin(text) => self.begin_locally(text),
            Answered::Commit => {
                self.end_locally(false);
                b"COMMIT"
            }
            Answered::Rollback => {
                self.end_locally(true);
                b"ROLLBACK"
            }
            Answered::SelectOne => {
                let value: &[u8] = match format {
                    Format::Text => b"1",
                    Format::Binary => &[0, 0, 0, 1],
                };
                data_row(value, self.outbox.writer());
                b"SELECT 1"
            }
            Answered::ResetAll => {
                self.forget_client_state();
                b"RESET"
            }
            Answered::DiscardAll if self.in_sql.as_deref().is_some_and(|it| it.begun.is_some()) => {
                return Err(ErrorResponse::error(
                    SqlState::ACTIVE_TRANSACTION,
                    "DISCARD ALL cannot run inside a transaction block",
                ));
            }
            Answered::DiscardAll => {
                self.forget_client_state();
                self.statements.clear();
                b"DISCARD ALL"
            }
            Answered::DeallocateAll => {
                self.statements.clear();
                b"DEALLOCATE ALL"
            }
            Answered::UnlistenAll => b"UNLISTEN",
            Answered::CloseAll => b"CLOSE CURSOR ALL",
            Answered::UnlockAll => {
                data_row(b"", self.outbox.writer());
                b"SELECT 1"
            }
        };
        CommandComplete { tag }.write(self.outbox.writer());
        Ok(())
    }

    fn begin_locally(&mut self, text: Box<[u8]>) -> &'static [u8] {
        let Some(in_sql) = self.in_sql.as_deref_mut() else {
            return b"BEGIN";
        };
        let starts = text.trim_ascii_start().first();
        let tag: &[u8] = if starts.is_some_and(|byte| byte.eq_ignore_ascii_case(&b's')) {
            b"START TRANSACTION"
        } else {
            b"BEGIN"
        };
        if in_sql.begun.is_some() {
            self.warn(
                SqlState::ACTIVE_TRANSACTION,
                "there is already a transaction in progress",
            );
        } else {
            in_sql.begun = Some(text);
        }
        tag
    }

    fn end_locally(&mut self, rolled_back: bool) {
        let begun = self.in_sql.as_deref_mut().and_then(|it| it.begun.take());
        if begun.is_none() {
            self.warn(
                SqlState::NO_ACTIVE_TRANSACTION,
                "there is no transaction in progress",
            );
        }
        self.transaction_is_over(rolled_back);
    }

    /// RESET ALL: nothing of what the client has set is left, the user included.
    fn forget_client_state(&mut self) {
        let startup = self.startup.clone();
        if let Some(in_sql) = self.in_sql.as_deref_mut() {
            in_sql.baseline = startup.clone();
        }
        let changed = self.baseline != startup;
        // Who was somebody has the baseline of nobody behind this, which is that already.
        self.become_nobody();
        if self.baseline != startup {
            self.set_baseline(Settings::clone(&startup));
        }
        if changed {
            self.report_startup();
        }
    }

    /// Tells the client the parameters of its start-up again, which the server reports to it.
    fn report_startup(&mut self) {
        let known = self.entry.greetings.get(&self.factory.key, &self.startup);
        if let Some((_, reported)) = known {
            self.report(&reported);
        }
    }

    pub(super) fn warn(&mut self, code: SqlState, message: &'static str) {
        ErrorResponse::new(Severity::Warning, code, message).write(self.outbox.writer());
    }
}

/// The column of a statement's row, where it has one.
pub(super) fn column_of(statement: &Answered, format: Format) -> Option<Column<'static>> {
    let (name, kind): (&[u8], _) = match statement {
        Answered::SelectOne => (b"?column?", Type::INT4),
        Answered::UnlockAll => (b"pg_advisory_unlock_all", Type::VOID),
        _ => return None,
    };
    Some(Column { name, kind, format })
}
