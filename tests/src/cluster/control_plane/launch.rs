//! One program of the control plane: its log, and whether it has come up.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::program;
use crate::processes::Running;

/// A program that has been started, and the file that it logs to.
#[derive(Debug)]
pub(super) struct Launched {
    pub(super) process: Running,
    pub(super) log: PathBuf,
}

/// Starts `name` with `arguments`; what it says is appended to its log in `folder`.
pub(super) fn launch(name: &str, folder: &Path, arguments: &[String]) -> Launched {
    let log = folder.join(format!("{name}.log"));
    let file = File::options()
        .create(true)
        .append(true)
        .open(&log)
        .unwrap_or_else(|error| panic!("{}: {error}", log.display()));
    let process = Running::start(
        name,
        Command::new(program(name))
            .args(arguments)
            .current_dir(folder)
            .stdout(file.try_clone().unwrap())
            .stderr(file),
    );
    Launched { process, log }
}

/// The last lines of a log, which is what whoever reads a failure wants.
pub(super) fn tail(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(25)..].join("\n")
}

/// Whether a program ended because another had its port.
pub(super) fn port_was_taken(log: &Path) -> bool {
    tail(log).contains("address already in use")
}
