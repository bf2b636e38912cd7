//! The messages of an authentication, both directions, as far as the sidecar is the server: SASL, and success.
//!
//! What is in a SASL message is SCRAM's (RFC 5802) and is not known here.

use std::fmt;

use super::cursor::Cursor;
use super::frame;
use crate::protocol::postgres::codec::ProtocolError;

/// The longest SASL message that PostgreSQL accepts, in bytes of the body (`PG_MAX_SASL_MESSAGE_LENGTH`).
pub const MAX_SASL: usize = 1024;

/// The client's choice of a mechanism, and its first data, in place.
#[derive(Clone, Copy)]
pub struct SaslInitialResponse<'a> {
    /// The mechanism's name.
    pub mechanism: &'a [u8],
    /// The client's first message; `None` when it waits for the server's.
    pub data: Option<&'a [u8]>,
}

/// A further SASL message of the client, in place.
#[derive(Clone, Copy)]
pub struct SaslResponse<'a> {
    /// The mechanism's data.
    pub data: &'a [u8],
}

impl fmt::Debug for SaslInitialResponse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SaslInitialResponse")
    }
}

impl fmt::Debug for SaslResponse<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SaslResponse")
    }
}

impl<'a> SaslInitialResponse<'a> {
    /// Reads a body.
    ///
    /// # Errors
    /// More than [`MAX_SASL`] bytes, a missing field, a length that is not the data's, or bytes behind the last field.
    pub fn read(body: &'a [u8]) -> Result<Self, ProtocolError> {
        let mut cursor = bounded("SASLInitialResponse", body, MAX_SASL)?;
        let mechanism = cursor.string("the mechanism's name has no end")?;
        let length = cursor.i32("the data's length is missing")?;
        let data = match usize::try_from(length) {
            Ok(length) => Some(cursor.bytes(length, "the data are shorter than their length")?),
            Err(_) if length == -1 => None,
            Err(_) => return Err(cursor.error("the data's length is negative")),
        };
        cursor.finish()?;
        Ok(Self { mechanism, data })
    }
}

impl<'a> SaslResponse<'a> {
    /// Reads a body, which is the data.
    ///
    /// # Errors
    /// More than [`MAX_SASL`] bytes.
    pub fn read(body: &'a [u8]) -> Result<Self, ProtocolError> {
        let cursor = bounded("SASLResponse", body, MAX_SASL)?;
        Ok(Self {
            data: cursor.rest(),
        })
    }
}

fn bounded<'a>(
    message: &'static str,
    body: &'a [u8],
    max: usize,
) -> Result<Cursor<'a>, ProtocolError> {
    let cursor = Cursor::new(message, body);
    if body.len() > max {
        return Err(cursor.error("longer than 1024 bytes"));
    }
    Ok(cursor)
}

/// Appends an `AuthenticationCleartextPassword`.
pub fn authentication_cleartext_password(out: &mut Vec<u8>) {
    request(3, out, |_| {});
}

/// Appends `AuthenticationOk`.
pub fn authentication_ok(out: &mut Vec<u8>) {
    request(0, out, |_| {});
}

/// Appends `AuthenticationSASL`: the mechanisms on offer, the preferred first.
pub fn authentication_sasl(mechanisms: &[&str], out: &mut Vec<u8>) {
    request(10, out, |out| {
        for mechanism in mechanisms {
            frame::string(mechanism.as_bytes(), out);
        }
        out.push(0);
    });
}

/// Appends `AuthenticationSASLContinue`.
pub fn authentication_sasl_continue(data: &[u8], out: &mut Vec<u8>) {
    request(11, out, |out| out.extend_from_slice(data));
}

/// Appends `AuthenticationSASLFinal`.
pub fn authentication_sasl_final(data: &[u8], out: &mut Vec<u8>) {
    request(12, out, |out| out.extend_from_slice(data));
}

fn request(code: u32, out: &mut Vec<u8>, data: impl FnOnce(&mut Vec<u8>)) {
    frame::short(b'R', out, |out| {
        out.extend_from_slice(&code.to_be_bytes());
        data(out);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_requests() {
        let mut out = Vec::new();
        authentication_sasl(&["SCRAM-SHA-256"], &mut out);
        assert_eq!(
            out,
            b"R\x00\x00\x00\x17\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00"
        );
        out.clear();
        authentication_sasl_continue(b"r=1", &mut out);
        authentication_sasl_final(b"v=1", &mut out);
        authentication_ok(&mut out);
        assert_eq!(
            out,
            b"R\x00\x00\x00\x0b\x00\x00\x00\x0br=1R\x00\x00\x00\x0b\x00\x00\x00\x0cv=1R\x00\x00\x00\x08\x00\x00\x00\x00"
        );
    }

    #[test]
    fn golden_responses() {
        let initial = SaslInitialResponse::read(b"SCRAM-SHA-256\x00\x00\x00\x00\x03n,,").unwrap();
        assert_eq!(initial.mechanism, b"SCRAM-SHA-256");
        assert_eq!(initial.data, Some(&b"n,,"[..]));
        let silent = SaslInitialResponse::read(b"X\x00\xff\xff\xff\xff").unwrap();
        assert_eq!(silent.data, None);
        assert_eq!(SaslResponse::read(b"c=biws").unwrap().data, b"c=biws");
    }

    #[test]
    fn malformed_responses_are_refused() {
        for body in [
            &b"X"[..],
            b"X\x00\x00\x00\x00",
            b"X\x00\x00\x00\x00\x02a",
            b"X\x00\x00\x00\x00\x00a",
            b"X\x00\xff\xff\xff\xfe",
            b"X\x00\x7f\xff\xff\xff",
        ] {
            assert!(SaslInitialResponse::read(body).is_err(), "{body:?}");
        }
        assert!(SaslResponse::read(&[b'x'; MAX_SASL + 1]).is_err());
    }
}
