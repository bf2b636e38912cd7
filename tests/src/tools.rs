//! The clients that are programs: psql, pgbench, and Python with psycopg 3 and asyncpg.

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;

use crate::postgres::{APP_ROLE, PASSWORD};
use crate::stage::Stage;
use crate::{PATIENCE, programs};

/// What a program said, and how it ended.
#[derive(Debug)]
pub struct Said {
    /// Standard output.
    pub output: String,
    /// Standard error.
    pub errors: String,
    /// Whether it ended well.
    pub success: bool,
}

impl Said {
    /// The output of a program that ended well.
    ///
    /// # Panics
    /// When it did not.
    #[must_use]
    pub fn well(self) -> String {
        assert!(self.success, "{self:?}");
        self.output
    }
}

impl Said {
    /// Holds the program to having ended well.
    ///
    /// # Panics
    /// When it did not.
    pub fn check(&self) {
        assert!(self.success, "{self:?}");
    }
}

impl Stage {
    /// Runs psql as `user` with `script` as its input: no headers, fields apart by `|`.
    pub async fn psql(&self, user: &str, script: &str) -> Said {
        let mut command = self.client_program("psql", user);
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"]);
        run(command, script).await
    }

    /// Runs pgbench as `user`.
    pub async fn pgbench(&self, user: &str, arguments: &[&str]) -> Said {
        let mut command = self.client_program("pgbench", user);
        command.args(arguments);
        run(command, "").await
    }

    /// Runs a Python script that may import psycopg and asyncpg; `connect()` in it opens a connection of psycopg's as `user`.
    pub async fn psycopg(&self, user: &str, script: &str) -> Said {
        let mut command = Command::new(programs::python());
        self.environment(&mut command, user);
        command.arg("-c").arg(format!(
            "import psycopg\n\
             def connect(**kwargs):\n    return psycopg.connect('', **kwargs)\n{script}"
        ));
        // Thousands of statements take their time on a machine that is busy.
        run_within(command, "", 6 * PATIENCE).await
    }

    /// Runs a program of PostgreSQL's, with a context token in its start-up options and `input` on its standard input.
    pub async fn client(
        &self,
        program: &str,
        token: &str,
        arguments: &[&str],
        input: &str,
    ) -> Said {
        let mut command = self.client_program(program, "nobody");
        command
            .env("PGOPTIONS", format!("-c bulkhead.context={token}"))
            .args(arguments);
        run(command, input).await
    }

    fn client_program(&self, program: &str, user: &str) -> Command {
        let mut command = Command::new(programs::postgresql(program));
        self.environment(&mut command, user);
        command
    }

    fn environment(&self, command: &mut Command, user: &str) {
        command
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.sidecar.port().to_string())
            .env("PGUSER", APP_ROLE)
            .env("PGDATABASE", &self.database)
            .env("PGSSLMODE", "disable")
            .env("PGGSSENCMODE", "disable")
            .env("PGPASSWORD", PASSWORD)
            .env("PGOPTIONS", format!("-c bulkhead.user={user}"))
            .env("PGCONNECT_TIMEOUT", "10");
    }
}

/// Runs `command` to its end with `input` on its standard input.
///
/// # Panics
/// When it cannot be started, or does not end in time.
pub async fn run(command: Command, input: &str) -> Said {
    run_within(command, input, PATIENCE).await
}

/// Runs `command` to its end, which must come within `patience`, with `input` on its standard input.
///
/// # Panics
/// When it cannot be started, or does not end in time.
pub async fn run_within(mut command: Command, input: &str, patience: Duration) -> Said {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    // A program that ends early does not read all of it.
    let _ = tokio::io::AsyncWriteExt::write_all(&mut stdin, input.as_bytes()).await;
    drop(stdin);
    let Output {
        status,
        stdout,
        stderr,
    } = tokio::time::timeout(patience, child.wait_with_output())
        .await
        .unwrap_or_else(|_| panic!("{command:?} did not end within {patience:?}"))
        .unwrap();
    Said {
        output: String::from_utf8_lossy(&stdout).into_owned(),
        errors: String::from_utf8_lossy(&stderr).into_owned(),
        success: status.success(),
    }
}
