//! A real PostgreSQL in a temporary folder, on a port that the kernel picked.
//!
//! A small shell stands over the server: it waits for the end of its standard input, which comes when this process drops the
//! server, panics or dies, and then ends the server by its id and removes the folder.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::Duration;

use super::Folder;
use super::certificates::Server as Certificate;

const BIN: &str = "/usr/lib/postgresql/15/bin";

/// Ends the server that is `$1 …` when standard input ends.
const GUARD: &str = r#"
dir=$1; shift
"$@" </dev/null & server=$!
cat >/dev/null
kill -INT "$server"
wait "$server"
rm -rf "$dir"
"#;

/// Who may log in how; every role's password is `correct horse`.
const HBA: &str = "
local   all         all                         trust
host    all         postgres    127.0.0.0/8     trust
host    all         trusty,unruly,climber 127.0.0.0/8 trust
host    all         scrammy     127.0.0.0/8     scram-sha-256
host    all         rotating    127.0.0.0/8     scram-sha-256
host    all         md5y        127.0.0.0/8     md5
host    all         cleary      127.0.0.0/8     password
host    all         all         127.0.0.0/8     reject
";

const ROLES: &str = "
SET password_encryption = 'scram-sha-256';
CREATE ROLE trusty LOGIN;
CREATE ROLE unruly LOGIN BYPASSRLS CONNECTION LIMIT 5;
CREATE ROLE climber LOGIN IN ROLE unruly;
CREATE ROLE scrammy LOGIN PASSWORD 'correct horse';
CREATE ROLE rotating LOGIN PASSWORD 'correct horse';
CREATE ROLE cleary LOGIN PASSWORD 'correct horse';
SET password_encryption = 'md5';
CREATE ROLE md5y LOGIN PASSWORD 'correct horse';
";

/// A server that runs.
pub struct Postgres {
    pub port: u16,
    pub dir: PathBuf,
    guard: Child,
}

/// The account that PostgreSQL insists on when root starts it.
#[derive(Clone, Copy)]
struct Account {
    uid: u32,
    gid: u32,
}

impl Postgres {
    /// One server for all tests that do not change it; it ends with the process.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Postgres> = OnceLock::new();
        SHARED.get_or_init(|| Self::start(None))
    }

    /// A server of one's own, with TLS where a certificate is given.
    pub fn start(certificate: Option<&Certificate>) -> Self {
        assert!(
            Path::new(BIN).join("postgres").exists(),
            "these tests need a real PostgreSQL 15: run `apt-get install postgresql`"
        );
        (0..3)
            .find_map(|_| Self::try_start(certificate, account()))
            .expect("PostgreSQL did not start")
    }

    /// `None` where somebody else took the port between our asking and the server's binding.
    fn try_start(certificate: Option<&Certificate>, account: Option<Account>) -> Option<Self> {
        let folder = Folder::new("postgres");
        let data = folder.0.join("data");
        own(&folder.0, account);
        let arguments = [
            "-D",
            text(&data),
            "-U",
            "postgres",
            "-A",
            "trust",
            "-N",
            "-E",
            "UTF8",
        ];
        run(account, "initdb", &arguments);
        std::fs::write(data.join("pg_hba.conf"), HBA).unwrap();
        write_settings(&folder.0, &data, certificate, account);
        create_roles(account, &data);

        let port = free_port();
        // The guard removes it.
        let dir = folder.into_path();
        let mut guard = guard(&dir, &data, port, account);
        let log = BufReader::new(guard.stderr.take().unwrap());
        let (ready, started) = mpsc::channel();
        std::thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if line.contains("ready to accept connections") {
                    let _ = ready.send(());
                }
            }
        });
        let server = Self { port, dir, guard };
        started
            .recv_timeout(Duration::from_secs(30))
            .ok()
            .map(|()| server)
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn guard(dir: &Path, data: &Path, port: u16, account: Option<Account>) -> Child {
    let mut command = Command::new("sh");
    command
        .args(["-c", GUARD, "guard", text(dir)])
        .arg(Path::new(BIN).join("postgres"))
        .args(["-D", text(data), "-p", &port.to_string(), "-k", text(dir)])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    drop_root(&mut command, account);
    command.spawn().unwrap()
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}

fn write_settings(
    dir: &Path,
    data: &Path,
    certificate: Option<&Certificate>,
    account: Option<Account>,
) {
    let mut settings =
        "listen_addresses = '127.0.0.1,127.0.0.2'\nfsync = off\nmax_connections = 50\n".to_owned();
    if let Some(certificate) = certificate {
        for (name, pem) in [
            ("server.crt", &certificate.certificate),
            ("server.key", &certificate.key),
        ] {
            let path = dir.join(name);
            std::fs::write(&path, pem).unwrap();
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            own(&path, account);
            let setting = if name.ends_with("crt") {
                "ssl_cert_file"
            } else {
                "ssl_key_file"
            };
            settings.push_str(&format!("{setting} = '{}'\n", text(&path)));
        }
        settings.push_str("ssl = on\n");
    }
    let path = data.join("postgresql.conf");
    let before = std::fs::read_to_string(&path).unwrap();
    std::fs::write(path, before + &settings).unwrap();
}

/// In single-user mode: no server has to be up for it.
fn create_roles(account: Option<Account>, data: &Path) {
    let mut command = Command::new(Path::new(BIN).join("postgres"));
    command
        .args(["--single", "-D", text(data), "-j", "postgres"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    drop_root(&mut command, account);
    let mut single = command.spawn().unwrap();
    {
        use std::io::Write;
        // With -j a command ends at a semicolon and an empty line.
        let commands = ROLES.trim().replace(";\n", ";\n\n");
        write!(single.stdin.take().unwrap(), "{commands}\n\n").unwrap();
    }
    assert!(
        single.wait().unwrap().success(),
        "the roles were not created"
    );
}

fn run(account: Option<Account>, program: &str, arguments: &[&str]) {
    let mut command = Command::new(Path::new(BIN).join(program));
    command.args(arguments).stdin(Stdio::null());
    drop_root(&mut command, account);
    let output = command.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program}: {told}");
}

fn account() -> Option<Account> {
    let root = std::fs::metadata("/proc/self")
        .is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    root.then(|| {
        let users = std::fs::read_to_string("/etc/passwd").unwrap();
        let line = users.lines().find(|line| line.starts_with("postgres:"));
        let line = line.expect("there is no user postgres: run `apt-get install postgresql`");
        let number = |i| line.split(':').nth(i).unwrap().parse().unwrap();
        Account {
            uid: number(2),
            gid: number(3),
        }
    })
}

fn own(path: &Path, account: Option<Account>) {
    if let Some(Account { uid, gid }) = account {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
}

fn drop_root(command: &mut Command, account: Option<Account>) {
    if let Some(Account { uid, gid }) = account {
        command.uid(uid).gid(gid);
    }
    command
        .current_dir("/")
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("LC_ALL", "C");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
