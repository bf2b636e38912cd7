//! Functions whose calls leave something behind: `set_config`, and the advisory locks that outlive a transaction.

use memchr::memchr_iter;

use super::lexer::{Lexer, Token, ends_with, starts_with};
use super::traits::Traits;

/// Calls of functions that leave something behind.
pub(super) fn called_functions(text: &[u8]) -> Traits {
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
pub(super) fn named_functions(text: &[u8]) -> Traits {
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
