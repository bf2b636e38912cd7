//! Child processes and temporary folders that end with the test process, however it ends.
//!
//! A [`Running`] is stopped when it is dropped. What cannot be dropped (a shared server in a static, a test that was killed)
//! is left to a watchdog: a small shell that reads from a pipe which the kernel closes when this process is gone.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::{PATIENCE, wait};

/// Reads `watch PID`, `gone PID`, `remove DIR`, `cgroup NAME` and `stays NAME` until the pipe ends, then does what is left to do.
const WATCHDOG: &str = r#"
trap '' INT HUP TERM
pids='' dirs='' cgroups=''
while read -r verb what; do
    case "$verb" in
        watch) pids="$pids $what" ;;
        remove) dirs="$dirs $what" ;;
        cgroup) cgroups="$cgroups $what" ;;
        stays) rest=''; for cgroup in $cgroups; do [ "$cgroup" = "$what" ] || rest="$rest $cgroup"; done; cgroups="$rest" ;;
        gone) rest=''; for pid in $pids; do [ "$pid" = "$what" ] || rest="$rest $pid"; done; pids="$rest" ;;
    esac
done
[ -z "$pids" ] || kill -QUIT $pids 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    alive=''
    for pid in $pids; do kill -0 "$pid" 2>/dev/null && alive="$alive $pid"; done
    [ -n "$alive" ] || break
    sleep 0.1
done
[ -z "$alive" ] || kill -KILL $alive 2>/dev/null
for cgroup in $cgroups; do
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        find /sys/fs/cgroup -mindepth 1 -depth -type d \( -path "*/$cgroup" -o -path "*/$cgroup/*" \) -exec rmdir {} + 2>/dev/null
        [ -n "$(find /sys/fs/cgroup -maxdepth 2 -type d -name "$cgroup")" ] || break
        sleep 0.1
    done
done
[ -z "$dirs" ] || rm -rf $dirs
"#;

/// A child process that is killed when this value is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    name: String,
    ending: Signal,
    ended: Option<ExitStatus>,
}

impl Running {
    /// Starts `command`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Self {
        let child = command
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        tell_watchdog(&format!("watch {}", child.id()));
        Self {
            child,
            name: name.to_owned(),
            ending: Signal::KILL,
            ended: None,
        }
    }

    /// The same process, ended by `signal` rather than by `SIGKILL` when this value is dropped.
    #[must_use]
    pub fn ended_by(mut self, signal: Signal) -> Self {
        self.ending = signal;
        self
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Leaves the process alone from now on: it outlives this one.
    pub fn leave(self) {
        tell_watchdog(&format!("gone {}", self.id()));
        std::mem::forget(self);
    }

    /// Sends `signal`, unless the process has ended.
    pub fn signal(&mut self, signal: Signal) {
        if self.exited().is_none()
            && let Some(pid) = i32::try_from(self.id()).ok().and_then(Pid::from_raw)
        {
            // It may end in this very moment, which is what most signals are for.
            let _ = kill_process(pid, signal);
        }
    }

    /// How the process has ended, or none while it runs.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().unwrap();
            if self.ended.is_some() {
                tell_watchdog(&format!("gone {}", self.id()));
            }
        }
        self.ended
    }

    /// Waits for the end of the process.
    ///
    /// # Panics
    /// When it is not over within `patience`.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        wait::blocking(patience, || self.exited())
            .unwrap_or_else(|| panic!("{} did not end within {patience:?}", self.name))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.signal(self.ending);
        let _ = wait::blocking(PATIENCE, || self.exited());
    }
}

/// A temporary folder of this test process, removed when the process has ended. Every user of the machine may enter it.
///
/// # Panics
/// When it cannot be made.
pub fn folder(name: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let path = root().join(format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
    std::fs::create_dir_all(&path).unwrap();
    path
}

/// Has the cgroup `name`, and those in it, removed when this process has ended and they are empty.
pub fn cgroup_ends_with_us(name: &str) {
    tell_watchdog(&format!("cgroup {name}"));
}

/// Has the cgroup `name` stay after all.
pub fn cgroup_stays(name: &str) {
    tell_watchdog(&format!("stays {name}"));
}

/// A TCP port of loopback that nobody holds, below the range from which the kernel takes the ports of outgoing connections.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let _ = NEXT.compare_exchange(
        0,
        std::process::id().wrapping_mul(97),
        Ordering::Relaxed,
        Ordering::Relaxed,
    );
    (0..2000)
        .map(|_| 12_000 + u16::try_from(NEXT.fetch_add(1, Ordering::Relaxed) % 20_000).unwrap())
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

fn root() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("bulkhead-tests-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        tell_watchdog(&format!("remove {}", path.display()));
        path
    })
}

fn tell_watchdog(line: &str) {
    static WATCHDOG_SHELL: OnceLock<Mutex<Child>> = OnceLock::new();
    let shell = WATCHDOG_SHELL.get_or_init(|| {
        let mut command = Command::new("/bin/sh");
        // A process group of its own: Ctrl-C ends the tests and leaves the watchdog its work.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command
            .args(["-c", WATCHDOG, "bulkhead-tests-watchdog"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("/bin/sh starts");
        Mutex::new(child)
    });
    let mut shell = shell
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    if let Some(pipe) = &mut shell.stdin {
        let _ = pipe.write_all(format!("{line}\n").as_bytes());
    }
}
