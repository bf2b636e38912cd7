//! One direction of the relay: write what was cleared, walk what has come, read more.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::time::Instant;

use bulkhead_crds::kinds::SlowConsumer;

use super::super::codec::Step;
use super::super::events::Verdict;
use super::resuming::Room;
use super::side::{Direction, sides};
use super::spare::Spare;
use super::{Ending, Session};
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

/// Whether the next bytes may be looked at.
enum Gate {
    /// They may.
    Open,
    /// They have been dealt with.
    Passed,
    /// Not now.
    Shut(Walked),
}

/// What a walk has done.
#[derive(Default)]
struct Progress {
    /// Messages that have gone on whole.
    messages: u64,
    /// Whether there is something to write that is not in the sender's buffer.
    went: bool,
}

impl Progress {
    /// Bytes have gone on by another way than the sender's buffer, and perhaps a message with them.
    fn passed(&mut self, whole: bool) {
        self.messages += u64::from(whole);
        self.went = true;
    }
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
        let mut progress = Progress::default();
        let before = self.sides(direction).0.cleared;
        let walked = loop {
            match self.gate(direction) {
                Gate::Open => {}
                Gate::Passed => continue,
                Gate::Shut(walked) => break walked,
            }
            if let Some(walked) = self.step(direction, &mut progress) {
                break walked;
            }
        };
        if progress.messages > 0 {
            let metrics = &self.entry.metrics;
            metrics.messages(direction.label(), progress.messages);
        }
        let went = progress.went || self.sides(direction).0.cleared > before;
        match walked {
            // What was cleared goes first.
            Walked::Short | Walked::Held if went => Walked::On,
            other => other,
        }
    }

    /// Whether the next bytes may be looked at now.
    #[inline]
    fn gate(&mut self, direction: Direction) -> Gate {
        let (from, to) = sides(&mut self.client, &mut self.application, direction);
        if from.unread().is_empty() {
            return Gate::Shut(Walked::Short);
        }
        // What is kept goes between messages, whenever they have come.
        let is_kept = direction == Direction::Down && self.resuming.is_some();
        // Frames of our own are waiting for this gap.
        if !is_kept && from.walker.at_boundary() && !to.own.is_empty() && !to.own.is_begun() {
            return Gate::Shut(Walked::On);
        }
        let lets_go = self.resuming.as_ref().is_some_and(|it| it.kept.lets_go());
        // What is not kept goes frame by frame, and the Close frame behind the one that was begun.
        let is_streamed = is_kept && lets_go;
        if is_streamed && to.told && !to.own.is_empty() && from.walker.at_boundary() {
            return Gate::Shut(Walked::Held);
        }
        let is_over = to.told && (to.own.is_empty() || (is_kept && !is_streamed));
        // A client that has closed and is gone hears nothing more.
        let is_gone = is_kept && to.ended && to.closed.is_some();
        if is_over || is_gone || from.closed.is_some() {
            // Nothing goes behind a Close frame (RFC 6455, section 5.5.1), but the sender's own is still wanted. Up to ours, a frame
            // that was begun goes on.
            return if self.discard(direction) {
                Gate::Passed
            } else {
                Gate::Shut(Walked::Short)
            };
        }
        if direction == Direction::Up {
            return if self.may_send() {
                Gate::Open
            } else {
                Gate::Shut(Walked::Held)
            };
        }
        if self.is_full && !self.leaves_out {
            match self.spare() {
                Spare::Passes => {}
                Spare::LeftOut => self.leaves_out = true,
                Spare::Waits => return Gate::Shut(Walked::Held),
                Spare::Unknown => return Gate::Shut(Walked::Short),
            }
        }
        if is_kept {
            return match self.room() {
                Room::Enough => Gate::Open,
                Room::Full => Gate::Shut(Walked::Held),
                Room::Unknown => Gate::Shut(Walked::Short),
            };
        }
        Gate::Open
    }

    /// Walks over what comes next. None where there may be more to walk over.
    #[inline]
    fn step(&mut self, direction: Direction, progress: &mut Progress) -> Option<Walked> {
        let is_kept = direction == Direction::Down && self.resuming.is_some();
        let (from, _) = sides(&mut self.client, &mut self.application, direction);
        let start = from.cleared + from.walked;
        let unread = from.inbox.bytes().get(start..).unwrap_or_default();
        match from.walker.step(unread) {
            Ok(Step::More) => return Some(Walked::Short),
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
                        self.keep(header.as_ref(), payload, len, ends, verdict);
                        progress.passed(ends);
                    }
                    Ok(_) if self.resuming.is_some() => {
                        let whole = self.hold(len, ends);
                        progress.passed(whole);
                    }
                    Ok(verdict) => {
                        progress.messages += u64::from(ends);
                        self.pass(direction, len, ends, verdict);
                    }
                    Err(violation) => {
                        let nothing_went =
                            header.is_some() || leaves_out || self.drop_unread(direction);
                        self.unreadable(direction, nothing_went, &violation);
                        return Some(Walked::On);
                    }
                }
                self.clocks.busy = self.read_at;
            }
            Ok(Step::Control(control)) => {
                self.control(direction, &control);
                // It is among the sidecar's own frames now, which go before more is read.
                progress.went |= is_kept;
            }
            Err(violation) => {
                self.violated(direction, &violation);
                return Some(Walked::On);
            }
        }
        None
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
