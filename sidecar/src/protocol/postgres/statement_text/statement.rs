//! The traits of one statement, by the words of its grammar.

use super::functions::named_functions;
use super::lexer::{Lexer, Token};
use super::traits::Traits;

/// One statement: its tokens, up to a semicolon outside of parentheses.
pub(super) struct Statement<'a> {
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
    /// The statement whose first token `lexer` has just given.
    pub(super) const fn behind_first(lexer: Lexer<'a>) -> Self {
        Self { lexer, depth: 0 }
    }

    /// What stands behind the statement.
    pub(super) fn finish(mut self) -> Lexer<'a> {
        while self.next().is_some() {}
        self.lexer
    }

    /// The traits of a statement whose first token has been taken.
    pub(super) fn traits(&mut self, first: Token<'a>) -> Traits {
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
