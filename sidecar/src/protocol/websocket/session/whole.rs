//! A session that survives its connection: the client's messages, which go to the application only once they are whole, so that none is
//! there twice or by half when the client has to send it again.

use std::time::Duration;

use tokio::time::Instant;

use super::super::codec::{
    Close, Opcode, Sender, Step, Walker, apply_mask, parse_header, write_message,
};
use super::super::resume::Received;
use super::super::resume::message::{MARK, read, write_ack};
use super::{Initiator, Session};
use crate::relay::BUFFER_BYTES;

/// After how many messages the client is told that they have arrived.
const ACK_MESSAGES: u64 = 32;

/// After which time, if they are fewer.
const ACK_TIME: Duration = Duration::from_secs(1);

/// Bytes of frames for a client that does not read, above which no more is acknowledged.
const MOST_OWED: usize = 4096;

/// A message of a client's that begins as those of the sidecar do.
struct Unmasked {
    opcode: Opcode,
    payload: Vec<u8>,
    /// Control frames that stood between its fragments, as they came.
    controls: Vec<u8>,
}

impl Session {
    /// Holds bytes of a message until it is whole. Says whether one has gone on to the application.
    pub(super) fn hold(&mut self, len: usize, ends: bool) -> bool {
        self.client.walked += len;
        self.paid = false;
        if !ends {
            return false;
        }
        if self.may_be_ours() {
            return self.read_ours();
        }
        self.client.cleared += std::mem::take(&mut self.client.walked);
        let cleared = self.client.cleared;
        if let Some(resuming) = &mut self.resuming {
            resuming.written.accept(cleared);
        }
        self.client_asked();
        true
    }

    /// Whether the message that is whole now may begin with the prefix.
    fn may_be_ours(&self) -> bool {
        let Ok(Some(header)) = parse_header(self.client.held()) else {
            return false;
        };
        if header.opcode != Opcode::Binary {
            return false;
        }
        let first = self.client.held().get(header.size);
        let [key, ..] = header.mask.unwrap_or_default();
        // An empty fragment says nothing of the message.
        header.length == 0 || first.is_some_and(|first| first ^ key == MARK)
    }

    /// Reads a message that may be for the sidecar. Says whether it was for the application.
    fn read_ours(&mut self) -> bool {
        let message = unmasked(self.client.held());
        self.client.drop_held();
        self.application.own.push(&message.controls);
        match read(&message.payload) {
            Received::Data(data) => {
                let mask = self.worker.jitter.number();
                let out = self.application.own.writer();
                write_message(out, message.opcode, &[], data, Some(mask));
                if let Some(resuming) = &mut self.resuming {
                    resuming.written.accept_rewritten();
                }
                self.client_asked();
                return true;
            }
            Received::Ack(count) => self.acknowledged(count),
            Received::Credential(token) => self.renew(token),
            Received::Unknown => {
                let reason = "bulkhead.resume.v1: a control message of no known kind";
                self.close(Close::PROTOCOL_ERROR, reason, Initiator::Sidecar);
            }
        }
        false
    }

    fn acknowledged(&mut self, count: u64) {
        let outcome = self.with_kept(|resuming, delivered| {
            resuming.point.acknowledged();
            resuming.kept.acknowledge(count, delivered)
        });
        // What the client has not acknowledged in time counts from here on.
        self.clocks.unacknowledged = None;
        if let Some(Err(_)) = outcome {
            let reason = "bulkhead.resume.v1: more messages are acknowledged than were sent, or fewer than before";
            self.close(Close::PROTOCOL_ERROR, reason, Initiator::Sidecar);
        }
    }

    /// The client is told, now and then, what has been written to the application.
    pub(super) fn owe_ack(&mut self) {
        let Some(resuming) = &self.resuming else {
            return;
        };
        let owed = resuming.written.written().saturating_sub(resuming.said);
        if owed == 0 || resuming.kept.lets_go() || self.is_away() {
            self.clocks.ack = None;
        } else if owed >= ACK_MESSAGES {
            self.say_ack();
        } else {
            self.clocks.ack.get_or_insert(self.read_at + ACK_TIME);
        }
    }

    /// Tells it now.
    pub(super) fn say_ack(&mut self) {
        let (takes_none, owes_much) = (self.client.told, self.owes_much());
        let Some(resuming) = &mut self.resuming else {
            return;
        };
        if takes_none || owes_much {
            self.clocks.ack = Some(Instant::now() + ACK_TIME);
            return;
        }
        self.clocks.ack = None;
        resuming.said = resuming.written.written();
        let mut message = Vec::with_capacity(16);
        write_ack(&mut message, resuming.said);
        self.tell(&message);
    }

    /// Whether so much waits for the client that it is told nothing that can wait.
    pub(super) fn owes_much(&self) -> bool {
        let says = self.resuming.as_ref().map_or(0, |it| it.says.len());
        self.client.own.len() + says > MOST_OWED
    }

    /// Makes sure that the rest of a message fits that is held until it is whole: as it comes, not as a header promises. What the policy
    /// lets a client send at once fits always, and beside it whatever a user's buffers may hold.
    pub(super) fn make_room_for_message(&mut self) {
        if self.resuming.is_none() || self.client.walked == 0 {
            return;
        }
        let beside = self.entry.force_now().settings.buffer_per_user;
        let limit = self.force.settings.message_bytes + beside;
        if self.closing.is_none() && self.user.held() > limit {
            let reason = self.named("limits.bufferPerUser");
            self.close(Close::TRY_AGAIN_LATER, &reason, Initiator::Sidecar);
            return;
        }
        let inbox = &mut self.client.inbox;
        let left = usize::try_from(self.client.walker.left()).unwrap_or(usize::MAX);
        let more = match left {
            // Between two fragments: a client that sends small ones is not read byte by byte.
            0 => BUFFER_BYTES,
            left => left.min(inbox.len().max(BUFFER_BYTES)),
        };
        inbox.reserve(inbox.len() + more);
    }
}

/// Takes a whole message apart that was walked before.
fn unmasked(mut bytes: &[u8]) -> Unmasked {
    let mut walker = Walker::new(Sender::Client, None, false);
    let mut message = Unmasked {
        opcode: Opcode::Binary,
        payload: Vec::with_capacity(bytes.len()),
        controls: Vec::new(),
    };
    while let Ok(step) = walker.step(bytes) {
        let len = match step {
            Step::More => break,
            Step::Control(control) => {
                let frame = bytes.get(..control.len).unwrap_or_default();
                message.controls.extend_from_slice(frame);
                control.len
            }
            Step::Data { len, payload, .. } => {
                let start = message.payload.len();
                let part = bytes.get(payload.start..len).unwrap_or_default();
                message.payload.extend_from_slice(part);
                let part = message.payload.get_mut(start..).unwrap_or_default();
                apply_mask(part, payload.mask.unwrap_or_default(), 0);
                len
            }
        };
        bytes = bytes.get(len..).unwrap_or_default();
    }
    message
}
