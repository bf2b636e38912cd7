//! A real PostgreSQL: one that all tests share, and one of its own for a test that must break it.

use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;

use crate::certificates::Authority;
use crate::processes::{Running, folder, free_port};
use crate::session::{Session, connect};
use crate::{PATIENCE, programs, wait};

/// The role under which the application works: neither a superuser nor above row-level security.
pub const APP_ROLE: &str = "chat_app";
/// The password of every role that has one. It must never turn up in a log.
pub const PASSWORD: &str = "correct-horse-battery-staple";

/// Who may log in how. Certificates are never asked for; the superuser comes by the Unix socket alone.
const HBA: &str = "
local   all postgres              trust
local   all all                   scram-sha-256
host    all chat_md5   127.0.0.1/32 md5
host    all chat_clear 127.0.0.1/32 password
hostssl all chat_tls   127.0.0.1/32 scram-sha-256
host    all chat_tls   127.0.0.1/32 reject
host    all all        127.0.0.1/32 scram-sha-256
";

/// Roles, and the database that every test gets a copy of.
const SCHEMA: &str = include_str!("schema.sql");

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

    /// Kills it and everything it was doing, as a machine that fails would.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn kill(&mut self) {
        self.stop(Signal::QUIT);
    }

    /// Stops it by `signal`: `TERM` smart, `INT` fast, `QUIT` immediate.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn stop(&mut self, signal: Signal) {
        if let Some(mut process) = self.process.take() {
            process.signal(signal);
            process.wait(PATIENCE);
        }
    }

    /// Stops (`STOP`) or continues (`CONT`) the postmaster, so that new connections are accepted by the kernel and never answered.
    pub fn freeze(&mut self, frozen: bool) {
        if let Some(process) = &mut self.process {
            process.signal(if frozen { Signal::STOP } else { Signal::CONT });
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

/// What all servers of this process are copied from.
struct Template {
    data: PathBuf,
    authority: String,
}

fn template() -> &'static Template {
    static TEMPLATE: OnceLock<Template> = OnceLock::new();
    TEMPLATE.get_or_init(|| {
        let parent = folder("template");
        give_to_postgres(&parent);
        let data = parent.join("data");
        run(as_postgres(
            Command::new(programs::postgresql("initdb"))
                .args([
                    "--no-sync",
                    "--auth=trust",
                    "--username=postgres",
                    "--encoding=UTF8",
                    "--locale=C",
                    "-D",
                ])
                .arg(&data),
        ));
        let authority = configure(&data);
        let port = free_port();
        let mut process = accepting(launch(&data, &parent, port), &parent, port)
            .expect("PostgreSQL starts on its new folder");
        let script = parent.join("schema.sql");
        std::fs::write(&script, SCHEMA.replace("$PASSWORD", PASSWORD)).unwrap();
        run(Command::new(programs::postgresql("psql"))
            .args([
                "-X",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-U",
                "postgres",
                "-p",
                &port.to_string(),
                "-h",
            ])
            .arg(&parent)
            .arg("-f")
            .arg(&script));
        process.signal(Signal::INT);
        process.wait(PATIENCE);
        Template { data, authority }
    })
}

/// Writes the server's configuration, and gives back the authority of its certificate.
fn configure(data: &Path) -> String {
    let authority = Authority::new("Bulkhead test authority");
    let identity = authority.issue(&["localhost", "db.internal"]);
    write_as_postgres(&data.join("server.crt"), &identity.certificate);
    write_as_postgres(&data.join("server.key"), &identity.key);
    write_as_postgres(&data.join("pg_hba.conf"), HBA);
    let mut conf = std::fs::OpenOptions::new()
        .append(true)
        .open(data.join("postgresql.conf"))
        .unwrap();
    // Durability is nothing to a test; a quick start and many sessions are.
    conf.write_all(
        b"\nfsync = off\nsynchronous_commit = off\nfull_page_writes = off\nautovacuum = off\n\
          max_connections = 600\nshared_buffers = 64MB\nmax_prepared_transactions = 10\ndeadlock_timeout = 200ms\n\
          listen_addresses = '127.0.0.1'\nssl = on\nssl_cert_file = 'server.crt'\nssl_key_file = 'server.key'\n",
    )
    .unwrap();
    authority.certificate()
}

fn launch(data: &Path, socket: &Path, port: u16) -> Running {
    let log = std::fs::File::create(data.join("log")).unwrap();
    let mut command = Command::new(programs::postgresql("postgres"));
    as_postgres(&mut command)
        .arg("-D")
        .arg(data)
        .args(["-p", &port.to_string(), "-k"])
        .arg(socket)
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    Running::start("postgres", &mut command).ended_by(Signal::QUIT)
}

/// The process once it accepts connections, or none if it ended instead.
fn accepting(mut process: Running, socket: &Path, port: u16) -> Option<Running> {
    wait::blocking(PATIENCE, || {
        if process.exited().is_some() {
            return Some(false);
        }
        let ready = Command::new(programs::postgresql("pg_isready"))
            .args(["-q", "-p", &port.to_string(), "-h"])
            .arg(socket)
            .status()
            .unwrap()
            .success();
        ready.then_some(true)
    })
    .unwrap_or_default()
    .then_some(process)
}

/// PostgreSQL refuses to run as root: there it runs as the user that its package made.
fn as_postgres(command: &mut Command) -> &mut Command {
    if let Some((user, group)) = postgres_user() {
        command.uid(user).gid(group);
    }
    command.current_dir("/")
}

fn give_to_postgres(path: &Path) {
    if let Some((user, group)) = postgres_user() {
        chown(path, Some(user), Some(group)).unwrap();
    }
}

fn write_as_postgres(path: &Path, text: &str) {
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

fn run(command: &mut Command) {
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
