//! The flags, and what they mean when they are left out.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::cpu_limit;
use crate::admin::paths::default_control_path;
use crate::policy::PolicySource;
use crate::telemetry::{LogFormat, check_filter};

/// The admin port without `--admin`: loopback, so that it is opened to others in so many words.
pub const DEFAULT_ADMIN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9432);

/// Workers that `--workers` takes.
const MOST_WORKERS: usize = 64;

/// Gives every end user of an application a database connection factory of their own.
#[derive(Debug, Parser)]
#[command(name = "bulkhead-sidecar", version, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 success; 1 findings or errors; 2 a wrong command line.")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Stand between the application and its databases.
    Run(RunArgs),
    /// Validate and resolve the policy, show each field with its origin, read the secrets and keys that it refers to, and
    /// reach the upstreams. Takes the flags of `run`.
    Check(RunArgs),
    /// Show the users of the running sidecar.
    Users(AskArgs),
    /// Show the policy that the running sidecar has in force, each field with its origin.
    Policy(AskArgs),
    /// Make the running sidecar not ready from now on, and return at once. Databases stay open to the application; SIGTERM
    /// ends what is left.
    Drain(ControlArgs),
}

/// The flags of `run` and `check`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// The policy: a file with one IsolationPolicy. It is watched for changes.
    #[arg(long, value_name = "FILE")]
    pub policy: PathBuf,

    /// The environment to resolve the policy for.
    #[arg(long, value_name = "NAME", value_parser = environment)]
    pub environment: String,

    /// Where secret references are looked up: {name: X} and key K are DIR/X/K. It is watched for changes.
    #[arg(long, value_name = "DIR")]
    pub secrets: Option<PathBuf>,

    /// Where to serve metrics, health, readiness and the revision.
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = DEFAULT_ADMIN)]
    pub admin: SocketAddr,

    /// The socket for the subcommands.
    #[command(flatten)]
    pub control: ControlArgs,

    /// Worker threads; without it the CPU limit rounded up, at most 4.
    #[arg(long, value_name = "N", value_parser = workers)]
    pub workers: Option<NonZeroUsize>,

    /// How long open transactions may go on after SIGTERM or SIGINT.
    #[arg(long, value_name = "DURATION", default_value = "25s", value_parser = duration)]
    pub grace: Duration,

    /// error, warn, info, debug, trace, or a list of target=level.
    #[arg(
        long,
        value_name = "LEVEL",
        env = "BULKHEAD_LOG",
        default_value = "info",
        value_parser = log_level
    )]
    pub log_level: String,

    /// How log lines look.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t)]
    pub log_format: LogFormat,
}

/// The flags of the subcommands that show something.
#[derive(Clone, Debug, Args)]
pub struct AskArgs {
    /// The running sidecar's socket.
    #[command(flatten)]
    pub control: ControlArgs,

    /// Print JSON instead of a table.
    #[arg(long)]
    pub json: bool,
}

/// Where the running sidecar's socket is.
#[derive(Clone, Debug, Args)]
pub struct ControlArgs {
    /// The control socket [default: $XDG_RUNTIME_DIR/bulkhead/control.sock; without that variable
    /// /run/bulkhead/control.sock for root and /tmp/bulkhead-UID/control.sock for others].
    #[arg(long, value_name = "PATH", env = "BULKHEAD_CONTROL")]
    pub control: Option<PathBuf>,
}

impl ControlArgs {
    /// The socket's path.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.control.clone().unwrap_or_else(default_control_path)
    }
}

impl RunArgs {
    /// Where the policy comes from.
    #[must_use]
    pub fn source(&self) -> PolicySource {
        PolicySource {
            path: self.policy.clone(),
            environment: self.environment.clone(),
        }
    }

    /// How many workers to start.
    #[must_use]
    pub fn worker_count(&self) -> usize {
        self.workers
            .map_or_else(cpu_limit::default_workers, NonZeroUsize::get)
    }
}

/// An environment's name is a label's value in Kubernetes, and stands in error messages.
fn environment(text: &str) -> Result<String, String> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if (1..=63).contains(&text.len()) && text.bytes().all(legal) {
        return Ok(text.to_owned());
    }
    Err("write 1 to 63 letters, digits, '-', '_' or '.'".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    match text.parse::<bulkhead_crds::names::Duration>() {
        Ok(duration) => Ok(duration.get()),
        Err(error) => Err(error.to_string()),
    }
}

fn log_level(text: &str) -> Result<String, String> {
    match check_filter(text) {
        Ok(()) => Ok(text.to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn workers(text: &str) -> Result<NonZeroUsize, String> {
    match text.parse::<NonZeroUsize>() {
        Ok(number) if number.get() <= MOST_WORKERS => Ok(number),
        _ => Err(format!("write a number from 1 to {MOST_WORKERS}")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn run(more: &[&str]) -> Result<RunArgs, clap::Error> {
        let base = [
            "bulkhead-sidecar",
            "run",
            "--policy",
            "p.yaml",
            "--environment",
            "staging",
        ];
        match Cli::try_parse_from(base.iter().chain(more))?.command {
            Command::Run(args) => Ok(args),
            other => panic!("{other:?} is not run"),
        }
    }

    #[test]
    fn the_definitions_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_is_left_out_has_its_default() {
        let args = run(&[]).expect("enough flags");
        assert_eq!(args.admin, DEFAULT_ADMIN);
        assert_eq!(args.grace, Duration::from_secs(25));
        assert_eq!(args.log_format, LogFormat::Json);
        assert!((1..=4).contains(&args.worker_count()));
        assert_eq!(args.source().environment, "staging");
    }

    #[test]
    fn durations_are_written_as_in_a_policy() {
        let args = run(&["--grace", "1m30s", "--workers", "3"]).expect("legal");
        assert_eq!(args.grace, Duration::from_secs(90));
        assert_eq!(args.worker_count(), 3);
    }

    #[test]
    fn what_makes_no_sense_is_a_wrong_command_line() {
        for wrong in [
            ["--grace", "soon"],
            ["--workers", "0"],
            ["--workers", "65"],
            ["--admin", "localhost"],
            ["--environment", "a b"],
            ["--log-format", "xml"],
            ["--log-level", "loud"],
            ["--log-level", ""],
        ] {
            let refused = run(&wrong).expect_err(wrong[1]);
            assert_eq!(refused.exit_code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn check_takes_the_flags_of_run() {
        let line =
            "bulkhead-sidecar check --policy p --environment e --admin 0.0.0.0:1 --control c";
        let parsed = Cli::try_parse_from(line.split(' ')).expect("legal");
        assert!(matches!(parsed.command, Command::Check(_)));
    }
}
