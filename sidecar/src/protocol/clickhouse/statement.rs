//! Which settings a query's text changes, as far as its words show: `SET a = 1` and every `SETTINGS a = 1, b = 2`. Pure.
//!
//! This is no parser of ClickHouse's SQL and no boundary: text can be compressed, sent as a form's field, or come behind what is looked
//! at, and a view or a stored profile can hold settings of its own. What a user must not change is fixed on the server, by constraints of
//! the settings profile. This catches what an application writes without wanting to hide it.

/// Bytes of a query that are looked at.
pub const LOOKED_AT: usize = 64 * 1024;

/// A piece of the text that means something here.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token<'a> {
    /// A word or number, or an identifier whose quotes have been taken off.
    Word(&'a [u8]),
    /// A string.
    Text,
    /// Any other byte.
    Mark(u8),
}

/// The names of the settings that the text changes, in order and as it writes them.
#[must_use]
pub fn settings_of(text: &[u8]) -> Vec<String> {
    let text = &text[..text.len().min(LOOKED_AT)];
    let tokens: Vec<_> = Tokens { rest: text }.collect();
    let mut found = Vec::new();
    let mut begins = true;
    for (at, token) in tokens.iter().enumerate() {
        let Token::Word(word) = token else {
            begins = *token == Token::Mark(b';');
            continue;
        };
        let opens =
            word.eq_ignore_ascii_case(b"SETTINGS") || (begins && word.eq_ignore_ascii_case(b"SET"));
        if opens {
            assignments(&tokens[at + 1..], &mut found);
        }
        begins = false;
    }
    found
}

/// `name = value, name = value …`: the names.
fn assignments(mut tokens: &[Token<'_>], found: &mut Vec<String>) {
    // Old servers know SET GLOBAL.
    if let [Token::Word(word), Token::Word(_), ..] = tokens
        && word.eq_ignore_ascii_case(b"GLOBAL")
    {
        tokens = &tokens[1..];
    }
    while let [Token::Word(name), rest @ ..] = tokens {
        // New servers take a name alone for name = 1.
        found.push(String::from_utf8_lossy(name).into_owned());
        let next = after_value(rest);
        let Some(next) = next else { return };
        tokens = next;
    }
}

/// What stands behind the comma that ends a value, if one does.
fn after_value<'a, 'b>(tokens: &'a [Token<'b>]) -> Option<&'a [Token<'b>]> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        match token {
            Token::Mark(b'(' | b'[' | b'{') => depth += 1,
            Token::Mark(b')' | b']' | b'}') => depth = depth.checked_sub(1)?,
            Token::Mark(b',') if depth == 0 => return Some(&tokens[at + 1..]),
            Token::Mark(b';') => return None,
            _ => {}
        }
    }
    None
}

/// Takes text apart: comments and strings are passed over, quoted identifiers are words.
struct Tokens<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        loop {
            let rest = self.rest;
            let first = *rest.first()?;
            if first.is_ascii_whitespace() {
                self.rest = &rest[1..];
            } else if rest.starts_with(b"--") || first == b'#' {
                self.rest = behind(rest, b"\n");
            } else if rest.starts_with(b"/*") {
                self.rest = behind(&rest[2..], b"*/");
            } else {
                break;
            }
        }
        let rest = self.rest;
        let first = *rest.first()?;
        match first {
            b'\'' => {
                let (_, behind) = quoted(rest);
                self.rest = behind;
                Some(Token::Text)
            }
            b'`' | b'"' => {
                let (inside, behind) = quoted(rest);
                self.rest = behind;
                Some(Token::Word(inside))
            }
            _ if is_word(first) => {
                let end = rest.iter().position(|byte| !is_word(*byte));
                let (word, behind) = rest.split_at(end.unwrap_or(rest.len()));
                self.rest = behind;
                Some(Token::Word(word))
            }
            mark => {
                self.rest = &rest[1..];
                Some(Token::Mark(mark))
            }
        }
    }
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' || byte >= 0x80
}

fn behind<'a>(text: &'a [u8], end: &[u8]) -> &'a [u8] {
    let found = memchr::memmem::find(text, end);
    found.map_or(&[], |at| &text[at + end.len()..])
}

/// What stands between quotes, and what behind them. A backslash takes the next byte along, and a doubled quote is one.
fn quoted(text: &[u8]) -> (&[u8], &[u8]) {
    let quote = text[0];
    let mut at = 1;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            byte if byte == quote => {
                if text.get(at + 1) == Some(&quote) {
                    at += 2;
                } else {
                    return (&text[1..at], &text[at + 1..]);
                }
            }
            _ => at += 1,
        }
    }
    (text.get(1..).unwrap_or_default(), &[])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn settings_are_found_where_words_show_them() {
        for (text, expected) in [
            ("SELECT 1", vec![]),
            ("SELECT 1 SETTINGS max_threads = 1", vec!["max_threads"]),
            (
                "select 1 settings a=1,b='x, c=2', `d` = 3 FORMAT JSON",
                vec!["a", "b", "d"],
            ),
            ("SET a = 1, b = 2", vec!["a", "b"]),
            ("set global a=1", vec!["a"]),
            ("  /* x */ SET -- y\n \"a\"=1", vec!["a"]),
            (
                "SELECT * FROM (SELECT 1 SETTINGS a = 1) SETTINGS b = [1, 2], c = 1",
                vec!["a", "b", "c"],
            ),
            (
                "INSERT INTO t SETTINGS async_insert=1 VALUES (1)",
                vec!["async_insert"],
            ),
            ("SELECT 1; SET a = 1", vec!["a"]),
            ("SELECT 'x SETTINGS a = 1'", vec![]),
            ("SELECT 1 -- SETTINGS a = 1", vec![]),
            ("SELECT 1 /* SETTINGS a = 1 */", vec![]),
            (
                "SELECT 'it''s', 'a\\' SETTINGS b' SETTINGS c = 1",
                vec!["c"],
            ),
            ("ALTER TABLE t UPDATE a = 1 WHERE b = 2", vec![]),
            ("SELECT set FROM t WHERE a = 1", vec![]),
            ("SELECT 1 SETTINGS a", vec!["a"]),
            (
                "SELECT 1 SETTINGS a = {'k': 1, 'l': 2}, b = 1",
                vec!["a", "b"],
            ),
            ("SETTINGS", vec![]),
            (
                "SELECT 1 SETTINGS a = -1, b = 2; SELECT 2 SETTINGS c = 3",
                vec!["a", "b", "c"],
            ),
        ] {
            assert_eq!(settings_of(text.as_bytes()), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_looked_at_and_nothing_breaks(text in any::<Vec<u8>>()) {
            let _ = settings_of(&text);
        }

        #[test]
        fn any_text_of_marks_is_too(text in "[SET ingsa=,;()'\"`\\\\/*#\\-\n]{0,80}") {
            let _ = settings_of(text.as_bytes());
        }
    }
}
