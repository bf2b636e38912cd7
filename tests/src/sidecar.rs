//! The sidecar under test: the real binary, with a policy file, a folder of secrets and ports of its own.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use rustix::process::Signal;

use crate::logs::Log;
use crate::metrics::Metrics;
use crate::policy::{ENVIRONMENT, Policy};
use crate::processes::{Running, folder, free_port};
use crate::{PATIENCE, programs, wait};

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
}

/// A sidecar that runs.
#[derive(Debug)]
pub struct Sidecar {
    process: Running,
    home: PathBuf,
    policy: Policy,
    port: u16,
    admin: u16,
    /// What it writes to its log.
    pub log: Log,
    ended: bool,
}

impl Sidecar {
    /// Starts a sidecar for `database` of the server at `upstream`.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn start(policy: &Policy, upstream: u16, database: &str, launch: &Launch) -> Self {
        let home = folder("sidecar");
        let mut hidden = Vec::new();
        for (name, text) in &launch.secrets {
            let path = home.join("secrets").join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
            if name.ends_with("/password") {
                hidden.push(text.clone());
            }
        }
        for attempt in 0..5 {
            let (port, admin) = (free_port(), free_port());
            let policy = policy.clone().completed(port, upstream, database);
            std::fs::write(home.join("policy.yaml"), policy.text()).unwrap();
            let log = Log::new(home.join(format!("log-{attempt}")), hidden.clone());
            let process = spawn(&home, admin, launch, attempt);
            let mut sidecar = Self {
                process,
                home: home.clone(),
                policy,
                port,
                admin,
                log,
                ended: false,
            };
            match sidecar.come_up(launch.ready) {
                Ok(()) => return sidecar,
                // Somebody else may have taken a port in between.
                Err(text) if text.contains("in use") => sidecar.ended = true,
                Err(text) => {
                    sidecar.ended = true;
                    panic!(
                        "the sidecar does not come up:\n{text}\n{}",
                        sidecar.policy.text()
                    );
                }
            }
        }
        panic!("the sidecar finds no free port");
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

    /// The port on which it listens for PostgreSQL clients.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The policy in force, ports filled in.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
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
        let mut stream = TcpStream::connect(("127.0.0.1", self.admin)).ok()?;
        stream.set_read_timeout(Some(PATIENCE)).ok()?;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: bulkhead\r\nConnection: close\r\n\r\n"
        )
        .ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        let status = head.split(' ').nth(1)?.parse().ok()?;
        Some((status, body.to_owned()))
    }

    /// The metrics of this moment.
    ///
    /// # Panics
    /// When they are not served.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let (status, body) = self.get("/metrics").expect("an answer from /metrics");
        assert_eq!(status, 200, "{body}");
        Metrics::read(body)
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
            .arg(self.home.join("control"))
            .output()
            .unwrap()
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

    /// Sends SIGTERM.
    pub fn terminate(&mut self) {
        self.process.signal(Signal::TERM);
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

fn spawn(home: &Path, admin: u16, launch: &Launch, attempt: u32) -> Running {
    let log = File::create(home.join(format!("log-{attempt}"))).unwrap();
    let mut command = Command::new(programs::sidecar());
    command
        .arg("run")
        .arg("--policy")
        .arg(home.join("policy.yaml"))
        .args(["--environment", ENVIRONMENT])
        .arg("--secrets")
        .arg(home.join("secrets"))
        .args(["--admin", &format!("127.0.0.1:{admin}")])
        .arg("--control")
        .arg(home.join("control"))
        .args(["--workers", &launch.workers.to_string()])
        .args(["--grace", launch.grace])
        .env("RUST_BACKTRACE", "1")
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    Running::start("the sidecar", &mut command)
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
