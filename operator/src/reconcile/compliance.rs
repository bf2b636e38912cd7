//! How far an application is on its way to mode `Enforce`: `status.compliance` with its history, and `status.inventory`. Pure.
//!
//! What pods count begins with each pod, so the numbers are those of the pods that live now. Traffic changes them all the time, and a status
//! that is written for every query would be read by every watcher: the ratio of connections is written when it changes as it is shown, the
//! inventory once a minute at most, and a step of the history when the ratio has moved by a whole percent.

use std::cmp::Reverse;

use bulkhead_crds::kinds::{
    AttributionCounts, Compliance, ComplianceStep, Inventory, InventoryRow, Mode, QueryCompliance,
};
use k8s_openapi::jiff::Timestamp;

use super::programmed::{Applied, Applying, Tally};

/// Steps that are kept.
const STEPS: usize = 10;
/// Rows that are shown.
const ROWS: usize = 32;
/// Seconds between two inventories that differ as they are shown.
const CHANGED: i64 = 60;
/// Seconds between two that differ in their counts alone.
const COUNTED: i64 = 600;
/// Seconds between two steps of the ratio.
const BETWEEN_STEPS: i64 = 600;
/// Connections below which a ratio is chance, and no step: pods that have just been replaced count from nothing.
const FEWEST: u64 = 20;

/// What counts for it beside the pods.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// The environment.
    pub environment: &'a str,
    /// The mode in force.
    pub mode: Mode,
}

/// The share of connections that named their user, from 0 to 1; none while there are none.
#[must_use]
pub fn ratio(tally: &Tally) -> Option<f64> {
    (tally.total > 0).then(|| tally.attributed as f64 / tally.total as f64)
}

/// The inventory at `now`, given the one `before`; none in mode `Enforce`, which takes none.
#[must_use]
pub fn inventory(
    tally: &Tally,
    mode: Mode,
    before: Option<&Inventory>,
    now: Timestamp,
) -> Option<Inventory> {
    let next = counted(tally, mode, now)?;
    match before {
        Some(before) if due(before, &next).is_none_or(|due| due > now) => Some(before.clone()),
        _ => Some(next),
    }
}

/// When an inventory that is out of date will be written anew; none where it is not.
#[must_use]
pub fn next_inventory(
    tally: &Tally,
    mode: Mode,
    shown: Option<&Inventory>,
    now: Timestamp,
) -> Option<Timestamp> {
    due(shown?, &counted(tally, mode, now)?)
}

/// The compliance at `now`, given the one `before`. `queries` are counted anew where the inventory is.
#[must_use]
pub fn compliance(
    tally: Option<&Tally>,
    terms: Option<Terms<'_>>,
    before: Option<&Compliance>,
    is_counted_anew: bool,
    now: Timestamp,
) -> Option<Compliance> {
    let history = before.and_then(|before| before.history.clone());
    let Some((tally, terms)) = tally.zip(terms).filter(|(tally, _)| tally.injected > 0) else {
        // Nothing is known now, and what was is true still.
        return history.map(|steps| Compliance {
            history: Some(steps),
            ..Compliance::default()
        });
    };
    let ratio = ratio(tally).map(percent);
    let old = before.filter(|before| before.ratio == ratio);
    let (attributed, total) = old.map_or_else(
        || (shown(tally.attributed), shown(tally.total)),
        |old| (old.attributed, old.total),
    );
    let queries = match before.and_then(|before| before.queries.as_ref()) {
        _ if terms.mode == Mode::Enforce => None,
        Some(old) if !is_counted_anew => Some(old.clone()),
        _ => queries(tally),
    };
    Some(Compliance {
        attributed,
        total,
        history: steps(history, tally, terms, ratio.clone(), now),
        ratio,
        queries,
    })
}

/// The history with the step that is due, if one is.
fn steps(
    history: Option<Vec<ComplianceStep>>,
    tally: &Tally,
    terms: Terms<'_>,
    ratio: Option<String>,
    now: Timestamp,
) -> Option<Vec<ComplianceStep>> {
    let mut steps = history.unwrap_or_default();
    if is_step(steps.last(), tally, terms, now) {
        steps.push(ComplianceStep {
            time: at(now),
            environment: terms.environment.to_owned(),
            mode: terms.mode,
            ratio,
            connections: shown(tally.total),
        });
    }
    let surplus = steps.len().saturating_sub(STEPS);
    steps.drain(..surplus);
    (!steps.is_empty()).then_some(steps)
}

