//! A real PostgreSQL: one that all tests share, and one of its own for a test that must break it.

mod process;
mod template;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;

use crate::certificates::Identity;
use crate::processes::{Running, folder, free_port};
use crate::session::{Session, connect};
use crate::{PATIENCE, programs};
use process::{
    accepting, as_postgres, give_to_postgres, launch, rejecting, run, write_as_postgres,
};
use template::template;

/// The role under which the application works: neither a superuser nor above row-level security.
pub const APP_ROLE: &str = "chat_app";
/// The password of every role that has one. It must never turn up in a log.
pub const PASSWORD: &str = "correct-horse-battery-staple";

/// A PostgreSQL server.
#[derive(Debug)]
pub struct Server {
    process: Option<Running>,
    data: PathBuf,
    address: &'static str,
    place: Place,
}

/// Where a server is reached.
#[derive(Clone, Debug)]
pub struct Place {
    /// TCP, on 127.0.0.1.
    pub port: u16,
    /// The folder of its Unix socket.
    pub socket: PathBuf,
}

impl Server {
    /// The server that all tests of this process share; it is never stopped.
    ///
    /// # Panics
    /// When PostgreSQL is missing or does not start.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Self::own)
    }

    /// A server for one test, which may stop and kill it.
    ///
    /// # Panics
    /// When PostgreSQL is missing or does not start.
    pub fn own() -> Self {
        let mut server = Self::unstarted("127.0.0.1");
        server.copy_template();
        server.start();
        server
    }

    /// The same at another loopback address, and at this port, so that a name may move there.
    ///
    /// # Panics
    /// When PostgreSQL is missing or does not start.
    pub fn own_at(address: &'static str, port: u16) -> Self {
        let mut server = Self::unstarted(address);
        server.place.port = port;
        server.copy_template();
        server.start();
        server
    }

    /// A server that says that it is starting, until it is [promoted](Self::promote): a standby of nobody that lets no
    /// session in.
    ///
    /// # Panics
    /// When PostgreSQL is missing or does not start.
    pub fn starting() -> Self {
        let mut server = Self::unstarted("127.0.0.1");
        server.copy_template();
        write_as_postgres(&server.data.join("standby.signal"), "");
        let settings = "hot_standby = off\n";
        write_as_postgres(&server.data.join("postgresql.auto.conf"), settings);
        server.launch_until(rejecting);
        server
    }

    /// A standby that streams from this server.
    ///
    /// # Panics
    /// When PostgreSQL is missing or does not start.
    pub fn standby(&self) -> Self {
        let mut server = Self::unstarted("127.0.0.1");
        give_to_postgres(server.data.parent().unwrap());
        run(as_postgres(
            Command::new(programs::postgresql("pg_basebackup"))
                .args([
                    "--no-sync",
                    "-c",
                    "fast",
                    "-X",
                    "stream",
                    "-R",
                    "-U",
                    "postgres",
                ])
                .args(["-p", &self.place.port.to_string(), "-h"])
                .arg(&self.place.socket)
                .arg("-D")
                .arg(&server.data),
        ));
        server.start();
        server
    }

    fn unstarted(address: &'static str) -> Self {
        let parent = folder("postgres");
        let socket = parent.join("s");
        std::fs::create_dir(&socket).unwrap();
        give_to_postgres(&socket);
        Self {
            process: None,
            data: parent.join("data"),
            address,
            place: Place { port: 0, socket },
        }
    }

    fn copy_template(&self) {
        // The new folder may not exist yet, and the copy keeps owner and mode.
        run(Command::new("cp")
            .arg("-a")
            .arg(&template().data)
            .arg(&self.data));
    }

    /// Makes a standby a primary.
    ///
    /// # Panics
    /// When it does not become one in time.
    pub fn promote(&self) {
        run(as_postgres(
            Command::new(programs::postgresql("pg_ctl"))
                .args(["promote", "-s", "-D"])
                .arg(&self.data),
        ));
    }

    /// Where it is reached.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// The authority that signed its certificate, PEM. The certificate is for `localhost` and `db.internal`, and for no address.
    pub fn authority() -> &'static str {
        &template().authority
    }

    /// Starts it, on the port that it had before, if it had one.
    ///
    /// # Panics
    /// When it does not accept connections in time.
    pub fn start(&mut self) {
        self.launch_until(accepting);
    }

    fn launch_until(&mut self, up: fn(Running, &Path, u16) -> Option<Running>) {
        for _ in 0..5 {
            let port = match self.place.port {
                0 => free_port(),
                port => port,
            };
            let process = launch(&self.data, &self.place.socket, self.address, port);
            if let Some(process) = up(process, &self.place.socket, port) {
                self.place.port = port;
                self.process = Some(process);
                return;
            }
        }
        let log = std::fs::read_to_string(self.data.join("log")).unwrap_or_default();
        panic!("PostgreSQL does not start:\n{log}");
    }

    /// Gives it another certificate, which counts from the next time at which it reads its configuration.
    ///
    /// # Panics
    /// When that cannot be written.
    pub fn certify(&self, identity: &Identity) {
        write_as_postgres(&self.data.join("server.crt"), &identity.certificate);
        write_as_postgres(&self.data.join("server.key"), &identity.key);
    }

    /// Shuts it down, as before a restart: sessions are told, and what they have committed is written.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::INT);
            process.wait(PATIENCE);
        }
    }

    /// Ends it and everything that it was doing, at once and without a checkpoint.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::QUIT);
            process.wait(PATIENCE);
        }
    }

    /// A new database, a copy of `chat`.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn database(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("chat_{}", COUNT.fetch_add(1, Ordering::Relaxed));
        self.database_called(&name).await;
        name
    }

    /// A new database of this name, a copy of `chat`.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn database_called(&self, name: &str) {
        let admin = self.admin("postgres").await;
        admin
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE chat"))
            .await
            .unwrap();
    }

    /// A session as superuser, past the sidecar.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn admin(&self, database: &str) -> Session {
        admin(&self.place, database).await
    }
}

/// A session as superuser over the Unix socket of `place`.
///
/// # Panics
/// When it is refused.
pub async fn admin(place: &Place, database: &str) -> Session {
    let mut config = tokio_postgres::Config::new();
    config
        .host_path(&place.socket)
        .port(place.port)
        .user("postgres")
        .dbname(database);
    connect(&config).await.expect("the superuser is let in")
}
