//! Rules about WebSockets by themselves.

use super::rule::{Complaints, complain, web_socket};
use crate::effective::EffectivePolicy;
use crate::kinds::{Compression, SlowConsumer};
use crate::names;

/// A ping keeps a quiet socket alive, if it comes in time.
pub(super) fn ping_over_idle(policy: &EffectivePolicy) -> Complaints {
    let mut complaints = Vec::new();
    for one in &policy.web_sockets {
        if let (Some(ping), Some(idle)) = (one.ping, one.idle)
            && ping >= idle
        {
            let (ping, idle) = (names::Duration::from(ping), names::Duration::from(idle));
            let message = format!(
                "{ping} comes too late, because idle ends a quiet socket after {idle}: ping at least twice in that time"
            );
            complaints.push(complain(web_socket(&one.name, "timeouts.ping"), message));
        }
    }
    complaints
}

pub(super) fn buffer_over_memory(policy: &EffectivePolicy) -> Complaints {
    let most = policy.limits.memory_per_user;
    let mut complaints = Vec::new();
    for one in policy
        .web_sockets
        .iter()
        .filter(|one| one.buffer_per_user > most)
    {
        let (buffer, most) = (
            names::Quantity::from(one.buffer_per_user),
            names::Quantity::from(most),
        );
        let message = format!(
            "{buffer} is more than limits.memoryPerUser {most}, which is reached first: lower it, or raise memoryPerUser"
        );
        complaints.push(complain(
            web_socket(&one.name, "limits.bufferPerUser"),
            message,
        ));
    }
    complaints
}

/// What is compressed is not read.
pub(super) fn compressed_unread(policy: &EffectivePolicy) -> Complaints {
    let mut complaints = Vec::new();
    for one in &policy.web_sockets {
        let asks = [
            (one.validate_utf8, "validateUtf8"),
            (!one.critical_events.is_empty(), "criticalEvents"),
            (
                one.slow_consumer == SlowConsumer::Drop,
                "limits.slowConsumer",
            ),
        ];
        let mut fields = asks.iter().filter(|(asks, _)| *asks);
        if one.compression == Compression::Pass
            && let Some((_, field)) = fields.next()
        {
            let message = format!(
                "is Pass, and messages that are compressed cannot be read, so that {field} does not hold for them: write Auto or Remove"
            );
            complaints.push(complain(web_socket(&one.name, "compression"), message));
        }
    }
    complaints
}
