//! An error as the client saw it, from whichever client.

use std::fmt;

/// The fields of an `ErrorResponse` or `NoticeResponse` that a reader acts on.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Refusal {
    /// The severity, not localised.
    pub severity: String,
    /// The SQLSTATE.
    pub code: String,
    /// The message.
    pub message: String,
    /// The detail, or empty.
    pub detail: String,
    /// The hint, or empty.
    pub hint: String,
}

impl Refusal {
    /// Reads the body of an `ErrorResponse`: fields of one letter and a terminated string, ended by a zero.
    #[must_use]
    pub fn from_body(body: &[u8]) -> Self {
        let mut refusal = Self::default();
        for field in body
            .split(|byte| *byte == 0)
            .filter(|field| !field.is_empty())
        {
            let text = String::from_utf8_lossy(&field[1..]).into_owned();
            match field[0] {
                b'V' => refusal.severity = text,
                b'C' => refusal.code = text,
                b'M' => refusal.message = text,
                b'D' => refusal.detail = text,
                b'H' => refusal.hint = text,
                _ => {}
            }
        }
        refusal
    }

    /// Whether any of its texts has `words`.
    #[must_use]
    pub fn says(&self, words: &str) -> bool {
        [&self.message, &self.detail, &self.hint]
            .into_iter()
            .any(|text| text.contains(words))
    }
}

impl From<tokio_postgres::Error> for Refusal {
    /// # Panics
    /// When the error is not the server's word, but a broken connection or a client's own trouble.
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(server) = error.as_db_error() else {
            panic!("expected an ErrorResponse, got: {error:?}");
        };
        Self {
            severity: server.severity().to_owned(),
            code: server.code().code().to_owned(),
            message: server.message().to_owned(),
            detail: server.detail().unwrap_or_default().to_owned(),
            hint: server.hint().unwrap_or_default().to_owned(),
        }
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.severity, self.code, self.message)?;
        if !self.detail.is_empty() {
            write!(f, "\n  DETAIL: {}", self.detail)?;
        }
        if !self.hint.is_empty() {
            write!(f, "\n  HINT: {}", self.hint)?;
        }
        Ok(())
    }
}
