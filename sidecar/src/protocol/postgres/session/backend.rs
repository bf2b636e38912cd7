//! What the sidecar knows of the session on the other side of a server connection.

use std::rc::Rc;
use std::sync::Arc;

use super::super::codec::{self, BackendTag, HEADER_LENGTH};
use super::super::message::{ParameterStatus, TransactionStatus};
use super::baseline::Settings;
use super::replies::Replies;
use super::statements::ServerStatements;
use crate::relay::Inbox;
use crate::signed::Tenure;
use crate::upstream::CancelTarget;

/// Parameters that the server reports (`ParameterStatus`); a server that reports more is not remembered further.
const REPORTED_PARAMETERS: usize = 64;

/// The session of one server connection.
#[derive(Debug)]
pub struct Backend {
    /// Where a cancel request goes, if the server has given a key.
    pub cancel: Option<Arc<CancelTarget>>,
    /// The process id that the server has given.
    pub process_id: Option<i32>,
    /// What the connection was opened with; RESET goes back to it.
    pub start: Rc<Settings>,
    /// What has been set since, `start` included. `None`: unknown, because a client has set what cannot be followed.
    pub now: Option<Rc<Settings>>,
    /// Named statements that it knows.
    pub statements: ServerStatements,
    /// Answers that it owes.
    pub replies: Replies,
    /// What it said at its last `ReadyForQuery`.
    pub status: TransactionStatus,
    /// Its tenure of a signed user, once it has been asked.
    pub tenure: Option<Box<Tenure>>,
    /// Bytes of a message of the server's whose header has been dealt with, and whether they are for the client.
    pub rest: Rest,
    reported: Vec<(Box<str>, Box<str>)>,
}

/// What is left of a message that is dealt with in pieces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rest {
    /// Bytes still to come.
    pub left: usize,
    /// Whether they go to the other side, or nowhere.
    pub forward: bool,
}

/// What stays of a session that goes to another thread: whose it is on the server, and what RESET goes back to. What clients have
/// made of it is not known any more.
#[derive(Debug)]
pub struct Bare {
    cancel: Option<Arc<CancelTarget>>,
    process_id: Option<i32>,
    start: Settings,
    reported: Vec<(Box<str>, Box<str>)>,
}

impl Backend {
    /// Leaves everything behind that is a thread's own. For a session that owes nothing.
    #[must_use]
    pub fn strip(self) -> Bare {
        drop(self.now);
        Bare {
            cancel: self.cancel,
            process_id: self.process_id,
            start: Rc::unwrap_or_clone(self.start),
            reported: self.reported,
        }
    }

    /// The session, which must be cleaned before anybody works with it.
    #[must_use]
    pub fn dress(bare: Bare) -> Self {
        Self {
            cancel: bare.cancel,
            process_id: bare.process_id,
            start: Rc::new(bare.start),
            now: None,
            statements: ServerStatements::default(),
            replies: Replies::default(),
            status: TransactionStatus::Idle,
            tenure: None,
            rest: Rest::default(),
            reported: bare.reported,
        }
    }

    /// No session: of a connection of another protocol.
    #[must_use]
    pub fn none() -> Self {
        Self::new(None, None, Rc::default(), Vec::new())
    }

    /// A session that has just begun.
    #[must_use]
    pub fn new(
        cancel: Option<CancelTarget>,
        process_id: Option<i32>,
        start: Rc<Settings>,
        reported: Vec<(String, String)>,
    ) -> Self {
        let mut backend = Self {
            cancel: cancel.map(Arc::new),
            process_id,
            now: Some(Rc::clone(&start)),
            start,
            statements: ServerStatements::default(),
            replies: Replies::default(),
            status: TransactionStatus::Idle,
            tenure: None,
            rest: Rest::default(),
            reported: Vec::new(),
        };
        for (name, value) in reported {
            backend.report(&name, &value);
        }
        backend
    }

    /// Whether no transaction is open and nothing is outstanding.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.status == TransactionStatus::Idle && self.rest.left == 0 && self.replies.is_settled()
    }

    /// The parameters as the server has reported them last.
    #[must_use]
    pub fn reported(&self) -> &[(Box<str>, Box<str>)] {
        &self.reported
    }

    /// Whether the server says that it is a standby; `None` where it has said nothing of it.
    #[must_use]
    pub fn in_hot_standby(&self) -> Option<bool> {
        let mut reported = self.reported.iter();
        let found = reported.find(|(name, _)| **name == *"in_hot_standby");
        found.map(|(_, value)| **value == *"on")
    }

    /// The server has reported a parameter.
    pub fn report(&mut self, name: &str, value: &str) {
        if let Some((_, known)) = self.reported.iter_mut().find(|(n, _)| **n == *name) {
            *known = value.into();
        } else if self.reported.len() < REPORTED_PARAMETERS {
            self.reported.push((name.into(), value.into()));
        }
    }

    /// The server has sent `ParameterStatus` with this body; a malformed one is passed over.
    pub fn note_parameter(&mut self, body: &[u8]) {
        if let Ok(status) = ParameterStatus::read(body) {
            let (name, value) = (lossy(status.name), lossy(status.value));
            self.report(&name, &value);
        }
    }

    /// `DISCARD ALL` has been answered: nothing of the session is left but what the connection was opened with.
    pub fn forget_session(&mut self) {
        self.now = Some(Rc::clone(&self.start));
        self.statements.clear();
        self.tenure = None;
    }

    /// Holds a message that nobody will see against the queue; a message out of order is left to the reader's limit.
    pub fn step_unseen(&mut self, tag: BackendTag) {
        while self.replies.take_answer().is_some() {}
        let statements = &mut self.statements;
        let step = self.replies.step(tag, |gone| statements.undo(&gone));
        drop(step);
        while self.replies.take_answer().is_some() {}
    }

    /// Takes in what a server may say to nobody: notices, notifications and parameter changes. `false` if it has said
    /// anything else, which ends the connection.
    pub fn take_idle_messages(&mut self, inbox: &mut Inbox) -> bool {
        loop {
            let Ok(Some(header)) = codec::peek(inbox.bytes()) else {
                return inbox.is_empty();
            };
            let Some(bytes) = inbox.bytes().get(..header.message_length()) else {
                return false;
            };
            match header.backend() {
                Ok(BackendTag::NoticeResponse | BackendTag::NotificationResponse) => {}
                Ok(BackendTag::ParameterStatus) => {
                    self.note_parameter(&bytes[HEADER_LENGTH..]);
                }
                _ => return false,
            }
            inbox.consume(header.message_length());
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
