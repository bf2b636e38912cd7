//! Keys by the server's own key specifications ("Command key specifications", redis.io), as `getKeysUsingKeySpecs` of the server reads them.

use super::super::codec::{Arguments, parse_integer};
use super::super::commands::{Begin, Find, KeySpec, Refusal, Why};
use super::Hindrance;
use super::edits::{Edits, Range, What};

/// The prefix before every key that the specifications tell.
pub(super) fn edits(arguments: &Arguments<'_>, specs: &[KeySpec]) -> Result<Edits, Hindrance> {
    if let [
        KeySpec {
            begin: Begin::Index(index),
            find: Find::Range(0, ..),
            ..
        },
    ] = specs
    {
        return Ok(Edits::one_key(*index));
    }
    let mut edits = Edits::NONE;
    for spec in specs {
        if !edits.add(range(arguments, spec)?) {
            return Err(Hindrance::Not(Why::Unknown));
        }
    }
    Ok(edits)
}

fn range(arguments: &Arguments<'_>, spec: &KeySpec) -> Result<Range, Hindrance> {
    let total = arguments.total();
    let Begin::Index(begin) = spec.begin else {
        // Such commands are read by hand: a word may stand where it means something else.
        return Err(Hindrance::Not(Why::Unknown));
    };
    let begin = begin as usize;
    let (first, end, step) = match spec.find {
        Find::Unknown => return Err(Hindrance::Not(Why::Unknown)),
        Find::Range(last, step, limit) => {
            let last = if let Ok(last) = usize::try_from(last) {
                begin + last
            } else {
                let back = last.unsigned_abs() as usize;
                match limit as usize {
                    0 | 1 => total.saturating_sub(back),
                    parts => (begin + total.saturating_sub(begin) / parts).saturating_sub(back),
                }
            };
            (begin, last + 1, step)
        }
        Find::Count(at, first, step) => {
            let count = arguments.get(begin + at as usize).ok_or(Hindrance::More)?;
            let count = parse_integer(count).ok_or_else(Refusal::not_an_integer)?;
            let count = usize::try_from(count).map_err(|_| Refusal::syntax())?;
            let first = begin + first as usize;
            let keys = count.saturating_mul(step as usize);
            (first, first.saturating_add(keys), step)
        }
    };
    // A server would call it a syntax error. Commands have a million arguments at the most.
    if end > total {
        return Err(Refusal::syntax().into());
    }
    Ok(Range {
        first: first as u32,
        end: end as u32,
        step,
        what: What::Key,
    })
}
