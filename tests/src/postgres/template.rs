//! The data folder that every server is a copy of: initialised once a process, with roles, a schema and a certificate.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rustix::process::Signal;

use super::PASSWORD;
use super::process::{accepting, as_postgres, give_to_postgres, launch, run, write_as_postgres};
use crate::certificates::Authority;
use crate::processes::{folder, free_port};
use crate::{PATIENCE, programs};

/// Who may log in how. Certificates are never asked for; the superuser comes by the Unix socket alone.
const HBA: &str = "
local   all postgres              trust
local   all all                   scram-sha-256
local   replication postgres      trust
host    all chat_md5   127.0.0.1/32 md5
host    all chat_clear 127.0.0.1/32 password
hostssl all chat_tls   127.0.0.1/32 scram-sha-256
host    all chat_tls   127.0.0.1/32 reject
host    all all        127.0.0.1/32 scram-sha-256
host    all all        ::1/128      scram-sha-256
";

/// Roles, and the database that every test gets a copy of.
const SCHEMA: &str = include_str!("../schema.sql");

/// What all servers of this process are copied from.
pub(super) struct Template {
    pub(super) data: PathBuf,
    pub(super) authority: String,
}

pub(super) fn template() -> &'static Template {
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
        let mut process = accepting(launch(&data, &parent, "127.0.0.1", port), &parent, port)
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
