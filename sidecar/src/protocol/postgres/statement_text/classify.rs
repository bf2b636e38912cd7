//! The traits of a text. The common text is seen to be plain by searches for single bytes; others are taken apart.

use memchr::{memchr, memchr_iter};

use super::lexer::{Lexer, Token, continues_word, is_space};
use super::traits::Traits;

/// What a text does. A text of several statements has the traits of all.
#[must_use]
pub fn classify(text: &[u8]) -> Traits {
    let suspicious = is_suspicious(text);
    if !suspicious && is_one_query(text) {
        return Traits::PLAIN;
    }
    let mut traits = if suspicious {
        called_functions(text)
    } else {
        Traits::PLAIN
    };
    let mut statements = 0_usize;
    let mut lexer = Lexer::new(text);
    while let Some(token) = lexer.next() {
        if token != Token::Symbol(b';') {
            statements = statements.saturating_add(1);
            let mut statement = Statement { lexer, depth: 0 };
            traits = traits.and(statement.traits(token));
            lexer = statement.finish();
        }
    }
    if statements > 1 {
        traits = traits.and(Traits::MULTI);
    }
    traits
}

/// Whether `_con` (of `set_config`), `_adv` (of the advisory locks) or `temp` is anywhere in the text, in any case. Written
/// without branches, so that the compiler looks at sixteen bytes at once.
fn is_suspicious(text: &[u8]) -> bool {
    let length = text.len().saturating_sub(3);
    let from = |start: usize| {
        text.get(start..start.saturating_add(length))
            .unwrap_or_default()
    };
    let windows = from(0).iter().zip(from(1)).zip(from(2)).zip(from(3));
    windows.fold(0, |found, (((a, b), c), d)| {
        let (b, c, d) = (b | 0x20, c | 0x20, d | 0x20);
        let config = u8::from(b == b'c') & u8::from(c == b'o') & u8::from(d == b'n');
        let advisory = u8::from(b == b'a') & u8::from(c == b'd') & u8::from(d == b'v');
        let temp = u8::from(b == b'e') & u8::from(c == b'm') & u8::from(d == b'p');
        found | (u8::from(*a == b'_') & (config | advisory)) | (u8::from(a | 0x20 == b't') & temp)
    }) != 0
}

/// Whether the text is one statement that reads or changes rows, by its first word and its semicolons. `false` where that
/// takes more than a look.
fn is_one_query(text: &[u8]) -> bool {
    let start = text
        .iter()
        .take_while(|byte| is_space(**byte) || **byte == b'(')
        .count();
    let behind = text.get(start..).unwrap_or_default();
    let word: &[u8] = match behind.first().map(u8::to_ascii_lowercase) {
        Some(b's') => b"select",
        Some(b'i') => b"insert",
        Some(b'u') => b"update",
        Some(b'd') => b"delete",
        Some(b'w') => b"with",
        Some(b'v') => b"values",
        Some(b'm') => b"merge",
        Some(b't') => b"table",
        _ => return false,
    };
    let ends = behind
        .get(word.len())
        .is_none_or(|byte| !continues_word(*byte));
    ends && starts_with(behind, word)
        && memchr(b';', behind).is_none_or(|end| {
            let rest = behind.get(end..).unwrap_or_default();
            rest.iter().all(|byte| is_space(*byte) || *byte == b';')
        })
}

/// Calls of functions that leave something behind.
fn called_functions(text: &[u8]) -> Traits {
    let mut traits = Traits::PLAIN;
    let mut lexer = Lexer::new(text);
    while let Some(token) = lexer.next() {
        if let Token::Word(name) | Token::Quoted(name) = token {
            if name.eq_ignore_ascii_case(b"set_config") && !is_local(lexer) {
                traits = traits.and(Traits::SET_CONFIG);
            }
            if takes_lock(name) {
                traits = traits.and(Traits::SESSION_LOCK);
            }
        }
    }
    traits
}

/// The same for the text of a block, wherever the names stand in it: it may put a call together from strings.
fn named_functions(text: &[u8]) -> Traits {
    let mut traits = Traits::PLAIN;
    for at in memchr_iter(b'_', text) {
        let (before, behind) = text.split_at(at);
        if ends_with(before, b"set") && starts_with(behind, b"_config") {
            traits = traits.and(Traits::SET_CONFIG);
        }
        if starts_with(behind, b"_advisory_lock") {
            traits = traits.and(Traits::SESSION_LOCK);
        }
    }
    if text
        .windows(4)
        .any(|word| word.eq_ignore_ascii_case(b"temp"))
    {
        traits = traits.and(Traits::TEMPORARY);
    }
    traits
}

