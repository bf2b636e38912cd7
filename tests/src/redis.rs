//! A real redis-server of a test's own, and a connection to it, or to what stands before it.

mod connection;
mod reply;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::processes::{Running, folder, free_port};
use crate::{PATIENCE, wait};

pub use connection::Connection;
pub use reply::Reply;

/// A redis-server that keeps nothing on disk. It is killed when this value is dropped.
#[derive(Debug)]
pub struct Server {
    process: Option<Running>,
    folder: PathBuf,
    settings: Vec<String>,
    port: u16,
}

impl Server {
    /// A server for one test.
    ///
    /// # Panics
    /// When redis-server is missing or does not start.
    #[must_use]
    pub fn own() -> Self {
        Self::own_with(&[])
    }

    /// The same with settings as they stand in redis.conf, each behind two dashes and before its values.
    ///
    /// # Panics
    /// When redis-server is missing or does not start.
    #[must_use]
    pub fn own_with(settings: &[&str]) -> Self {
        let mut server = Self {
            process: None,
            folder: folder("redis"),
            settings: settings.iter().map(|each| (*each).to_owned()).collect(),
            port: 0,
        };
        server.start();
        server
    }

    /// Starts it, on the port that it had before, if it had one.
    ///
    /// # Panics
    /// When it does not accept connections in time.
    pub fn start(&mut self) {
        for _ in 0..5 {
            let port = match self.port {
                0 => free_port(),
                port => port,
            };
            let mut process = self.launch(port);
            let up = wait::blocking(PATIENCE, || {
                if process.exited().is_some() {
                    return Some(false);
                }
                let answers = Connection::try_open(self.socket())
                    .is_ok_and(|mut connection| connection.try_ask(&[b"PING"]).is_ok());
                answers.then_some(true)
            });
            if up == Some(true) {
                self.port = port;
                self.process = Some(process);
                return;
            }
        }
        let log = std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
        panic!("redis-server does not start:\n{log}");
    }

    fn launch(&self, port: u16) -> Running {
        let mut command = Command::new(program());
        command
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no", "--dir"])
            .arg(&self.folder)
            .arg("--unixsocket")
            .arg(self.socket())
            .arg("--logfile")
            .arg(self.folder.join("log"))
            .args(&self.settings);
        Running::start("redis-server", &mut command)
    }

    /// Ends it at once.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(rustix::process::Signal::KILL);
            process.wait(PATIENCE);
        }
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Its Unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.join("s")
    }

    /// The folder that it works in.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A connection as the default user, past the sidecar.
    ///
    /// # Panics
    /// When there is none to be had.
    #[must_use]
    pub fn connect(&self) -> Connection {
        Connection::try_open(self.socket()).expect("the server accepts a connection")
    }
}

/// `redis-server` from `PATH`.
fn program() -> &'static str {
    let found = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join("redis-server").is_file())
    });
    assert!(
        found,
        "redis-server is missing; install it with `apt-get install -y --no-install-recommends redis-server`"
    );
    "redis-server"
}
