//! The subcommands that ask a running sidecar over its control socket.

use std::io::Write;

use serde::Serialize;

use super::args::{AskArgs, ControlArgs};
use super::check::print_diagnostics;
use super::table::{Lean, render};
use crate::admin::control::PolicyReport;
use crate::admin::{
    AdminError, ApplicationRow, AttributionCounts, ExecutionRow, ExecutionsReport, RevocationRow,
    RevocationsReport, UserRow, UsersReport, client,
};

/// Prints the users, the busiest first, and in mode `Audit` which applications name theirs.
///
/// # Errors
///
/// [`AdminError`], when nobody answers, or not so.
pub async fn users(args: &AskArgs, out: &mut impl Write) -> Result<(), AdminError> {
    let mut report: UsersReport = client::get(&args.control.path(), "/users").await?;
    report.users.sort_by(|a, b| {
        let by_work = b.transactions.cmp(&a.transactions);
        by_work.then_with(|| {
            (&a.user_id, &a.upstream, &a.role).cmp(&(&b.user_id, &b.upstream, &b.role))
        })
    });
    if args.json {
        print_json(out, &report);
        return Ok(());
    }
    print(out, &user_table(&report.users));
    if !report.applications.is_empty() {
        print(
            out,
            &format!("\n{}", application_table(&report.applications)),
        );
    }
    Ok(())
}

/// Prints the application's runs that have ended without having been completed, the newest first.
///
/// # Errors
///
/// [`AdminError`], when nobody answers, or not so.
pub async fn executions(args: &AskArgs, out: &mut impl Write) -> Result<(), AdminError> {
    let report: ExecutionsReport = client::get(&args.control.path(), "/executions").await?;
    if args.json {
        print_json(out, &report);
    } else {
        print(out, &execution_table(&report.unfinished));
    }
    Ok(())
}

/// Each application's connections and queries, and how the queries are attributed.
fn application_table(applications: &[ApplicationRow]) -> String {
    let (left, right) = (Lean::Left, Lean::Right);
    let head = [
        ("APPLICATION", left),
        ("PROTOCOL", left),
        ("CONNECTIONS", right),
        ("QUERIES", right),
        ("VERIFIED", right),
        ("CLAIMED", right),
        ("PLACEHOLDER", right),
        ("UNATTRIBUTED", right),
    ];
    let rows: Vec<[String; 8]> = applications
        .iter()
        .map(|row| {
            let (connections, queries) = (&row.connections, &row.queries);
            let all = |of: &AttributionCounts| of.verified + of.claimed + of.nobodys();
            // A WebSocket has no queries: its connections are what is attributed.
            let shown = if all(queries) == 0 {
                connections
            } else {
                queries
            };
            [
                row.application.clone(),
                row.protocol.clone(),
                all(connections).to_string(),
                all(queries).to_string(),
                shown.verified.to_string(),
                shown.claimed.to_string(),
                shown.placeholder.to_string(),
                shown.unattributed.to_string(),
            ]
        })
        .collect();
    render(head, &rows)
}

fn execution_table(runs: &[ExecutionRow]) -> String {
    let (left, right) = (Lean::Left, Lean::Right);
    let head = [
        ("USER", left),
        ("UPSTREAM", left),
        ("RUN", left),
        ("OUTCOME", left),
        ("AGE", right),
        ("ENDED AGO", right),
    ];
    let rows: Vec<[String; 6]> = runs
        .iter()
        .map(|run| {
            [
                run.user_id.clone(),
                run.upstream.clone(),
                run.run_id.clone(),
                run.outcome.clone(),
                format!("{}s", run.age_seconds),
                format!("{}s", run.ended_seconds_ago),
            ]
        })
        .collect();
    render(head, &rows)
}

