//! The report as a person reads it. Pure.

use super::report::{KindReport, Openness, Outcome, Report};
use super::scenario::{Protocol, Scenario};
use super::verdict::Verdict;
use crate::cli::table::{Lean, render};

/// The longest value that is shown.
const WIDTH: usize = 28;

/// The whole report.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut text = head(report);
    text.push_str(&kinds(&report.kinds));
    text.push_str(&reasons(&report.kinds));
    if !report.shared.is_empty() {
        text.push_str(&shared(report));
    }
    text.push_str(&sums(report));
    text
}

fn head(report: &Report) -> String {
    let (target, server) = (&report.target, &report.server);
    let mut text = format!("{}, {}\n", report.tool, report.date);
    text.push_str(&format!("proven: {}", target.name));
    for (what, value) in [
        ("environment", &target.environment),
        ("revision", &target.revision),
        ("database", &target.database),
        ("tier", &target.tier),
        ("mode", &target.mode),
    ] {
        if let Some(value) = value {
            text.push_str(&format!(", {what} {value}"));
        }
    }
    text.push_str(&format!(
        "\nserver: PostgreSQL {}, database {}, role {}\n",
        server.version, server.database, server.role
    ));
    for changed in &target.changed {
        text.push_str(&format!("for the suite: {changed}\n"));
    }
    text.push('\n');
    text
}

/// One line a kind; a cell says what B saw over the simple and the extended protocol, in one word where they agree.
fn kinds(kinds: &[KindReport]) -> String {
    let left = Lean::Left;
    let rows: Vec<[String; 8]> = kinds
        .iter()
        .map(|kind| {
            let cell = |scenario| in_words(kind, scenario);
            let [gone, idle, crashed, cancelled, aborted] = Scenario::ALL.map(cell);
            [
                kind.family.name().to_owned(),
                kind.name.to_owned(),
                cut(&kind.fresh),
                gone,
                idle,
                crashed,
                cancelled,
                aborted,
            ]
        })
        .collect();
    let head = [
        ("FAMILY", left),
        ("A PLANTS", left),
        ("A FRESH SESSION SEES", left),
        ("GONE", left),
        ("IDLE", left),
        ("CRASHED", left),
        ("CANCELLED", left),
        ("ABORTED", left),
    ];
    render(head, &rows)
}

fn in_words(kind: &KindReport, scenario: Scenario) -> String {
    let verdict = |protocol: Protocol| {
        let run = kind
            .runs
            .iter()
            .find(|run| run.scenario == scenario && run.protocol == protocol);
        run.map_or(Verdict::Skipped, |run| run.verdict)
    };
    let [simple, extended] = Protocol::ALL.map(verdict);
    if simple == extended {
        simple.word().to_owned()
    } else {
        format!("{}/{}", simple.word(), extended.word())
    }
}

/// What was seen, what survives, and what could not be planted, each with its reason.
fn reasons(kinds: &[KindReport]) -> String {
    let mut text = String::new();
    for kind in kinds {
        let run = kind.runs.iter().find(|run| run.verdict == kind.verdict);
        let seen = run.and_then(|run| run.seen.as_deref()).unwrap_or_default();
        let why = kind
            .why
            .as_deref()
            .or_else(|| run.and_then(|run| run.why.as_deref()))
            .unwrap_or_default();
        let line = match kind.verdict {
            Verdict::Leak => format!("LEAK: {}: B saw {}\n", kind.name, cut(seen)),
            Verdict::Survivor => format!("known: {}: {why}\n", kind.name),
            Verdict::Skipped => format!("skipped: {}: {why}\n", kind.name),
            Verdict::NotReached => format!("busy: {}: {why}\n", kind.name),
            Verdict::Clean => continue,
        };
        text.push_str(&line);
    }
    if text.is_empty() {
        text
    } else {
        format!("\n{text}")
    }
}

fn shared(report: &Report) -> String {
    let left = Lean::Left;
    let rows: Vec<[String; 4]> = report
        .shared
        .iter()
        .map(|row| {
            let open = match row.open {
                Openness::Open => "open",
                Openness::Closed => "closed",
                Openness::Skipped => "-",
            };
            [
                row.name.to_owned(),
                row.within.to_owned(),
                open.to_owned(),
                row.closed_by.to_owned(),
            ]
        })
        .collect();
    let head = [
        ("POSTGRESQL SHARES", left),
        ("WITHIN", left),
        ("HERE", left),
        ("WHAT CLOSES IT", left),
    ];
    format!("\n{}", render(head, &rows))
}

fn sums(report: &Report) -> String {
    let sums = &report.summary;
    let mut text = format!(
        "\n{} kinds of session state: {} planted, {} skipped; {} looks, {} of them on the server connection that had been A's, {} not served while A was there\n",
        sums.kinds,
        sums.planted,
        sums.skipped,
        sums.looks,
        sums.same_server_connection,
        sums.not_reached
    );
    if let Some(handoffs) = sums.cross_user_handoffs {
        text.push_str(&format!(
            "server connections handed from one user to another: {handoffs}\n"
        ));
    }
    text.push_str(&match report.verdict {
        Outcome::NoLeak => "0 leaks\n".to_owned(),
        Outcome::KnownSurvivorsOnly => format!(
            "0 leaks but {} that are known to survive PostgreSQL's reset\n",
            sums.survivors
        ),
        Outcome::Leak => format!("{} LEAKS\n", sums.leaks),
        Outcome::NothingPlanted => "nothing was planted: nothing is proven\n".to_owned(),
    });
    text
}

fn cut(value: &str) -> String {
    if value.chars().count() <= WIDTH {
        return value.to_owned();
    }
    let short: String = value.chars().take(WIDTH - 1).collect();
    format!("{short}…")
}
