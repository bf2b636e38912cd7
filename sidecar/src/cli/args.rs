//! The flags, and what they mean when they are left out.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bulkhead_crds::names::objects::AUDIT_FOLDER;
use clap::{Args, Parser, Subcommand};

use super::audit::AuditArgs;
use super::cpu_limit;
use super::prove::ProveArgs;
use super::sql::SqlArgs;
use crate::admin::paths::default_control_path;
use crate::admin::port::AdminAddress;
use crate::audit::Site;
use crate::policy::{AcceptedCopy, KeptList, PolicySource, RevocationSource};
use crate::protocol::websocket::resume::PodAddress;
use crate::telemetry::{LogFormat, check_filter};
use crate::upstream::{Pin, Resolver};

/// The admin port without `--admin`: loopback, so that it is opened to others in so many words.
pub const DEFAULT_ADMIN: AdminAddress =
    AdminAddress::One(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9432));

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
    /// Look for what one user leaves to the next: some hundred kinds of session state, in every way, through a sidecar with this
    /// policy or through any other pooler.
    Prove(Box<ProveArgs>),
    /// Print the SQL that an administrator installs in a database.
    Sql(SqlArgs),
    /// Show the users of the running sidecar.
    Users(AskArgs),
    /// Show the application's last runs on WebSockets that were not completed.
    Executions(AskArgs),
    /// Show the revocations of users that the running sidecar has in force.
    Revocations(AskArgs),
    /// Show the policy that the running sidecar has in force, each field with its origin.
    Policy(AskArgs),
    /// Ask the running sidecar's console, as psql does: `SHOW HELP` lists the commands. Without -c they are read from standard
    /// input, a line each.
    Console(ConsoleArgs),
    /// Verify an audit trail, or name a user as its records do.
    #[command(subcommand)]
    Audit(AuditArgs),
    /// Make the running sidecar not ready from now on, and return at once. Databases stay open to the application; SIGTERM
    /// ends what is left.
    Drain(ControlArgs),
}

/// The flags of `run` and `check`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
    /// The policy: a file with one IsolationPolicy. It is watched for changes.
    #[arg(
        long,
        value_name = "FILE",
        required_unless_present = "snapshot",
        conflicts_with = "snapshot"
    )]
    pub policy: Option<PathBuf>,

    /// The environment to resolve the policy for.
    #[arg(
        long,
        value_name = "NAME",
        value_parser = environment,
        required_unless_present = "snapshot",
        conflicts_with = "snapshot"
    )]
    pub environment: Option<String>,

    /// In the place of both: a folder with the operator's snapshots of a policy (v1.json), such as a ConfigMap volume. It is
    /// watched for changes.
    #[arg(long, value_name = "DIR")]
    pub snapshot: Option<PathBuf>,

    /// Where to keep a copy of the snapshot that was accepted last, for a start that finds none or one that it cannot use.
    #[arg(
        long,
        value_name = "FILE",
        requires = "snapshot",
        conflicts_with = "policy"
    )]
    pub accepted: Option<PathBuf>,

    /// Users who are cut off: a file with UserRevocations, a document each. It is watched for changes. The operator's snapshots have their own.
    #[arg(long, value_name = "FILE", conflicts_with = "snapshot")]
    pub revocations: Option<PathBuf>,

    /// Where secret references are looked up: {name: X} and key K are DIR/X/K. It is watched for changes.
    #[arg(long, value_name = "DIR")]
    pub secrets: Option<PathBuf>,

    /// An address of an upstream's host, in the place of DNS; may be repeated, for other hosts and for more addresses of one.
    #[arg(long, value_name = "HOST=ADDRESS", value_parser = pin)]
    pub resolve: Vec<Pin>,

    /// A name server to ask for the addresses of upstreams, in the place of those of /etc/resolv.conf and without its search list; may be
    /// repeated.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = name_server)]
    pub name_server: Vec<SocketAddr>,

    /// Where to serve metrics, health, readiness and the revision. :PORT is all addresses.
    #[arg(long, value_name = "[ADDRESS]:PORT", default_value_t = DEFAULT_ADMIN, value_parser = admin)]
    pub admin: AdminAddress,

    /// The socket for the subcommands.
    #[command(flatten)]
    pub control: ControlArgs,

    /// The folder of the console's socket, .s.PGSQL.5432, for psql [default: the control socket's folder].
    #[arg(long, value_name = "DIR", env = "BULKHEAD_CONSOLE")]
    pub console: Option<PathBuf>,

    /// A loopback address at which the console answers who has the token.
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = loopback, requires = "console_token")]
    pub console_listen: Option<SocketAddr>,

    /// The file with that token, such as a mounted Secret's; read for each login.
    #[arg(long, value_name = "FILE", requires = "console_listen")]
    pub console_token: Option<PathBuf>,

    /// The folder of the audit trail's files, where the policy has auditTrail.destination File.
    #[arg(long, value_name = "DIR", default_value = AUDIT_FOLDER)]
    pub audit_folder: PathBuf,

    /// What the audit trail calls this pod, in records and in its files' names [default: the host's name].
    #[arg(long, value_name = "NAME", env = "HOSTNAME", value_parser = pod_name, default_value = "localhost", hide_env = true, hide_default_value = true)]
    pub pod_name: String,

    /// Worker threads; without it the CPU limit rounded up, at most 4.
    #[arg(long, value_name = "N", value_parser = workers)]
    pub workers: Option<NonZeroUsize>,

    /// How long open transactions may go on after SIGTERM or SIGINT.
    #[arg(long, value_name = "DURATION", default_value = "25s", value_parser = duration)]
    pub grace: Duration,

    /// The port at which the sidecars of other pods reach this one, on behalf of clients whose sessions live here; it is opened on all
    /// addresses, to those alone that show a certificate of the Secret bulkhead-peers.
    #[arg(long, value_name = "PORT", requires = "pod_address", value_parser = clap::value_parser!(u16).range(1..))]
    pub peer_port: Option<u16>,

    /// The address at which they reach it.
    #[arg(long, value_name = "ADDRESS", env = "BULKHEAD_POD_ADDRESS")]
    pub pod_address: Option<IpAddr>,

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

