//! The chain: each line ends with the hash of its own bytes, which hold the hash of the line before. Pure.
//!
//! What is hashed is the line as it stands, up to the comma before `"hash"`; nothing is parsed and written anew for it, so there is no
//! canonical form to differ about. Without a key the hash is SHA-256: a change of one line shows, and whoever may write the whole file can
//! make a whole new chain. With a key it is HMAC-SHA256, and only who has the key can.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::{constant_time, digest, hmac};

/// Bytes of a hash.
const LENGTH: usize = 32;
/// Bytes below which a key could be guessed.
pub const SHORTEST_KEY: usize = 32;
/// What stands between the bytes that are hashed and the hash.
const BEFORE: &[u8] = b",\"hash\":\"";
/// What stands behind it.
const AFTER: &[u8] = b"\"}";
/// What the keys for each purpose are derived with.
const FOR_CHAIN: &[u8] = b"bulkhead audit chain 1";
const FOR_NAMES: &[u8] = b"bulkhead audit names 1";
const FOR_KEY_ID: &[u8] = b"bulkhead audit key id 1";

/// The hash of one line.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Link([u8; LENGTH]);

/// A policy's secret, as the keys that are made of it. `Debug` shows the id alone.
#[derive(Clone)]
pub struct Key {
    chain: hmac::Key,
    names: hmac::Key,
    id: String,
}

/// What hashes the lines.
#[derive(Clone, Debug)]
pub enum Seal {
    /// SHA-256.
    Hash,
    /// HMAC-SHA256. Shared: what is derived for a key is some two kilobytes.
    Keyed(Arc<Key>),
}

/// Where a chain stands.
#[derive(Clone, Debug)]
pub struct Chain {
    /// Names the chain.
    pub id: String,
    /// The number of its last line; 0 before the first.
    pub sequence: u64,
    /// The hash of its last line.
    pub head: Link,
    seal: Seal,
}

impl Link {
    /// What comes before the first line.
    pub const NONE: Self = Self([0; LENGTH]);

    /// Reads 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
            return None;
        };
        let bytes: Option<Vec<u8>> = pairs
            .iter()
            .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
            .collect();
        Some(Self(bytes?.try_into().ok()?))
    }

    fn of(bytes: &[u8]) -> Self {
        let mut link = [0; LENGTH];
        link.copy_from_slice(bytes);
        Self(link)
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Link {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Key {
    /// The keys that are made of a secret.
    #[must_use]
    pub fn of(secret: &[u8]) -> Self {
        let whole = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = |purpose: &[u8]| {
            hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&whole, purpose).as_ref())
        };
        Self {
            chain: derived(FOR_CHAIN),
            names: derived(FOR_NAMES),
            id: hex(&hmac::sign(&whole, FOR_KEY_ID).as_ref()[..8]),
        }
    }

    /// Names the secret, and says nothing of it: 16 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// A text under the key for names: 32 hexadecimal digits.
    #[must_use]
    pub fn name(&self, text: &str) -> String {
        hex(&hmac::sign(&self.names, text.as_bytes()).as_ref()[..16])
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Key").field(&self.id).finish()
    }
}

impl Seal {
    /// HMAC-SHA256 under this key.
    #[must_use]
    pub fn keyed(key: Key) -> Self {
        Self::Keyed(Arc::new(key))
    }

    /// The key's id, where there is a key.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        match self {
            Self::Hash => None,
            Self::Keyed(key) => Some(&key.id),
        }
    }

    /// The hash of these bytes.
    #[must_use]
    pub fn of(&self, bytes: &[u8]) -> Link {
        match self {
            Self::Hash => Link::of(digest::digest(&digest::SHA256, bytes).as_ref()),
            Self::Keyed(key) => Link::of(hmac::sign(&key.chain, bytes).as_ref()),
        }
    }

    /// Whether it is their hash; takes the same time whatever is wrong with it.
    #[must_use]
    pub fn holds(&self, bytes: &[u8], link: &Link) -> bool {
        constant_time::verify_slices_are_equal(&self.of(bytes).0, &link.0).is_ok()
    }
}

impl Chain {
    /// A chain without lines.
    #[must_use]
    pub const fn new(id: String, seal: Seal) -> Self {
        Self {
            id,
            sequence: 0,
            head: Link::NONE,
            seal,
        }
    }

    /// One that goes on behind line `sequence`, whose hash is `head`.
    #[must_use]
    pub const fn going_on(id: String, sequence: u64, head: Link, seal: Seal) -> Self {
        Self {
            id,
            sequence,
            head,
            seal,
        }
    }

    /// What hashes its lines.
    #[must_use]
    pub const fn seal(&self) -> &Seal {
        &self.seal
    }

    /// Makes a JSON object at the end of `lines`, from byte `from` on, the next line: with its hash and a line end. The object says the
    /// next sequence number and the hash of the line before.
    pub fn close(&mut self, lines: &mut Vec<u8>, from: usize) {
        lines.pop();
        let link = self.seal.of(&lines[from..]);
        lines.extend_from_slice(BEFORE);
        lines.extend_from_slice(hex(&link.0).as_bytes());
        lines.extend_from_slice(AFTER);
        lines.push(b'\n');
        self.sequence += 1;
        self.head = link;
    }
}

/// A line without its line end, as the bytes that are hashed and the hash that it says.
#[must_use]
pub fn split(line: &[u8]) -> Option<(&[u8], Link)> {
    let line = line.strip_suffix(AFTER)?;
    let (rest, digits) = line.split_at_checked(line.len().checked_sub(2 * LENGTH)?)?;
    let link = Link::parse(std::str::from_utf8(digits).ok()?)?;
    Some((rest.strip_suffix(BEFORE)?, link))
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_what_other_programs_compute() {
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let link = Seal::Hash.of(b"abc");
        assert_eq!(link.to_string(), abc);
        assert_eq!(Link::parse(abc), Some(link));
        for wrong in [
            "",
            "ba",
            &abc[1..],
            &abc.to_uppercase(),
            &format!("{abc}00"),
        ] {
            assert_eq!(Link::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_line_is_hashed_up_to_its_hash() {
        let mut chain = Chain::new("c".to_owned(), Seal::Hash);
        let mut lines = b"before\n{\"a\":1}".to_vec();
        chain.close(&mut lines, 7);
        let line = &lines[7..lines.len() - 1];
        let (bytes, link) = split(line).unwrap();
        assert_eq!(bytes, b"{\"a\":1");
        assert_eq!((chain.sequence, chain.head), (1, link));
        assert!(Seal::Hash.holds(bytes, &link));
        assert!(serde_json::from_slice::<serde_json::Value>(line).is_ok());
        for cut in 1..line.len() {
            assert_eq!(split(&line[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn keys_for_chain_names_and_id_are_three() {
        let (one, other) = (Key::of(&[1; 32]), Key::of(&[2; 32]));
        assert_ne!(one.id(), other.id());
        assert_ne!(one.name("alice"), other.name("alice"));
        assert_ne!(one.name("alice"), one.name("alicf"));
        let seal = Seal::keyed(one.clone());
        assert_ne!(seal.of(b"alice").to_string()[..32], one.name("alice"));
        let link = seal.of(b"x");
        assert!(seal.holds(b"x", &link) && !Seal::keyed(other).holds(b"x", &link));
        assert_eq!(format!("{one:?}"), format!("Key({:?})", one.id()));
    }
}
