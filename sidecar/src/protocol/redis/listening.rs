//! What a subscriber is told in RESP2: arrays that look like replies. Pure.
//!
//! Source: Redis, "Pub/Sub", "Format of pushed messages".

/// What stands at the front of a server's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// Not enough to say.
    More,
    /// A message, or the confirmation of a subscription.
    Subscription,
    /// The confirmation that the last one has ended.
    End,
    /// A reply.
    Reply,
}

const KINDS: [&[u8]; 9] = [
    b"message",
    b"pmessage",
    b"smessage",
    b"subscribe",
    b"psubscribe",
    b"ssubscribe",
    b"unsubscribe",
    b"punsubscribe",
    b"sunsubscribe",
];

/// Longer beginnings are of nothing that is told to a subscriber.
const LONGEST: usize = 32;

/// Tells what stands at the front.
pub(super) fn hear(bytes: &[u8]) -> Heard {
    if bytes.is_empty() {
        return Heard::More;
    }
    let begins = |all: &[u8]| all.starts_with(bytes) || bytes.starts_with(all);
    if !begins(b"*3\r\n$") && !begins(b"*4\r\n$") {
        return Heard::Reply;
    }
    match kind_of(bytes) {
        Some(kind) if kind.ends_with(b"unsubscribe") => end_of(bytes),
        Some(kind) if KINDS.contains(&kind) => Heard::Subscription,
        Some(_) => Heard::Reply,
        None if bytes.len() < LONGEST => Heard::More,
        None => Heard::Reply,
    }
}

/// The first element of an array of three or four, where it is a bulk string.
fn kind_of(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes
        .strip_prefix(b"*3\r\n$")
        .or_else(|| bytes.strip_prefix(b"*4\r\n$"))?;
    let end = rest.iter().position(|byte| *byte == b'\r')?;
    let length: usize = std::str::from_utf8(rest.get(..end)?).ok()?.parse().ok()?;
    rest.get(end + 2..end + 2 + length)
}

/// Whether a confirmation says that nothing is subscribed to any more: its last element is 0.
fn end_of(bytes: &[u8]) -> Heard {
    // Whole: two bulk strings (the second may be null) and a number.
    let mut at = 0;
    let mut line = |bytes: &'_ [u8]| -> Option<(usize, usize)> {
        let end = memchr::memchr(b'\n', bytes.get(at..)?)? + at;
        let span = (at, end.saturating_sub(1));
        at = end + 1;
        Some(span)
    };
    let mut number = || -> Option<bool> {
        line(bytes)?;
        line(bytes)?;
        line(bytes)?;
        let (from, to) = line(bytes)?;
        if bytes.get(from..to)? != b"$-1" {
            let length: usize = std::str::from_utf8(bytes.get(from + 1..to)?)
                .ok()?
                .parse()
                .ok()?;
            // The name may hold line ends.
            let skipped = bytes.get(to + 2 + length..)?;
            let rest = skipped.strip_prefix(b"\r\n")?;
            let end = memchr::memchr(b'\r', rest)?;
            return Some(rest.get(..end)? == b":0");
        }
        let (from, to) = line(bytes)?;
        Some(bytes.get(from..to)? == b":0")
    };
    match number() {
        None => Heard::More,
        Some(true) => Heard::End,
        Some(false) => Heard::Subscription,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_subscriber_is_told_is_told_from_replies() {
        for (bytes, heard) in [
            ("", Heard::More),
            ("*3\r\n$7\r\nmess", Heard::More),
            ("*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n", Heard::Subscription),
            ("*4\r\n$8\r\npmessage\r\n$1", Heard::Subscription),
            (
                "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n",
                Heard::Subscription,
            ),
            ("*2\r\n$4\r\npong\r\n$0\r\n\r\n", Heard::Reply),
            ("*", Heard::More),
            ("*4\r", Heard::More),
            (
                "*2\r\n$4\r\npong\r\n$20\r\n01234567890123456789\r\n",
                Heard::Reply,
            ),
            ("+PONG\r\n", Heard::Reply),
            ("-ERR no\r\n", Heard::Reply),
            (
                "*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:1\r\n",
                Heard::Subscription,
            ),
            ("*3\r\n$11\r\nunsubscribe\r\n$1\r\nc\r\n:0\r\n", Heard::End),
            (
                "*3\r\n$11\r\nunsubscribe\r\n$4\r\nc\r\nd\r\n:0\r\n",
                Heard::End,
            ),
            ("*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n", Heard::End),
            ("*3\r\n$12\r\npunsubscribe\r\n$1\r\nc\r\n:", Heard::More),
            ("*3\r\n$5\r\nhello\r\n$1\r\nc\r\n$1\r\nd\r\n", Heard::Reply),
        ] {
            assert_eq!(hear(bytes.as_bytes()), heard, "{bytes:?}");
        }
    }
}
