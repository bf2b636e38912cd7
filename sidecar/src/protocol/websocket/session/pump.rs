//! One direction of the relay: write what was cleared, walk what has come, read more.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::time::Instant;

use bulkhead_crds::kinds::SlowConsumer;

use super::super::codec::Step;
use super::super::events::Verdict;
use super::resuming::Room;
use super::spare::Spare;
use super::{Direction, Ending, Session, sides};
use crate::relay::BUFFER_BYTES;

/// What walking led to.
enum Walked {
    /// Bytes were cleared for the other side, or dealt with.
    On,
    /// More bytes are needed.
    Short,
    /// What has come has to wait.
    Held,
}

impl Session {
    /// Moves what can be moved in one direction. Ready when that ends the socket.
    pub(super) fn poll_pump(&mut self, direction: Direction, cx: &mut Context<'_>) -> Poll<Ending> {
        loop {
            let Poll::Ready(written) = self.poll_write(direction, cx) else {
                return self.waits(direction);
            };
            if let Err(ending) = written {
                return Poll::Ready(ending);
            }
            match self.walk(direction) {
                Walked::On => continue,
                Walked::Held => return self.waits(direction),
                Walked::Short => {}
            }
            if let Err(ending) = ready!(self.poll_read(direction, cx)) {
                return Poll::Ready(ending);
            }
        }
    }

    /// The sender is not read for now.
    const fn waits(&mut self, direction: Direction) -> Poll<Ending> {
        if matches!(direction, Direction::Up) {
            self.clocks.listen(false, self.read_at);
        }
        Poll::Pending
    }

