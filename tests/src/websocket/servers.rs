//! Applications as their users write them: real servers in processes of their own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::processes::{Running, folder};
use crate::{PATIENCE, programs, wait};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Python's `websockets`, the strictest.
    Websockets,
    /// Starlette on uvicorn: WebSockets and HTTP.
    Starlette,
    /// `ws` on Node.
    Node,
    /// hypercorn: HTTP/2 without TLS.
    Hypercorn,
    /// Starlette on uvicorn: numbers what it says, and serves the JavaScript client.
    Numbering,
}

/// A server that runs.
#[derive(Debug)]
pub struct Server {
    process: Running,
    port: u16,
    log: PathBuf,
}

impl Kind {
    /// Those that speak WebSocket.
    pub const WEB_SOCKETS: [Self; 3] = [Self::Websockets, Self::Starlette, Self::Node];

    fn command(self) -> Command {
        let program = |name| programs::of_suite("websocket").join(name);
        if self == Self::Node {
            let (node, modules) = programs::node();
            let mut command = Command::new(node);
            command.env("NODE_PATH", modules).arg(program("node.cjs"));
            return command;
        }
        let mut command = Command::new(programs::python_for_the_web());
        command.arg(program(match self {
            Self::Starlette => "starlette_app.py",
            Self::Hypercorn => "hypercorn_app.py",
            Self::Numbering => "numbering_app.py",
            _ => "websockets_app.py",
        }));
        command
    }
}

impl Server {
    /// Starts one on a port of the kernel's choice.
    pub async fn start(kind: Kind) -> Self {
        Self::at(kind, 0).await
    }

    /// Starts one on a port of the test's choice.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn at(kind: Kind, port: u16) -> Self {
        let start = tokio::task::spawn_blocking(move || Self::begin(kind, port));
        start
            .await
            .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }

    fn begin(kind: Kind, port: u16) -> Self {
        let home = folder("application");
        let (told, log) = (home.join("port"), home.join("log"));
        let file = File::create(&log).unwrap();
        let mut command = kind.command();
        command
            .arg(port.to_string())
            .arg(&told)
            .stdout(file.try_clone().unwrap())
            .stderr(file);
        let mut process = Running::start("the application", &mut command);
        let port = wait::blocking(PATIENCE, || {
            assert!(
                process.exited().is_none(),
                "{kind:?} has ended:\n{}",
                read(&log)
            );
            std::fs::read_to_string(&told).ok()?.trim().parse().ok()
        });
        Self {
            port: port.unwrap_or_else(|| panic!("{kind:?} does not come up:\n{}", read(&log))),
            process,
            log,
        }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it: nothing is put in order. Its port is free when this returns.
    pub fn kill(mut self) {
        self.process.signal(rustix::process::Signal::KILL);
        self.process.wait(PATIENCE);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the application's log\n{}---", read(&self.log));
        }
    }
}

fn read(log: &Path) -> String {
    std::fs::read_to_string(log).unwrap_or_default()
}
