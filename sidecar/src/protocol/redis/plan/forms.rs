//! Commands whose keys no specification tells all of: options are read as the server reads them, and what it would not know is an error here.

use super::super::codec::{Arguments, parse_integer};
use super::super::commands::{Form, Refusal, Unit, Wait, Why};
use super::super::prefix::{ChannelKind, place_in_channel, place_in_pattern};
use super::edits::{Behind, Edits, Range, What};
use super::{Hindrance, Isolation};

/// Sections of INFO that tell nothing of other users.
const SECTIONS: [&[u8]; 4] = [b"server", b"replication", b"cluster", b"modules"];

pub(super) fn edits(
    form: Form,
    arguments: &Arguments<'_>,
    isolation: &Isolation,
) -> Result<Edits, Hindrance> {
    match form {
        Form::SecondIsKey => one(2, What::Key),
        Form::KeyPattern => one(1, What::Key),
        Form::Publish => publish(arguments),
        _ if !arguments.complete() => Err(Hindrance::More),
        Form::Sort => sort(arguments),
        Form::GeoRadius(options) => geo_radius(arguments, options),
        Form::Streams => streams(arguments),
        Form::Scan => scan(arguments),
        Form::Channels => channels(arguments, 1, isolation),
        Form::CountSubscribers => channels(arguments, 2, isolation),
        Form::ChannelPatterns => patterns(arguments, isolation),
        Form::ListChannels => list_channels(arguments),
        Form::Info => info(arguments),
    }
}

fn one(index: usize, what: What) -> Result<Edits, Hindrance> {
    let mut edits = Edits::NONE;
    add(&mut edits, index, what)?;
    Ok(edits)
}

fn add(edits: &mut Edits, index: usize, what: What) -> Result<(), Hindrance> {
    add_range(edits, index, index + 1, what)
}

fn add_range(edits: &mut Edits, first: usize, end: usize, what: What) -> Result<(), Hindrance> {
    // Commands have a million arguments at the most.
    let added = edits.add(Range {
        first: first as u32,
        end: end as u32,
        step: 1,
        what,
    });
    // More of an option than anybody means, such as STORE twice.
    added.then_some(()).ok_or_else(|| Refusal::syntax().into())
}

/// An option at `index` of a command that is there whole.
fn is(arguments: &Arguments<'_>, index: usize, word: &str) -> bool {
    arguments
        .get(index)
        .is_some_and(|argument| argument.eq_ignore_ascii_case(word.as_bytes()))
}

/// `SORT key [BY pattern] [LIMIT offset count] [GET pattern …] [ASC|DESC] [ALPHA] [STORE key]`. A BY without `*` reads no key, and GET of `#` is
/// the element itself.
fn sort(arguments: &Arguments<'_>) -> Result<Edits, Hindrance> {
    let mut edits = one(1, What::Key)?;
    let mut at = 2;
    while at < arguments.total() {
        let is = |word| is(arguments, at, word);
        let left = arguments.total() - at - 1;
        at += if is("ASC") || is("DESC") || is("ALPHA") {
            1
        } else if is("LIMIT") && left >= 2 {
            3
        } else if is("STORE") && left >= 1 {
            add(&mut edits, at + 1, What::Key)?;
            2
        } else if is("BY") && left >= 1 {
            if arguments.get(at + 1).is_none_or(|by| by.contains(&b'*')) {
                return Err(Hindrance::Not(Why::SortPatterns));
            }
            2
        } else if is("GET") && left >= 1 {
            if arguments.get(at + 1) != Some(b"#") {
                return Err(Hindrance::Not(Why::SortPatterns));
            }
            2
        } else {
            return Err(Refusal::syntax().into());
        };
    }
    Ok(edits)
}

/// `GEORADIUS key longitude latitude radius unit [options] [STORE key] [STOREDIST key]`.
fn geo_radius(arguments: &Arguments<'_>, options: usize) -> Result<Edits, Hindrance> {
    let mut edits = one(1, What::Key)?;
    let mut at = options;
    while at < arguments.total() {
        let is = |word| is(arguments, at, word);
        let left = arguments.total() - at - 1;
        let alone = ["WITHDIST", "WITHHASH", "WITHCOORD", "ANY", "ASC", "DESC"];
        at += if alone.into_iter().any(is) {
            1
        } else if is("COUNT") && left >= 1 {
            2
        } else if (is("STORE") || is("STOREDIST")) && left >= 1 {
            add(&mut edits, at + 1, What::Key)?;
            2
        } else {
            return Err(Refusal::syntax().into());
        };
    }
    Ok(edits)
}

/// What stands in XREAD and XREADGROUP.
struct Streams {
    block: Option<usize>,
    /// The first key.
    keys: usize,
}

