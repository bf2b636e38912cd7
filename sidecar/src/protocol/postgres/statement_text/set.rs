//! `SET [SESSION] name {TO | =} value`, where it stands alone and its value can be said again to another session.

use std::fmt;

use super::lexer::{Lexer, Token};

/// The longest value that is kept, in bytes.
const MAX_VALUE: usize = 1024;

/// A parameter and its value.
#[derive(Clone, PartialEq, Eq)]
pub struct SetStatement {
    /// The parameter: in lower case where it was written without quotes, its parts divided by dots.
    pub name: String,
    /// What can stand behind `SET name TO`: constants and identifiers, divided by commas. `None` for DEFAULT.
    pub value: Option<String>,
}

/// The value stays out.
impl fmt::Debug for SetStatement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SetStatement")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Reads a text that is one such statement and nothing else; SET TIME ZONE, SET NAMES and SET SCHEMA are told by the
/// parameter that they mean.
///
/// `None` for what ends with the transaction (SET LOCAL, SET TRANSACTION), for SET ROLE, SET SESSION AUTHORIZATION and SET
/// SESSION CHARACTERISTICS, and for values that cannot be repeated with certainty: an INTERVAL, more than 1024 bytes, or a
/// backslash in a string without `E`, whose meaning depends on another parameter.
#[must_use]
pub fn parse_set(text: &[u8]) -> Option<SetStatement> {
    let mut lexer = Lexer::new(text);
    if !lexer.eat("set") {
        return None;
    }
    let _ = lexer.eat("session");
    let first = lexer.next()?;
    let (name, value) = if first.is("time") && lexer.eat("zone") {
        let default = lexer.eat("local");
        let value = if default { None } else { single(&mut lexer)? };
        ("timezone".to_owned(), value)
    } else if first.is("names") {
        let value = if lexer.at_end() {
            None
        } else {
            single(&mut lexer)?
        };
        ("client_encoding".to_owned(), value)
    } else if first.is("schema") && matches!(lexer.peek(), Some(Token::Text(_))) {
        ("search_path".to_owned(), single(&mut lexer)?)
    } else {
        assignment(&mut lexer, first)?
    };
    let fits = value.as_ref().is_none_or(|value| value.len() <= MAX_VALUE);
    (fits && lexer.at_end()).then_some(SetStatement { name, value })
}

/// `name {TO | =} value, …`, its first token taken.
fn assignment(lexer: &mut Lexer<'_>, first: Token<'_>) -> Option<(String, Option<String>)> {
    if first.is("local") || first.is("transaction") || first.is("constraints") {
        return None;
    }
    let name = lexer.dotted_name(first)?;
    if !lexer.eat("to") && lexer.next()? != Token::Symbol(b'=') {
        return None;
    }
    let Some(mut value) = single(lexer)? else {
        return Some((name, None));
    };
    while lexer.peek() == Some(Token::Symbol(b',')) && value.len() <= MAX_VALUE {
        lexer.next();
        value.push_str(", ");
        value.push_str(&single(lexer)??);
    }
    Some((name, Some(value)))
}

/// One constant or identifier as it was written; `Some(None)` for DEFAULT.
fn single(lexer: &mut Lexer<'_>) -> Option<Option<String>> {
    let token = lexer.next()?;
    if token.is("default") {
        return Some(None);
    }
    let (sign, token) = match token {
        Token::Symbol(b'-') => ("-", lexer.next()?),
        Token::Symbol(b'+') => ("", lexer.next()?),
        token => ("", token),
    };
    let (quote, written) = match token {
        Token::Number(number) => ("", number),
        _ if !sign.is_empty() => return None,
        Token::Text(text) if is_certain(text) => ("", text),
        Token::Word(word) => ("", word),
        Token::Quoted(quoted) => ("\"", quoted),
        _ => return None,
    };
    let written = std::str::from_utf8(written).ok()?;
    Some(Some(format!("{sign}{quote}{written}{quote}")))
}

