//! `prove`: the flags, and what is printed.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::Exit;
use super::args::{duration, environment, pin};
use super::ask::{print, print_json};
use super::check::print_diagnostics;
use crate::policy::{Accepted, PolicySource};
use crate::prove::endpoint::{Endpoint, EndpointError, address};
use crate::prove::report::{Outcome, Report, Target};
use crate::prove::scenario::Scenario;
use crate::prove::shared::HARDENING;
use crate::prove::stage::{Stage, entry_of};
use crate::prove::suite::Scope;
use crate::prove::{prove as run_suite, table};
use crate::secrets::{SecretText, Secrets};
use crate::upstream::{Pin, Resolver};

/// The flags of `prove`.
#[derive(Clone, Debug, Args)]
pub struct ProveArgs {
    /// The policy to prove: a file with one IsolationPolicy. A sidecar with it is started on a port of its own.
    #[arg(
        long,
        value_name = "FILE",
        requires = "environment",
        required_unless_present_any = ["endpoint", "print_hardening"],
        conflicts_with_all = ["endpoint", "print_hardening"]
    )]
    pub policy: Option<PathBuf>,

    /// The environment to resolve the policy for.
    #[arg(long, value_name = "NAME", value_parser = environment, requires = "policy")]
    pub environment: Option<String>,

    /// The database entry to prove; without it the first that speaks PostgreSQL.
    #[arg(long, value_name = "ENTRY", requires = "policy")]
    pub database: Option<String>,

    /// Where secret references are looked up: {name: X} and key K are DIR/X/K.
    #[arg(long, value_name = "DIR", requires = "policy")]
    pub secrets: Option<PathBuf>,

    /// An address of the upstream's host, in the place of DNS; may be repeated.
    #[arg(long, value_name = "HOST=ADDRESS", value_parser = pin)]
    pub resolve: Vec<Pin>,

    /// In the place of a policy: any pooler, whose pool should have room for one server connection.
    #[arg(
        long,
        value_name = "HOST:PORT",
        requires = "dbname",
        requires = "user_a",
        requires = "user_b",
        conflicts_with = "print_hardening"
    )]
    pub endpoint: Option<String>,

    /// The database at the endpoint.
    #[arg(long, value_name = "NAME", requires = "endpoint")]
    pub dbname: Option<String>,

    /// The role of user A at the endpoint.
    #[arg(long, value_name = "ROLE", requires = "endpoint")]
    pub user_a: Option<String>,

    /// The role of user B at the endpoint, which may be the same one.
    #[arg(long, value_name = "ROLE", requires = "endpoint")]
    pub user_b: Option<String>,

    /// Start-up options of user A, where the endpoint tells its users apart by them.
    #[arg(
        long,
        value_name = "OPTIONS",
        requires = "endpoint",
        allow_hyphen_values = true,
        default_value = ""
    )]
    pub options_a: String,

    /// Start-up options of user B.
    #[arg(
        long,
        value_name = "OPTIONS",
        requires = "endpoint",
        allow_hyphen_values = true,
        default_value = ""
    )]
    pub options_b: String,

    /// A file with the password of both.
    #[arg(long, value_name = "FILE", requires = "endpoint")]
    pub password_file: Option<PathBuf>,

    /// How long an answer of the endpoint may take; also how long B waits where A keeps the only server connection.
    #[arg(long, value_name = "DURATION", requires = "endpoint", default_value = "2s", value_parser = duration)]
    pub patience: Duration,

    /// Only kinds of this family, or with this text in their name; may be repeated.
    #[arg(long, value_name = "TEXT")]
    pub only: Vec<String>,

    /// Only with this having become of user A; may be repeated. For an endpoint that does not live through one of them.
    #[arg(long, value_name = "WHAT", value_enum)]
    pub scenario: Vec<Scenario>,

    /// Print the record as JSON instead of the table.
    #[arg(long)]
    pub json: bool,

    /// Write the record as JSON to a file as well.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,

    /// Print the SQL that closes what PostgreSQL shares within a role or a database, and prove nothing.
    #[arg(long)]
    pub print_hardening: bool,
}

impl ProveArgs {
    /// What of the suite is wanted: all of it, where nothing is said.
    fn scope(&self) -> Scope {
        let scenarios = if self.scenario.is_empty() {
            Scenario::ALL.to_vec()
        } else {
            self.scenario.clone()
        };
        Scope {
            only: self.only.clone(),
            scenarios,
        }
    }
}

