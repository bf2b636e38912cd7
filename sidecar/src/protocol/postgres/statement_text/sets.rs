//! Which run-time parameters a text sets, of some that are looked for.
//!
//! SET is read completely, in all of its forms and in every statement of the text: one that cannot be read sets who knows
//! what. A call of `set_config` is seen where its name is written out, and an UPDATE of `pg_settings` wherever it stands.
//! RESET, and a SET to DEFAULT, set nothing: they go back to what the policy says.
//!
//! What is not seen, by design: `set_config` with a name that is computed or bound, what functions and DO blocks do inside,
//! and the modes of BEGIN.

use super::lexer::{Lexer, Token};
use super::literal;
use super::statement::Statement;

/// What a text sets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sets {
    /// One of those that are looked for, as PostgreSQL calls it.
    Parameter(String),
    /// Any of them, by an UPDATE of `pg_settings`.
    Settings,
    /// Something, by a SET that cannot be read.
    Unread,
}

/// The first thing that a text sets of the parameters that `is_sought` knows by name.
#[must_use]
pub fn sets_one_of(text: &[u8], is_sought: impl Fn(&str) -> bool) -> Option<Sets> {
    if !mentions_set(text) {
        return None;
    }
    let mut lexer = Lexer::new(text);
    while let Some(first) = lexer.next() {
        if first == Token::Symbol(b';') {
            continue;
        }
        let statement = lexer;
        if first.is("set")
            && let Some(found) = set(statement, &is_sought)
        {
            return Some(found);
        }
        let mut tokens = Statement::behind_first(statement);
        let found = called_or_updated(first, &mut tokens, &is_sought);
        if found.is_some() {
            return found;
        }
        lexer = tokens.finish();
    }
    None
}

/// Whether `set` is anywhere in a text, in any case: as a word, in `set_config` or in `pg_settings`.
fn mentions_set(text: &[u8]) -> bool {
    memchr::memchr2_iter(b's', b'S', text).any(|at| {
        let word = text.get(at..at.saturating_add(3));
        word.is_some_and(|word| word.eq_ignore_ascii_case(b"set"))
    })
}

/// A SET, whose first word has been taken.
fn set(mut lexer: Lexer<'_>, is_sought: &impl Fn(&str) -> bool) -> Option<Sets> {
    let session = lexer.eat("session");
    if !session {
        let _ = lexer.eat("local");
    }
    let first = lexer.next()?;
    let names: Vec<String> = if first.is("constraints") {
        Vec::new()
    } else if first.is("transaction") {
        modes(lexer, "transaction_")
    } else if session && first.is("characteristics") {
        modes(lexer, "default_transaction_")
    } else if session && first.is("authorization") {
        one(lexer, "session_authorization", "default")
    } else if first.is("role") && !assigns(lexer) {
        one(lexer, "role", "none")
    } else if first.is("time") && lexer.eat("zone") {
        let local = lexer.peek().is_some_and(|token| token.is("local"));
        one(lexer, "timezone", if local { "local" } else { "default" })
    } else if first.is("names") {
        let bare = matches!(lexer.peek(), None | Some(Token::Symbol(b';')));
        if bare {
            Vec::new()
        } else {
            one(lexer, "client_encoding", "default")
        }
    } else if first.is("schema") && !assigns(lexer) {
        one(lexer, "search_path", "default")
    } else if first.is("seed") && !assigns(lexer) {
        one(lexer, "seed", "default")
    } else if first.is("xml") {
        one(lexer, "xmloption", "default")
    } else {
        let Some(name) = lexer.dotted_name(first).filter(|_| assigns(lexer)) else {
            return Some(Sets::Unread);
        };
        lexer.next();
        one(lexer, &name, "default")
    };
    let found = names.into_iter().find(|name| is_sought(name));
    found.map(Sets::Parameter)
}

/// Whether a value follows, as behind a parameter's name.
fn assigns(lexer: Lexer<'_>) -> bool {
    let next = lexer.peek();
    next == Some(Token::Symbol(b'=')) || next.is_some_and(|token| token.is("to"))
}

/// The name, unless what follows is the word that takes it back.
fn one(lexer: Lexer<'_>, name: &str, back: &str) -> Vec<String> {
    let goes_back = lexer.peek().is_some_and(|token| token.is(back));
    (!goes_back).then(|| name.to_owned()).into_iter().collect()
}

/// The parameters behind the modes of a transaction.
fn modes(lexer: Lexer<'_>, prefix: &str) -> Vec<String> {
    Statement::behind_first(lexer)
        .filter_map(|token| {
            let kinds = [
                ("isolation", "isolation"),
                ("read", "read_only"),
                ("deferrable", "deferrable"),
            ];
            let mode = kinds.iter().find(|(word, _)| token.is(word));
            mode.map(|(_, name)| format!("{prefix}{name}"))
        })
        .collect()
}

/// What a statement sets beside SET, wherever it stands in it.
fn called_or_updated(
    first: Token<'_>,
    tokens: &mut Statement<'_>,
    is_sought: &impl Fn(&str) -> bool,
) -> Option<Sets> {
    let mut before = first;
    let mut updates = first.is("update");
    let mut called = is_call(first);
    for token in tokens.by_ref() {
        match token {
            Token::Text(written) if called && before == Token::Symbol(b'(') => {
                let name = String::from_utf8_lossy(&literal::lossy(written)).to_lowercase();
                if is_sought(&name) {
                    return Some(Sets::Parameter(name));
                }
                called = false;
            }
            Token::Symbol(b'(') if called && is_call(before) => {}
            _ if is_call(token) => called = true,
            _ => called = false,
        }
        // `UPDATE [ONLY] [pg_catalog.]pg_settings`
        updates = match token {
            _ if token.is("update") => true,
            Token::Symbol(b'.') => updates,
            Token::Word(_) | Token::Quoted(_) if updates => {
                if is_named(token, b"pg_settings") {
                    return Some(Sets::Settings);
                }
                token.is("only") || is_named(token, b"pg_catalog")
            }
            _ => false,
        };
        before = token;
    }
    None
}

