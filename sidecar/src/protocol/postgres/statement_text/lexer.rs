//! Takes a text apart into tokens, as PostgreSQL's scanner does as far as it matters where a statement ends: comments (which
//! nest), strings, quoted identifiers and dollar quotes. What has no end reaches to the end of the text.
//!
//! Source: PostgreSQL documentation, "Lexical Structure".

use memchr::{memchr, memchr2};

/// One token. Comments and white space are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword or an identifier without quotes.
    Word(&'a [u8]),
    /// An identifier in double quotes: what stands between them, as written.
    Quoted(&'a [u8]),
    /// A string with its quotes, and an `E` before them where there is one.
    Text(&'a [u8]),
    /// A number without its sign.
    Number(&'a [u8]),
    /// Any other byte.
    Symbol(u8),
}

/// The rest of a text.
#[derive(Clone, Copy)]
pub(super) struct Lexer<'a> {
    rest: &'a [u8],
}

impl<'a> Token<'a> {
    /// Whether it is this word, which is given in lower case.
    pub(super) fn is(self, word: &str) -> bool {
        matches!(self, Self::Word(found) if found.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// The name that an identifier stands for: in lower case without quotes, as written within them.
    pub(super) fn name(self) -> Option<Vec<u8>> {
        match self {
            Self::Word(word) => Some(word.to_ascii_lowercase()),
            Self::Quoted(quoted) => {
                let mut name = Vec::with_capacity(quoted.len());
                let mut bytes = quoted.iter().copied();
                while let Some(byte) = bytes.next() {
                    name.push(byte);
                    if byte == b'"' {
                        bytes.next();
                    }
                }
                Some(name)
            }
            _ => None,
        }
    }
}

impl<'a> Lexer<'a> {
    pub(super) const fn new(text: &'a [u8]) -> Self {
        Self { rest: text }
    }

    /// What has not been taken.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether nothing but semicolons is left.
    pub(super) fn at_end(mut self) -> bool {
        self.all(|token| token == Token::Symbol(b';'))
    }

    /// The next token, without passing it.
    pub(super) fn peek(&self) -> Option<Token<'a>> {
        let mut ahead = *self;
        ahead.next()
    }

    /// A parameter's name whose first part has been taken: its parts, divided by dots.
    pub(super) fn dotted_name(&mut self, first: Token<'_>) -> Option<String> {
        let mut name = String::from_utf8(first.name()?).ok()?;
        while self.peek() == Some(Token::Symbol(b'.')) {
            self.next();
            let part = String::from_utf8(self.next()?.name()?).ok()?;
            name.push('.');
            name.push_str(&part);
        }
        Some(name)
    }

    /// Passes this word if it comes next.
    pub(super) fn eat(&mut self, word: &str) -> bool {
        let found = self.peek().is_some_and(|token| token.is(word));
        if found {
            self.next();
        }
        found
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(length.min(self.rest.len()));
        self.rest = rest;
        taken
    }

    fn skip_blanks(&mut self) {
        loop {
            let blanks = self.rest.iter().take_while(|byte| is_space(**byte)).count();
            self.take(blanks);
            match self.rest {
                [b'-', b'-', ..] => {
                    let end = memchr2(b'\n', b'\r', self.rest);
                    self.take(end.unwrap_or(self.rest.len()));
                }
                [b'/', b'*', ..] => self.skip_block_comment(),
                _ => return,
            }
        }
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.rest {
                [b'/', b'*', ..] => {
                    depth = depth.saturating_add(1);
                    self.take(2);
                }
                [b'*', b'/', ..] => {
                    depth = depth.saturating_sub(1);
                    self.take(2);
                    if depth == 0 {
                        return;
                    }
                }
                [] => return,
                [_, behind @ ..] => {
                    let next = memchr2(b'/', b'*', behind);
                    self.take(next.map_or(self.rest.len(), |next| next.saturating_add(1)));
                }
            }
        }
    }

    /// Bytes up to and with the closing quote; the opening one stands at `start`.
    fn quoted_length(&self, start: usize, escapes: bool) -> usize {
        let quote = self.rest.get(start).copied().unwrap_or(b'\'');
        let mut at = start.saturating_add(1);
        loop {
            let behind = self.rest.get(at..).unwrap_or_default();
            let found = if escapes {
                memchr2(quote, b'\\', behind)
            } else {
                memchr(quote, behind)
            };
            let Some(found) = found else {
                return self.rest.len();
            };
            at = at.saturating_add(found);
            let doubled = self.rest.get(at.saturating_add(1)) == Some(&quote);
            let escaped = self.rest.get(at) == Some(&b'\\');
            if !doubled && !escaped {
                return at.saturating_add(1);
            }
            at = at.saturating_add(2);
        }
    }

    fn word(&mut self) -> Token<'a> {
        let length = self
            .rest
            .iter()
            .take_while(|byte| continues_word(**byte))
            .count();
        let escape_string =
            matches!(self.rest, [b'e' | b'E', b'\'', ..]).then(|| self.quoted_length(1, true));
        match escape_string {
            Some(length) => Token::Text(self.take(length)),
            None => Token::Word(self.take(length)),
        }
    }

    /// `$tag$ … $tag$`; or one dollar sign, of a parameter.
    fn dollar(&mut self) -> Token<'a> {
        let behind = self.rest.get(1..).unwrap_or_default();
        let tag = behind
            .iter()
            .take_while(|byte| continues_word(**byte) && **byte != b'$')
            .count();
        let opens = behind.get(tag) == Some(&b'$')
            && behind.first().is_some_and(|byte| !byte.is_ascii_digit());
        if !opens {
            return Token::Symbol(self.take(1).first().copied().unwrap_or(b'$'));
        }
        let delimiter = self.rest.get(..tag.saturating_add(2)).unwrap_or_default();
        let body = self.rest.get(delimiter.len()..).unwrap_or_default();
        let length = memchr::memmem::find(body, delimiter).map_or(self.rest.len(), |end| {
            end.saturating_add(delimiter.len().saturating_mul(2))
        });
        Token::Text(self.take(length))
    }

    fn quoted(&mut self) -> Token<'a> {
        let length = self.quoted_length(0, false);
        let whole = self.take(length);
        let inner = whole.get(1..).unwrap_or_default();
        Token::Quoted(inner.strip_suffix(b"\"").unwrap_or(inner))
    }
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks();
        let first = *self.rest.first()?;
        Some(match first {
            b'\'' => {
                let length = self.quoted_length(0, false);
                Token::Text(self.take(length))
            }
            b'"' => self.quoted(),
            b'$' => self.dollar(),
            b'0'..=b'9' => {
                let digits = self.rest.iter().take_while(|byte| continues_number(**byte));
                let length = digits.count();
                Token::Number(self.take(length))
            }
            byte if continues_word(byte) => self.word(),
            byte => {
                self.take(1);
                Token::Symbol(byte)
            }
        })
    }
}