/// The flags of `console`.
#[derive(Clone, Debug, Args)]
pub struct ConsoleArgs {
    /// The running sidecar's socket.
    #[command(flatten)]
    pub control: ControlArgs,

    /// The folder of the console's socket [default: the control socket's folder].
    #[arg(long, value_name = "DIR", env = "BULKHEAD_CONSOLE")]
    pub console: Option<PathBuf>,

    /// A command to carry out; may be repeated. The first that fails is the last.
    #[arg(short, long, value_name = "COMMAND")]
    pub command: Vec<String>,
}

impl ConsoleArgs {
    /// The folder of the console's socket.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        let beside = || self.control.path().parent().map(Path::to_path_buf);
        self.console.clone().or_else(beside).unwrap_or_default()
    }
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
        match &self.snapshot {
            Some(folder) => PolicySource::Snapshot {
                folder: folder.clone(),
            },
            // The definitions above see to it that both are there then.
            None => PolicySource::File {
                path: self.policy.clone().unwrap_or_default(),
                environment: self.environment.clone().unwrap_or_default(),
            },
        }
    }

    /// Where the audit trail is written.
    #[must_use]
    pub fn audit_site(&self) -> Site {
        Site {
            folder: self.audit_folder.clone(),
            pod: self.pod_name.clone(),
        }
    }

    /// Where the list of revocations comes from, where there is one.
    #[must_use]
    pub fn revocation_source(&self) -> Option<RevocationSource> {
        match (&self.snapshot, &self.revocations) {
            (Some(folder), _) => Some(RevocationSource::Snapshot(folder.clone())),
            (None, file) => file.clone().map(RevocationSource::File),
        }
    }

    /// Where the list in force is kept for the next start.
    #[must_use]
    pub fn kept_list(&self) -> Option<KeptList> {
        self.accepted.as_deref().map(KeptList::beside)
    }

    /// Where the accepted policy is kept for the next start.
    #[must_use]
    pub fn accepted_copy(&self) -> Option<AcceptedCopy> {
        self.accepted.clone().map(AcceptedCopy::at)
    }

    /// What looks upstreams up: the addresses of the command line, then DNS.
    #[must_use]
    pub fn resolver(&self) -> Resolver {
        Resolver::asking(&self.name_server).with_pins(&self.resolve)
    }

    /// What session tokens name this process by.
    #[must_use]
    pub fn pod(&self) -> PodAddress {
        match (self.pod_address, self.peer_port) {
            (Some(address), Some(port)) => {
                PodAddress::At(SocketAddr::new(address.to_canonical(), port))
            }
            _ => PodAddress::Here,
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
pub(super) fn environment(text: &str) -> Result<String, String> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if (1..=63).contains(&text.len()) && text.bytes().all(legal) {
        return Ok(text.to_owned());
    }
    Err("write 1 to 63 letters, digits, '-', '_' or '.'".to_owned())
}

fn admin(text: &str) -> Result<AdminAddress, String> {
    text.parse().map_err(|_| {
        "write an IP address and a port, such as 127.0.0.1:9432 or [::1]:9432, or :9432 for all addresses; names are not looked up"
            .to_owned()
    })
}

/// A pod's name is a DNS subdomain; hosts elsewhere have more freedom, but for what parts a path.
fn pod_name(text: &str) -> Result<String, String> {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if (1..=253).contains(&text.len()) && text.bytes().all(legal) && !text.starts_with('.') {
        return Ok(text.to_owned());
    }
    Err("write 1 to 253 letters, digits, '-', '_' or '.'".to_owned())
}

fn name_server(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "write an IP address and a port, such as 10.0.0.10:53 or [fd00::10]:53".to_owned()
    })
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse::<SocketAddr>().ok();
    address
        .filter(|address| address.ip().is_loopback())
        .ok_or_else(|| {
            "write a loopback address and a port, such as 127.0.0.1:6432: the token is sent as it is".to_owned()
        })
}

