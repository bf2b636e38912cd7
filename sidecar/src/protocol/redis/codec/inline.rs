//! Inline commands: what a person types into a terminal, one line, words apart by white space, quoted where they must be.
//!
//! Source: `sdssplitargs` of the server. In double quotes `\xHH`, `\n`, `\r`, `\t`, `\b` and `\a` mean what they do in C and any other
//! `\c` is `c`; in single quotes only `\'` is special; a closing quote ends its word.

use super::{RequestError, Span};

/// Splits a line without a NUL into words: their bytes go to `unquoted`, where they stand to `spans`.
pub(super) fn split(
    line: &[u8],
    unquoted: &mut Vec<u8>,
    spans: &mut Vec<Span>,
) -> Result<(), RequestError> {
    let mut left = line;
    loop {
        left = left.trim_ascii_start();
        // White space to C, and not to Rust.
        if let Some(rest) = left.strip_prefix(b"\x0b") {
            left = rest;
            continue;
        }
        if left.is_empty() {
            return Ok(());
        }
        let start = unquoted.len();
        left = word(left, unquoted)?;
        spans.push(Span {
            start,
            len: unquoted.len() - start,
        });
    }
}

/// Takes one word off; what is left is given back.
fn word<'a>(mut left: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], RequestError> {
    while let Some((byte, rest)) = left.split_first() {
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => return Ok(rest),
            b'"' => return closed(double_quoted(rest, out)?),
            b'\'' => return closed(single_quoted(rest, out)?),
            byte => out.push(*byte),
        }
        left = rest;
    }
    Ok(left)
}

/// Nothing but white space may stand behind a closing quote.
fn closed(left: &[u8]) -> Result<&[u8], RequestError> {
    match left.first() {
        None => Ok(left),
        Some(byte) if byte.is_ascii_whitespace() || *byte == 0x0b => Ok(left),
        Some(_) => Err(RequestError::Quotes),
    }
}

fn double_quoted<'a>(mut left: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], RequestError> {
    loop {
        left = match left {
            [b'"', rest @ ..] => return Ok(rest),
            [b'\\', b'x', high, low, rest @ ..]
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                out.push(nibble(*high) << 4 | nibble(*low));
                rest
            }
            [b'\\', byte, rest @ ..] => {
                out.push(match byte {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 0x08,
                    b'a' => 0x07,
                    byte => *byte,
                });
                rest
            }
            [byte, rest @ ..] => {
                out.push(*byte);
                rest
            }
            [] => return Err(RequestError::Quotes),
        };
    }
}

fn single_quoted<'a>(mut left: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], RequestError> {
    loop {
        left = match left {
            [b'\'', rest @ ..] => return Ok(rest),
            [b'\\', b'\'', rest @ ..] => {
                out.push(b'\'');
                rest
            }
            [byte, rest @ ..] => {
                out.push(*byte);
                rest
            }
            [] => return Err(RequestError::Quotes),
        };
    }
}

const fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit.wrapping_sub(b'A').wrapping_add(10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[u8]) -> Result<Vec<Vec<u8>>, RequestError> {
        let (mut unquoted, mut spans) = (Vec::new(), Vec::new());
        split(line, &mut unquoted, &mut spans)?;
        Ok(spans
            .iter()
            .map(|span| unquoted[span.start..span.start + span.len].to_vec())
            .collect())
    }

    #[test]
    fn a_line_is_split_as_the_server_splits_it() {
        for (line, want) in [
            (&b""[..], &[][..]),
            (b"  \t ", &[]),
            (b"PING", &[&b"PING"[..]]),
            (b"  SET  k\tv ", &[b"SET", b"k", b"v"]),
            (b"SET k \"a b\"", &[b"SET", b"k", b"a b"]),
            (b"SET k \"\\x41\\n\\q\\\"\"", &[b"SET", b"k", b"A\nq\""]),
            (b"SET k '\\n\\''", &[b"SET", b"k", b"\\n'"]),
            (b"SET k pre\"fix ed\"", &[b"SET", b"k", b"prefix ed"]),
            (b"SET k \"\"", &[b"SET", b"k", b""]),
            (b"SET k \"\\xZZ\"", &[b"SET", b"k", b"xZZ"]),
        ] {
            let want = want.iter().map(|word| word.to_vec()).collect::<Vec<_>>();
            assert_eq!(words(line), Ok(want), "{:?}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn quotes_must_close_and_end_their_word() {
        for line in ["SET k \"v", "SET k 'v", "\"a\"b", "'a'b", "a \"b\\\""] {
            assert_eq!(words(line.as_bytes()), Err(RequestError::Quotes), "{line}");
        }
    }
}
