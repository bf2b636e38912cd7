//! Rules about what a WebSocket may take: time, bytes and room.

use std::time::Duration;

use super::rule::{Complaints, complain, per_web_socket, web_socket};
use crate::effective::{EffectivePolicy, EffectiveWebSocket, Origin};
use crate::kinds::{Compression, SlowConsumer};
use crate::names;

/// An application in the same pod answers sooner, but not by much when the machine is busy.
const HASTY: Duration = Duration::from_millis(100);
/// Browsers, proxies and load balancers give a handshake up after a minute or two.
const PATIENT: Duration = Duration::from_secs(2 * 60);
/// A token that has expired was meant to end its user's access; a client that renews needs seconds.
const GRACE: Duration = Duration::from_secs(10 * 60);
/// The shortest message that says anything.
const SHORT_MESSAGE: u64 = 128;
/// What no client should have to send, nor an application to keep, at once.
const LONG_MESSAGE: u64 = 64 << 20;
/// As much is read at once.
const ONE_READ: u64 = 16 << 10;

/// A ping finds out that a client has gone, if it is sent before the socket ends anyway. It is no message, and puts off no `idle`.
pub(super) fn ping_over_idle(policy: &EffectivePolicy) -> Complaints {
    per_field(policy, "timeouts.ping", |one| {
        let (ping, idle) = (one.ping?, one.idle?);
        let message = format!(
            "{} is no shorter than idle {}, which ends a quiet socket before it is pinged: ping at least twice in that time",
            names::Duration::from(ping),
            names::Duration::from(idle)
        );
        (ping >= idle).then_some(message)
    })
}

/// No second ping is sent before the first one's time is over.
pub(super) fn pong_over_ping(policy: &EffectivePolicy) -> Complaints {
    per_field(policy, "timeouts.pong", |one| {
        let ping = one.ping?;
        let path = web_socket(&one.name, "timeouts.pong");
        let is_written = *policy.origins.of(&path) != Origin::Default;
        let message = format!(
            "{} is longer than ping {}, and a client that has gone is noticed after both together ({}): lower it",
            names::Duration::from(one.pong),
            names::Duration::from(ping),
            names::Duration::from(ping.saturating_add(one.pong))
        );
        (is_written && one.pong > ping).then_some(message)
    })
}

/// What nobody in front of the sidecar waits for, and what no application can keep.
pub(super) fn handshake_unreal(policy: &EffectivePolicy) -> Complaints {
    let long = "is longer than browsers, proxies and load balancers wait for an answer";
    let mut complaints = per_field(policy, "timeouts.handshake", |one| {
        let limit = names::Duration::from(one.handshake);
        if one.handshake > PATIENT {
            return Some(format!("{limit} {long}: write 2m or less"));
        }
        let message = format!(
            "{limit} leaves the application hardly time to answer: write 1s or more, or leave it out for the default"
        );
        (one.handshake < HASTY && !one.handshake.is_zero()).then_some(message)
    });
    complaints.extend(per_field(policy, "timeouts.coldStart", |one| {
        let limit = names::Duration::from(one.cold_start);
        let message = format!(
            "{limit} {long}: write 2m or less, and have the pod turn ready when the application has started"
        );
        (one.cold_start > PATIENT).then_some(message)
    }));
    complaints
}

pub(super) fn long_grace(policy: &EffectivePolicy) -> Complaints {
    per_field(policy, "timeouts.expiryGrace", |one| {
        let message = format!(
            "{} keeps the sockets of users whose tokens have expired for so long: write 10m or less, and give tokens a longer life where that is what is meant",
            names::Duration::from(one.expiry_grace)
        );
        (one.expiry_grace > GRACE).then_some(message)
    })
}

/// Every message has a byte, and many no more than that.
pub(super) fn no_message(policy: &EffectivePolicy) -> Complaints {
    per_field(policy, "limits.messageBytes", |one| {
        let message = "is 0, and closes a client's socket at its first message: write the size of the largest one, such as 64Ki, or leave it out for the default";
        (one.message_bytes == 0).then(|| message.to_owned())
    })
}

