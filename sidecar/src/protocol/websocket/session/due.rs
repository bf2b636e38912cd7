//! What is done when its time has come, each with a close code and a reason that names the field of the policy.

use std::time::Duration;

use tokio::time::Instant;

use super::super::codec::Close;
use super::super::resume::FinalReason;
use super::clocks::{Due, MESSAGE_LIMIT, expiry};
use super::{Ending, Initiator, Session};
use crate::telemetry::TimeoutKind;

/// For how long a client that sends too fast is only slowed down.
const MOST_DELAY: Duration = Duration::from_secs(30);

impl Session {
    pub(super) fn due(&mut self, due: Due) -> Result<(), Ending> {
        match due {
            Due::Ping => self.ping(),
            Due::NoPong if self.survives() => {
                self.entry
                    .timed_out(TimeoutKind::Ping, self.user_id.as_ref());
                let reason = self.named("timeouts.pong");
                self.give_client_up(Close::TIMEOUT, &reason);
            }
            Due::NoPong => self.time_out(TimeoutKind::Ping, Close::TIMEOUT, "timeouts.pong"),
            Due::Idle => self.time_out(TimeoutKind::Idle, Close::GOING_AWAY, "timeouts.idle"),
            Due::Lifetime => self.time_out(
                TimeoutKind::Lifetime,
                Close::SERVICE_RESTART,
                "timeouts.maxLifetime",
            ),
            Due::Expired => self.expire(),
            // Nothing can be said to who takes nothing.
            Due::Stalled if self.survives() => self.go_away(),
            Due::Stalled => return Err(Ending::STALLED),
            Due::Released => self.let_go(),
            Due::Run => self.expire_runs(),
            Due::Drain => self.drain_now(),
            Due::Unclosed => return Err(self.unclosed()),
            Due::Away => self.window_over()?,
            Due::Ack => self.say_ack(),
            Due::Unacknowledged => {
                self.give_up(FinalReason::Unacknowledged);
            }
        }
        Ok(())
    }

    /// The token has expired, and the grace is over; unless a fresh one has come meanwhile, which nobody is woken for.
    fn expire(&mut self) {
        let credential = self.credential.as_deref();
        self.clocks.expires =
            credential.and_then(|it| expiry(it, self.force.settings.expiry_grace));
        let is_over = |end: Instant| end <= Instant::now();
        if self.clocks.expires.is_some_and(is_over) {
            let field = self.named("timeouts.expiryGrace");
            let reason = format!("the token has expired; {field}");
            self.close(Close::POLICY, &reason, Initiator::Sidecar);
        }
    }

    /// The client's next message may pass. Who is never done with what they may not send is closed.
    fn let_go(&mut self) {
        self.clocks.held_until = None;
        self.read_at = Instant::now();
        let since = self
            .slowed
            .map_or(Duration::ZERO, |slowed| self.read_at - slowed);
        if since > MOST_DELAY {
            let reason = self.named("limits.messagesPerSecond");
            self.close(Close::POLICY, &reason, Initiator::Sidecar);
        }
    }

    fn time_out(&mut self, kind: TimeoutKind, code: u16, field: &'static str) {
        self.entry.timed_out(kind, self.user_id.as_ref());
        let reason = self.named(field);
        self.close(code, &reason, Initiator::Sidecar);
    }

    /// A field of the entry with its value, as reasons name it.
    pub(super) fn named(&self, field: &'static str) -> String {
        self.force.name_setting(field)
    }

    /// The sidecar is going: this socket's turn comes at a moment of its own, so that not all clients come back at once.
    pub(super) fn drain(&mut self) {
        let period = self.worker.process.drain_period();
        let turn = Instant::now() + self.worker.jitter.part_of(period);
        self.clocks.drains.get_or_insert(turn);
    }

    /// Its turn has come. A message that has been begun is waited for, a little.
    fn drain_now(&mut self) {
        let waits =
            !self.client.walker.between_messages() || !self.application.walker.between_messages();
        let now = Instant::now();
        let limit = *self.drain_limit.get_or_insert(now + MESSAGE_LIMIT);
        if waits && now < limit {
            self.clocks.drains = Some(now + MESSAGE_LIMIT / 20);
            return;
        }
        let reason = "the sidecar is shutting down; connect again";
        self.close(Close::SERVICE_RESTART, reason, Initiator::Sidecar);
    }

    /// A newer socket of the same user takes the place of this one.
    pub(super) fn give_way(&mut self) {
        let field = self.entry.force().name_setting("limits.connectionsPerUser");
        let reason = format!("a newer connection took this place; {field}");
        self.close(Close::POLICY, &reason, Initiator::Sidecar);
    }

    /// An operator has ended the connections of its user.
    pub(super) fn killed(&mut self) {
        let reason = "an administrator has ended all connections of this user";
        self.close(Close::POLICY, reason, Initiator::Sidecar);
    }

    /// Its user is cut off.
    pub(super) fn revoked(&mut self) {
        let user = self.user_id.as_ref();
        let revocations = &self.worker.process.revocations;
        let refusal = user.and_then(|user| revocations.refusal(user, self.handle.badge.issued()));
        // It may have been taken back in this very moment, and the session has been ended all the same.
        let reason = refusal.map_or_else(|| "access was revoked".to_owned(), |it| it.message);
        self.close(Close::POLICY, &reason, Initiator::Sidecar);
    }

    /// The other side has not closed in time.
    fn unclosed(&self) -> Ending {
        self.closing.unwrap_or_else(|| {
            let first = self.client.closed.map(|code| (code, Initiator::Client));
            let (code, initiator) = first
                .or(self
                    .application
                    .closed
                    .map(|code| (code, Initiator::Application)))
                .unwrap_or((Close::ABNORMAL, Initiator::Sidecar));
            Ending { code, initiator }
        })
    }
}