/// Whether a function takes an advisory lock that outlives the transaction.
fn takes_lock(name: &[u8]) -> bool {
    let name = name.strip_suffix(b"_shared").unwrap_or(name);
    name.eq_ignore_ascii_case(b"pg_advisory_lock")
        || name.eq_ignore_ascii_case(b"pg_try_advisory_lock")
}

/// Whether the arguments of a `set_config` end with `true`: its value ends with the transaction.
fn is_local(mut lexer: Lexer<'_>) -> bool {
    if lexer.next() != Some(Token::Symbol(b'(')) {
        return false;
    }
    let mut depth = 1_usize;
    let mut last = None;
    for token in lexer {
        match token {
            Token::Symbol(b'(') => depth = depth.saturating_add(1),
            Token::Symbol(b')') if depth == 1 => {
                return last.is_some_and(|last: Token<'_>| last.is("true"));
            }
            Token::Symbol(b')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        last = Some(token);
    }
    false
}

fn starts_with(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}

fn ends_with(text: &[u8], word: &[u8]) -> bool {
    let start = text.len().checked_sub(word.len());
    start
        .and_then(|start| text.get(start..))
        .is_some_and(|end| end.eq_ignore_ascii_case(word))
}

/// One statement: its tokens, up to a semicolon outside of parentheses.
struct Statement<'a> {
    lexer: Lexer<'a>,
    depth: usize,
}

impl<'a> Iterator for Statement<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let mut ahead = self.lexer;
        let token = ahead.next()?;
        match token {
            Token::Symbol(b'(') => self.depth = self.depth.saturating_add(1),
            Token::Symbol(b')') => self.depth = self.depth.saturating_sub(1),
            Token::Symbol(b';') if self.depth == 0 => return None,
            _ => {}
        }
        self.lexer = ahead;
        Some(token)
    }
}

impl<'a> Statement<'a> {
    fn finish(mut self) -> Lexer<'a> {
        while self.next().is_some() {}
        self.lexer
    }

    /// The traits of a statement whose first token has been taken.
    fn traits(&mut self, first: Token<'a>) -> Traits {
        let mut first = Some(first);
        while first == Some(Token::Symbol(b'(')) {
            first = self.next();
        }
        let Some(Token::Word(word)) = first else {
            return Traits::PLAIN;
        };
        match lower(word, &mut [0; 12]) {
            b"set" => self.set(),
            b"create" => self.create(),
            b"select" | b"with" | b"values" | b"table" => self.selects_into_temporary(),
            b"explain" => self.explain(),
            b"do" => self.block(),
            b"declare" => self.declare(),
            b"prepare" if self.lexer.eat("transaction") => Traits::TRANSACTION,
            b"prepare" => Traits::PREPARES,
            b"execute" => Traits::EXECUTES,
            b"deallocate" => Traits::DEALLOCATES,
            b"reset" => Traits::RESETS,
            b"discard" => Traits::DISCARDS,
            b"listen" => Traits::LISTENS,
            b"unlisten" => Traits::UNLISTENS,
            b"begin" | b"start" | b"commit" | b"end" | b"rollback" | b"abort" | b"savepoint"
            | b"release" => Traits::TRANSACTION,
            _ => Traits::PLAIN,
        }
    }

    fn set(&mut self) -> Traits {
        match self.lexer.peek() {
            Some(word) if word.is("local") || word.is("transaction") => Traits::SETS_LOCALLY,
            Some(word) if word.is("constraints") => Traits::PLAIN,
            _ => Traits::SETS,
        }
    }

    /// `CREATE … TEMP …`, or anything in `pg_temp`; a table that is dropped at commit leaves nothing behind.
    fn create(&mut self) -> Traits {
        while ["or", "replace", "local", "global"]
            .iter()
            .any(|word| self.lexer.eat(word))
        {}
        let mut temporary = self.lexer.eat("temp") || self.lexer.eat("temporary");
        let mut dropped = 0;
        for token in self {
            temporary |= token.is("pg_temp");
            dropped = match dropped {
                0 | 1 if token.is("on") => 1,
                1 if token.is("commit") => 2,
                2 if token.is("drop") => 3,
                3 => 3,
                _ => 0,
            };
        }
        if temporary && dropped < 3 {
            Traits::TEMPORARY
        } else {
            Traits::PLAIN
        }
    }

    /// `SELECT … INTO TEMP …`; `INSERT INTO temp` and `MERGE INTO temp` name a table.
    fn selects_into_temporary(&mut self) -> Traits {
        let mut traits = Traits::PLAIN;
        let mut before = Token::Symbol(b';');
        while let Some(token) = self.next() {
            if token.is("into") && !before.is("insert") && !before.is("merge") {
                while self.lexer.eat("local") || self.lexer.eat("global") {}
                let target = self.lexer.peek();
                let temporary = |word| target.is_some_and(|target| target.is(word));
                if temporary("temp") || temporary("temporary") || temporary("pg_temp") {
                    traits = Traits::TEMPORARY;
                }
            }
            before = token;
        }
        traits
    }

    /// `EXPLAIN ANALYZE` runs what it explains.
    fn explain(&mut self) -> Traits {
        while let Some(token) = self.next() {
            if self.depth > 0 {
                continue;
            }
            if ["select", "with", "create", "declare", "execute"]
                .iter()
                .any(|word| token.is(word))
            {
                return self.traits(token);
            }
        }
        Traits::PLAIN
    }

    /// A block is not read: it may set parameters, and the word that would make a temporary table is looked for.
    fn block(&mut self) -> Traits {
        let mut traits = Traits::BLOCK;
        for token in self {
            if let Token::Text(text) = token {
                traits = traits.and(named_functions(text));
            }
        }
        traits
    }

    fn declare(&mut self) -> Traits {
        while let Some(token) = self.next() {
            if token.is("with") && self.lexer.eat("hold") {
                return Traits::HOLDS_CURSOR;
            }
        }
        Traits::PLAIN
    }
}

