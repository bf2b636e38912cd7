//! A statement whose time is over and whose end the server has not confirmed: what still reaches the client.
//!
//! The server has been sent a cancel, and it hears of none while nobody takes what it writes. So its output is read whatever
//! the client does: it goes on to a client that takes it, and is discarded for one that does not. A statement that ends by
//! itself in the same moment has its normal answer; only an error of the cancel's own making is told in our words. Pure: no
//! I/O, no clock.

use std::time::Duration;

use tokio::time::Instant;

use super::super::codec::BackendTag;
use super::super::error_response::ErrorResponse;
use super::backend::Rest;
use super::restore::RESTORE_LIMIT;
use crate::telemetry::TimeoutKind;

/// How long a client may leave the statement's output standing before it is one that does not read.
const PATIENCE: Duration = Duration::from_millis(500);

/// Bytes that stand in wait for a client; beyond them its server is not read, or, when patience is over, not passed on.
const STANDING: usize = 256 * 1024;

/// Bytes of a message begun that are still buffered for a client that does not read: a message must be finished.
const TAIL: usize = 1024 * 1024;

/// A timeout that has fired on a running statement, or a cancel of a client that does not read.
#[derive(Debug)]
pub struct Overdue {
    /// Which.
    pub kind: TimeoutKind,
    /// When the server must have come back.
    pub limit: Instant,
    /// What the client is told in place of the server's words; taken when it has been told.
    error: Option<Box<ErrorResponse>>,
    /// Until when a client may fall behind.
    patience: Option<Instant>,
    /// Whether something of the answer has been discarded: the rest goes the same way.
    discards: bool,
    own: bool,
    /// The client has asked for it: the server's words for that are as good as ours.
    requested: bool,
}

/// What becomes of a message of the server's.
#[derive(Debug)]
pub enum Fate {
    /// It goes to the client.
    Pass,
    /// It goes nowhere.
    Drop,
    /// The client is told this instead.
    Replace(Box<ErrorResponse>),
}

impl Overdue {
    /// A statement that has been sent a cancel now.
    #[must_use]
    pub fn new(kind: TimeoutKind, error: Box<ErrorResponse>, now: Instant) -> Self {
        Self {
            kind,
            limit: now + RESTORE_LIMIT,
            error: Some(error),
            patience: Some(now + PATIENCE),
            discards: false,
            own: false,
            requested: false,
        }
    }

    /// A statement that has been sent a cancel now because its client wants that.
    #[must_use]
    pub fn requested(error: Box<ErrorResponse>, now: Instant) -> Self {
        Self {
            requested: true,
            ..Self::new(TimeoutKind::Statement, error, now)
        }
    }

    /// A statement of the sidecar's own that may take this long, of which the client hears nothing.
    #[must_use]
    pub fn own(now: Instant) -> Self {
        Self {
            kind: TimeoutKind::Statement,
            limit: now + RESTORE_LIMIT,
            error: None,
            patience: None,
            discards: false,
            own: true,
            requested: false,
        }
    }

    /// The next moment at which something is due.
    #[must_use]
    pub fn next(&self) -> Instant {
        self.patience.unwrap_or(self.limit)
    }

    /// The first of its moments has come: from here on output that the client does not take is discarded. `false` if that has
    /// been so already, and the server has not come back. An error where a message that must be finished is too long to stand
    /// in wait for this client.
    ///
    /// # Errors
    /// What the client is told at the end of its connection.
    pub fn lose_patience(
        &mut self,
        standing: usize,
        rest: Rest,
    ) -> Result<bool, Box<ErrorResponse>> {
        if self.patience.take().is_none() {
            return Ok(false);
        }
        if rest.forward && rest.left > TAIL && standing > STANDING {
            return self.error.take().map_or(Ok(false), Err);
        }
        Ok(true)
    }

    /// Whether the server may be read while bytes stand in wait for the client.
    #[must_use]
    pub const fn may_read(&self, standing: usize, rest: Rest) -> bool {
        standing <= STANDING || (self.patience.is_none() && !(rest.forward && rest.left > TAIL))
    }

    /// Judges a message of the server's for the client. `cancelled`: it is an error that a cancel makes.
    pub fn judge(
        &mut self,
        tag: BackendTag,
        total: usize,
        standing: usize,
        cancelled: bool,
    ) -> Fate {
        let behind = self.patience.is_none() && (standing > STANDING || total > TAIL);
        match tag {
            BackendTag::ReadyForQuery => Fate::Pass,
            BackendTag::ErrorResponse if self.replaces(cancelled) => match self.error.take() {
                Some(error) => Fate::Replace(error),
                None if self.discards => Fate::Drop,
                None => Fate::Pass,
            },
            BackendTag::ErrorResponse => {
                self.error = None;
                Fate::Pass
            }
            // Nobody has asked for these, and nothing is missing without them.
            BackendTag::NoticeResponse
            | BackendTag::NotificationResponse
            | BackendTag::ParameterStatus
                if behind || self.discards =>
            {
                Fate::Drop
            }
            _ => {
                self.discards |= behind && self.error.is_some();
                if self.discards {
                    Fate::Drop
                } else {
                    Fate::Pass
                }
            }
        }
    }

    /// Whether the client is told ours in the place of an error of the server's.
    const fn replaces(&self, cancelled: bool) -> bool {
        self.discards || (cancelled && !self.requested)
    }

    /// Whether something of the answer has been discarded.
    #[must_use]
    pub const fn discards(&self) -> bool {
        self.discards
    }

    /// The transaction has run out of time and the next statement of the pipeline runs in it all the same: it is overdue too,
    /// and the server's time for coming back is what is left of it.
    #[must_use]
    pub fn again(&self, error: Box<ErrorResponse>) -> Self {
        Self {
            kind: self.kind,
            limit: self.limit,
            error: Some(error),
            patience: None,
            discards: false,
            own: false,
            requested: false,
        }
    }

    /// The statement has come to its end: what the client must be told before it hears of it, because its answer is not whole.
    pub fn owed(&mut self) -> Option<Box<ErrorResponse>> {
        self.error.take_if(|_| self.discards)
    }

    /// Whether it is a statement of the sidecar's own.
    #[must_use]
    pub const fn is_own(&self) -> bool {
        self.own
    }

    /// What the client would have been told, if it has not been.
    #[must_use]
    pub fn into_untold(self) -> Option<Box<ErrorResponse>> {
        self.error
    }

    /// The statement has ended by itself, and its cancel may still hit the next one: what the client is told then.
    #[must_use]
    pub fn into_late(self) -> Option<Box<ErrorResponse>> {
        self.error.filter(|_| !self.requested)
    }
}

#[cfg(test)]
mod tests;
