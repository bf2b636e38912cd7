//! `RESET name` and `RESET ALL`, where they stand alone.

use super::lexer::Lexer;

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

#[cfg(test)]
mod tests {
    use super::*;

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
