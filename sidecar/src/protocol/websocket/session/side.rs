//! One of the two peers of a socket, and which way bytes go between them.

use super::super::codec::Walker;
use super::reading::Reading;
use crate::relay::{Inbox, Outbox};
use crate::stream::Stream;
use crate::telemetry::{Initiator, MessageDirection};
use crate::worker::Worker;

/// One of the two peers.
#[derive(Debug)]
pub(super) struct Side {
    pub(super) stream: Stream,
    /// What it has sent.
    pub(super) inbox: Inbox,
    /// Bytes at the front of the inbox that the other side gets as they are.
    pub(super) cleared: usize,
    /// Bytes behind them of a message that the other side gets once it is whole.
    pub(super) walked: usize,
    /// Walks what it sends.
    pub(super) walker: Walker,
    /// Reads messages of what it sends, where the policy says so.
    pub(super) reading: Reading,
    /// Frames of our own for it, which go between two of the other side's.
    pub(super) own: Outbox,
    /// The code of the Close frame that it has sent.
    pub(super) closed: Option<u16>,
    /// Whether our Close frame to it stands in `own`, or has gone.
    pub(super) told: bool,
    /// Whether it takes nothing any more; what it has sent before is read all the same.
    pub(super) deaf: bool,
    /// Whether its stream has ended.
    pub(super) ended: bool,
    /// Whether it has been given a part of a frame whose rest it does not get: nothing can be said to it any more.
    pub(super) severed: bool,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From the client to the application.
    Up,
    /// From the application to the client.
    Down,
}

impl Direction {
    /// Who sends, as an initiator.
    pub(super) const fn sender(self) -> Initiator {
        match self {
            Self::Up => Initiator::Client,
            Self::Down => Initiator::Application,
        }
    }

    /// As a label.
    pub(super) const fn label(self) -> MessageDirection {
        match self {
            Self::Up => MessageDirection::Up,
            Self::Down => MessageDirection::Down,
        }
    }

    /// Who sends, for a reason text.
    pub(super) const fn sender_name(self) -> &'static str {
        match self {
            Self::Up => "the client",
            Self::Down => "the application",
        }
    }
}

/// The two peers of a direction: who sends, and who receives.
pub(super) const fn sides<'a>(
    client: &'a mut Side,
    application: &'a mut Side,
    direction: Direction,
) -> (&'a mut Side, &'a mut Side) {
    match direction {
        Direction::Up => (client, application),
        Direction::Down => (application, client),
    }
}

impl Side {
    pub(super) fn new(
        worker: &Worker,
        stream: Stream,
        early: &[u8],
        walker: Walker,
        reading: Reading,
    ) -> Self {
        let mut inbox = Inbox::new(worker.slab.clone());
        inbox.preload(early);
        Self {
            stream,
            inbox,
            cleared: 0,
            walked: 0,
            walker,
            reading,
            own: Outbox::new(worker.slab.clone()),
            closed: None,
            told: false,
            deaf: false,
            ended: false,
            severed: false,
        }
    }

    /// What it has sent and nobody has looked at.
    pub(super) fn unread(&self) -> &[u8] {
        let start = self.cleared + self.walked;
        self.inbox.bytes().get(start..).unwrap_or_default()
    }

    /// The message that is held until it is whole, as far as it has come.
    pub(super) fn held(&self) -> &[u8] {
        let end = self.cleared + self.walked;
        self.inbox
            .bytes()
            .get(self.cleared..end)
            .unwrap_or_default()
    }

    /// Takes out the message that is held.
    pub(super) fn drop_held(&mut self) {
        self.inbox.remove(self.cleared, self.walked);
        self.walked = 0;
    }

    /// Forgets all that the other side does not get as it stands.
    pub(super) fn drop_unfinished(&mut self) {
        self.walked = 0;
        self.inbox.remove(self.cleared, self.inbox.len());
    }

    /// Forgets what was cleared for a receiver that is gone.
    pub(super) fn drop_cleared(&mut self) {
        self.inbox.consume(self.cleared);
        self.cleared = 0;
    }

    /// Takes bytes of its own out from behind what was cleared: the other side does not get them.
    pub(super) fn swallow(&mut self, count: usize) {
        self.inbox.remove(self.cleared + self.walked, count);
    }

    /// Whether what it has sent so far, and the other side has been given, ends with a frame.
    pub(super) fn is_between_frames(&self) -> bool {
        self.cleared == 0 && (self.walked > 0 || self.walker.at_boundary())
    }
}
