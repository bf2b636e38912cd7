//! `RESET name` and `RESET ALL`, where they stand alone, and `RESET ALL` at the end of a pool's farewell.

use super::lexer::{Lexer, Token};
use super::statement::Statement;

/// What goes back to its value at the session's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResetStatement {
    /// One parameter: in lower case where it was written without quotes, its parts divided by dots.
    One(String),
    /// All of them; neither role nor session authorization.
    All,
}

/// Reads a text that is one such statement and nothing else. `None` for RESET ROLE and RESET SESSION AUTHORIZATION, which
/// are no parameters to be carried from one connection to the next.
#[must_use]
pub fn parse_reset(text: &[u8]) -> Option<ResetStatement> {
    let mut lexer = Lexer::new(text);
    if !lexer.eat("reset") {
        return None;
    }
    let first = lexer.next()?;
    let target = if first.is("time") && lexer.eat("zone") {
        ResetStatement::One("timezone".to_owned())
    } else if first.is("all") {
        ResetStatement::All
    } else if first.is("role") || first.is("session") {
        return None;
    } else {
        ResetStatement::One(lexer.dotted_name(first)?)
    };
    lexer.at_end().then_some(target)
}

/// Whether a text ends with `RESET ALL` and none of its statements before that changes a parameter by itself: what is left of
/// it afterwards is what `RESET ALL` leaves. asyncpg's pool says such a text whenever a connection is given back.
#[must_use]
pub fn ends_with_reset_all(text: &[u8]) -> bool {
    let mut lexer = Lexer::new(text);
    let mut is_last = false;
    while let Some(token) = lexer.next() {
        if token == Token::Symbol(b';') {
            continue;
        }
        if is_last || token.is("set") || token.is("discard") {
            return false;
        }
        let mut statement = Statement::behind_first(lexer);
        if token.is("reset") {
            is_last =
                statement.next().is_some_and(|word| word.is("all")) && statement.next().is_none();
            if !is_last {
                return false;
            }
        }
        lexer = statement.finish();
    }
    is_last
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reset_of_everything_at_the_end() {
        for (text, expected) in [
            (
                "SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;",
                true,
            ),
            ("CLOSE ALL; reset all", true),
            ("SELECT ';'; RESET ALL -- ;", true),
            ("RESET ALL", true),
            ("RESET ALL; SELECT 1", false),
            ("RESET a; RESET ALL", false),
            ("SET a = 1; RESET ALL", false),
            ("DISCARD ALL; RESET ALL", false),
            ("SELECT 'RESET ALL'", false),
            ("SELECT 1; RESET ROLE", false),
            ("", false),
        ] {
            assert_eq!(ends_with_reset_all(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn one_reset_alone() {
        let one = |name: &str| Some(ResetStatement::One(name.to_owned()));
        for (text, expected) in [
            ("RESET ALL", Some(ResetStatement::All)),
            ("reset all ;", Some(ResetStatement::All)),
            ("RESET TimeZone", one("timezone")),
            ("RESET TIME ZONE", one("timezone")),
            ("RESET app.\"User\"", one("app.User")),
            ("RESET ROLE", None),
            ("RESET SESSION AUTHORIZATION", None),
            ("RESET a; RESET b", None),
            ("SET a TO DEFAULT", None),
            ("RESET", None),
        ] {
            assert_eq!(parse_reset(text.as_bytes()), expected, "{text}");
        }
    }
}
