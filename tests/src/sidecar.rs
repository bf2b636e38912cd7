//! The sidecar under test: the real binary, with a policy file, a folder of secrets and ports of its own.

use std::ffi::OsString;
use std::fs::File;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::Signal;

use crate::control_group::MemoryGroup;
use crate::logs::Log;
use crate::metrics::Metrics;
use crate::policy::{ENVIRONMENT, Policy};
use crate::processes::{Running, folder, free_port};
use crate::{PATIENCE, admin, programs, wait};

/// How the sidecar is started, apart from its policy.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Files of the secrets folder: `name/key` and what stands in it.
    pub secrets: Vec<(String, String)>,
    /// Worker threads.
    pub workers: u32,
    /// How long SIGTERM waits for transactions.
    pub grace: &'static str,
    /// Whether `/readyz` must say yes before the test goes on.
    pub ready: bool,
    /// Further flags of `run`.
    pub arguments: Vec<String>,
    /// Variables of its environment.
    pub variables: Vec<(String, String)>,
    /// The control group in which it runs; none for the test's own.
    pub group: Option<MemoryGroup>,
}

/// A sidecar that runs.
#[derive(Debug)]
pub struct Sidecar {
    process: Running,
    home: PathBuf,
    policy: Policy,
    port: u16,
    admin: u16,
    control: PathBuf,
    /// What it writes to its log.
    pub log: Log,
    ended: bool,
}

/// A command line, and what the harness must know of it.
#[derive(Clone, Debug)]
pub(crate) struct CommandLine {
    /// Its folder, in which the log is written too.
    pub(crate) home: PathBuf,
    /// The policy in force, ports filled in.
    pub(crate) policy: Policy,
    /// The port for PostgreSQL.
    pub(crate) port: u16,
    /// The admin port on 127.0.0.1.
    pub(crate) admin: u16,
    /// The control socket.
    pub(crate) control: PathBuf,
    /// What follows `run`, the flags for the two above among them.
    pub(crate) arguments: Vec<OsString>,
    /// Variables of its environment.
    pub(crate) variables: Vec<(String, String)>,
    /// What may not stand in the log.
    pub(crate) hidden: Vec<String>,
    /// The control group in which it runs; none for the test's own.
    pub(crate) group: Option<MemoryGroup>,
}

impl Sidecar {
    /// Starts a sidecar for `database` of the server at `upstream`.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn start(policy: &Policy, upstream: u16, database: &str, launch: &Launch) -> Self {
        let home = folder("sidecar");
        for (name, text) in &launch.secrets {
            let path = home.join("secrets").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        on_free_ports(|port, admin| {
            let policy = policy.clone().completed(port, upstream, database);
            std::fs::write(home.join("policy.yaml"), policy.text()).unwrap();
            let line = CommandLine {
                arguments: arguments(&home, admin, launch),
                variables: launch.variables.clone(),
                control: home.join("control"),
                home: home.clone(),
                policy,
                port,
                admin,
                hidden: launch.hidden(),
                group: launch.group.clone(),
            };
            Self::try_start(line, launch.ready)
        })
    }

    /// Starts a sidecar with a command line of the test's own.
    ///
    /// # Errors
    /// What it says when it does not come up.
    pub(crate) fn try_start(line: CommandLine, ready: bool) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("log-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let log = Log::new(line.home.join(name), line.hidden.clone());
        let process = spawn(&line, &log);
        let mut sidecar = Self {
            process,
            home: line.home,
            policy: line.policy,
            port: line.port,
            admin: line.admin,
            control: line.control,
            log,
            ended: false,
        };
        let up = sidecar.come_up(ready);
        sidecar.ended = up.is_err();
        up.map(|()| sidecar)
    }

    fn come_up(&mut self, ready: bool) -> Result<(), String> {
        let path = if ready { "/readyz" } else { "/healthz" };
        let up = wait::blocking(PATIENCE, || {
            if self.process.exited().is_some() {
                return Some(false);
            }
            let listening = TcpStream::connect(("127.0.0.1", self.port)).is_ok();
            (listening && self.get(path).is_some_and(|answer| answer.0 == 200)).then_some(true)
        });
        match up {
            Some(true) => Ok(()),
            _ => Err(self.log.text()),
        }
    }

    /// The same on a thread of its own: what the sidecar needs for its start may be served by the caller's runtime.
    ///
    /// # Panics
    /// As [`Sidecar::start`].
    pub async fn start_aside(
        policy: Policy,
        upstream: u16,
        database: &str,
        launch: Launch,
    ) -> Self {
        let database = database.to_owned();
        let start =
            tokio::task::spawn_blocking(move || Self::start(&policy, upstream, &database, &launch));
        start
            .await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    /// The port on which it listens for PostgreSQL clients.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The admin port, on 127.0.0.1.
    #[must_use]
    pub fn admin(&self) -> u16 {
        self.admin
    }

    /// The policy in force, ports filled in.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Its folder, in which its sockets are.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// The folder of the secrets.
    #[must_use]
    pub fn secrets(&self) -> PathBuf {
        self.home.join("secrets")
    }

    /// Writes another text into the policy file, at once and whole, as an editor or a kubelet does.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn write_policy(&self, text: &str) {
        replace(&self.home.join("policy.yaml"), text);
    }

    /// Writes another text into a file of the secrets folder.
    ///
    /// # Panics
    /// When the file cannot be written.
    pub fn write_secret(&self, name: &str, text: &str) {
        replace(&self.secrets().join(name), text);
    }