/// Prints the revocations in force, and why a newer list was refused.
///
/// # Errors
///
/// [`AdminError`], when nobody answers, or not so.
pub async fn revocations(args: &AskArgs, out: &mut impl Write) -> Result<(), AdminError> {
    let report: RevocationsReport = client::get(&args.control.path(), "/revocations").await?;
    if args.json {
        print_json(out, &report);
        return Ok(());
    }
    print(out, &revocation_table(&report.revocations));
    if !report.rejection.is_empty() {
        print(
            out,
            "\na newer list was refused, and this one stays in force:\n\n",
        );
        print_diagnostics(&report.rejection, out);
    }
    Ok(())
}

fn revocation_table(revocations: &[RevocationRow]) -> String {
    let left = Lean::Left;
    let head = [
        ("NAME", left),
        ("USER", left),
        ("NOT BEFORE", left),
        ("EXPIRES AT", left),
        ("REASON", left),
    ];
    let rows: Vec<[String; 5]> = revocations
        .iter()
        .map(|one| {
            [
                one.name.clone(),
                one.user_id.clone(),
                one.not_before.clone(),
                one.expires_at.clone().unwrap_or_default(),
                one.reason.clone().unwrap_or_default(),
            ]
        })
        .collect();
    render(head, &rows)
}

/// Prints the policy in force, each field with its origin.
///
/// # Errors
///
/// [`AdminError`], when nobody answers, or not so.
pub async fn policy(args: &AskArgs, out: &mut impl Write) -> Result<(), AdminError> {
    let report: PolicyReport = client::get(&args.control.path(), "/policy").await?;
    if args.json {
        print_json(out, &report);
    } else {
        print(out, &policy_table(&report));
    }
    Ok(())
}

/// Asks the running sidecar to drain; returns once it has agreed, and prints what that comes to.
///
/// # Errors
///
/// [`AdminError`], when nobody answers, or not so.
pub async fn drain(args: &ControlArgs, out: &mut impl Write) -> Result<(), AdminError> {
    print(out, &client::drain(&args.path()).await?);
    Ok(())
}

/// The policy's name, environment and revision, then a line each field.
pub(super) fn policy_table(report: &PolicyReport) -> String {
    let rows: Vec<[String; 3]> = report
        .fields
        .iter()
        .map(|row| [row.path.clone(), row.value.clone(), row.origin.clone()])
        .collect();
    let left = Lean::Left;
    format!(
        "policy {}/{} for environment {}, revision {}\n{}",
        report.namespace,
        report.policy,
        report.environment,
        report.revision,
        render([("FIELD", left), ("VALUE", left), ("ORIGIN", left)], &rows)
    )
}

fn user_table(users: &[UserRow]) -> String {
    let (left, right) = (Lean::Left, Lean::Right);
    let head = [
        ("USER", left),
        ("UPSTREAM", left),
        ("DATABASE", left),
        ("ROLE", left),
        ("CLIENTS", right),
        ("SERVERS", right),
        ("IDLE", right),
        ("WAITING", right),
        ("TRANSACTIONS", right),
        ("ERRORS", right),
        ("TIMEOUTS", right),
        ("LAST ACTIVE", right),
        ("APPLICATIONS", left),
    ];
    let rows: Vec<[String; 13]> = users
        .iter()
        .map(|user| {
            [
                user.user_id.clone(),
                user.upstream.clone(),
                user.database.clone(),
                user.role.clone(),
                user.clients.to_string(),
                user.server_connections.to_string(),
                user.idle.to_string(),
                user.waiting.to_string(),
                user.transactions.to_string(),
                user.errors.to_string(),
                user.timeouts.to_string(),
                format!("{}s", user.last_active_seconds),
                user.application_names.join(", "),
            ]
        })
        .collect();
    render(head, &rows)
}

pub(super) fn print_json(out: &mut impl Write, report: &impl Serialize) {
    match serde_json::to_string_pretty(report) {
        Ok(text) => print(out, &format!("{text}\n")),
        Err(error) => tracing::error!(%error, "the answer cannot be printed"),
    }
}

/// A reader that has gone away (`| head`) is no error of ours.
pub(super) fn print(out: &mut impl Write, text: &str) {
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
