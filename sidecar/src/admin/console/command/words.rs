//! What commands are made of: words, quoted or not, and their ends.

use super::{Misread, misread};

/// What a command is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Token {
    /// A bare word.
    Word(String),
    /// A text in single quotes, or a name in double ones.
    Quoted(String),
    /// `;`
    End,
}

/// What somebody has typed, short enough to be said again.
pub(super) fn bounded(text: &str) -> &str {
    const LONGEST: usize = 64;
    text.get(..text.floor_char_boundary(LONGEST))
        .unwrap_or(text)
}

impl Token {
    /// Whether it is this word, bare and in any case.
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(own) if own.eq_ignore_ascii_case(word))
    }

    /// What a name or an id is, quoted or not.
    pub(super) fn value(&self) -> String {
        match self {
            Self::Word(text) | Self::Quoted(text) => text.clone(),
            Self::End => String::new(),
        }
    }

    /// As it is said again.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Word(word) => format!("\"{}\"", bounded(word)),
            Self::Quoted(text) => format!("'{}'", bounded(text)),
            Self::End => "\";\"".to_owned(),
        }
    }
}

/// The words of a text, without white space and comments.
pub(super) fn split(text: &str) -> Result<Vec<Token>, Misread> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = pass_over(rest)?;
        let Some(first) = rest.chars().next() else {
            return Ok(tokens);
        };
        let token;
        (token, rest) = match first {
            ';' => (Token::End, &rest[1..]),
            '\'' | '"' => quoted(first, &rest[1..])?,
            _ => word(rest),
        };
        tokens.push(token);
    }
}

/// White space and comments.
fn pass_over(text: &str) -> Result<&str, Misread> {
    let mut rest = text.trim_start();
    loop {
        rest = if let Some(comment) = rest.strip_prefix("--") {
            comment.split_once('\n').map_or("", |(_, rest)| rest)
        } else if let Some(comment) = rest.strip_prefix("/*") {
            let Some((_, rest)) = comment.split_once("*/") else {
                return Err(misread("a comment has no end", "Write */ at its end."));
            };
            rest
        } else {
            return Ok(rest);
        };
        rest = rest.trim_start();
    }
}

/// A text up to its quote; a doubled one stands for itself.
fn quoted(quote: char, text: &str) -> Result<(Token, &str), Misread> {
    let mut value = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once(quote) {
        value.push_str(before);
        match behind.strip_prefix(quote) {
            Some(more) => {
                value.push(quote);
                rest = more;
            }
            None => return Ok((Token::Quoted(value), behind)),
        }
    }
    Err(misread(
        "a quoted text has no end",
        format!("Write {quote} at its end."),
    ))
}

fn word(text: &str) -> (Token, &str) {
    let ends = |c: char| c.is_whitespace() || matches!(c, ';' | '\'' | '"');
    let end = text.find(ends).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (Token::Word(word.to_owned()), rest)
}
