//! A part of a cluster as a process: its log, and whether it has come up.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{READY, program};
use crate::processes::Running;
use crate::wait;

/// What one program is started with. Its configuration files have been written.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) program: &'static str,
    pub(super) arguments: Vec<String>,
}

/// Starts parts, each with a log in one folder.
#[derive(Clone, Debug)]
pub(super) struct Launcher {
    folder: PathBuf,
    /// A program, with arguments, that runs the part in another place than here.
    through: Vec<OsString>,
    path: OsString,
}

/// A part that has been started, and the file that it logs to.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) process: Running,
    log: PathBuf,
}

impl Launcher {
    /// Starts parts as ordinary processes.
    pub(super) fn here(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            through: Vec::new(),
            path: std::env::var_os("PATH").unwrap_or_default(),
        }
    }

    /// Starts parts through another program, `through`, with `path` as their `PATH`.
    pub(super) fn through(folder: &Path, through: Vec<OsString>, path: OsString) -> Self {
        Self {
            folder: folder.to_path_buf(),
            through,
            path,
        }
    }

    /// Where the logs are.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts `part`; what it says is appended to its log.
    pub(super) fn start(&self, part: &Part) -> Launched {
        let log = self.folder.join(format!("{}.log", part.program));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap_or_else(|error| panic!("{}: {error}", log.display()));
        let mut command = self.command(&program(part.program));
        command
            .args(&part.arguments)
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        // Ctrl-C at the terminal is for the tests, or for a shell that merely started a cluster.
        command.process_group(0);
        Launched {
            process: Running::start(part.program, &mut command),
            log,
        }
    }

    /// A command that runs where the parts run.
    pub(super) fn command(&self, program: &Path) -> Command {
        let mut whole = self.through.iter().cloned();
        let mut command = match whole.next() {
            Some(first) => {
                let mut command = Command::new(first);
                command.args(whole).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.current_dir(&self.folder).env("PATH", &self.path);
        command
    }
}

impl Launched {
    /// Waits until the API server that `config` names says that it is ready; the end of the log if it ends before, or does not get ready.
    pub(super) async fn until_ready(&mut self, config: &kube::Config) -> Result<(), String> {
        let client = kube::Client::try_from(config.clone()).unwrap();
        let start = std::time::Instant::now();
        loop {
            if self.process.exited().is_some() || start.elapsed() > READY {
                return Err(self.tail());
            }
            let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
            if client.request_text(request).await.is_ok() {
                return Ok(());
            }
            wait::pause().await;
        }
    }

    /// The last lines of the log, which is what whoever reads a failure wants.
    pub(super) fn tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(25)..].join("\n")
    }
}