/// PostgreSQL's white space.
pub(super) const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Bytes of an identifier, behind its first one.
pub(super) const fn continues_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$' || !byte.is_ascii()
}

const fn continues_number(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'_'
}

/// Whether a text begins with a word, in any case.
pub(super) fn starts_with(text: &[u8], word: &[u8]) -> bool {
    text.get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}

/// Whether a text ends with a word, in any case.
pub(super) fn ends_with(text: &[u8], word: &[u8]) -> bool {
    let start = text.len().checked_sub(word.len());
    start
        .and_then(|start| text.get(start..))
        .is_some_and(|end| end.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(text: &str) -> Vec<Token<'_>> {
        Lexer::new(text.as_bytes()).collect()
    }

    #[test]
    fn comments_are_passed_over_and_nest() {
        assert_eq!(
            tokens("a -- b ; c\n/* x /* y; */ ; */ d"),
            [Token::Word(b"a"), Token::Word(b"d")]
        );
        assert_eq!(tokens("a /* /* */ b"), [Token::Word(b"a")]);
        assert_eq!(tokens("a--"), [Token::Word(b"a")]);
        assert_eq!(tokens("/*/ a */ b"), [Token::Word(b"b")]);
    }

    #[test]
    fn strings_end_where_postgresql_ends_them() {
        assert_eq!(
            tokens("'a''b;' c"),
            [Token::Text(b"'a''b;'"), Token::Word(b"c")]
        );
        assert_eq!(
            tokens(r"'a\' c"),
            [Token::Text(br"'a\'"), Token::Word(b"c")]
        );
        assert_eq!(
            tokens(r"e'a\';' c"),
            [Token::Text(br"e'a\';'"), Token::Word(b"c")]
        );
        assert_eq!(tokens("'a;"), [Token::Text(b"'a;")]);
        assert_eq!(tokens(r"E'a\"), [Token::Text(br"E'a\")]);
    }

    #[test]
    fn dollar_quotes_have_tags_and_parameters_do_not() {
        assert_eq!(
            tokens("$$a;$b$;$$ c"),
            [Token::Text(b"$$a;$b$;$$"), Token::Word(b"c")]
        );
        assert_eq!(tokens("$x$a$$b$x$"), [Token::Text(b"$x$a$$b$x$")]);
        assert_eq!(tokens("$1"), [Token::Symbol(b'$'), Token::Number(b"1")]);
        assert_eq!(tokens("$x$a"), [Token::Text(b"$x$a")]);
        assert_eq!(tokens("a$b$c"), [Token::Word(b"a$b$c")]);
    }

    #[test]
    fn identifiers_have_one_name_each() {
        let name = |text| Lexer::new(text).next().and_then(Token::name).unwrap();
        assert_eq!(name(b"Work_Mem"), b"work_mem");
        assert_eq!(name(b"\"Work\"\"Mem\""), b"Work\"Mem");
        assert_eq!(name("\"ü\"".as_bytes()), "ü".as_bytes());
    }

    proptest! {
        #[test]
        fn every_token_takes_something(text: Vec<u8>) {
            prop_assert!(Lexer::new(&text).count() <= text.len());
        }

        #[test]
        fn sql_like_noise_is_read_to_its_end(text in "[a-zE$'\"/*;\\\\ \n-]{0,60}") {
            prop_assert!(Lexer::new(text.as_bytes()).count() <= text.len());
        }
    }
}
