//! The traits of a text. The common text is seen to be plain by searches for single bytes; others are taken apart.

use memchr::memchr;

use super::functions::called_functions;
use super::lexer::{Lexer, Token, continues_word, is_space, starts_with};
use super::statement::Statement;
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
            let mut statement = Statement::behind_first(lexer);
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

#[cfg(test)]
mod tests;