fn is_call(token: Token<'_>) -> bool {
    is_named(token, b"set_config")
}

fn is_named(token: Token<'_>, name: &[u8]) -> bool {
    matches!(token, Token::Word(found) | Token::Quoted(found) if found.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SOUGHT: [&str; 9] = [
        "work_mem",
        "app.tenant",
        "timezone",
        "client_encoding",
        "search_path",
        "role",
        "session_authorization",
        "default_transaction_read_only",
        "transaction_read_only",
    ];

    fn found(text: &str) -> Option<Sets> {
        sets_one_of(text.as_bytes(), |name| {
            SOUGHT
                .iter()
                .any(|sought| sought.eq_ignore_ascii_case(name))
        })
    }

    #[test]
    fn each_way_to_set_one_is_seen() {
        for (text, name) in [
            ("SET work_mem = 1", "work_mem"),
            ("set  Work_Mem TO '1MB'", "work_mem"),
            ("SET SESSION work_mem = 1", "work_mem"),
            ("SET LOCAL work_mem = 1", "work_mem"),
            ("/* a */ SET -- b\n work_mem /* c */ = 1", "work_mem"),
            ("SET \"work_mem\" = 1", "work_mem"),
            ("SET app.tenant = 'x'", "app.tenant"),
            ("SET \"app\".\"tenant\" = 'x'", "app.tenant"),
            ("SELECT 1; SET work_mem = 1; SELECT 2", "work_mem"),
            ("BEGIN;;SET LOCAL work_mem=1", "work_mem"),
            ("SET TIME ZONE 'UTC'", "timezone"),
            ("SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE", "timezone"),
            ("SET timezone = 'UTC'", "timezone"),
            ("SET NAMES 'latin1'", "client_encoding"),
            ("SET SCHEMA 'x'", "search_path"),
            ("SET ROLE bob", "role"),
            ("SET SESSION ROLE bob", "role"),
            ("SET LOCAL ROLE bob", "role"),
            ("SET role = 'bob'", "role"),
            ("SET SESSION AUTHORIZATION bob", "session_authorization"),
            (
                "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE",
                "default_transaction_read_only",
            ),
            ("SET TRANSACTION READ WRITE", "transaction_read_only"),
            ("SELECT set_config('work_mem', '1', false)", "work_mem"),
            (
                "SELECT pg_catalog.set_config('WORK_MEM', $1, true)",
                "work_mem",
            ),
            (
                "SELECT \"set_config\" (E'work\\x5fmem', '1', true)",
                "work_mem",
            ),
            ("SELECT set_config($$work_mem$$, '1', true)", "work_mem"),
            (
                "SELECT 1, (SELECT set_config('work_mem', '1', true))",
                "work_mem",
            ),
            (
                "WITH a AS (SELECT set_config('a.b', 'c', true), set_config('app.tenant', 'c', true)) SELECT 1",
                "app.tenant",
            ),
            (
                "PREPARE p AS SELECT set_config('work_mem', $1, false)",
                "work_mem",
            ),
            (
                "EXPLAIN ANALYZE SELECT set_config('work_mem', '1', false)",
                "work_mem",
            ),
        ] {
            assert_eq!(
                found(text),
                Some(Sets::Parameter(name.to_owned())),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_set_in_some_other_way_is_seen_too() {
        for text in [
            "UPDATE pg_settings SET setting = '1' WHERE name = 'work' || '_mem'",
            "WITH a AS (UPDATE ONLY pg_catalog.pg_settings SET setting = '1' RETURNING 1) SELECT 1",
            "update \"pg_settings\" set setting = 1",
        ] {
            assert_eq!(found(text), Some(Sets::Settings), "{text}");
        }
        for text in [
            "SET U&\"work\\005fmem\" = 1",
            "SET work_mem",
            "SET x FROM CURRENT",
        ] {
            assert_eq!(found(text), Some(Sets::Unread), "{text}");
        }
    }

    #[test]
    fn what_sets_another_one_or_goes_back_is_left_in_peace() {
        for text in [
            "",
            "SET",
            "SELECT 1",
            "SET lock_timeout = 1",
            "SET workmem.x = 1",
            "RESET work_mem",
            "RESET ALL",
            "RESET ROLE",
            "SET work_mem TO DEFAULT",
            "SET work_mem = DEFAULT",
            "SET ROLE NONE",
            "SET SESSION AUTHORIZATION DEFAULT",
            "SET TIME ZONE LOCAL",
            "SET TIME ZONE DEFAULT",
            "SET NAMES",
            "SET CONSTRAINTS ALL DEFERRED",
            "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            "SHOW work_mem",
            "SELECT current_setting('work_mem')",
            "SELECT set_config('lock_timeout', 'work_mem', true)",
            "SELECT 'SET work_mem = 1'",
            "SELECT 'set_config(''work_mem'', ''1'', true)'",
            "UPDATE notes SET work_mem = 1",
            "UPDATE notes SET body = 'x' FROM pg_settings",
            "INSERT INTO t VALUES ('set'); UPDATE t SET a = 'work_mem'",
            "SELECT (set_config), 'work_mem' FROM t",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text: Vec<u8>) {
            let _ = sets_one_of(&[b"SET ", &text[..]].concat(), |_| true);
            let _ = sets_one_of(&text, |_| true);
        }
    }
}