    /// Gives the receiver what was cleared, straight from the sender's buffer, and frames of our own between two of the sender's.
    fn poll_write(
        &mut self,
        direction: Direction,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Ending>> {
        if direction == Direction::Down && self.resuming.is_some() {
            return self.poll_write_kept(cx);
        }
        let (from, to) = sides(&mut self.client, &mut self.application, direction);
        let mut told = false;
        let written = loop {
            if to.deaf || to.ended {
                from.drop_cleared();
                to.own.discard();
            }
            if to.own.is_begun() || (from.is_between_frames() && !to.own.is_empty()) {
                match to.own.poll_flush(&mut to.stream, cx) {
                    Poll::Ready(Ok(())) => {
                        told = true;
                        if direction == Direction::Down {
                            self.clocks.stalled = None;
                        }
                        continue;
                    }
                    other => break other,
                }
            }
            if from.cleared == 0 {
                break Poll::Ready(Ok(()));
            }
            let cleared = from.inbox.bytes().get(..from.cleared).unwrap_or_default();
            match Pin::new(&mut to.stream).poll_write(cx, cleared) {
                Poll::Ready(Ok(0)) => break Poll::Ready(Err(std::io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => {
                    from.inbox.consume(count);
                    from.cleared -= count;
                    if direction == Direction::Down {
                        self.clocks.stalled = None;
                        self.deliveries.wrote(count);
                    } else if let Some(resuming) = &mut self.resuming {
                        resuming.written.wrote(count);
                    }
                }
                Poll::Ready(Err(error)) => break Poll::Ready(Err(error)),
                Poll::Pending => break Poll::Pending,
            }
        };
        if direction == Direction::Down {
            self.count_delivered();
            if told {
                self.told_client();
            }
        } else if let Some(resuming) = &mut self.resuming {
            if told {
                resuming.written.wrote_own();
            }
            self.owe_ack();
        }
        match written {
            Poll::Ready(Ok(())) => {
                self.is_full &= direction == Direction::Up;
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(_)) => Poll::Ready(self.receiver_lost(direction)),
            Poll::Pending if direction == Direction::Down => self.client_is_slow(),
            Poll::Pending => Poll::Pending,
        }
    }

    /// The client takes nothing at the moment. The application waits with it, unless the policy has its messages kept for the client up to
    /// a limit, and left out from there on or the socket closed.
    fn client_is_slow(&mut self) -> Poll<Result<(), Ending>> {
        self.clocks.stalled.get_or_insert_with(Instant::now);
        self.account();
        let force = self.entry.force_now();
        let settings = &force.settings;
        // Frames of our own wait for the next gap that the client comes to, not for one that is read ahead.
        let reads_ahead = match settings.slow_consumer {
            SlowConsumer::Wait => false,
            // Of messages that are compressed together none can be left out.
            SlowConsumer::Drop => !self.deflates,
            SlowConsumer::Close => true,
        };
        if !reads_ahead || !self.client.own.is_empty() || self.application.ended {
            return Poll::Pending;
        }
        self.is_full = self.user.held() + BUFFER_BYTES as u64 > settings.buffer_per_user;
        if !self.is_full || settings.slow_consumer == SlowConsumer::Drop {
            let inbox = &mut self.application.inbox;
            inbox.reserve(inbox.len() + BUFFER_BYTES);
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(Err(Ending::STALLED))
    }

    /// Looks at what the sender has sent, as far as it goes, and clears it for the receiver.
    fn walk(&mut self, direction: Direction) -> Walked {
        let mut messages = 0;
        let mut went = false;
        let before = self.sides(direction).0.cleared;
        let walked = loop {
            let (from, to) = sides(&mut self.client, &mut self.application, direction);
            if from.unread().is_empty() {
                break Walked::Short;
            }
            let lets_go = self.resuming.as_ref().is_some_and(|it| it.kept.lets_go());
            // What is kept goes between messages, whenever they have come.
            let is_kept = direction == Direction::Down && self.resuming.is_some();
            // Frames of our own are waiting for this gap.
            if !is_kept && from.walker.at_boundary() && !to.own.is_empty() && !to.own.is_begun() {
                break Walked::On;
            }
            // What is not kept goes frame by frame, and the Close frame behind the one that was begun.
            let is_streamed = is_kept && lets_go;
            if is_streamed && to.told && !to.own.is_empty() && from.walker.at_boundary() {
                break Walked::Held;
            }
            let is_over = to.told && (to.own.is_empty() || (is_kept && !is_streamed));
            if is_over || from.closed.is_some() {
                // Nothing goes behind a Close frame (RFC 6455, section 5.5.1), but the sender's own is still wanted. Up to ours, a frame
                // that was begun goes on.
                if self.discard(direction) {
                    continue;
                }
                break Walked::Short;
            }
            if direction == Direction::Up && !self.may_send() {
                break Walked::Held;
            }
            if direction == Direction::Down && self.is_full && !self.leaves_out {
                match self.spare() {
                    Spare::Passes => {}
                    Spare::LeftOut => self.leaves_out = true,
                    Spare::Waits => break Walked::Held,
                    Spare::Unknown => break Walked::Short,
                }
            }
            if is_kept {
                match self.room() {
                    Room::Enough => {}
                    Room::Full => break Walked::Held,
                    Room::Unknown => break Walked::Short,
                }
            }
            let (from, _) = sides(&mut self.client, &mut self.application, direction);
            let start = from.cleared + from.walked;
            let unread = from.inbox.bytes().get(start..).unwrap_or_default();
            match from.walker.step(unread) {
                Ok(Step::More) => break Walked::Short,
                Ok(Step::Data {
                    len,
                    header,
                    payload,
                    ends,
                }) => {
                    let leaves_out = self.leaves_out && direction == Direction::Down;
                    let bytes = unread.get(..len).unwrap_or_default();
                    match from.reading.read(header.as_ref(), payload, bytes, ends) {
                        Ok(_) if leaves_out => self.leave_out(len, ends),
                        Ok(verdict) if is_kept => {
                            messages += u64::from(ends);
                            self.keep(header.as_ref(), payload, len, ends, verdict);
                            went = true;
                        }
                        Ok(_) if self.resuming.is_some() => {
                            messages += u64::from(self.hold(len, ends));
                            went = true;
                        }
                        Ok(verdict) => {
                            messages += u64::from(ends);
                            self.pass(direction, len, ends, verdict);
                        }
                        Err(violation) => {
                            let nothing_went =
                                header.is_some() || leaves_out || self.drop_unread(direction);
                            self.unreadable(direction, nothing_went, &violation);
                            break Walked::On;
                        }
                    }
                    self.clocks.busy = self.read_at;
                }
                Ok(Step::Control(control)) => {
                    self.control(direction, &control);
                    went |= is_kept;
                }
                Err(violation) => {
                    self.violated(direction, &violation);
                    break Walked::On;
                }
            }
        };
        if messages > 0 {
            self.entry.metrics.messages(direction.label(), messages);
        }
        match walked {
            // What was cleared goes first.
            Walked::Short | Walked::Held if self.sides(direction).0.cleared > before || went => {
                Walked::On
            }
            other => other,
        }
    }

    /// Clears bytes of a message for the receiver. Where they end it, `verdict` is what it was, if anybody wants to know.
    fn pass(&mut self, direction: Direction, len: usize, ends: bool, verdict: Option<Verdict>) {
        self.sides(direction).0.cleared += len;
        if direction == Direction::Up {
            self.paid = false;
            if ends {
                self.client_asked();
            }
        }
        if let Some(verdict) = verdict {
            self.carries(verdict);
        }
    }

    /// Whether the client's next message may pass. Each is paid for once, when its first byte is looked at; control frames are free.
    fn may_send(&mut self) -> bool {
        let is_control = self
            .client
            .unread()
            .first()
            .is_some_and(|first| first & 0x8 != 0);
        if self.paid || is_control || !self.client.walker.between_messages() {
            return true;
        }
        let rate = self.entry.force_now().settings.messages_per_second;
        // As of the last read, which is the same but for a few microseconds.
        match self.user.may_send(rate, self.read_at) {
            Ok(()) => {
                self.paid = true;
                self.clocks.held_until = None;
                true
            }
            Err(until) => {
                self.clocks.held_until = Some(until);
                self.slowed.get_or_insert(self.read_at);
                false
            }
        }
    }

    fn poll_read(
        &mut self,
        direction: Direction,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Ending>> {
        let (from, _) = sides(&mut self.client, &mut self.application, direction);
        if from.ended {
            return Poll::Pending;
        }
        if direction == Direction::Up && self.clocks.deaf {
            self.clocks.listen(true, Instant::now());
        }
        if direction == Direction::Up {
            self.make_room_for_message();
        }
        let (from, _) = sides(&mut self.client, &mut self.application, direction);
        let Poll::Ready(read) = from.inbox.poll_fill(&mut from.stream, cx) else {
            if direction == Direction::Up {
                // It has no more to say than it may.
                self.slowed = None;
            }
            return Poll::Pending;
        };
        let count = read.unwrap_or_default();
        if count == 0 {
            from.ended = true;
            return Poll::Ready(self.stream_ended(direction));
        }
        self.read_at = Instant::now();
        if direction == Direction::Up {
            self.clocks.hear(self.read_at);
        }
        Poll::Ready(Ok(()))
    }
}
