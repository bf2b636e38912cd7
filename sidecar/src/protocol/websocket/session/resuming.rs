//! A session that survives its connection: the application's messages on their way to the client, which are kept until it has
//! acknowledged them (`resume.buffer`, `resume.totalBytes`).

use std::rc::Rc;

use tokio::time::Instant;

use super::super::codec::{Header, Opcode, Payload, parse_header, write_message};
use super::super::events::Verdict;
use super::super::resume::message::{MARK, PREFIX, write_final, write_welcome};
use super::super::resume::{
    FinalReason, Kept, LostReason, MESSAGE_BYTES, SessionId, SessionToken, Welcome, Written,
};
use super::{Close, Direction, Initiator, Session};
use crate::relay::{BUFFER_BYTES, Outbox};
use crate::telemetry::{EventOutcome, ResumeOutcome};
use crate::worker::{Lost, ResumePoint};

/// Bytes that are on their way at one time in a session that keeps nothing any more.
const TRANSIT: usize = 4 * BUFFER_BYTES;

/// Bytes by which a frame may grow when it is escaped, the prefix and the longest form of a length, and what a message takes beside its bytes.
const GROWTH: u64 = PREFIX.len() as u64 + 8 + MESSAGE_BYTES as u64;

/// What such a session has beside others.
#[derive(Debug)]
pub(super) struct Resuming {
    /// Where its client finds it.
    pub(super) point: Rc<ResumePoint>,
    /// The application's messages.
    pub(super) kept: Kept,
    /// Messages of the sidecar's own, which go between two of those.
    pub(super) says: Outbox,
    /// The client's.
    pub(super) written: Written,
    /// What the application's last ping carries, if the client has not answered it.
    pub(super) pinged: Option<Box<[u8]>>,
    /// Up to which of them the client knows.
    pub(super) said: u64,
    /// Whether the application's message under way is binary, and nothing of its payload has come.
    begins_binary: bool,
    /// Bytes that stand in the pod's ledger for it.
    pub(super) charged: usize,
    /// Whether more was said than is kept while the client was away.
    pub(super) has_overflowed: bool,
}

/// Whether there is room for what the application has sent next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// There is.
    Enough,
    /// The client has to acknowledge something first.
    Full,
    /// Not enough of it has come.
    Unknown,
}

impl Session {
    /// Makes this a session that survives its connection, and greets the client. `lost` is what became of the one that it has asked for.
    pub(super) fn begin_resuming(&mut self, protocol: String, lost: Option<Lost>) {
        let Some(user) = self.user_id.clone() else {
            return;
        };
        // Without randomness the client is greeted all the same, with a token that finds nothing.
        let id = SessionId::random()
            .inspect_err(|error| tracing::error!(%error, "a session cannot be resumed"))
            .unwrap_or(SessionId([0; 16]));
        let handle = Rc::clone(&self.handle);
        let point = Rc::new(ResumePoint::new(
            id,
            self.force.name.clone(),
            user,
            protocol,
            handle,
        ));
        self.worker.enter_resumable(Rc::clone(&point));
        self.resuming = Some(Box::new(Resuming {
            point,
            kept: Kept::default(),
            says: Outbox::new(self.worker.slab.clone()),
            written: Written::default(),
            pinged: None,
            said: 0,
            begins_binary: false,
            charged: 0,
            has_overflowed: false,
        }));
        self.welcome(match lost {
            None => Welcome::New,
            Some(lost) => Welcome::Lost(lost.reason, lost.written),
        });
    }

    /// Tells the client how it stands, and by which token it may come back.
    pub(super) fn welcome(&mut self, welcome: Welcome) {
        let Some(resuming) = &self.resuming else {
            return;
        };
        // By the key that seals now: the one under which the session began may be known nowhere any more.
        let token = self.entry.force_now().sealer.seal(&SessionToken {
            pod: self.worker.process.pod(),
            worker: u16::try_from(self.worker.index).unwrap_or(u16::MAX),
            session: resuming.point.id,
            generation: resuming.point.next_generation(),
        });
        let settings = &self.force.settings;
        let mut message = Vec::with_capacity(128);
        write_welcome(
            &mut message,
            welcome,
            settings.resume_window,
            settings.resume_buffer,
            &token,
        );
        self.tell(&message);
    }

