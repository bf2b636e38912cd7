//! A real PostgreSQL: one that all tests share, and one of its own for a test that must break it.

mod process;
mod template;

use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;

use crate::PATIENCE;
use crate::certificates::Identity;
use crate::processes::{Running, folder, free_port};
use crate::session::{Session, connect};
use process::{accepting, give_to_postgres, launch, run, write_as_postgres};
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
        let parent = folder("postgres");
        let data = parent.join("data");
        // The new folder may not exist yet, and the copy keeps owner and mode.
        run(Command::new("cp")
            .arg("-a")
            .arg(&template().data)
            .arg(&data));
        let socket = parent.join("s");
        std::fs::create_dir(&socket).unwrap();
        give_to_postgres(&socket);
        let mut server = Self {
            process: None,
            data,
            place: Place { port: 0, socket },
        };
        server.start();
        server
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
        for _ in 0..5 {
            let port = match self.place.port {
                0 => free_port(),
                port => port,
            };
            let process = launch(&self.data, &self.place.socket, port);
            if let Some(process) = accepting(process, &self.place.socket, port) {
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
        let admin = self.admin("postgres").await;
        admin
            .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE chat"))
            .await
            .unwrap();
        name
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
