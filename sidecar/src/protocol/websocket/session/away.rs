//! A session whose client's connection is lost, and which waits for it to come back; the application does not notice.

use std::task::{Context, Waker};

use tokio::time::Instant;

use super::super::codec::{Close, Sender, Walker, write_close, write_masked_pong};
use super::super::resume::{LostReason, Welcome};
use super::clocks::{Ping, expiry};
use super::reading::Reading;
use super::{Ending, Initiator, Session};
use crate::relay::BUFFER_BYTES;
use crate::stream::Stream;
use crate::telemetry::{EventOutcome, ResumeOutcome};
use crate::worker::Lost;

impl Session {
    /// Whether it waits for its client.
    pub(super) const fn is_away(&self) -> bool {
        self.clocks.away.is_some()
    }

    /// Whether the loss of the client's connection is not the end of it.
    pub(super) fn survives(&self) -> bool {
        let ends = self.closing.is_some()
            || self.client.closed.is_some()
            || self.application.closed.is_some()
            || self.application.ended;
        let resuming = self.resuming.as_ref();
        !ends && resuming.is_some_and(|it| !it.kept.lets_go())
    }

    /// The client's connection is lost: what it has sent of a message that is not whole is lost with it, and will be sent again.
    pub(super) fn go_away(&mut self) {
        let checks_text = self.force.settings.validate_utf8;
        let client = &mut self.client;
        client.stream = Stream::Gone;
        client.ended = true;
        client.drop_unfinished();
        client.walker = Walker::new(
            Sender::Client,
            Some(self.force.settings.message_bytes),
            false,
        );
        client.reading = Reading::new(checks_text);
        client.own.discard();
        client.told = false;
        if let Some(resuming) = &mut self.resuming {
            resuming.says.discard();
        }
        let now = Instant::now();
        self.clocks.ping = Ping::Answered;
        self.clocks.deaf = true;
        self.clocks.stalled = None;
        self.clocks.held_until = None;
        self.clocks.ack = None;
        self.clocks.unacknowledged = None;
        if !self.is_away() {
            self.entry.metrics.resumes.away.inc();
            self.clocks.away = Some(now + self.force.settings.resume_window);
        }
        self.unanswered = false;
        self.paid = false;
        self.slowed = None;
        self.answer_ping();
    }

    /// The client is taken for lost. It is told why, if the kernel takes that at once.
    pub(super) fn give_client_up(&mut self, code: u16, reason: &str) {
        let between = self
            .resuming
            .as_ref()
            .is_some_and(|it| it.kept.is_between_messages() && !it.says.is_begun());
        if between && !self.client.own.is_begun() {
            self.client.own.discard();
            write_close(self.client.own.writer(), code, reason);
            let mut cx = Context::from_waker(Waker::noop());
            let client = &mut self.client;
            let _ = client.own.poll_flush(&mut client.stream, &mut cx);
        }
        self.go_away();
    }

    /// The client has come back, on another connection: it is sent what it lacks, and told what has reached the application.
    pub(super) fn come_back(&mut self) {
        let returned = self
            .resuming
            .as_ref()
            .and_then(|it| it.point.take_returned());
        let Some(returned) = returned else {
            return;
        };
        let count = returned.count;
        // Its connection ends; it comes once more, and is told what has become of the session.
        if !self.survives() {
            return;
        }
        let kept = self.resuming.as_ref().map(|it| &it.kept);
        if !kept.is_some_and(|kept| kept.has_sent(count)) {
            let reason = "bulkhead.resume.v1: the client comes back with more messages than were sent, or fewer than it has acknowledged";
            self.close(Close::PROTOCOL_ERROR, reason, Initiator::Sidecar);
            return;
        }
        if !self.is_away() {
            self.give_client_up(Close::GOING_AWAY, "taken over by a newer connection");
        }
        let rewound = self.with_kept(|resuming, delivered| resuming.kept.rewind(count, delivered));
        debug_assert_eq!(rewound, Some(Ok(())));
        self.take_client(returned.stream, &returned.early);
        if let Some(credential) = &self.credential {
            credential.replace(&returned.context);
            // Its context may have been revoked since it was verified.
            let since = self.worker.process.kills.now();
            self.worker
                .end_if_over(&self.handle, Some(&returned.context), &since);
            self.clocks.expires = expiry(credential, self.force.settings.expiry_grace);
        }
        let accepted = self.resuming.as_mut().map_or(0, |resuming| {
            resuming.said = resuming.written.accepted();
            resuming.said
        });
        self.welcome(Welcome::Resumed(accepted));
        self.entry.metrics.resumes.count(ResumeOutcome::Resumed);
    }

    fn take_client(&mut self, stream: Stream, early: &[u8]) {
        let now = Instant::now();
        self.client.stream = stream;
        self.client.inbox.preload(early);
        self.client.ended = false;
        self.clocks.away = None;
        self.clocks.deaf = false;
        self.clocks.hear(now);
        self.read_at = now;
        self.entry.metrics.resumes.away.dec();
    }

    /// The window is over, unless a client has been told to come.
    pub(super) fn window_over(&mut self) -> Result<(), Ending> {
        let awaited = self.resuming.as_ref().and_then(|it| it.point.awaited());
        if let Some(until) = awaited.filter(|until| *until > Instant::now()) {
            self.clocks.away = Some(until);
            return Ok(());
        }
        Err(Ending {
            code: Close::ABNORMAL,
            initiator: Initiator::Client,
        })
    }

    /// The application has asked whether its client is there, which is away now or was lost before it could answer. One answer stands for
    /// all that was asked before (RFC 6455, section 5.5.3), so an application that does not read gets no more of them.
    pub(super) fn answer_ping(&mut self) {
        if !self.is_away() || self.application.told || self.application.own.len() > BUFFER_BYTES {
            return;
        }
        let pinged = self.resuming.as_mut().and_then(|it| it.pinged.take());
        if let Some(payload) = pinged {
            let mask = self.worker.jitter.number();
            write_masked_pong(self.application.own.writer(), &payload, mask);
        }
    }

    /// The session has ended: its place is given up.
    pub(super) fn end_resuming(&mut self, ending: Ending) {
        let Some(mut resuming) = self.resuming.take() else {
            return;
        };
        for event in resuming.kept.take_events() {
            self.count_event(event, EventOutcome::Lost);
        }
        if self.is_away() {
            self.entry.metrics.resumes.away.dec();
            self.entry.metrics.resumes.count(ResumeOutcome::Lost);
        }
        self.worker.process.charge_resume(resuming.charged, 0);
        if resuming.kept.lets_go() {
            return;
        }
        let reason = match ending.initiator {
            _ if resuming.has_overflowed => Some(LostReason::Buffer),
            Initiator::Application => Some(LostReason::Application),
            Initiator::Client | Initiator::Sidecar => None,
        };
        let lost = reason.map(|reason| {
            let written = Some(resuming.written.written());
            (Lost { reason, written }, self.force.settings.resume_window)
        });
        self.worker.leave_resumable(&resuming.point, lost);
    }
}