pub(super) fn message_size(policy: &EffectivePolicy) -> Complaints {
    per_field(policy, "limits.messageBytes", |one| {
        let size = names::Quantity::from(one.message_bytes);
        if one.message_bytes > LONG_MESSAGE {
            return Some(format!(
                "{size} lets one client make the application keep as much at once: write 64Mi or less, and send files by HTTP"
            ));
        }
        let message = format!(
            "{size} closes the socket of a client that sends a longer message, which nearly all are: write 1Ki or more"
        );
        (one.message_bytes < SHORT_MESSAGE && one.message_bytes > 0).then_some(message)
    })
}

/// Reading ahead for a client that is slow takes a buffer of its own.
pub(super) fn buffer_small(policy: &EffectivePolicy) -> Complaints {
    per_field(policy, "limits.bufferPerUser", |one| {
        let at_once = match one.slow_consumer {
            SlowConsumer::Wait => return None,
            SlowConsumer::Drop => "messages are left out",
            SlowConsumer::Close => "the socket is closed",
        };
        let message = format!(
            "{} is less than is read at once (16Ki), so that with slowConsumer {} {at_once} as soon as a client is slow at all: write 64Ki or more, or use slowConsumer Wait",
            names::Quantity::from(one.buffer_per_user),
            one.slow_consumer
        );
        (one.buffer_per_user < ONE_READ).then_some(message)
    })
}

pub(super) fn buffer_over_memory(policy: &EffectivePolicy) -> Complaints {
    let most = policy.limits.memory_per_user;
    per_field(policy, "limits.bufferPerUser", |one| {
        let message = format!(
            "{} is more than limits.memoryPerUser {}, which is reached first: lower it, or raise memoryPerUser",
            names::Quantity::from(one.buffer_per_user),
            names::Quantity::from(most)
        );
        (one.buffer_per_user > most).then_some(message)
    })
}

/// A client that opts in to resume has each message held until it is whole.
pub(super) fn message_over_memory(policy: &EffectivePolicy) -> Complaints {
    let most = policy.limits.memory_per_user;
    per_field(policy, "limits.messageBytes", |one| {
        let message = format!(
            "{} is more than limits.memoryPerUser {}, and of a client that offers resume a message is held until it is whole: lower it, raise memoryPerUser, or write `resume: {{window: 0s}}`",
            names::Quantity::from(one.message_bytes),
            names::Quantity::from(most)
        );
        (one.offers_resume() && one.message_bytes > most).then_some(message)
    })
}

/// What is compressed is not read.
pub(super) fn compressed_unread(policy: &EffectivePolicy) -> Complaints {
    per_field(policy, "compression", |one| {
        let asks = [
            (one.validate_utf8, "validateUtf8"),
            (!one.critical_events.is_empty(), "criticalEvents"),
            (one.slow_consumer == SlowConsumer::Drop, "slowConsumer Drop"),
        ];
        let fields: Vec<&str> = asks
            .iter()
            .filter_map(|(asks, field)| asks.then_some(*field))
            .collect();
        let verb = if fields.len() == 1 { "does" } else { "do" };
        let message = format!(
            "is Pass, and messages that are compressed cannot be read, so that {} {verb} not hold for them: write Auto or Remove",
            fields.join(" and ")
        );
        (one.compression == Compression::Pass && !fields.is_empty()).then_some(message)
    })
}

/// What `check` has to say of one field of each listener.
fn per_field(
    policy: &EffectivePolicy,
    field: &str,
    check: impl Fn(&EffectiveWebSocket) -> Option<String>,
) -> Complaints {
    per_web_socket(policy, |one| {
        let complaint = |message| complain(web_socket(&one.name, field), message);
        check(one).map(complaint).into_iter().collect()
    })
}
