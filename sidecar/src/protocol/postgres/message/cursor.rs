//! Reads the fields of a body in their order. A field that is not there is an error that names it, never a panic.

use memchr::memchr;

use crate::protocol::postgres::codec::ProtocolError;

/// What is left of a body.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    message: &'static str,
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(message: &'static str, body: &'a [u8]) -> Self {
        Self {
            message,
            rest: body,
        }
    }

    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) const fn error(&self, problem: &'static str) -> ProtocolError {
        ProtocolError::Malformed {
            message: self.message,
            problem,
        }
    }

    pub(super) fn array<const N: usize>(
        &mut self,
        problem: &'static str,
    ) -> Result<[u8; N], ProtocolError> {
        let Some((field, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.error(problem));
        };
        self.rest = rest;
        Ok(*field)
    }

    pub(super) fn u8(&mut self, problem: &'static str) -> Result<u8, ProtocolError> {
        Ok(u8::from_be_bytes(self.array(problem)?))
    }

    pub(super) fn u16(&mut self, problem: &'static str) -> Result<u16, ProtocolError> {
        Ok(u16::from_be_bytes(self.array(problem)?))
    }

    pub(super) fn u32(&mut self, problem: &'static str) -> Result<u32, ProtocolError> {
        Ok(u32::from_be_bytes(self.array(problem)?))
    }

    pub(super) fn i32(&mut self, problem: &'static str) -> Result<i32, ProtocolError> {
        Ok(i32::from_be_bytes(self.array(problem)?))
    }

    /// The bytes up to a NUL, which is consumed and not returned.
    pub(super) fn string(&mut self, problem: &'static str) -> Result<&'a [u8], ProtocolError> {
        let Some(end) = memchr(0, self.rest) else {
            return Err(self.error(problem));
        };
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest.get(1..).unwrap_or_default();
        Ok(text)
    }

    pub(super) fn bytes(
        &mut self,
        length: usize,
        problem: &'static str,
    ) -> Result<&'a [u8], ProtocolError> {
        let Some((field, rest)) = self.rest.split_at_checked(length) else {
            return Err(self.error(problem));
        };
        self.rest = rest;
        Ok(field)
    }

    /// Nothing may be left.
    pub(super) const fn finish(self) -> Result<(), ProtocolError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(self.error("bytes behind the last field"))
    }
}
