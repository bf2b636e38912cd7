//! PostgreSQL's programs, and their files, as the user that may run them.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use rustix::process::Signal;

use crate::processes::Running;
use crate::{PATIENCE, programs, wait};

pub(super) fn launch(data: &Path, socket: &Path, address: &str, port: u16) -> Running {
    let log = std::fs::File::create(data.join("log")).unwrap();
    let mut command = Command::new(programs::postgresql("postgres"));
    as_postgres(&mut command)
        .arg("-D")
        .arg(data)
        .args(["-h", address, "-p", &port.to_string(), "-k"])
        .arg(socket)
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    Running::start("postgres", &mut command).ended_by(Signal::QUIT)
}

/// The process once it accepts connections, or none if it ended instead.
pub(super) fn accepting(process: Running, socket: &Path, port: u16) -> Option<Running> {
    answering(process, socket, port, 0)
}

/// The same once it turns everybody away, as a server does that is starting.
pub(super) fn rejecting(process: Running, socket: &Path, port: u16) -> Option<Running> {
    answering(process, socket, port, 1)
}

fn answering(mut process: Running, socket: &Path, port: u16, answer: i32) -> Option<Running> {
    wait::blocking(PATIENCE, || {
        if process.exited().is_some() {
            return Some(false);
        }
        let ready = Command::new(programs::postgresql("pg_isready"))
            .args(["-q", "-p", &port.to_string(), "-h"])
            .arg(socket)
            .status()
            .unwrap()
            .code();
        (ready == Some(answer)).then_some(true)
    })
    .unwrap_or_default()
    .then_some(process)
}

/// PostgreSQL refuses to run as root: there it runs as the user that its package made.
pub(super) fn as_postgres(command: &mut Command) -> &mut Command {
    if let Some((user, group)) = postgres_user() {
        command.uid(user).gid(group);
    }
    command.current_dir("/")
}

pub(super) fn give_to_postgres(path: &Path) {
    if let Some((user, group)) = postgres_user() {
        chown(path, Some(user), Some(group)).unwrap();
    }
}

pub(super) fn write_as_postgres(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    give_to_postgres(path);
}

/// The ids of the user `postgres` where the tests run as root; none where they do not.
fn postgres_user() -> Option<(u32, u32)> {
    static USER: OnceLock<Option<(u32, u32)>> = OnceLock::new();
    *USER.get_or_init(|| {
        if !rustix::process::getuid().is_root() {
            return None;
        }
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
        let fields: Vec<&str> = passwd
            .lines()
            .map(|line| line.split(':').collect::<Vec<_>>())
            .find(|fields| fields[0] == "postgres")
            .expect("the user postgres; `apt-get install -y postgresql` makes it");
        Some((fields[2].parse().unwrap(), fields[3].parse().unwrap()))
    })
}

pub(super) fn run(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