/// Whether a string is whole and means the same under every setting.
fn is_certain(text: &[u8]) -> bool {
    let ended = text.len() > 1 && matches!(text.last(), Some(b'\'' | b'$'));
    ended && (text.first() != Some(&b'\'') || memchr::memchr(b'\\', text).is_none())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Option<(String, Option<String>)> {
        parse_set(text.as_bytes()).map(|set| (set.name, set.value))
    }

    #[test]
    fn the_forms_that_can_be_repeated() {
        for (text, name, value) in [
            ("SET x = 1", "x", "1"),
            ("set session Work_Mem to '64MB' ;", "work_mem", "'64MB'"),
            ("SET x TO -1.5", "x", "-1.5"),
            ("SET x TO +1", "x", "1"),
            ("SET x TO on", "x", "on"),
            ("SET app.user_id = 'o''brien'", "app.user_id", "'o''brien'"),
            ("SET \"App\".\"User\" = E'\\x41'", "App.User", "E'\\x41'"),
            (
                "SET search_path TO \"$user\", public",
                "search_path",
                "\"$user\", public",
            ),
            (
                "SET search_path = a /* b */ ,'c' -- d",
                "search_path",
                "a, 'c'",
            ),
            ("SET x = $$a$$", "x", "$$a$$"),
            (
                "SET TIME ZONE 'Europe/Berlin'",
                "timezone",
                "'Europe/Berlin'",
            ),
            ("SET TIME ZONE -7", "timezone", "-7"),
            ("SET NAMES 'utf8'", "client_encoding", "'utf8'"),
            ("SET SCHEMA 'a'", "search_path", "'a'"),
            ("SET role = bob", "role", "bob"),
        ] {
            let expected = Some((name.to_owned(), Some(value.to_owned())));
            assert_eq!(parsed(text), expected, "{text}");
        }
    }

    #[test]
    fn a_default_is_no_value() {
        for (text, name) in [
            ("SET x TO DEFAULT", "x"),
            ("SET TIME ZONE LOCAL", "timezone"),
            ("SET TIME ZONE DEFAULT", "timezone"),
            ("SET NAMES", "client_encoding"),
            ("SET NAMES DEFAULT;", "client_encoding"),
        ] {
            assert_eq!(parsed(text), Some((name.to_owned(), None)), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_repeated_is_left_alone() {
        for text in [
            "",
            "SELECT 1",
            "SET",
            "SET x",
            "SET x =",
            "SET x = 1; SELECT 1",
            "SET x = 1 2",
            "SET x = a,",
            "SET x = DEFAULT, a",
            "SET x = a, DEFAULT",
            "SET x = - 'a'",
            "SET x = f(1)",
            "SET x = $1",
            "SET x = 'a\\'",
            "SET x = 'a",
            "SET x = $$a",
            "SET x = U&'a'",
            "SET x FROM CURRENT",
            "SET LOCAL x = 1",
            "SET TRANSACTION READ ONLY",
            "SET CONSTRAINTS ALL DEFERRED",
            "SET ROLE bob",
            "SET SESSION AUTHORIZATION bob",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "SET XML OPTION DOCUMENT",
            "SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE",
        ] {
            assert_eq!(parsed(text), None, "{text}");
        }
        let long = format!("SET x = '{}'", "a".repeat(MAX_VALUE));
        assert_eq!(parsed(&long), None);
    }

    #[test]
    fn debug_output_holds_no_value() {
        let set = parse_set(b"SET app.user_id = 'alice'").unwrap();
        assert!(!format!("{set:?}").contains("alice"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text: Vec<u8>) {
            let _ = parse_set(&[b"SET x = ", &text[..]].concat());
        }

        #[test]
        fn a_value_said_again_is_the_same_value(
            items in proptest::collection::vec("'[a-z'']{0,5}'|[a-z]{1,5}|-?[0-9]{1,3}|\"[A-Z ]{1,4}\"", 1..4),
        ) {
            let text = format!("SET x TO {}", items.join(","));
            if let Some(set) = parse_set(text.as_bytes()) {
                let again = format!("SET x TO {}", set.value.clone().unwrap_or("DEFAULT".to_owned()));
                prop_assert_eq!(parse_set(again.as_bytes()), Some(set));
            }
        }
    }
}