    /// Puts a control message between two of the application's.
    pub(super) fn tell(&mut self, message: &[u8]) {
        if let Some(resuming) = &mut self.resuming {
            write_message(resuming.says.writer(), Opcode::Binary, &[], message, None);
        }
    }

    /// Whether there is room for the next frame of the application's.
    pub(super) fn room(&mut self) -> Room {
        let Some(resuming) = &self.resuming else {
            return Room::Enough;
        };
        // Its control frames wait with the sidecar's own.
        if self.client.own.len() > BUFFER_BYTES {
            return Room::Full;
        }
        let unread = self.application.unread();
        let begins = self.application.walker.at_boundary();
        let header = parse_header(unread).ok().flatten();
        let header = header.filter(|it| begins && !it.opcode.is_control());
        if let Some(header) = &header {
            // The first byte of a binary message says whether it is escaped.
            let is_binary = match header.opcode {
                Opcode::Continuation => resuming.begins_binary,
                opcode => opcode == Opcode::Binary,
            };
            if is_binary && header.length > 0 && unread.len() <= header.size {
                return Room::Unknown;
            }
        }
        match header {
            _ if resuming.kept.lets_go() => resuming.room_in_transit(),
            Some(header) => self.room_to_keep(&header),
            None => Room::Enough,
        }
    }

    /// Whether a frame can be kept until the client has acknowledged it; where it never can, the session gives up.
    fn room_to_keep(&mut self, header: &Header) -> Room {
        let Some(resuming) = &self.resuming else {
            return Room::Enough;
        };
        let (kept, settings) = (&resuming.kept, &self.force.settings);
        let frame = (header.length + header.size as u64).saturating_add(GROWTH);
        if frame.saturating_add(kept.partial() as u64) > settings.resume_buffer {
            return self.give_up(FinalReason::Message);
        }
        let total = self.worker.process.resume_bytes() + frame;
        if total > settings.resume_total {
            return self.give_up(FinalReason::Memory);
        }
        if frame + kept.len() as u64 <= settings.resume_buffer {
            self.clocks.unacknowledged = None;
            return Room::Enough;
        }
        // A client that has closed acknowledges nothing more, and does not come back.
        if self.client.closed.is_some() {
            self.let_go_of_kept(None);
            return Room::Enough;
        }
        // A client that has been told to come is waited for.
        if self.is_away() && resuming.point.awaited().is_none() {
            return self.give_up(FinalReason::Unacknowledged);
        }
        self.clocks.unacknowledged.get_or_insert_with(Instant::now);
        Room::Full
    }

    /// The session does not survive its connection any more: it ends where that is lost already.
    pub(super) fn give_up(&mut self, reason: FinalReason) -> Room {
        self.clocks.unacknowledged = None;
        if self.is_away() {
            if let Some(resuming) = &mut self.resuming {
                resuming.has_overflowed = true;
            }
            let reason = self.named(reason.field());
            self.close(Close::GOING_AWAY, &reason, Initiator::Sidecar);
            return Room::Full;
        }
        let lost = Lost {
            reason: LostReason::Buffer,
            written: None,
        };
        self.let_go_of_kept(Some(lost));
        let mut message = Vec::with_capacity(8);
        write_final(&mut message, reason);
        self.tell(&message);
        self.entry.metrics.resumes.count(ResumeOutcome::GivenUp);
        Room::Enough
    }

