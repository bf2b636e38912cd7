//! What may take how long on one socket: given the time, says what is due.

use std::time::{Duration, SystemTime};

use bulkhead_crds::effective::EffectiveWebSocket;
use tokio::time::Instant;

use super::super::credential::Credential;

/// How long the other side's Close frame is waited for. RFC 6455, section 7.1.1, has no number; browsers wait as long or longer.
pub(super) const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// How long a client may take nothing where the policy sends no pings, which would find it out.
const STALLED: Duration = Duration::from_secs(60);

/// How long a drain waits for the end of a message.
pub(super) const MESSAGE_LIMIT: Duration = Duration::from_secs(2);

/// The clocks of one socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clocks {
    /// When the client last sent anything.
    pub(super) heard: Instant,
    /// When either side last sent a message's bytes.
    pub(super) busy: Instant,
    /// The ping that nothing has answered yet.
    pub(super) ping: Ping,
    /// Whether the client is not read, because it sends too fast or the application takes nothing: its pong would not be heard.
    pub(super) deaf: bool,
    /// Since when the client has taken nothing of what waits for it.
    pub(super) stalled: Option<Instant>,
    /// The end of the socket's age, jittered.
    pub(super) lifetime: Option<Instant>,
    /// The end of its user context, with the grace.
    pub(super) expires: Option<Instant>,
    /// When the client's next message may pass.
    pub(super) held_until: Option<Instant>,
    /// When a run of the application's reaches a limit.
    pub(super) run: Option<Instant>,
    /// When the drain gets to it.
    pub(super) drains: Option<Instant>,
    /// When a close that is under way is given up.
    pub(super) closes: Option<Instant>,
    /// Until when a client is waited for whose connection is lost.
    pub(super) away: Option<Instant>,
    /// When the client is told what of its messages has arrived.
    pub(super) ack: Option<Instant>,
    /// Since when nothing more is kept, because the client does not acknowledge what is.
    pub(super) unacknowledged: Option<Instant>,
}

/// A ping of the sidecar's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ping {
    /// None is under way.
    Answered,
    /// It stands behind what the client has not taken: its time has not begun.
    Waits,
    /// It was sent then.
    Sent(Instant),
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The client has been silent for as long as `timeouts.ping`.
    Ping,
    /// A pong did not come within `timeouts.pong`.
    NoPong,
    /// Nothing was said for `timeouts.idle`.
    Idle,
    /// `timeouts.maxLifetime` is over.
    Lifetime,
    /// The user context has ended, and the grace with it.
    Expired,
    /// The client takes nothing.
    Stalled,
    /// The client's next message may pass.
    Released,
    /// A run of the application's has reached a limit.
    Run,
    /// The drain has got to this socket.
    Drain,
    /// The other side has not closed in time.
    Unclosed,
    /// The client has not come back in time.
    Away,
    /// The client is told what of its messages has arrived.
    Ack,
    /// The client has not acknowledged in time.
    Unacknowledged,
}

/// When a credential has ended, and the grace with it; none: never.
pub(super) fn expiry(credential: &Credential, grace: Duration) -> Option<Instant> {
    let end = credential.ends()?.checked_add(grace)?;
    let left = end.duration_since(SystemTime::now()).unwrap_or_default();
    Instant::now().checked_add(left)
}

impl Clocks {
    /// The clocks of a socket that opens now.
    pub(super) const fn started(now: Instant) -> Self {
        Self {
            heard: now,
            busy: now,
            ping: Ping::Answered,
            deaf: false,
            stalled: None,
            lifetime: None,
            expires: None,
            held_until: None,
            run: None,
            drains: None,
            closes: None,
            away: None,
            ack: None,
            unacknowledged: None,
        }
    }

    /// The client has sent something, which is as good as a pong.
    pub(super) const fn hear(&mut self, now: Instant) {
        self.heard = now;
        if matches!(self.ping, Ping::Sent(_)) {
            self.ping = Ping::Answered;
        }
    }

    /// The client is read, or not. What came meanwhile counts from now.
    pub(super) const fn listen(&mut self, listens: bool, now: Instant) {
        if self.deaf && listens {
            self.hear(now);
        }
        self.deaf = !listens;
    }

    /// What comes next, and when.
    pub(super) fn next(&self, settings: &EffectiveWebSocket) -> Option<(Instant, Due)> {
        if let Some(at) = self.closes {
            return Some((at, Due::Unclosed));
        }
        let ping = match (self.ping, settings.ping) {
            _ if self.deaf => None,
            (Ping::Sent(at), _) => Some((at + settings.pong, Due::NoPong)),
            (Ping::Answered, Some(ping)) => Some((self.heard + ping, Due::Ping)),
            (Ping::Waits, _) | (Ping::Answered, None) => None,
        };
        // A ping cannot be sent behind bytes that the client does not take, so these have the same limit.
        let patience = settings.ping.map_or(STALLED, |ping| ping + settings.pong);
        [
            ping,
            self.stalled.map(|since| (since + patience, Due::Stalled)),
            settings.idle.map(|idle| (self.busy + idle, Due::Idle)),
            self.lifetime.map(|at| (at, Due::Lifetime)),
            self.expires.map(|at| (at, Due::Expired)),
            self.held_until.map(|at| (at, Due::Released)),
            self.run.map(|at| (at, Due::Run)),
            self.drains.map(|at| (at, Due::Drain)),
            self.away.map(|at| (at, Due::Away)),
            self.ack.map(|at| (at, Due::Ack)),
            self.unacknowledged
                .map(|since| (since + patience, Due::Unacknowledged)),
        ]
        .into_iter()
        .flatten()
        .min_by_key(|(at, _)| *at)
    }
}
