//! Rules about the resume of lost sockets.

use super::rule::{Complaints, complain, per_web_socket, web_socket};
use crate::effective::{EffectivePolicy, EffectiveWebSocket, Origin};
use crate::kinds::Compression;
use crate::names;

/// Less than this holds hardly a message, and a socket that has lost one cannot be resumed.
const LITTLE: u64 = 4 * 1024;

/// One socket's part of what all of them have.
pub(super) fn over_total(policy: &EffectivePolicy) -> Complaints {
    per_offer(policy, |one| {
        let (buffer, total) = (one.resume_buffer, one.resume_total);
        let message = format!(
            "{} is more than totalBytes {}, which all sockets of a pod share: lower it, or raise totalBytes",
            names::Quantity::from(buffer),
            names::Quantity::from(total)
        );
        (buffer > total).then_some(("resume.buffer", message))
    })
}

pub(super) fn buffer_small(policy: &EffectivePolicy) -> Complaints {
    per_offer(policy, |one| {
        let message = format!(
            "{} holds hardly a message, and a socket that was sent more than that while its client was away is lost: write 4Ki or more, or `window: 0s` to offer no resume",
            names::Quantity::from(one.resume_buffer)
        );
        (one.resume_buffer < LITTLE).then_some(("resume.buffer", message))
    })
}

/// What says that nothing is kept, and what then says nothing.
pub(super) fn off(policy: &EffectivePolicy) -> Complaints {
    per_web_socket(policy, |one| {
        let at = |field: &str| web_socket(&one.name, &format!("resume.{field}"));
        if one.offers_resume() {
            return Vec::new();
        }
        if !one.resume_window.is_zero() {
            let message = "is 0, which offers no resume: write `window: 0s` where that is meant, or 4Ki or more";
            return vec![complain(at("buffer"), message)];
        }
        let unread = ["buffer", "totalBytes"]
            .into_iter()
            .filter(|field| is_written(policy, one, field));
        unread
            .map(|field| {
                let message = "has no effect with `window: 0s`, which offers no resume: leave it out, or write a window";
                complain(at(field), message)
            })
            .collect()
    })
}

/// A socket's age goes on while its client is away, and so does the silence of its application.
pub(super) fn outlived(policy: &EffectivePolicy) -> Complaints {
    per_offer(policy, |one| {
        let window = one.resume_window;
        let ends = [
            (one.max_lifetime, "maxLifetime", "ends every session"),
            (
                one.idle,
                "idle",
                "ends a session whose application says nothing meanwhile",
            ),
        ];
        let (limit, field, what) = ends.into_iter().find_map(|(limit, field, what)| {
            Some((limit.filter(|limit| window > *limit)?, field, what))
        })?;
        let message = format!(
            "{} is longer than timeouts.{field} {}, which {what}: lower it, or raise {field}",
            names::Duration::from(window),
            names::Duration::from(limit)
        );
        Some(("resume.window", message))
    })
}

/// What is kept for a resume has to be told apart, message by message, and so it is not compressed.
pub(super) fn compressed(policy: &EffectivePolicy) -> Complaints {
    per_offer(policy, |one| {
        let asks = ["window", "buffer", "totalBytes"]
            .iter()
            .any(|field| is_written(policy, one, field));
        let message = "is Pass, and messages of a socket that can be resumed are not compressed all the same: write Auto, or `resume: {window: 0s}`";
        (asks && one.compression == Compression::Pass).then(|| ("compression", message.to_owned()))
    })
}

/// What `check` has to say of each listener that offers resume.
fn per_offer(
    policy: &EffectivePolicy,
    check: impl Fn(&EffectiveWebSocket) -> Option<(&'static str, String)>,
) -> Complaints {
    per_web_socket(policy, |one| {
        let found = check(one).filter(|_| one.offers_resume());
        let complaint = |(field, message)| complain(web_socket(&one.name, field), message);
        found.map(complaint).into_iter().collect()
    })
}

fn is_written(policy: &EffectivePolicy, one: &EffectiveWebSocket, field: &str) -> bool {
    let path = web_socket(&one.name, &format!("resume.{field}"));
    *policy.origins.of(&path) != Origin::Default
}
