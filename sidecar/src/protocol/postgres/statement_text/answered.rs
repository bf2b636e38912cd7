//! Statements whose answer is known without a server: what pools and drivers say between transactions.

use super::lexer::{Lexer, Token};
use super::statement::Statement;
use super::transaction::{TransactionControl, transaction_control};

/// A statement that the sidecar can answer itself while no transaction is open on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// BEGIN or START TRANSACTION, with its text.
    Begin(Box<[u8]>),
    /// COMMIT or END.
    Commit,
    /// ROLLBACK or ABORT.
    Rollback,
    /// `SELECT 1`, by which pools see whether a connection is alive.
    SelectOne,
    /// `RESET ALL`.
    ResetAll,
    /// `DISCARD ALL`.
    DiscardAll,
    /// `DEALLOCATE [PREPARE] ALL`.
    DeallocateAll,
    /// `UNLISTEN *`.
    UnlistenAll,
    /// `CLOSE ALL`.
    CloseAll,
    /// `SELECT pg_advisory_unlock_all()`.
    UnlockAll,
}

impl Answered {
    /// Whether it takes back what a session may hold, so that a server which holds something must hear it.
    #[must_use]
    pub const fn resets(&self) -> bool {
        !matches!(
            self,
            Self::Begin(_) | Self::Commit | Self::Rollback | Self::SelectOne
        )
    }
}

/// The most statements of one text; no pool says more.
const MAX_STATEMENTS: usize = 16;

/// The statements of a text, where all of them are of this kind. None for an empty query, which is a text without statements.
#[must_use]
pub fn answered_statements(text: &[u8]) -> Option<Vec<Answered>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((statement, behind)) = split_first(rest) {
        if found.len() == MAX_STATEMENTS {
            return None;
        }
        if Lexer::new(statement).next().is_some() {
            found.push(answered(statement)?);
        }
        rest = behind;
    }
    Some(found)
}

/// The text up to the first semicolon that ends a statement, and what stands behind it.
fn split_first(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if text.is_empty() {
        return None;
    }
    let behind = Statement::behind_first(Lexer::new(text)).finish().rest();
    let length = text.len().saturating_sub(behind.len());
    let (statement, behind) = text.split_at_checked(length)?;
    let mut lexer = Lexer::new(behind);
    Some(match lexer.next() {
        Some(Token::Symbol(b';')) => (statement, lexer.rest()),
        _ => (text, &[]),
    })
}

fn answered(statement: &[u8]) -> Option<Answered> {
    match transaction_control(statement) {
        Some(TransactionControl::Begin) => return Some(Answered::Begin(statement.into())),
        Some(TransactionControl::Commit) => return Some(Answered::Commit),
        Some(TransactionControl::Rollback) => return Some(Answered::Rollback),
        Some(_) => return None,
        None => {}
    }
    let mut lexer = Lexer::new(statement);
    let first = lexer.next()?;
    let known = if first.is("select") {
        select(&mut lexer)?
    } else if first.is("reset") {
        lexer.eat("all").then_some(Answered::ResetAll)?
    } else if first.is("discard") {
        lexer.eat("all").then_some(Answered::DiscardAll)?
    } else if first.is("deallocate") {
        let _ = lexer.eat("prepare");
        lexer.eat("all").then_some(Answered::DeallocateAll)?
    } else if first.is("unlisten") {
        (lexer.next()? == Token::Symbol(b'*')).then_some(Answered::UnlistenAll)?
    } else if first.is("close") {
        lexer.eat("all").then_some(Answered::CloseAll)?
    } else {
        return None;
    };
    lexer.at_end().then_some(known)
}

fn select(lexer: &mut Lexer<'_>) -> Option<Answered> {
    if lexer.peek() == Some(Token::Number(b"1")) {
        lexer.next();
        return Some(Answered::SelectOne);
    }
    if lexer.eat("pg_catalog") && lexer.next()? != Token::Symbol(b'.') {
        return None;
    }
    let calls = lexer.eat("pg_advisory_unlock_all")
        && lexer.next()? == Token::Symbol(b'(')
        && lexer.next()? == Token::Symbol(b')');
    calls.then_some(Answered::UnlockAll)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_pools_say_is_known() {
        use Answered::{
            Begin, CloseAll, Commit, DeallocateAll, DiscardAll, ResetAll, Rollback, SelectOne,
            UnlistenAll, UnlockAll,
        };
        for (text, expected) in [
            ("", vec![]),
            (" ; -- ping", vec![]),
            ("-- ping", vec![]),
            ("SELECT 1", vec![SelectOne]),
            ("select 1;", vec![SelectOne]),
            ("begin", vec![Begin(b"begin"[..].into())]),
            (
                "START TRANSACTION READ ONLY;",
                vec![Begin(b"START TRANSACTION READ ONLY"[..].into())],
            ),
            ("COMMIT;", vec![Commit]),
            ("ROLLBACK", vec![Rollback]),
            ("DISCARD ALL", vec![DiscardAll]),
            ("DEALLOCATE ALL", vec![DeallocateAll]),
            (
                "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;",
                vec![UnlockAll, CloseAll, UnlistenAll, ResetAll],
            ),
            (
                "BEGIN;SELECT 1;COMMIT",
                vec![Begin(b"BEGIN"[..].into()), SelectOne, Commit],
            ),
        ] {
            assert_eq!(
                answered_statements(text.as_bytes()),
                Some(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn everything_else_needs_a_server() {
        for text in [
            "SELECT 2",
            "SELECT 1 FROM t",
            "SELECT 1, 2",
            "SELECT pg_advisory_unlock_all() FROM t",
            "COMMIT AND CHAIN",
            "ROLLBACK TO s",
            "SAVEPOINT s",
            "RESET x",
            "DISCARD PLANS",
            "DEALLOCATE p",
            "UNLISTEN c",
            "CLOSE c",
            "SELECT 1; SELECT x",
            "RESET ALL x",
        ] {
            assert_eq!(answered_statements(text.as_bytes()), None, "{text}");
        }
        let many = "SELECT 1;".repeat(MAX_STATEMENTS + 1);
        assert_eq!(answered_statements(many.as_bytes()), None);
    }
}
