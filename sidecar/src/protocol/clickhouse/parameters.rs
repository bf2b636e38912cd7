//! The parameters of a request's address, read as the server reads them and written so that nothing can be read two ways.
//!
//! ClickHouse takes `application/x-www-form-urlencoded` apart at `&` and the first `=`, and compares the names of what it knows itself
//! without regard to case. What this module writes cannot be taken apart in another way: whatever means something in an address is
//! percent-encoded.

use std::fmt::Write;

use thiserror::Error;

/// One parameter, decoded. Values are bytes: nothing says that they are text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: Vec<u8>,
    /// Its value; empty where it has none.
    pub value: Vec<u8>,
}

/// All parameters of an address, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(Vec<Parameter>);

/// The address is not encoded well (RFC 3986, section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the address has a % that no two hexadecimal digits follow")]
pub struct BadEncoding;

impl Parameters {
    /// Reads the part of an address behind its `?`.
    ///
    /// # Errors
    /// See [`BadEncoding`].
    pub fn parse(query: &str) -> Result<Self, BadEncoding> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let read = pairs.map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok(Parameter {
                name: decoded(name)?,
                value: decoded(value)?,
            })
        });
        read.collect::<Result<_, _>>().map(Self)
    }

    /// The values of all parameters of this name, whatever its case.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = self.0.iter().filter(move |one| one.is(name));
        named.map(|one| one.value.as_slice())
    }

    /// The value of the first parameter of this name: the one that the server goes by.
    #[must_use]
    pub fn first(&self, name: &str) -> Option<&[u8]> {
        self.0
            .iter()
            .find(|one| one.is(name))
            .map(|one| one.value.as_slice())
    }

    /// Whether one has this name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.first(name).is_some()
    }

    /// Takes out every parameter that `which` picks.
    pub fn remove(&mut self, which: impl Fn(&Parameter) -> bool) {
        self.0.retain(|one| !which(one));
    }

    /// Adds one at the end.
    pub fn push(&mut self, name: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.0.push(Parameter {
            name: name.into(),
            value: value.into(),
        });
    }

    /// Adds all of another's behind its own.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Each, in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Parameter> {
        self.0.iter()
    }

    /// As the part of an address behind its `?`.
    #[must_use]
    pub fn encode(&self) -> String {
        let mut out = String::new();
        for (at, one) in self.0.iter().enumerate() {
            if at > 0 {
                out.push('&');
            }
            form_encode(&one.name, &mut out);
            out.push('=');
            form_encode(&one.value, &mut out);
        }
        out
    }
}

/// Writes bytes for an address, and no longer than a client that wrote them well: what has no meaning in a query stays.
fn form_encode(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        match byte {
            b' ' => out.push('+'),
            b'!' | b'$' | b'\'' | b'(' | b')' | b'*' | b',' | b'/' | b':' | b';' | b'?' | b'@' => {
                out.push(char::from(*byte));
            }
            _ => percent_encode(std::slice::from_ref(byte), out),
        }
    }
}

impl Parameter {
    /// Whether it has this name, whatever the case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The name as text, for messages.
    #[must_use]
    pub fn shown_name(&self) -> String {
        let text: String = String::from_utf8_lossy(&self.name)
            .chars()
            .take(64)
            .collect();
        text.escape_debug().to_string()
    }
}

/// Writes bytes so that different ones are never written the same: letters, digits and `-_.~` as they are, the rest as `%XX`.
pub fn percent_encode(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(*byte));
        } else {
            // A String takes everything.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// Undoes `application/x-www-form-urlencoded`.
fn decoded(text: &str) -> Result<Vec<u8>, BadEncoding> {
    decode(text, true)
}

/// Undoes a header's percent-encoding, where `+` is a `+`.
///
/// # Errors
/// See [`BadEncoding`].
pub fn percent_decode(text: &str) -> Result<Vec<u8>, BadEncoding> {
    decode(text, false)
}

fn decode(text: &str, plus_is_blank: bool) -> Result<Vec<u8>, BadEncoding> {
    let mut bytes = text.bytes();
    let mut out = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' if plus_is_blank => b' ',
            b'%' => {
                let mut digit = || {
                    let digit = char::from(bytes.next()?).to_digit(16)?;
                    u8::try_from(digit).ok()
                };
                let (high, low) = (digit().ok_or(BadEncoding)?, digit().ok_or(BadEncoding)?);
                high << 4 | low
            }
            other => other,
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(query: &str) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let read = Parameters::parse(query).unwrap();
        read.iter()
            .map(|one| (text(&one.name), text(&one.value)))
            .collect()
    }

    #[test]
    fn an_address_is_taken_apart_as_the_server_does() {
        for (query, expected) in [
            ("", vec![]),
            ("query=SELECT+1", vec![("query", "SELECT 1")]),
            ("a=b=c&&d", vec![("a", "b=c"), ("d", "")]),
            ("%71uery=%53", vec![("query", "S")]),
            ("a;b=1", vec![("a;b", "1")]),
            ("a=1&A=2", vec![("a", "1"), ("A", "2")]),
            ("=x", vec![("", "x")]),
        ] {
            let expected: Vec<_> = expected
                .into_iter()
                .map(|(name, value): (&str, &str)| (name.to_owned(), value.to_owned()))
                .collect();
            assert_eq!(pairs(query), expected, "{query}");
        }
        for broken in ["a=%", "a=%4", "%zz=1", "a=%+1"] {
            assert_eq!(Parameters::parse(broken), Err(BadEncoding), "{broken}");
        }
    }

    #[test]
    fn a_name_is_found_in_any_spelling() {
        let read = Parameters::parse("USER=a&u%73er=b&users=c").unwrap();
        let found: Vec<_> = read.all("user").collect();
        assert_eq!(found, [b"a", b"b"]);
        assert_eq!(read.first("User"), Some(&b"a"[..]));
    }

    #[test]
    fn what_is_written_cannot_be_read_two_ways() {
        let mut out = Parameters::default();
        out.push("a&b", "=%+ \u{fc}\0");
        assert_eq!(out.encode(), "a%26b=%3D%25%2B+%C3%BC%00");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            all in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..8), any::<Vec<u8>>()), 0..6)
        ) {
            let mut written = Parameters::default();
            for (name, value) in all {
                written.push(name, value);
            }
            prop_assert_eq!(Parameters::parse(&written.encode()).unwrap(), written);
        }

        #[test]
        fn two_texts_are_never_written_the_same(one in ".{0,12}", other in ".{0,12}") {
            let written = |text: &str| {
                let mut out = String::new();
                percent_encode(text.as_bytes(), &mut out);
                out
            };
            prop_assert_eq!(one == other, written(&one) == written(&other));
            prop_assert_eq!(percent_decode(&written(&one)).unwrap(), one.as_bytes());
        }
    }
}