pub(super) fn pin(text: &str) -> Result<Pin, String> {
    text.parse()
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
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
        assert!(
            matches!(args.source(), PolicySource::File { environment, .. } if environment == "staging")
        );
        assert!(args.accepted_copy().is_none());
    }

    #[test]
    fn a_snapshot_takes_the_place_of_a_policy_and_its_environment() {
        let parse = |line: &str| Cli::try_parse_from(line.split(' '));
        let line = "bulkhead-sidecar run --snapshot /etc/bulkhead/policy --accepted /run/bulkhead/accepted \
                    --admin :9432 --resolve db.internal=10.0.0.1 --resolve db.internal=10.0.0.2";
        let Command::Run(args) = parse(line).expect("legal").command else {
            panic!("run is run");
        };
        assert!(matches!(args.source(), PolicySource::Snapshot { .. }));
        assert!(args.accepted_copy().is_some());
        assert_eq!(args.admin, AdminAddress::All(9432));
        assert_eq!(args.resolve.len(), 2);
        for wrong in [
            "bulkhead-sidecar run",
            "bulkhead-sidecar run --policy p",
            "bulkhead-sidecar run --environment e",
            "bulkhead-sidecar run --policy p --environment e --snapshot s",
            "bulkhead-sidecar run --environment e --snapshot s",
            "bulkhead-sidecar run --policy p --environment e --accepted a",
        ] {
            assert_eq!(parse(wrong).expect_err(wrong).exit_code(), 2, "{wrong}");
        }
    }

    #[test]
    fn other_pods_reach_it_at_an_address_and_a_port_or_not_at_all() {
        let of = |more: &[&str]| run(more).expect("legal").pod();
        let both = of(&["--peer-port", "9433", "--pod-address", "10.1.2.3"]);
        assert_eq!(both, PodAddress::At(([10, 1, 2, 3], 9433).into()));
        let mapped = of(&["--peer-port", "9433", "--pod-address", "::ffff:10.1.2.3"]);
        assert_eq!(mapped, both);
        assert_eq!(of(&["--pod-address", "10.1.2.3"]), PodAddress::Here);
        assert_eq!(of(&[]), PodAddress::Here);
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
            ["--admin", "localhost:0"],
            ["--admin", ":"],
            ["--resolve", "db.internal"],
            ["--resolve", "=10.0.0.1"],
            ["--resolve", "db.internal=db.example"],
            ["--environment", "a b"],
            ["--console-listen", "127.0.0.1:6432"],
            ["--console-token", "/secret/token"],
            ["--peer-port", "9433"],
            ["--pod-address", "chat-0"],
            ["--log-format", "xml"],
            ["--log-level", "loud"],
            ["--log-level", ""],
        ] {
            let refused = run(&wrong).expect_err(wrong[1]);
            assert_eq!(refused.exit_code(), 2, "{wrong:?}");
        }
    }

    #[test]
    fn the_console_listens_on_loopback_alone_and_with_a_token() {
        let token = ["--console-token", "/secret/token", "--console-listen"];
        for (address, legal) in [
            ("127.0.0.1:6432", true),
            ("[::1]:6432", true),
            ("127.3.2.1:0", true),
            ("0.0.0.0:6432", false),
            ("10.0.0.1:6432", false),
            ("localhost:6432", false),
            (":6432", false),
        ] {
            let line: Vec<&str> = token.into_iter().chain([address]).collect();
            assert_eq!(run(&line).is_ok(), legal, "{address}");
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