    /// The status and body of a GET on the admin port; none when nobody answers.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<(u16, String)> {
        admin::get(self.admin, path)
    }

    /// The metrics of this moment.
    ///
    /// # Panics
    /// When they are not served.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        admin::metrics(self.admin)
    }

    /// The sum of the samples called `name` that have all of `labels`.
    #[must_use]
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.metrics().sum(name, labels)
    }

    /// Runs another subcommand of the binary against this sidecar's control socket.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Output {
        Command::new(programs::sidecar())
            .args(arguments)
            .arg("--control")
            .arg(&self.control)
            .output()
            .unwrap()
    }

    /// Has `check` look at this policy and its upstreams: its exit code, and all that it says.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn check(&self, policy: &Path) -> (Option<i32>, String) {
        let output = Command::new(programs::sidecar())
            .arg("check")
            .arg("--policy")
            .arg(policy)
            .args(["--environment", "testing", "--secrets"])
            .arg(self.secrets())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), said)
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// A line of `/proc/<pid>/status`, such as `VmHWM` (the most memory that was resident), in bytes.
    ///
    /// # Panics
    /// When there is no such line.
    #[must_use]
    pub fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap();
        let line = status
            .lines()
            .find_map(|text| text.strip_prefix(line)?.strip_prefix(':'))
            .unwrap_or_else(|| panic!("no {line} in {status}"));
        line.trim()
            .trim_end_matches(" kB")
            .trim()
            .parse::<u64>()
            .unwrap()
            * 1024
    }

    /// Files and sockets that it has open.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.id()))
            .unwrap()
            .count()
    }

    /// Sends SIGTERM.
    pub fn terminate(&mut self) {
        self.process.signal(Signal::TERM);
    }

    /// Kills it: nothing of it is put in order.
    pub fn kill(&mut self) {
        self.process.signal(Signal::KILL);
    }

    /// What `/revision` says.
    ///
    /// # Panics
    /// When nobody answers.
    #[must_use]
    pub fn revision(&self) -> serde_json::Value {
        let (status, body) = self.get("/revision").expect("an answer from /revision");
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }

    /// Sends SIGHUP.
    pub fn hang_up(&mut self) {
        self.process.signal(Signal::HUP);
    }

    /// Waits for the end that the test has brought about.
    ///
    /// # Panics
    /// When it does not come.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let status = self.process.wait(patience);
        self.ended = true;
        status
    }

    /// Ends by itself within `patience`, and not as one that has failed.
    ///
    /// # Panics
    /// When it does not.
    pub fn ends_well(&mut self, patience: Duration) {
        assert_eq!(self.wait(patience).code(), Some(0));
    }

    /// Waits until it says that it is not ready any more.
    pub async fn until_unready(&self) {
        wait::until("readiness to end", || async {
            self.get("/readyz").is_some_and(|(status, _)| status == 503)
        })
        .await;
    }

    /// Whether it runs.
    pub fn runs(&mut self) -> bool {
        self.process.exited().is_none()
    }
}

impl Drop for Sidecar {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // The log is the first thing that whoever reads the failure wants.
            eprintln!("--- the sidecar's log\n{}---", tail(&self.log.text()));
            return;
        }
        let ended = self.ended;
        assert!(
            ended || self.runs(),
            "the sidecar ended by itself:\n{}",
            self.log.text()
        );
        self.log.check();
    }
}

/// Starts something on two ports that were free a moment ago; again where somebody else has taken one in between.
///
/// # Panics
/// When it does not come up.
pub(crate) fn on_free_ports<T>(mut start: impl FnMut(u16, u16) -> Result<T, String>) -> T {
    for _ in 0..5 {
        match start(free_port(), free_port()) {
            Ok(started) => return started,
            Err(text) if text.contains("in use") => {}
            Err(text) => panic!("the sidecar does not come up:\n{text}"),
        }
    }
    panic!("the sidecar finds no free port");
}

impl Launch {
    /// What may not stand in the log.
    pub(crate) fn hidden(&self) -> Vec<String> {
        let passwords = self
            .secrets
            .iter()
            .filter(|(name, _)| name.ends_with("/password"));
        passwords.map(|(_, text)| text.clone()).collect()
    }
}

fn arguments(home: &Path, admin: u16, launch: &Launch) -> Vec<OsString> {
    let mut line: Vec<OsString> = vec![
        "--policy".into(),
        home.join("policy.yaml").into(),
        "--environment".into(),
        ENVIRONMENT.into(),
        "--secrets".into(),
        home.join("secrets").into(),
        "--admin".into(),
        format!("127.0.0.1:{admin}").into(),
        "--control".into(),
        home.join("control").into(),
        "--workers".into(),
        launch.workers.to_string().into(),
        "--grace".into(),
        launch.grace.into(),
    ];
    line.extend(launch.arguments.iter().map(OsString::from));
    line
}

fn spawn(line: &CommandLine, log: &Log) -> Running {
    let file = File::create(log.path()).unwrap();
    let mut command = program(line.group.as_ref());
    command
        .arg("run")
        .args(&line.arguments)
        .env("RUST_BACKTRACE", "1")
        .envs(line.variables.iter().map(|(name, value)| (name, value)))
        .stdout(file.try_clone().unwrap())
        .stderr(file);
    Running::start("the sidecar", &mut command)
}

/// The sidecar, which a shell turns into once it has gone into the group.
fn program(group: Option<&MemoryGroup>) -> Command {
    let Some(group) = group else {
        return Command::new(programs::sidecar());
    };
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", r#"echo $$ > "$1" && shift && exec "$@""#, "sh"])
        .arg(group.door())
        .arg(programs::sidecar());
    command
}

fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..]
        .iter()
        .map(|line| format!("{line}\n"))
        .collect()
}
