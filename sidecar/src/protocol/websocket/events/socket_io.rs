//! socket.io's packets as text messages carry them: engine.io's kind `4` (message), socket.io's kind, and for an event its namespace, the
//! id of an acknowledgement and a JSON array that begins with the event's name: `42/admin,17["done",{…}]`.
//!
//! The protocols are described in socket.io's documentation: "The Engine.IO protocol" (version 4) and "The Socket.IO protocol" (version 5).

use super::Verdict;
use super::json::says;

/// An event that is looked for.
#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) name: String,
    /// The number of the event.
    pub(super) number: usize,
}

/// What stands in the way of a name.
enum Miss {
    /// The end of what is looked at.
    Short,
    /// Something else than a packet's parts.
    Other,
}

/// What a packet is.
pub(super) fn read(head: &[u8], is_whole: bool, events: &[Event]) -> Verdict {
    let (is_binary, rest) = match head {
        [b'4', b'2', rest @ ..] => (false, rest),
        [b'4', b'5', rest @ ..] => (true, rest),
        _ => return Verdict::Needed,
    };
    match name(rest, is_binary) {
        Ok(name) => match events.iter().find(|it| says(name, it.name.as_bytes())) {
            Some(event) => Verdict::Event(event.number),
            // Its attachments come behind it, and would have nothing to belong to.
            None if is_binary => Verdict::Needed,
            None => Verdict::Ordinary,
        },
        Err(Miss::Short) if !is_whole => Verdict::Unscanned,
        Err(_) => Verdict::Needed,
    }
}

/// The name of the event, as it is written between its quotes.
fn name(mut rest: &[u8], is_binary: bool) -> Result<&[u8], Miss> {
    if is_binary {
        // How many attachments follow.
        rest = without_digits(rest);
        rest = rest.strip_prefix(b"-").ok_or_else(|| miss(rest))?;
    }
    if rest.first() == Some(&b'/') {
        let comma = rest.iter().position(|byte| *byte == b',');
        rest = rest
            .get(comma.ok_or(Miss::Short)? + 1..)
            .unwrap_or_default();
    }
    rest = without_digits(rest);
    rest = rest.strip_prefix(b"[").ok_or_else(|| miss(rest))?;
    rest = rest.trim_ascii_start();
    rest = rest.strip_prefix(b"\"").ok_or_else(|| miss(rest))?;
    let mut end = 0;
    loop {
        match rest.get(end) {
            None => return Err(Miss::Short),
            Some(b'"') => return Ok(rest.get(..end).unwrap_or_default()),
            Some(b'\\') => end += 2,
            Some(_) => end += 1,
        }
    }
}

fn without_digits(bytes: &[u8]) -> &[u8] {
    let digits = bytes
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    bytes.get(digits..).unwrap_or_default()
}

const fn miss(rest: &[u8]) -> Miss {
    if rest.is_empty() {
        Miss::Short
    } else {
        Miss::Other
    }
}