/// Runs the suite, prints what it found to `out`, and says how far it is to `progress`. It ends with failure where anything leaks, nothing
/// was planted, or it could not be run.
pub async fn prove(args: &ProveArgs, out: &mut impl Write, progress: &mut impl Write) -> Exit {
    if args.print_hardening {
        print(out, HARDENING);
        return Exit::Success;
    }
    let report = match &args.endpoint {
        Some(endpoint) => of_endpoint(args, endpoint, progress).await,
        None => of_policy(args, progress).await,
    };
    let report = match report {
        Ok(report) => report,
        Err(why) => {
            print(progress, &why);
            return Exit::Failure;
        }
    };
    if args.json {
        print_json(out, &report);
    } else {
        print(out, &table::text(&report));
    }
    if let Some(file) = &args.record
        && let Err(why) = keep(file, &report)
    {
        print(
            progress,
            &format!("bulkhead-sidecar: --record {}: {why}\n", file.display()),
        );
        return Exit::Failure;
    }
    match report.verdict {
        Outcome::NoLeak | Outcome::KnownSurvivorsOnly => Exit::Success,
        Outcome::Leak | Outcome::NothingPlanted => Exit::Failure,
    }
}

async fn of_policy(args: &ProveArgs, progress: &mut impl Write) -> Result<Report, String> {
    let source = PolicySource::File {
        path: args.policy.clone().unwrap_or_default(),
        environment: args.environment.clone().unwrap_or_default(),
    };
    let accepted = source.load().map_err(|found| {
        let mut text = Vec::new();
        print_diagnostics(&found, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    })?;
    let secrets = Arc::new(Secrets::new(args.secrets.clone()));
    let resolver = Resolver::system().with_pins(&args.resolve);
    let stage = Stage::start(&accepted, args.database.as_deref(), &secrets, &resolver)
        .map_err(|error| said(&error))?;
    let target = target(&accepted, args, &stage).map_err(|error| said(&error))?;
    let proven = run_suite(&stage.doors, target, &args.scope(), |kind| {
        print(progress, &done(kind));
    })
    .await;
    let handoffs = stage.cross_user_handoffs();
    stage.end().await;
    let mut report = proven.map_err(|error| said(&error))?;
    report.summary.cross_user_handoffs = Some(handoffs);
    Ok(report)
}

async fn of_endpoint(
    args: &ProveArgs,
    endpoint: &str,
    progress: &mut impl Write,
) -> Result<Report, String> {
    let way = endpoint_of(args, endpoint).map_err(|error| said(&error))?;
    let resolver = Resolver::system().with_pins(&args.resolve);
    let doors = way.doors(&resolver).map_err(|error| said(&error))?;
    let target = Target {
        name: format!("endpoint {endpoint}"),
        ..Target::default()
    };
    let scope = args.scope();
    let proven = run_suite(&doors, target, &scope, |kind| {
        print(progress, &done(kind));
    });
    proven.await.map_err(|error| said(&error))
}

fn endpoint_of(args: &ProveArgs, endpoint: &str) -> Result<Endpoint, EndpointError> {
    let (host, port) = address(endpoint)?;
    let password = args.password_file.as_ref().map(|file| {
        let text = std::fs::read_to_string(file)
            .map_err(|error| EndpointError::Password(format!("{}: {error}", file.display())))?;
        let text = text.strip_suffix('\n').unwrap_or(&text).to_owned();
        Ok::<_, EndpointError>(SecretText::from(text))
    });
    let role = |role: &Option<String>| role.clone().unwrap_or_default();
    Ok(Endpoint {
        host,
        port,
        database: args.dbname.clone().unwrap_or_default(),
        a: (role(&args.user_a), args.options_a.clone()),
        b: (role(&args.user_b), args.options_b.clone()),
        password: password.transpose()?,
        patience: args.patience,
    })
}

fn target(
    accepted: &Accepted,
    args: &ProveArgs,
    stage: &Stage,
) -> Result<Target, crate::prove::stage::StageError> {
    let policy = &accepted.policy;
    let entry = entry_of(policy, args.database.as_deref())?;
    Ok(Target {
        name: format!("policy {}/{}", policy.namespace, policy.name),
        environment: Some(policy.environment.clone()),
        revision: Some(accepted.id.to_string()),
        database: Some(entry.name.clone()),
        tier: Some(format!("{:?}", policy.isolation.tier)),
        mode: Some(format!("{:?}", entry.pool.mode)),
        changed: stage.changed.clone(),
    })
}

fn done(kind: &crate::prove::report::KindReport) -> String {
    format!(
        "{:5} {}: {}\n",
        kind.verdict.word(),
        kind.family.name(),
        kind.name
    )
}

fn said(error: &dyn std::error::Error) -> String {
    format!("bulkhead-sidecar: {error}\n")
}

fn keep(file: &std::path::Path, report: &Report) -> std::io::Result<()> {
    let mut text = serde_json::to_string_pretty(report).map_err(std::io::Error::other)?;
    text.push('\n');
    std::fs::write(file, text)
}
