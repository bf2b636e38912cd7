//! Confirmations and messages to a subscriber: `[kind, name, …]`, an array in RESP2 and a push in RESP3.
//!
//! Only what is known to be the user's own reaches them: a message on a channel that is not theirs, or of an event on a key that is not, is
//! dropped here, whatever the subscription was.

use super::super::super::codec::{ReplyError, push_bulk};
use super::super::KeyPrefix;
use super::super::channel::{ChannelKind, place_in_channel, place_in_pattern};
use super::part::{Frame, Part};
use super::{Unprefixer, foreign, header};

/// The most bytes that a message's names may take.
const MOST_NAMES: usize = 1024 * 1024;

/// What begins a message.
struct Names<'a> {
    /// The header of the aggregate.
    head: &'a [u8],
    kind: &'a [u8],
    /// As it is on the wire, header and all.
    kind_raw: &'a [u8],
    /// The bytes behind the kind.
    rest: &'a [u8],
}

impl Unprefixer {
    /// Goes on with a message of which nothing is done with yet.
    pub(super) fn message(
        &mut self,
        prefix: &KeyPrefix,
        left: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(usize, bool), ReplyError> {
        let Some(names) = names(left)? else {
            return more(left);
        };
        let before = out.len();
        let done = match names.kind {
            b"subscribe" | b"unsubscribe" | b"ssubscribe" | b"sunsubscribe" => {
                confirmation(prefix, &names, out, place_in_channel)?
            }
            b"psubscribe" | b"punsubscribe" => confirmation(prefix, &names, out, |name| {
                place_in_pattern(name).unwrap_or(ChannelKind::Own(0))
            })?,
            b"message" | b"smessage" => delivery(prefix, &names, out, false)?,
            b"pmessage" => delivery(prefix, &names, out, true)?,
            // The answer to PING while subscribed, in RESP2.
            b"pong" => return self.pass(left, out),
            _ => Done::NotTheirs,
        };
        match done {
            Done::Upto { rest, elements } => {
                self.frames.push(Frame::new(Part::Plain, false, elements));
                Ok((left.len() - rest.len(), true))
            }
            Done::More => {
                out.truncate(before);
                more(left)
            }
            Done::NotTheirs => {
                out.truncate(before);
                self.dropping = true;
                self.pass(left, out)
            }
        }
    }
}

/// How far the front of a message was taken.
enum Done<'a> {
    /// What is left, and of how many elements.
    Upto {
        rest: &'a [u8],
        elements: u64,
    },
    More,
    NotTheirs,
}

/// `[kind, name, count]`, where the name is null if there was nothing to end.
fn confirmation<'a>(
    prefix: &KeyPrefix,
    names: &Names<'a>,
    out: &mut Vec<u8>,
    place: impl Fn(&[u8]) -> ChannelKind,
) -> Result<Done<'a>, ReplyError> {
    out.extend_from_slice(names.head);
    out.extend_from_slice(names.kind_raw);
    // No name and no null is shorter.
    if names.rest.len() < 3 {
        return Ok(Done::More);
    }
    if let Some(null) = [&b"$-1\r\n"[..], b"_\r\n"]
        .into_iter()
        .find(|null| names.rest.starts_with(null))
    {
        out.extend_from_slice(null);
        let rest = names.rest.get(null.len()..).unwrap_or_default();
        return Ok(Done::Upto { rest, elements: 1 });
    }
    let Some((name, rest)) = bulk(names.rest)? else {
        return Ok(Done::More);
    };
    let name = without(prefix, name, place(name)).ok_or(foreign())?;
    push_bulk(out, &name);
    Ok(Done::Upto { rest, elements: 1 })
}

/// `[kind, channel, message]`, with the pattern before the channel where the subscription is to one.
fn delivery<'a>(
    prefix: &KeyPrefix,
    names: &Names<'a>,
    out: &mut Vec<u8>,
    by_pattern: bool,
) -> Result<Done<'a>, ReplyError> {
    out.extend_from_slice(names.head);
    out.extend_from_slice(names.kind_raw);
    let mut rest = names.rest;
    if by_pattern {
        let Some((pattern, after)) = bulk(rest)? else {
            return Ok(Done::More);
        };
        let place = place_in_pattern(pattern).unwrap_or(ChannelKind::Own(0));
        let Some(pattern) = without(prefix, pattern, place) else {
            return Ok(Done::NotTheirs);
        };
        push_bulk(out, &pattern);
        rest = after;
    }
    let Some((channel, after)) = bulk(rest)? else {
        return Ok(Done::More);
    };
    let place = place_in_channel(channel);
    let Some(shown) = without(prefix, channel, place) else {
        return Ok(Done::NotTheirs);
    };
    push_bulk(out, &shown);
    if place == ChannelKind::KeyEvent {
        // The message is a key.
        let Some((key, after)) = bulk(after)? else {
            return Ok(Done::More);
        };
        let Some(key) = without(prefix, key, ChannelKind::Own(0)) else {
            return Ok(Done::NotTheirs);
        };
        push_bulk(out, &key);
        return Ok(Done::Upto {
            rest: after,
            elements: 0,
        });
    }
    Ok(Done::Upto {
        rest: after,
        elements: 1,
    })
}

/// A name without the prefix; none where it is not the user's.
fn without(prefix: &KeyPrefix, name: &[u8], place: ChannelKind) -> Option<Vec<u8>> {
    let ChannelKind::Own(place) = place else {
        return Some(name.to_vec());
    };
    let (before, rest) = name.split_at_checked(place)?;
    let rest = rest.strip_prefix(prefix.as_bytes())?;
    Some([before, rest].concat())
}

fn names(left: &[u8]) -> Result<Option<Names<'_>>, ReplyError> {
    let Some((_, head)) = header(left)? else {
        return Ok(None);
    };
    let (head, after) = left.split_at_checked(head).unwrap_or((left, &[]));
    if after.first().is_some_and(|marker| *marker != b'$') {
        return Ok(Some(Names {
            head,
            kind: b"",
            kind_raw: b"",
            rest: after,
        }));
    }
    let Some((kind, rest)) = bulk(after)? else {
        return Ok(None);
    };
    let raw = after.len() - rest.len();
    Ok(Some(Names {
        head,
        kind,
        kind_raw: after.get(..raw).unwrap_or_default(),
        rest,
    }))
}

/// A string, and what is behind it.
type Bulk<'a> = (&'a [u8], &'a [u8]);

/// The whole bulk string at the front of some bytes.
fn bulk(bytes: &[u8]) -> Result<Option<Bulk<'_>>, ReplyError> {
    match bytes.first() {
        None => return Ok(None),
        Some(b'$') => {}
        Some(marker) => return Err(ReplyError::Marker(*marker)),
    }
    let Some((length, head)) = header(bytes)? else {
        return Ok(None);
    };
    let length = length.and_then(|length| usize::try_from(length).ok());
    let length = length.ok_or(ReplyError::Length)?;
    let whole = head.saturating_add(length).saturating_add(2);
    if bytes.len() < whole {
        return Ok(None);
    }
    Ok(bytes.get(head..head + length).zip(bytes.get(whole..)))
}

fn more(left: &[u8]) -> Result<(usize, bool), ReplyError> {
    if left.len() > MOST_NAMES {
        return Err(ReplyError::Form {
            command: "a subscription",
            problem: "the channel of a message is too long",
        });
    }
    Ok((0, false))
}