/// `XREAD [COUNT n] [BLOCK ms] STREAMS key … id …`, and `XREADGROUP GROUP group consumer [COUNT n] [BLOCK ms] [CLAIM ms] [NOACK] STREAMS …`. The
/// server's specification looks for the first word STREAMS, which may be the name of a group.
fn read_streams(arguments: &Arguments<'_>) -> Result<Streams, Hindrance> {
    let mut block = None;
    let mut at = 1;
    while at < arguments.total() {
        let is = |word| is(arguments, at, word);
        let left = arguments.total() - at - 1;
        if is("STREAMS") && left >= 1 {
            return Ok(Streams {
                block,
                keys: at + 1,
            });
        }
        at += if is("BLOCK") && left >= 1 {
            block = Some(at + 1);
            2
        } else if (is("COUNT") || is("CLAIM")) && left >= 1 {
            2
        } else if is("GROUP") && left >= 2 {
            3
        } else if is("NOACK") && left >= 1 {
            1
        } else {
            break;
        };
    }
    Err(Refusal::syntax().into())
}

fn streams(arguments: &Arguments<'_>) -> Result<Edits, Hindrance> {
    let Streams { keys, .. } = read_streams(arguments)?;
    let left = arguments.total() - keys;
    if !left.is_multiple_of(2) {
        let name = arguments.get(0).unwrap_or_default().to_ascii_lowercase();
        let name = String::from_utf8_lossy(&name).into_owned();
        return Err(Refusal::Malformed(format!(
            "ERR Unbalanced '{name}' list of streams: for each stream key an ID or '$' must be specified."
        ))
        .into());
    }
    let mut edits = Edits::NONE;
    add_range(&mut edits, keys, keys + left / 2, What::Key)?;
    Ok(edits)
}

/// How long XREAD and XREADGROUP wait, if they do. What is malformed waits for nothing.
pub(super) fn block(arguments: &Arguments<'_>) -> Result<Option<Wait>, Hindrance> {
    if !arguments.complete() {
        return Err(Hindrance::More);
    }
    Ok(read_streams(arguments)
        .ok()
        .and_then(|streams| arguments.get(streams.block?))
        .map(|text| Wait::parse(text, Unit::Milliseconds)))
}

/// `SCAN cursor [MATCH pattern] [COUNT n] [TYPE type]`. Without a pattern it gets one.
fn scan(arguments: &Arguments<'_>) -> Result<Edits, Hindrance> {
    let mut edits = Edits::NONE;
    let mut matches = false;
    let mut at = 2;
    while at < arguments.total() {
        if arguments.total() - at < 2 {
            return Err(Refusal::syntax().into());
        }
        if is(arguments, at, "MATCH") {
            add(&mut edits, at + 1, What::Key)?;
            matches = true;
        } else if is(arguments, at, "COUNT") {
            let count = arguments.get(at + 1).unwrap_or_default();
            parse_integer(count).ok_or_else(Refusal::not_an_integer)?;
        } else if !is(arguments, at, "TYPE") {
            return Err(Refusal::syntax().into());
        }
        at += 2;
    }
    Ok(if matches {
        edits
    } else {
        edits.append(Behind::Match)
    })
}

fn channels(
    arguments: &Arguments<'_>,
    first: usize,
    isolation: &Isolation,
) -> Result<Edits, Hindrance> {
    let events = |channel| place_in_channel(channel) == ChannelKind::KeyEvent;
    if isolation.per_user && arguments.iter().skip(first).any(events) {
        return Err(Hindrance::Not(Why::KeyEvents));
    }
    let mut edits = Edits::NONE;
    add_range(&mut edits, first, arguments.total(), What::Channel)?;
    Ok(edits)
}

fn patterns(arguments: &Arguments<'_>, isolation: &Isolation) -> Result<Edits, Hindrance> {
    for pattern in arguments.iter().skip(1) {
        match place_in_pattern(pattern) {
            None => return Err(Hindrance::Not(Why::NotificationPattern)),
            Some(ChannelKind::KeyEvent) if isolation.per_user => {
                return Err(Hindrance::Not(Why::KeyEvents));
            }
            Some(_) => {}
        }
    }
    let mut edits = Edits::NONE;
    add_range(&mut edits, 1, arguments.total(), What::ChannelPattern)?;
    Ok(edits)
}

/// A message on a channel of events would be taken for news of a key, by whoever the key belongs to.
fn publish(arguments: &Arguments<'_>) -> Result<Edits, Hindrance> {
    let channel = arguments.get(1).ok_or(Hindrance::More)?;
    if place_in_channel(channel) == ChannelKind::KeyEvent {
        return Err(Hindrance::Not(Why::KeyEvents));
    }
    one(1, What::Channel)
}

fn list_channels(arguments: &Arguments<'_>) -> Result<Edits, Hindrance> {
    match arguments.total() {
        2 => Ok(Edits::NONE.append(Behind::Pattern)),
        3 => one(2, What::Key),
        _ => Err(Refusal::syntax().into()),
    }
}

/// Without a section, the server's own.
fn info(arguments: &Arguments<'_>) -> Result<Edits, Hindrance> {
    if arguments.total() == 1 {
        return Ok(Edits::NONE.append(Behind::Server));
    }
    let harmless = |section: &[u8]| {
        SECTIONS
            .iter()
            .any(|each| each.eq_ignore_ascii_case(section))
    };
    if arguments.iter().skip(1).all(harmless) {
        Ok(Edits::NONE)
    } else {
        Err(Hindrance::Not(Why::InfoSection))
    }
}
