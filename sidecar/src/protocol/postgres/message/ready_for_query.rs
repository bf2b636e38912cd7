//! `ReadyForQuery`: the server waits for the next query, and says whether a transaction is open.

use super::cursor::Cursor;
use crate::protocol::postgres::codec::ProtocolError;

/// The state of the transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum TransactionStatus {
    /// No transaction is open.
    Idle = b'I',
    /// A transaction is open.
    InTransaction = b'T',
    /// A transaction is open and has failed: everything but its end is refused.
    Failed = b'E',
}

impl TransactionStatus {
    /// The status of this byte.
    #[inline]
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            b'I' => Some(Self::Idle),
            b'T' => Some(Self::InTransaction),
            b'E' => Some(Self::Failed),
            _ => None,
        }
    }

    /// Reads the body of a `ReadyForQuery`.
    ///
    /// # Errors
    /// A body that is not one of the three bytes.
    #[inline]
    pub fn read(body: &[u8]) -> Result<Self, ProtocolError> {
        let mut cursor = Cursor::new("ReadyForQuery", body);
        let byte = cursor.u8("the status is missing")?;
        cursor.finish()?;
        Self::from_byte(byte).ok_or(cursor.error("the status is none of I, T and E"))
    }
}

/// Appends a `ReadyForQuery`.
#[inline]
pub fn ready_for_query(status: TransactionStatus, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'Z', 0, 0, 0, 5, status as u8]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden() {
        for (status, byte) in [
            (TransactionStatus::Idle, b'I'),
            (TransactionStatus::InTransaction, b'T'),
            (TransactionStatus::Failed, b'E'),
        ] {
            let mut out = Vec::new();
            ready_for_query(status, &mut out);
            assert_eq!(out, [b'Z', 0, 0, 0, 5, byte]);
            assert_eq!(TransactionStatus::read(&out[5..]), Ok(status));
        }
        for body in [&b""[..], b"X", b"II"] {
            assert!(TransactionStatus::read(body).is_err(), "{body:?}");
        }
    }
}
