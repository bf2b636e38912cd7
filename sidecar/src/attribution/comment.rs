//! sqlcommenter's comment (<https://google.github.io/sqlcommenter/spec/>): `/*bulkhead_user='alice',route='%2Fchat'*/` at the end of a
//! statement, or at its beginning.
//!
//! Only these two places are looked at, so nothing has to be known of strings or dollar quotes: where a text ends with a comment that
//! begins inside of a string, the string is not closed, and no server runs it. A text that has no comment there costs two comparisons;
//! nothing is allocated unless a value is escaped, and what is looked at is bounded.

use std::borrow::Cow;

use super::of_id;
use crate::telemetry::Attribution;

/// The pair that names the user.
const KEY: &[u8] = b"bulkhead_user";

/// Bytes at either end of a text that are looked at: a longer comment says nothing.
const LONGEST: usize = 4 * 1024;

/// The longest value that is decoded, in bytes on the wire: three for each byte of an id.
const LONGEST_VALUE: usize = 1024;

/// What a statement's comment says of its user; none where no comment names one. `whole`: whether the text's end is there.
#[must_use]
pub fn claim(text: &[u8], whole: bool) -> Option<Attribution> {
    let behind = if whole { last(text) } else { None };
    behind
        .and_then(of_comment)
        .or_else(|| of_comment(first(text)?))
}

/// The comment that a text ends with, without its marks.
fn last(text: &[u8]) -> Option<&[u8]> {
    let window = &text[text.len().saturating_sub(LONGEST)..];
    let inner = ended(window).strip_suffix(b"*/")?;
    let at = memchr::memmem::rfind(inner, b"/*")?;
    Some(&inner[at + 2..])
}

/// The comment that a text begins with, without its marks.
fn first(text: &[u8]) -> Option<&[u8]> {
    let window = &text[..text.len().min(LONGEST)];
    let inner = window.trim_ascii_start().strip_prefix(b"/*")?;
    let at = memchr::memmem::find(inner, b"*/")?;
    Some(&inner[..at])
}

/// Without the blanks and semicolons at its end.
fn ended(mut text: &[u8]) -> &[u8] {
    while let [before @ .., b' ' | b'\t' | b'\r' | b'\n' | b';'] = text {
        text = before;
    }
    text
}

/// What `key='value',key='value'` says of the user. What is not of this form says nothing, and nor does one that names two users.
fn of_comment(comment: &[u8]) -> Option<Attribution> {
    // Most comments are somebody else's.
    memchr::memmem::find(comment, KEY)?;
    let mut named: Option<&[u8]> = None;
    let mut rest = comment.trim_ascii();
    loop {
        let (key, value, behind) = pair(rest)?;
        if key == KEY && named.replace(value).is_some_and(|other| other != value) {
            return None;
        }
        rest = match behind.trim_ascii_start() {
            [] => break,
            [b',', more @ ..] => more.trim_ascii_start(),
            _ => return None,
        };
    }
    named.map(|value| decoded(value).map_or(Attribution::Unattributed, |id| of_id(&id)))
}

/// The first pair of a text, and what stands behind it.
fn pair(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let end = text.iter().position(|byte| !is_of_key(*byte))?;
    let (key, rest) = text.split_at(end);
    let rest = rest.trim_ascii_start().strip_prefix(b"=")?;
    let rest = rest.trim_ascii_start().strip_prefix(b"'")?;
    let end = value_end(rest)?;
    (!key.is_empty()).then_some((key, &rest[..end], &rest[end + 1..]))
}

/// What a key is made of: it is percent-encoded.
const fn is_of_key(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'~' | b'%')
}

/// Where the quote is that ends a value. A backslash takes the next byte along, and a doubled quote is one: drivers escape either way.
fn value_end(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'\'', b'\\', text.get(at..)?)?;
        match (text[at], text.get(at + 1)) {
            (b'\\', _) | (b'\'', Some(b'\'')) => at += 2,
            _ => return Some(at),
        }
    }
}

/// A value without its escapes and percent-encoding; none where that is not UTF-8, or is broken.
fn decoded(value: &[u8]) -> Option<Cow<'_, str>> {
    if value.len() > LONGEST_VALUE {
        return None;
    }
    if memchr::memchr3(b'%', b'\\', b'\'', value).is_none() {
        return std::str::from_utf8(value).ok().map(Cow::Borrowed);
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value;
    loop {
        rest = match rest {
            [] => break,
            [b'%', high, low, more @ ..] => {
                bytes.push(digit(*high)? << 4 | digit(*low)?);
                more
            }
            [b'%', ..] => return None,
            // What stands between the quotes has no quote but an escaped one.
            [b'\\' | b'\'', one, more @ ..] => {
                bytes.push(*one);
                more
            }
            [one, more @ ..] => {
                bytes.push(*one);
                more
            }
        };
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

fn digit(byte: u8) -> Option<u8> {
    let value = char::from(byte).to_digit(16)?;
    u8::try_from(value).ok()
}

#[cfg(test)]
mod tests;