/// The word in lower case; empty where it is longer than any that is looked for.
fn lower<'b>(word: &[u8], buffer: &'b mut [u8; 12]) -> &'b [u8] {
    match buffer.get_mut(..word.len()) {
        Some(lower) => {
            lower.copy_from_slice(word);
            lower.make_ascii_lowercase();
            lower
        }
        None => &[],
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_queries_are_plain() {
        for text in [
            "",
            ";",
            "-- nothing",
            "SELECT abalance FROM pgbench_accounts WHERE aid = 1;",
            "select 1 ; \n",
            "(SELECT 1) UNION (SELECT 2)",
            "INSERT INTO temp VALUES ('a;b')",
            "WITH x AS (SELECT 1) INSERT INTO temp SELECT * FROM x",
            "UPDATE t SET set_at = now(), advisory_lock = 1",
            "SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock(2), pg_advisory_unlock(3)",
            "SELECT 'SET x = 1'",
            "SELECT 'CREATE TEMP TABLE x; pg_advisory_lock(1)'",
            "SELECT set_config('x', current_setting('y', false), true)",
            "SELECT * FROM t WHERE a = $$; SET x = 1$$",
            "SELECT temperature FROM weather",
            "CREATE TABLE temp (id int)",
            "CREATE TEMP TABLE t (id int) ON COMMIT DROP",
            "create temporary table t on commit drop as select 1",
            "DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1",
            "SET CONSTRAINTS ALL DEFERRED",
            "COPY t FROM STDIN",
            "EXPLAIN (ANALYZE, SUMMARY) SELECT 1",
            "CREATE RULE r AS ON INSERT TO t DO (DELETE FROM a; DELETE FROM b)",
        ] {
            assert_eq!(classify(text.as_bytes()), Traits::PLAIN, "{text}");
        }
    }

    #[test]
    fn each_trait_is_seen() {
        for (text, expected) in [
            ("SET x = 1", Traits::SETS),
            ("/* a */ set session x to 1;", Traits::SETS),
            (
                "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
                Traits::SETS,
            ),
            ("SET ROLE bob", Traits::SETS),
            ("SET LOCAL x = 1", Traits::SETS_LOCALLY),
            ("SET TRANSACTION READ ONLY", Traits::SETS_LOCALLY),
            ("RESET ALL", Traits::RESETS),
            ("DISCARD TEMP", Traits::DISCARDS),
            ("DEALLOCATE ALL", Traits::DEALLOCATES),
            ("PREPARE p AS SELECT 1", Traits::PREPARES),
            ("PREPARE TRANSACTION 'x'", Traits::TRANSACTION),
            ("EXECUTE p(1)", Traits::EXECUTES),
            ("LISTEN jobs", Traits::LISTENS),
            ("UNLISTEN *", Traits::UNLISTENS),
            (
                "DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT 1",
                Traits::HOLDS_CURSOR,
            ),
            ("CREATE TEMP TABLE t (id int)", Traits::TEMPORARY),
            (
                "CREATE LOCAL TEMPORARY TABLE t (id int) ON COMMIT DELETE ROWS",
                Traits::TEMPORARY,
            ),
            (
                "create or replace temp view v as select 1",
                Traits::TEMPORARY,
            ),
            ("CREATE TABLE pg_temp.t (id int)", Traits::TEMPORARY),
            ("SELECT 1 INTO TEMP t", Traits::TEMPORARY),
            ("SELECT 1 INTO LOCAL TEMPORARY TABLE t", Traits::TEMPORARY),
            (
                "WITH x AS (SELECT 1) SELECT * INTO TEMP t FROM x",
                Traits::TEMPORARY,
            ),
            (
                "EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1",
                Traits::TEMPORARY,
            ),
            ("SELECT PG_ADVISORY_LOCK(1)", Traits::SESSION_LOCK),
            (
                "SELECT pg_try_advisory_lock_shared(1)",
                Traits::SESSION_LOCK,
            ),
            ("SELECT Set_Config('x', '1', false)", Traits::SET_CONFIG),
            ("DO $$ BEGIN PERFORM 1; END $$", Traits::BLOCK),
            (
                "DO $$ BEGIN CREATE TEMP TABLE t(); END $$",
                Traits::BLOCK.and(Traits::TEMPORARY),
            ),
            ("BEGIN", Traits::TRANSACTION),
            ("end", Traits::TRANSACTION),
            ("ROLLBACK TO s", Traits::TRANSACTION),
        ] {
            assert_eq!(classify(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn several_statements_have_the_traits_of_all() {
        for (text, expected) in [
            ("SELECT 1; SELECT 2", Traits::PLAIN),
            ("SELECT 'a;b'; SET x = 1", Traits::SETS),
            (
                "BEGIN; SET LOCAL x = 1; COMMIT;",
                Traits::TRANSACTION.and(Traits::SETS_LOCALLY),
            ),
            ("SELECT 1;; /* ; */ LISTEN a", Traits::LISTENS),
            (
                "CREATE TEMP TABLE t() ON COMMIT DROP; CREATE TEMP TABLE u()",
                Traits::TEMPORARY,
            ),
        ] {
            assert_eq!(
                classify(text.as_bytes()),
                expected.and(Traits::MULTI),
                "{text}"
            );
        }
    }

    #[test]
    fn words_inside_of_quotes_and_comments_start_nothing() {
        for text in [
            "SELECT \"; SET x = 1\"",
            "SELECT 1 -- ; SET x = 1",
            "SELECT 1 /* ; SET x = 1 /* */ ; SET x = 1 */",
            "SELECT E'\\'; SET x = 1'",
            "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $f$ SELECT 1; SET x = 1 $f$",
        ] {
            assert_eq!(classify(text.as_bytes()), Traits::PLAIN, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(text: Vec<u8>) {
            let _ = classify(&text);
        }

        #[test]
        fn a_set_is_seen_behind_any_blanks(
            blank in "( |\t|\n|--x\n|/\\*y\\*/|;){0,5}", before in "(SELECT 'a' ;|BEGIN;)?",
        ) {
            let text = format!("{before}{blank}SET x = 1");
            prop_assert!(classify(text.as_bytes()).sets_parameter(), "{}", text);
        }

        #[test]
        fn the_quick_look_agrees_with_the_long_one(
            text in "(select|with|insert into|table)( a| into| temp| ;| '| \"| --| \n| \\$\\$| /\\*| \\*/| set x| \\(| \\)){0,8}",
        ) {
            let quick = classify(text.as_bytes());
            let long = classify(format!("/**/{text}").as_bytes());
            prop_assert_eq!(quick, long, "{}", text);
        }
    }
}
