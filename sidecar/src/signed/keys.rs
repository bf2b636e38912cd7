//! The keys that claims are signed with, as the Secret lists them.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use super::hex;

/// Keys of one Secret. The database has room for no more.
const MOST: usize = 16;

/// The longest id of a key.
const LONGEST_ID: usize = 64;

/// What a key has at least: as many bytes as its signatures.
const LEAST_BYTES: usize = 32;

/// What a key has at most.
const MOST_BYTES: usize = 1024;

/// What is signed to tell a key from another of the same id, without telling the key.
const FINGERPRINT: &[u8] = b"bulkhead key fingerprint";

/// The keys, in the order in which they are preferred.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKeys(Vec<SigningKey>);

/// One key.
#[derive(Clone)]
pub(super) struct SigningKey {
    pub(super) id: Box<str>,
    /// The first 16 hexadecimal digits of what it makes of [`FINGERPRINT`].
    pub(super) fingerprint: Box<str>,
    key: hmac::Key,
}

/// Why a list of keys cannot be used. Never says what stands in it but an id.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum KeysError {
    /// No line has a key.
    #[error("it has no key: write a line `ID BASE64` for each, of 32 random bytes or more")]
    None,
    /// More keys than the database takes.
    #[error("it has more than {MOST} keys: leave out those that the database has no more")]
    TooMany,
    /// A line is no `ID BASE64`.
    #[error(
        "line {0} is no `ID BASE64`, with an id of up to {LONGEST_ID} letters, digits, `.`, `_` and `-`"
    )]
    Line(usize),
    /// A key is too short, or too long.
    #[error(
        "the key {id} has {bytes} bytes, and must have {LEAST_BYTES} to {MOST_BYTES} random ones"
    )]
    Length {
        /// Its id.
        id: Box<str>,
        /// How many there are.
        bytes: usize,
    },
    /// An id stands twice.
    #[error("the key {0} stands there twice: give each an id of its own")]
    Twice(Box<str>),
}

impl SigningKeys {
    /// Reads a list: a key a line, `ID BASE64`; empty lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub fn read(text: &str) -> Result<Self, KeysError> {
        let mut keys: Vec<SigningKey> = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let key = SigningKey::read(line).unwrap_or(Err(KeysError::Line(index + 1)))?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(KeysError::Twice(key.id));
            }
            keys.push(key);
        }
        match keys.len() {
            0 => Err(KeysError::None),
            1..=MOST => Ok(Self(keys)),
            _ => Err(KeysError::TooMany),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &SigningKey> {
        self.0.iter()
    }
}

impl SigningKey {
    /// `None`: the line has another form.
    fn read(line: &str) -> Option<Result<Self, KeysError>> {
        let (id, secret) = line.split_once(|c: char| c.is_ascii_whitespace())?;
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if !(1..=LONGEST_ID).contains(&id.len()) || !id.bytes().all(allowed) {
            return None;
        }
        let secret = STANDARD.decode(secret.trim_start()).ok()?;
        if !(LEAST_BYTES..=MOST_BYTES).contains(&secret.len()) {
            return Some(Err(KeysError::Length {
                id: id.into(),
                bytes: secret.len(),
            }));
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, &secret);
        let mut fingerprint = hex(hmac::sign(&key, FINGERPRINT).as_ref());
        fingerprint.truncate(16);
        Some(Ok(Self {
            id: id.into(),
            fingerprint: fingerprint.into(),
            key,
        }))
    }

    /// The signature of `text`, in hexadecimal.
    pub(super) fn sign(&self, text: &str) -> String {
        hex(hmac::sign(&self.key, text.as_bytes()).as_ref())
    }
}

/// By what tells keys apart, without looking at them.
impl PartialEq for SigningKey {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.fingerprint == other.fingerprint
    }
}

impl Eq for SigningKey {}

/// The keys stay out.
impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.iter().map(|key| &key.id);
        f.debug_list().entries(ids).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, bytes: usize) -> String {
        format!("{id} {}", STANDARD.encode(vec![7; bytes]))
    }

    #[test]
    fn keys_are_read_in_their_order() {
        let text = format!(
            "# the newest first\n{}\n\n  {}\n",
            line("b", 32),
            line("a.1", 64)
        );
        let keys = SigningKeys::read(&text).unwrap();
        let ids: Vec<&str> = keys.iter().map(|key| &*key.id).collect();
        assert_eq!(ids, ["b", "a.1"]);
    }

    #[test]
    fn what_is_no_list_of_keys_is_refused_and_not_shown() {
        let many: String = (0..17).map(|n| line(&n.to_string(), 32) + "\n").collect();
        let cases = [
            (String::new(), KeysError::None),
            ("# nothing\n".to_owned(), KeysError::None),
            (many, KeysError::TooMany),
            ("hunter2".to_owned(), KeysError::Line(1)),
            (format!("\n{}", line("a:b", 32)), KeysError::Line(2)),
            (line(&"a".repeat(65), 32), KeysError::Line(1)),
            ("a hunter2!".to_owned(), KeysError::Line(1)),
            (
                line("a", 31),
                KeysError::Length {
                    id: "a".into(),
                    bytes: 31,
                },
            ),
            (
                format!("{}\n{}", line("a", 32), line("a", 33)),
                KeysError::Twice("a".into()),
            ),
        ];
        for (text, error) in cases {
            let told = SigningKeys::read(&text).unwrap_err();
            assert_eq!(told, error, "{text:?}");
            assert!(!told.to_string().contains("hunter2"), "{told}");
        }
    }

    /// Made by OpenSSL: the test vectors of RFC 4231 have keys that are too short for us.
    #[test]
    fn a_signature_is_that_of_hmac_sha256() {
        let keys = SigningKeys::read(&line("k", 32)).unwrap();
        let key = keys.iter().next().unwrap();
        assert_eq!(key.sign("what is signed"), SIGNED);
        assert_eq!(&*key.fingerprint, PRINT);
    }

    #[test]
    fn debug_shows_ids_alone() {
        let keys = SigningKeys::read(&line("k", 32)).unwrap();
        assert_eq!(format!("{keys:?}"), "[\"k\"]");
    }

    const SIGNED: &str = "1fbcc31f4ac1fbf8bea62e12e7d52a38085ee0ca803f46f583aeed8a372d0966";
    const PRINT: &str = "719a81b6f3009912";
}
