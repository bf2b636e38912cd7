//! What the suite has found, in a form that an auditor can keep.
//!
//! Lives here: the record, as JSON has it, and its sums. May not live here: how it looks on a terminal.

use serde::Serialize;

use super::kind::Family;
use super::scenario::{Protocol, Scenario};
use super::verdict::Verdict;

/// The form of the record. It is raised when a reader of the form before would be misled.
pub const FORMAT: u32 = 1;

/// A whole run.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// The program and its version.
    pub tool: String,
    /// When it began, UTC (`2026-11-27T09:30:00Z`).
    pub date: String,
    /// What was proven.
    pub target: Target,
    /// The server behind it.
    pub server: Server,
    /// The sums.
    pub summary: Summary,
    /// What the sums come to.
    pub verdict: Outcome,
    /// Session state, kind by kind.
    pub kinds: Vec<KindReport>,
    /// What PostgreSQL itself shares within a role or a database.
    pub shared: Vec<SharedReport>,
}

/// What was proven: a policy's entry, or an endpoint.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// The policy (`namespace/name`), or the endpoint's address.
    pub name: String,
    /// The environment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// The policy's revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// The entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The tier.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// The pool's mode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// What the suite has set otherwise than the policy says, so that users are forced onto the same server connections.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changed: Vec<String>,
}

/// The server.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// `server_version`.
    pub version: String,
    /// `current_database()`.
    pub database: String,
    /// `session_user`.
    pub role: String,
    /// Extensions of the database.
    pub extensions: Vec<String>,
}

/// The sums.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Kinds of session state.
    pub kinds: usize,
    /// Those that were planted at least once.
    pub planted: usize,
    /// Those that could not be planted on this server.
    pub skipped: usize,
    /// Runs in which B looked for what A had planted.
    pub looks: usize,
    /// Those of them in which B was on the server connection that had been A's.
    pub same_server_connection: usize,
    /// Runs in which B was not served while A was there.
    pub not_reached: usize,
    /// Kinds that B saw.
    pub leaks: usize,
    /// Kinds that B saw and that are known to survive PostgreSQL's reset.
    pub survivors: usize,
    /// Server connections that the sidecar itself has handed from one user to another; none for an endpoint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cross_user_handoffs: Option<u64>,
}

/// What it comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// B saw nothing of A's.
    NoLeak,
    /// B saw what the tier is known to let through, and nothing else.
    KnownSurvivorsOnly,
    /// B saw something of A's.
    Leak,
    /// Nothing was planted.
    NothingPlanted,
}

/// One kind.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct KindReport {
    /// What it is about.
    pub family: Family,
    /// Its name.
    pub name: &'static str,
    /// What A did.
    pub plant: Vec<String>,
    /// How B looked.
    pub probe: String,
    /// What a fresh session sees, over the simple protocol.
    pub fresh: String,
    /// The worst of its runs.
    pub verdict: Verdict,
    /// Why it was skipped altogether, or why PostgreSQL's reset leaves it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// The runs.
    pub runs: Vec<Cell>,
}

/// One run of one kind.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cell {
    /// What had become of A.
    pub scenario: Scenario,
    /// How both spoke.
    pub protocol: Protocol,
    /// What A saw of its plant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planted: Option<String>,
    /// What B saw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<String>,
    /// Whether B was on the server connection that had been A's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_server_connection: Option<bool>,
    /// What it comes to.
    pub verdict: Verdict,
    /// Why it came to nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Something that PostgreSQL itself shares.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SharedReport {
    /// Its name.
    pub name: &'static str,
    /// Whether it is shared by the sessions of a role, or of a database.
    pub within: &'static str,
    /// How B looked.
    pub probe: String,
    /// What B saw.
    pub seen: String,
    /// Whether B can.
    pub open: Openness,
    /// What closes it.
    pub closed_by: &'static str,
}

/// Whether something is shared here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Openness {
    /// B can.
    Open,
    /// B cannot.
    Closed,
    /// It could not be tried here.
    Skipped,
}

impl Cell {
    /// A run of which nothing more is known.
    #[must_use]
    pub fn of(scenario: Scenario, protocol: Protocol, verdict: Verdict) -> Self {
        Self {
            scenario,
            protocol,
            planted: None,
            seen: None,
            same_server_connection: None,
            verdict,
            why: None,
        }
    }

    /// Whether B looked.
    #[must_use]
    pub fn looked(&self) -> bool {
        self.verdict >= Verdict::Clean
    }
}

impl Summary {
    /// The sums of `kinds`.
    #[must_use]
    pub fn of(kinds: &[KindReport]) -> Self {
        let runs = || kinds.iter().flat_map(|kind| &kind.runs);
        let with = |verdict| kinds.iter().filter(|kind| kind.verdict == verdict).count();
        let planted = kinds
            .iter()
            .filter(|kind| kind.runs.iter().any(Cell::looked));
        let planted = planted.count();
        Self {
            kinds: kinds.len(),
            planted,
            skipped: kinds.len() - planted,
            looks: runs().filter(|run| run.looked()).count(),
            same_server_connection: runs()
                .filter(|run| run.same_server_connection == Some(true))
                .count(),
            not_reached: runs()
                .filter(|run| run.verdict == Verdict::NotReached)
                .count(),
            leaks: with(Verdict::Leak),
            survivors: with(Verdict::Survivor),
            cross_user_handoffs: None,
        }
    }

    /// What they come to.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        if self.leaks > 0 {
            Outcome::Leak
        } else if self.planted == 0 {
            Outcome::NothingPlanted
        } else if self.survivors > 0 {
            Outcome::KnownSurvivorsOnly
        } else {
            Outcome::NoLeak
        }
    }
}

/// Seconds since 1970 as RFC 3339 has them, UTC. Pure.
#[must_use]
pub fn date(seconds: u64) -> String {
    let (days, time) = (seconds / 86_400, seconds % 86_400);
    // Days from 1 March of the year 0, in eras of 400 years (the proleptic Gregorian calendar).
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        time / 3600,
        time / 60 % 60,
        time % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_743_000, "2026-11-27T01:30:00Z"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }
}
