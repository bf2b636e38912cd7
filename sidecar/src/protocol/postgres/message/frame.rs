//! Puts header and body together.

use memchr::memchr;

use crate::protocol::postgres::codec::{MAX_FRONTEND_LENGTH, ProtocolError};

/// Writes a header for a body of `body_length` bytes, of which `here` will be appended now; makes room for those.
///
/// # Errors
/// A message longer than a server accepts. Nothing is written then.
pub(super) fn header(
    message: &'static str,
    tag: u8,
    body_length: usize,
    here: usize,
    out: &mut Vec<u8>,
) -> Result<(), ProtocolError> {
    let length = body_length
        .checked_add(4)
        .and_then(|length| u32::try_from(length).ok())
        .filter(|length| *length <= MAX_FRONTEND_LENGTH)
        .ok_or(ProtocolError::TooLong { message })?;
    out.reserve(here.saturating_add(5));
    out.push(tag);
    out.extend_from_slice(&length.to_be_bytes());
    Ok(())
}

/// Writes a message whose body is short by construction: `body` appends it, the length is filled in behind it.
pub(in crate::protocol::postgres) fn short(
    tag: u8,
    out: &mut Vec<u8>,
    body: impl FnOnce(&mut Vec<u8>),
) {
    out.push(tag);
    let start = out.len();
    out.extend_from_slice(&[0; 4]);
    body(out);
    let length = u32::try_from(out.len().saturating_sub(start)).unwrap_or(u32::MAX);
    if let Some(field) = out.get_mut(start..start.saturating_add(4)) {
        field.copy_from_slice(&length.to_be_bytes());
    }
}

/// Appends text and its NUL. The protocol cannot say a NUL inside of a text: what stands behind one is left out.
pub(in crate::protocol::postgres) fn string(text: &[u8], out: &mut Vec<u8>) {
    let end = memchr(0, text).unwrap_or(text.len());
    out.extend_from_slice(text.get(..end).unwrap_or_default());
    out.push(0);
}