fn is_step(last: Option<&ComplianceStep>, tally: &Tally, terms: Terms<'_>, now: Timestamp) -> bool {
    let Some(last) = last else {
        return tally.total > 0;
    };
    if last.mode != terms.mode || last.environment != terms.environment {
        return true;
    }
    let Some(ratio) = ratio(tally).filter(|_| tally.total >= FEWEST) else {
        return false;
    };
    let before = last.ratio.as_deref().and_then(of_percent);
    let has_moved = before.is_none_or(|before| (ratio * 100.0 - before).abs() >= 1.0);
    has_moved && is_past(&last.time, BETWEEN_STEPS, now)
}

fn counted(tally: &Tally, mode: Mode, now: Timestamp) -> Option<Inventory> {
    if mode == Mode::Enforce || tally.inventory.is_empty() {
        return None;
    }
    let mut rows: Vec<InventoryRow> = tally.inventory.iter().map(row).collect();
    let truncated = rows.len().saturating_sub(ROWS);
    // They are sorted by name already, and stay so where these are the same.
    rows.sort_by_key(|row| Reverse((row.queries.nobodys(), row.connections.nobodys())));
    rows.truncate(ROWS);
    Some(Inventory {
        time: at(now),
        rows,
        truncated: u32::try_from(truncated).unwrap_or(u32::MAX),
    })
}

fn row((applying, applied): (&Applying, &Applied)) -> InventoryRow {
    InventoryRow {
        workload: applying.workload.clone(),
        protocol: applying.protocol.to_owned(),
        application: applying.application.clone(),
        connections: applied.connections,
        queries: applied.queries,
    }
}

/// When `next` is to take the place of `before`; none where they say the same.
fn due(before: &Inventory, next: &Inventory) -> Option<Timestamp> {
    if before.rows == next.rows && before.truncated == next.truncated {
        return None;
    }
    let pause = if looks(before) == looks(next) {
        COUNTED
    } else {
        CHANGED
    };
    // A time that cannot be read, or that is yet to come, is nobody's.
    let written = before.time.parse::<Timestamp>().ok();
    let now = next.time.parse::<Timestamp>().ok();
    let written = written.filter(|written| now.is_some_and(|now| *written <= now));
    let second = written.map_or(0, |written| written.as_second() + pause);
    Some(Timestamp::from_second(second).unwrap_or(Timestamp::MIN))
}

/// What a reader sees of an inventory at a glance: who is there, and which share of it is nobody's, in whole percents.
fn looks(inventory: &Inventory) -> Vec<(&str, &str, &str, [i64; 2])> {
    let percents = |counts: &AttributionCounts| {
        // Whole even where the counts are as large as they can be.
        let nobodys = i128::from(counts.nobodys()) * 100 / i128::from(counts.total().max(1));
        i64::try_from(nobodys).unwrap_or(100)
    };
    let rows = inventory.rows.iter().map(|row| {
        let shares = [percents(&row.connections), percents(&row.queries)];
        (
            row.workload.as_str(),
            row.protocol.as_str(),
            row.application.as_str(),
            shares,
        )
    });
    let mut looks: Vec<_> = rows.collect();
    looks.sort_unstable();
    looks
}

fn queries(tally: &Tally) -> Option<QueryCompliance> {
    if tally.inventory.is_empty() {
        return None;
    }
    let all = tally
        .inventory
        .values()
        .fold(AttributionCounts::default(), |sum, one| {
            sum.plus(&one.queries)
        });
    let share = (all.total() > 0).then(|| all.verified as f64 / all.total() as f64);
    Some(QueryCompliance {
        verified: all.verified,
        claimed: all.claimed,
        placeholder: all.placeholder,
        total: all.total(),
        ratio: share.map(percent),
    })
}

fn is_past(time: &str, seconds: i64, now: Timestamp) -> bool {
    let time = time.parse::<Timestamp>().ok();
    let age = time.map(|time| now.as_second() - time.as_second());
    age.is_none_or(|age| age < 0 || age >= seconds)
}

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

fn of_percent(text: &str) -> Option<f64> {
    text.strip_suffix('%')?.parse().ok()
}

fn shown(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// RFC 3339 in whole seconds, as Kubernetes writes times.
fn at(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests;
