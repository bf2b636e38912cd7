//! Control frames (RFC 6455, section 5.5): they pass, all but the pongs that answer pings of our own.

use tokio::time::Instant;

use super::super::codec::{Close, Control, Opcode, Step, Violation, write_ping};
use super::super::events::Verdict;
use super::clocks::{CLOSE_LIMIT, Ping};
use super::{Direction, Initiator, Session};
use crate::telemetry::EventOutcome;

/// What a ping of the sidecar carries, so that its pong is known: nobody else sends this by accident.
const PING: [u8; 8] = *b"bulkhead";

impl Session {
    /// Deals with a control frame that stands at the front of what the sender has sent.
    pub(super) fn control(&mut self, direction: Direction, control: &Control) {
        let is_ours = direction == Direction::Up && self.unanswered;
        let (from, _) = self.sides(direction);
        match control.opcode {
            Opcode::Pong if is_ours && *control.payload() == PING => {
                // One answer may stand for several pings (RFC 6455, section 5.5.3).
                from.swallow(control.len);
                self.unanswered = false;
            }
            Opcode::Close => match Close::parse(control.payload()) {
                Ok(close) => {
                    // A message that was broken off is none.
                    from.drop_held();
                    from.cleared += control.len;
                    from.closed = Some(close.code());
                    self.closed_first.get_or_insert(direction);
                    let limit = Instant::now() + CLOSE_LIMIT;
                    self.clocks.closes.get_or_insert(limit);
                }
                Err(violation) => self.violated(direction, &violation),
            },
            // Between two fragments of a message that is held until it is whole.
            _ if from.walked > 0 => from.walked += control.len,
            _ => from.cleared += control.len,
        }
        if direction == Direction::Down && self.resuming.is_some() {
            self.pass_control(control);
        } else if control.opcode == Opcode::Pong
            && let Some(resuming) = &mut self.resuming
        {
            let pinged = resuming.pinged.take();
            resuming.pinged = pinged.filter(|pinged| **pinged != *control.payload());
        }
    }

    /// The application's control frames go to the client between two messages that are kept, with the sidecar's own.
    fn pass_control(&mut self, control: &Control) {
        let application = &mut self.application;
        if self.clocks.away.is_none() {
            let frame = application.inbox.bytes().get(..application.cleared);
            self.client.own.push(frame.unwrap_or_default());
        }
        application.drop_cleared();
        match control.opcode {
            Opcode::Close => {
                self.client.told = true;
                if let Some(code) = application.closed.filter(|_| self.is_away()) {
                    let answer = Close::echo(code);
                    self.close_with(code, answer, "", Initiator::Application);
                }
            }
            Opcode::Ping => {
                if let Some(resuming) = &mut self.resuming {
                    resuming.pinged = Some(control.payload().into());
                }
            }
            _ => {}
        }
    }

    /// Asks the client whether it is there.
    pub(super) fn ping(&mut self) {
        write_ping(self.client.own.writer(), &PING);
        self.clocks.ping = Ping::Waits;
    }

    /// Frames of our own have reached the client, a ping perhaps among them.
    pub(super) fn told_client(&mut self) {
        if self.clocks.ping == Ping::Waits {
            self.clocks.ping = Ping::Sent(Instant::now());
            self.unanswered = true;
        }
    }

    /// Takes what has come from a sender to whose receiver nothing more is given, up to its Close frame. Whether there was any.
    pub(super) fn discard(&mut self, direction: Direction) -> bool {
        let (from, _) = self.sides(direction);
        let start = from.cleared + from.walked;
        let unread = from.inbox.bytes().get(start..).unwrap_or_default();
        if unread.is_empty() {
            return false;
        }
        if from.closed.is_some() {
            let count = unread.len();
            from.swallow(count);
            return true;
        }
        match from.walker.step(unread) {
            Ok(Step::More) => return false,
            Ok(Step::Data {
                len,
                header,
                payload,
                ends,
            }) => {
                let bytes = unread.get(..len).unwrap_or_default();
                let read = from.reading.read(header.as_ref(), payload, bytes, ends);
                from.swallow(len);
                if let Ok(Some(Verdict::Event(event))) = read {
                    self.count_event(event, EventOutcome::Lost);
                }
            }
            Ok(Step::Control(control)) => {
                if control.opcode == Opcode::Close {
                    let close = Close::parse(control.payload());
                    from.closed = Some(close.map_or(Close::PROTOCOL_ERROR, |close| close.code()));
                }
                from.swallow(control.len);
            }
            // It is being told to go: what it still sends is not looked at any more.
            Err(_) => from.closed = Some(Close::PROTOCOL_ERROR),
        }
        true
    }

    /// Bytes of a message cannot stand where they do, and are not passed on. Where a part of their frame has gone already, the receiver's
    /// stream has to end without a Close frame.
    pub(super) fn unreadable(
        &mut self,
        direction: Direction,
        nothing_went: bool,
        violation: &Violation,
    ) {
        let (from, to) = self.sides(direction);
        from.drop_held();
        if nothing_went {
            from.walker.withdraw();
        } else {
            to.severed = true;
            to.told = true;
        }
        self.violated(direction, violation);
    }

    /// The sender has broken the protocol or a limit: both sides are told, and nothing more of it is read as frames.
    pub(super) fn violated(&mut self, direction: Direction, violation: &Violation) {
        let (from, _) = self.sides(direction);
        from.closed = Some(violation.code());
        let reason = match violation {
            Violation::MessageTooBig => self.named("limits.messageBytes"),
            other => format!("{}: {other}", direction.sender_name()),
        };
        let application = match direction {
            Direction::Up => Close::GOING_AWAY,
            Direction::Down => violation.code(),
        };
        self.close_with(violation.code(), application, &reason, Initiator::Sidecar);
    }
}