    /// Keeps nothing any more, and cannot be resumed. `lost` is what a client is told that asks for it.
    fn let_go_of_kept(&mut self, lost: Option<Lost>) {
        let window = self.force.settings.resume_window;
        if let Some(resuming) = &mut self.resuming {
            resuming.kept.let_go();
            let lost = lost.map(|lost| (lost, window));
            self.worker.leave_resumable(&resuming.point, lost);
        }
    }

    /// Keeps bytes of a message of the application's, and takes them out of what it has sent. Where they end it, `verdict` is what it was,
    /// if anybody wants to know.
    pub(super) fn keep(
        &mut self,
        header: Option<&Header>,
        payload: Payload,
        len: usize,
        ends: bool,
        verdict: Option<Verdict>,
    ) {
        let Some(resuming) = &mut self.resuming else {
            return;
        };
        let unread = self.application.unread();
        let bytes = unread.get(..len).unwrap_or_default();
        resuming.push(header, payload, bytes);
        if ends {
            let event = match verdict {
                Some(Verdict::Event(event)) => Some(event),
                _ => None,
            };
            resuming.kept.finish(event);
        }
        self.application.swallow(len);
        match verdict {
            Some(Verdict::Event(event)) => self.follow(event),
            Some(Verdict::Unscanned) => self.entry.metrics.unscanned(),
            Some(Verdict::Ordinary | Verdict::Needed) | None => {}
        }
    }

    /// Does something with what is kept, and counts the critical events that have been delivered by it.
    pub(super) fn with_kept<T>(
        &mut self,
        act: impl FnOnce(&mut Resuming, &mut dyn FnMut(usize)) -> T,
    ) -> Option<T> {
        let mut resuming = self.resuming.take()?;
        let outcome = act(&mut resuming, &mut |event| {
            self.count_event(event, EventOutcome::Delivered);
        });
        self.resuming = Some(resuming);
        Some(outcome)
    }

    /// Forgets the message under way that cannot be read, where nothing of it has gone on. Says whether that is so.
    pub(super) fn drop_unread(&mut self, direction: Direction) -> bool {
        let Some(resuming) = &mut self.resuming else {
            return false;
        };
        if direction == Direction::Up {
            return true;
        }
        let went = resuming.kept.is_mid_stream();
        if !went {
            resuming.kept.drop_partial();
        }
        !went
    }

    /// The ledger of the pod's memory for resumes.
    pub(super) fn account_kept(&mut self) {
        if let Some(resuming) = &mut self.resuming {
            let now = resuming.kept.len();
            if now != resuming.charged {
                let process = &self.worker.process;
                process.charge_resume(resuming.charged, now);
                resuming.charged = now;
            }
        }
    }
}

impl Resuming {
    /// Whether more may be on its way, where nothing is kept any more.
    fn room_in_transit(&self) -> Room {
        if self.kept.len() >= TRANSIT {
            Room::Full
        } else {
            Room::Enough
        }
    }

    /// Puts bytes of a frame at the end, escaped where they would be taken for the sidecar's.
    fn push(&mut self, header: Option<&Header>, payload: Payload, bytes: &[u8]) {
        let Some(header) = header else {
            self.kept.push(bytes);
            return;
        };
        if header.opcode != Opcode::Continuation {
            self.begins_binary = header.opcode == Opcode::Binary;
        }
        let first = bytes.get(payload.start);
        if self.begins_binary && first == Some(&MARK) {
            let mut head = Vec::with_capacity(16);
            let length = header.length + PREFIX.len() as u64;
            Header { length, ..*header }.write(&mut head);
            head.extend_from_slice(&PREFIX);
            self.kept.push(&head);
            self.kept
                .push(bytes.get(payload.start..).unwrap_or_default());
        } else {
            self.kept.push(bytes);
        }
        self.begins_binary &= first.is_none();
    }
}

impl FinalReason {
    /// The field of the policy that it comes from.
    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::Message | Self::Unacknowledged => "resume.buffer",
            Self::Memory => "resume.totalBytes",
        }
    }
}
