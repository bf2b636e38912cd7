//! The server's own `ErrorResponse`, kept whole so that it can be passed on to a client byte for byte.
//!
//! Lives here: checking the shape of the body once, and finding single fields in it. May not live here: what an SQLSTATE
//! means for a breaker or a retry.

use std::fmt;

use bytes::Bytes;
use memchr::memchr;

/// The body of an `ErrorResponse` or `NoticeResponse`: tagged, zero-terminated fields up to a final zero byte.
///
/// Source: PostgreSQL, "Error and Notice Message Fields". `Debug` and `Display` show severity, SQLSTATE and the primary
/// message only.
#[derive(Clone, PartialEq, Eq)]
pub struct ErrorFields {
    body: Bytes,
}

impl ErrorFields {
    /// Takes a message body (what follows tag and length) whose fields are well-formed; `None` where they are not.
    #[must_use]
    pub fn parse(body: Bytes) -> Option<Self> {
        let mut rest: &[u8] = &body;
        loop {
            let (&tag, after) = rest.split_first()?;
            if tag == 0 {
                return after.is_empty().then_some(Self { body });
            }
            rest = after.get(memchr(0, after)?.checked_add(1)?..)?;
        }
    }

    /// The body as the server sent it, for passing on.
    #[must_use]
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// The first field with this tag (`b'M'`: the primary message).
    #[must_use]
    pub fn field(&self, tag: u8) -> Option<&[u8]> {
        let mut rest: &[u8] = &self.body;
        while let Some((&found, after)) = rest.split_first() {
            if found == 0 {
                return None;
            }
            let end = memchr(0, after)?;
            if found == tag {
                return after.get(..end);
            }
            rest = after.get(end.checked_add(1)?..)?;
        }
        None
    }

    /// The SQLSTATE, where the server sent one of five characters; poolers and very old servers may not.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        let code = self.field(b'C')?;
        let valid = code.len() == 5
            && code
                .iter()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
        valid.then(|| std::str::from_utf8(code).ok()).flatten()
    }

    /// `FATAL`, `ERROR` …: the untranslated severity where the server sends one (9.6 and later).
    #[must_use]
    pub fn severity(&self) -> String {
        self.text(b'V')
            .or_else(|| self.text(b'S'))
            .unwrap_or_default()
    }

    /// The primary message, with control characters replaced, at most 512 characters of it.
    #[must_use]
    pub fn message(&self) -> String {
        self.text(b'M').unwrap_or_default()
    }

    fn text(&self, tag: u8) -> Option<String> {
        let field = String::from_utf8_lossy(self.field(tag)?);
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        Some(field.chars().take(512).map(printable).collect())
    }
}

impl fmt::Display for ErrorFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.severity(), self.message())?;
        match self.sqlstate() {
            Some(code) => write!(f, " (SQLSTATE {code})"),
            None => f.write_str(" (no SQLSTATE)"),
        }
    }
}

impl fmt::Debug for ErrorFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ErrorFields({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_error_is_kept_whole_and_its_fields_are_found() {
        let body = Bytes::from_static(
            b"SFATAL\0VFATAL\0C28P01\0Mpassword authentication\nfailed\0Fauth.c\0\0",
        );
        let fields = ErrorFields::parse(body.clone()).unwrap();
        assert_eq!(fields.body(), &body);
        assert_eq!(fields.sqlstate(), Some("28P01"));
        assert_eq!(fields.field(b'F'), Some(&b"auth.c"[..]));
        assert_eq!(fields.field(b'H'), None);
        assert_eq!(
            fields.to_string(),
            "FATAL: password authentication failed (SQLSTATE 28P01)"
        );
    }

    #[test]
    fn an_error_without_sqlstate_says_so() {
        let fields =
            ErrorFields::parse(Bytes::from_static(b"SERROR\0Mno more connections\0\0")).unwrap();
        assert_eq!(fields.sqlstate(), None);
        assert_eq!(
            fields.to_string(),
            "ERROR: no more connections (no SQLSTATE)"
        );
    }

    #[test]
    fn a_body_that_is_cut_or_has_more_behind_its_end_is_refused() {
        for body in [
            &b""[..],
            b"S",
            b"SFATAL",
            b"SFATAL\0",
            b"SFATAL\0\0x",
            b"\0\0",
        ] {
            assert!(
                ErrorFields::parse(Bytes::copy_from_slice(body)).is_none(),
                "{body:?}"
            );
        }
        assert!(ErrorFields::parse(Bytes::from_static(b"\0")).is_some());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in proptest::collection::vec(any::<u8>(), 0..200), tag: u8) {
            if let Some(fields) = ErrorFields::parse(Bytes::from(body)) {
                let _ = (fields.field(tag), fields.sqlstate(), fields.to_string());
            }
        }
    }
}
