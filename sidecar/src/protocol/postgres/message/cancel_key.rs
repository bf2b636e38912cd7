//! The key of a cancel request: in `BackendKeyData` a server gives it out, in `CancelRequest` a client shows it.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;

use super::cursor::Cursor;
use super::frame;
use crate::protocol::postgres::codec::ProtocolError;

/// The shortest secret: what protocol 3.0 has, always.
const MIN_CANCEL_SECRET: usize = 4;

/// The longest secret that protocol 3.2 allows.
const MAX_CANCEL_SECRET: usize = 256;

/// The code that stands where a start-up packet has its protocol version.
pub(super) const CANCEL_REQUEST: u32 = 80_877_102;

/// Whoever holds it may cancel the statements of one connection.
#[derive(Clone)]
pub struct CancelKey {
    process_id: i32,
    secret: Box<[u8]>,
}

/// The secret stays out.
impl fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CancelKey({})", self.process_id)
    }
}

impl CancelKey {
    /// A key; `None` when the secret has fewer than `MIN_CANCEL_SECRET` or more than `MAX_CANCEL_SECRET` bytes.
    #[must_use]
    pub fn new(process_id: i32, secret: &[u8]) -> Option<Self> {
        (MIN_CANCEL_SECRET..=MAX_CANCEL_SECRET)
            .contains(&secret.len())
            .then(|| Self {
                process_id,
                secret: secret.into(),
            })
    }

    /// The process id; not a secret.
    #[must_use]
    pub const fn process_id(&self) -> i32 {
        self.process_id
    }

    /// The secret.
    #[must_use]
    pub const fn secret(&self) -> &[u8] {
        &self.secret
    }

    /// Whether both are the same key. The secrets are compared in a time that does not tell where they differ.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.process_id == other.process_id
            && verify_slices_are_equal(&self.secret, &other.secret).is_ok()
    }

    /// Reads the body of a `BackendKeyData`.
    ///
    /// # Errors
    /// A missing process id, or a secret of a length that the protocol does not allow.
    pub fn read(body: &[u8]) -> Result<Self, ProtocolError> {
        Self::read_from(Cursor::new("BackendKeyData", body))
    }

    pub(super) fn read_from(mut cursor: Cursor<'_>) -> Result<Self, ProtocolError> {
        let process_id = cursor.i32("the process id is missing")?;
        Self::new(process_id, cursor.rest())
            .ok_or(cursor.error("the secret must have 4 to 256 bytes"))
    }

    /// Appends a `BackendKeyData`.
    pub fn write_backend_key_data(&self, out: &mut Vec<u8>) {
        frame::short(b'K', out, |out| self.write_fields(out));
    }

    /// Appends a `CancelRequest`, which is the only packet of its connection. Only clients write it.
    #[cfg(test)]
    pub fn write_cancel_request(&self, out: &mut Vec<u8>) {
        let length = u32::try_from(self.secret.len().saturating_add(12)).unwrap_or(u32::MAX);
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&CANCEL_REQUEST.to_be_bytes());
        self.write_fields(out);
    }

    fn write_fields(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.process_id.to_be_bytes());
        out.extend_from_slice(&self.secret);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        let key = CancelKey::new(7, b"\xde\xad\xbe\xef").unwrap();
        let mut out = Vec::new();
        key.write_backend_key_data(&mut out);
        assert_eq!(out, b"K\x00\x00\x00\x0c\x00\x00\x00\x07\xde\xad\xbe\xef");
        assert!(CancelKey::read(&out[5..]).unwrap().matches(&key));

        out.clear();
        key.write_cancel_request(&mut out);
        assert_eq!(
            out,
            b"\x00\x00\x00\x10\x04\xd2\x16\x2e\x00\x00\x00\x07\xde\xad\xbe\xef"
        );
    }

    #[test]
    fn a_secret_has_4_to_256_bytes() {
        for (length, allowed) in [(0, false), (3, false), (4, true), (256, true), (257, false)] {
            let body = [vec![0; 4], vec![1; length]].concat();
            assert_eq!(CancelKey::read(&body).is_ok(), allowed, "{length}");
        }
        assert!(CancelKey::read(b"\x00\x00").is_err());
    }

    #[test]
    fn a_key_matches_itself_alone() {
        let key = CancelKey::new(7, b"abcd").unwrap();
        assert!(key.matches(&key.clone()));
        assert!(!key.matches(&CancelKey::new(8, b"abcd").unwrap()));
        assert!(!key.matches(&CancelKey::new(7, b"abce").unwrap()));
        assert!(!key.matches(&CancelKey::new(7, b"abcde").unwrap()));
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let key = CancelKey::new(7, b"abcd").unwrap();
        assert_eq!(format!("{key:?}"), "CancelKey(7)");
    }
}
