//! The namespaces in which a node lives: of network, mounts and processes.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::launch::Launcher;
use crate::cluster::program;
use crate::processes::Running;
use crate::{PATIENCE, wait};

/// The first process in there: it hides what of the machine the parts would write to, then takes in orphans until it is killed.
const INIT: &str = r#"
set -eu
mkdir -p "$1/var-lib" "$1/var-log"
mount -t tmpfs -o mode=755 tmpfs /run
mount --bind "$1/var-lib" /var/lib
mount --bind "$1/var-log" /var/log
ip link set lo up
echo 1 > /proc/sys/net/ipv4/ip_forward
: > "$1/world"
while :; do
    sleep 1000000 &
    wait "$!" || :
done
"#;

/// Namespaces that exist as long as the process that made them.
#[derive(Debug)]
pub(super) struct World {
    maker: Running,
    /// Its first process, as this side sees it.
    init: u32,
}

impl World {
    /// New namespaces, in which `folder` stands where it stands outside.
    pub(super) fn new(folder: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let log = std::fs::File::create(folder.join("world.log")).unwrap();
        let mut command = Command::new("unshare");
        command
            .args([
                "--fork",
                "--pid",
                "--mount-proc",
                "--mount",
                "--net",
                "--kill-child",
            ])
            .args(["bash", "-c", INIT, "bulkhead-node"])
            .arg(folder)
            .env("PATH", path())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        // Ctrl-C ends the tests, and they end this.
        command.process_group(0);
        let mut maker = Running::start("unshare", &mut command);
        let made = folder.join("world");
        let init = wait::blocking(PATIENCE, || {
            if maker.exited().is_some() {
                return Some(None);
            }
            made.exists().then(|| child_of(maker.id()))
        });
        let Some(Some(init)) = init else {
            let log = std::fs::read_to_string(folder.join("world.log")).unwrap_or_default();
            panic!(
                "namespaces cannot be made; this needs root and more than an unprivileged container has: {log}"
            );
        };
        Self { maker, init }
    }

    /// The process whose end is the end of all of it.
    pub(super) fn id(&self) -> u32 {
        self.maker.id()
    }

    /// The first process in there.
    pub(super) fn init(&self) -> u32 {
        self.init
    }

    /// The path, from here, of what is called `inside` in there.
    pub(super) fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.init))
    }

    /// Starts parts in there.
    pub(super) fn launcher(&self, folder: &Path) -> Launcher {
        launcher(self.init, folder)
    }

    pub(super) fn leave(self) {
        self.maker.leave();
    }
}

/// Starts parts in the namespaces of the process `init`.
pub(super) fn launcher(init: u32, folder: &Path) -> Launcher {
    Launcher::through(folder, enter(init), path())
}

/// What runs a program in the namespaces of the process `init`.
fn enter(init: u32) -> Vec<OsString> {
    [
        "nsenter",
        "--target",
        &init.to_string(),
        "--net",
        "--mount",
        "--pid",
        "--",
    ]
    .map(OsString::from)
    .to_vec()
}

/// The `PATH` of the parts: containerd looks for its shim there, and Debian keeps `runc` and `nft` out of an ordinary user's.
fn path() -> OsString {
    let shim = program("containerd-shim-runc-v2");
    let mut folders: Vec<PathBuf> = shim.parent().map(Path::to_path_buf).into_iter().collect();
    folders.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    folders.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    std::env::join_paths(folders).unwrap()
}

fn child_of(parent: u32) -> Option<u32> {
    let line = format!("PPid:\t{parent}\n");
    std::fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .find(|id: &u32| {
            std::fs::read_to_string(format!("/proc/{id}/status"))
                .is_ok_and(|status| status.contains(&line))
        })
}
