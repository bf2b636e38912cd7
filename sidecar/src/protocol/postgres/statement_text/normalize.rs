//! A text in a form in which it can be compared with another: its tokens, a blank between two.

use super::lexer::{Lexer, Token};

/// The longest text that is compared, in bytes.
const MAX_TEXT: usize = 8192;

/// The text of one statement without comments, words in lower case, a blank between two tokens, and without the semicolon at its end.
/// `None` for several statements, for what is longer than 8192 bytes, and for what is not UTF-8.
#[must_use]
pub fn normalized(text: &[u8]) -> Option<String> {
    if text.len() > MAX_TEXT {
        return None;
    }
    let mut normal = Vec::with_capacity(text.len());
    let mut lexer = Lexer::new(text);
    while let Some(token) = lexer.next() {
        if token == Token::Symbol(b';') {
            if !lexer.at_end() {
                return None;
            }
            break;
        }
        if !normal.is_empty() {
            normal.push(b' ');
        }
        match token {
            Token::Word(word) => normal.extend(word.to_ascii_lowercase()),
            Token::Quoted(quoted) => {
                normal.push(b'"');
                normal.extend_from_slice(quoted);
                normal.push(b'"');
            }
            Token::Text(written) | Token::Number(written) => normal.extend_from_slice(written),
            Token::Symbol(symbol) => normal.push(symbol),
        }
    }
    String::from_utf8(normal).ok()
}

/// Whether a text is one SHOW and nothing else.
#[must_use]
pub fn shows_parameter(text: &[u8]) -> bool {
    let mut lexer = Lexer::new(text);
    lexer.eat("show")
        && lexer.next().is_some_and(|first| first.name().is_some())
        && lexer
            .by_ref()
            .take_while(|token| *token != Token::Symbol(b';'))
            .all(|token| {
                matches!(
                    token,
                    Token::Word(_) | Token::Quoted(_) | Token::Symbol(b'.')
                )
            })
        && lexer.at_end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_comments_and_case_do_not_count() {
        for text in [
            "SELECT version()",
            " select\tVERSION ( ) ;",
            "/* a */ Select version() -- b",
        ] {
            assert_eq!(
                normalized(text.as_bytes()).as_deref(),
                Some("select version ( )")
            );
        }
        assert_eq!(
            normalized(b"SELECT \"A\", 'B'").as_deref(),
            Some("select \"A\" , 'B'")
        );
        assert_eq!(normalized(b"SELECT 1; SELECT 2"), None);
        assert_eq!(normalized(&[b'a'; MAX_TEXT + 1]), None);
    }

    #[test]
    fn one_show_alone() {
        for text in [
            "SHOW x",
            "show a.b;",
            "SHOW TRANSACTION ISOLATION LEVEL",
            "SHOW \"X\"",
        ] {
            assert!(shows_parameter(text.as_bytes()), "{text}");
        }
        for text in [
            "SHOW",
            "SHOW x; SELECT 1",
            "SHOW 'x'",
            "SELECT x",
            "SHOW (x)",
        ] {
            assert!(!shows_parameter(text.as_bytes()), "{text}");
        }
    }
}
