//! A database with the signed user installed, rows of alice and bob, and a sidecar that signs for them.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulkhead_tests::policy::{ENVIRONMENT, Policy};
use bulkhead_tests::postgres::{APP_ROLE, Place, Server};
use bulkhead_tests::programs;
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::session::Session;
use bulkhead_tests::stage::{Setting, Stage};
use bulkhead_tests::tokens::{Signer, key_set};
use jsonwebtoken::Algorithm;

/// What every table of these tests holds: a row of alice's, and one of bob's.
const ROWS: &str = "
    CREATE TABLE secrets (owner text NOT NULL, body text NOT NULL);
    INSERT INTO secrets VALUES ('alice', 'hers'), ('bob', 'his');
    ALTER TABLE secrets OWNER TO chat_owner;
    ALTER TABLE secrets ENABLE ROW LEVEL SECURITY;
    ALTER TABLE secrets FORCE ROW LEVEL SECURITY;
    CREATE POLICY own ON secrets
        USING (owner = (SELECT bulkhead.user_id())) WITH CHECK (owner = (SELECT bulkhead.user_id()));
    GRANT SELECT, INSERT, UPDATE, DELETE ON secrets TO chat_app, chat_reader;
    INSERT INTO notes (owner, body) VALUES ('alice', 'hers'), ('bob', 'his');
    -- More than an application's role should have.
    DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO chat_app', current_database()); END $$;
    -- Where users leave to each other what they please.
    CREATE TABLE board (what text, said text);
    GRANT ALL ON board TO chat_app";

/// A key for claims, as the Secret and the database have it.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) id: &'static str,
    bytes: Vec<u8>,
}

impl Key {
    pub(super) fn new(id: &'static str) -> Self {
        let bytes = id.bytes().cycle().take(32).collect();
        Self { id, bytes }
    }

    /// Its line in the Secret.
    pub(super) fn line(&self) -> String {
        format!("{} {}\n", self.id, STANDARD.encode(&self.bytes))
    }

    /// How an administrator adds it.
    pub(super) fn add(&self) -> String {
        let secret = STANDARD.encode(&self.bytes);
        format!(
            "SELECT bulkhead.add_key('{}', decode('{secret}', 'base64'))",
            self.id
        )
    }

    /// A claim that says `said`, rightly signed.
    pub(super) fn sign(&self, said: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.bytes);
        let mac = hmac::sign(&key, said.as_bytes());
        format!("{said}:{}", hex(mac.as_ref()))
    }
}

/// The world of one test.
pub(super) struct World {
    pub(super) stage: Stage,
    pub(super) admin: Session,
    pub(super) key: Key,
    signer: Signer,
}

impl World {
    /// The signed user installed, with one key.
    pub(super) async fn new(change: impl FnOnce(Policy) -> Policy) -> Self {
        let world = Self::bare(change).await;
        world.install();
        world.admin.batch_execute(ROWS).await.unwrap();
        world.admin.run(&world.key.add()).await;
        world
    }

    /// A database in which nobody has installed anything.
    pub(super) async fn bare(change: impl FnOnce(Policy) -> Policy) -> Self {
        Self::of(Stage::with(change(policy()))).await
    }

    /// A sidecar before a standby of `primary`, in whose databases nobody has installed anything.
    pub(super) async fn before(standby: &Server, primary: &Server) -> Self {
        let setting = Stage::on(primary, policy()).upstream(standby.place().port);
        Self::of(setting.unready()).await
    }

    async fn of(setting: Setting<'_>) -> Self {
        let (signer, key) = (Signer::new("issuer", Algorithm::EdDSA), Key::new("first"));
        let stage = setting
            .secret("keys/jwks.json", &key_set(&[&signer]))
            .secret("signing/signing-keys", &key.line())
            // A connection is handed over within a worker.
            .workers(1)
            .start()
            .await;
        let admin = stage.admin().await;
        Self {
            stage,
            admin,
            key,
            signer,
        }
    }

    /// A session of `user`'s, through the sidecar.
    pub(super) async fn user(&self, user: &str) -> Session {
        let session = self.try_user(user).await;
        session.unwrap_or_else(|error| panic!("{user} is not let in: {error:?}"))
    }

    /// A client that has named nobody yet, and may do so in SQL.
    pub(super) async fn nobody(&self) -> Session {
        self.stage.try_name(APP_ROLE).await.unwrap()
    }

    /// A token of `user`'s.
    pub(super) fn token(&self, user: &str) -> String {
        self.signer.token(user)
    }

    /// What a client of `user`'s is told at its login, or by its first statement.
    pub(super) async fn refusal(&self, user: &str) -> Refusal {
        match self.try_user(user).await {
            Ok(session) => session.refused("SELECT 1").await,
            Err(error) => error.into(),
        }
    }

    async fn try_user(&self, user: &str) -> Result<Session, tokio_postgres::Error> {
        let options = format!("-c bulkhead.context={}", self.signer.token(user));
        self.stage.try_options(&options).await
    }

    /// Runs the file that the sidecar prints, as an administrator does.
    pub(super) fn install(&self) {
        let done = self.psql(&["sql", "signed-user"], "chat_app");
        assert!(done.status.success(), "{done:?}");
    }

    /// What psql says to a file that the sidecar prints; each database has an owner of its own, because roles are the whole server's.
    pub(super) fn psql(&self, print: &[&str], app: &str) -> Output {
        let file = Command::new(programs::sidecar()).args(print).output();
        let file = file.unwrap();
        assert!(file.status.success(), "{file:?}");
        let Place { port, socket } = self.stage.place();
        let mut psql = Command::new(programs::postgresql("psql"))
            .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d"])
            .arg(&self.stage.database)
            .args(["-v", &format!("app={app}"), "-v"])
            .arg(format!("owner={}", self.owner()))
            .arg("-h")
            .arg(socket)
            .args(["-p", &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        psql.stdin.take().unwrap().write_all(&file.stdout).unwrap();
        psql.wait_with_output().unwrap()
    }

    /// What `check` says with the policy and the secrets of this world's sidecar.
    pub(super) fn check(&self) -> Output {
        let secrets = self.stage.sidecar.secrets();
        let policy = secrets.with_file_name("check.yaml");
        std::fs::write(&policy, self.stage.sidecar.policy().text()).unwrap();
        Command::new(programs::sidecar())
            .arg("check")
            .arg("--policy")
            .arg(policy)
            .args(["--environment", ENVIRONMENT, "--secrets"])
            .arg(secrets)
            .output()
            .unwrap()
    }

    /// The role that owns what is installed.
    pub(super) fn owner(&self) -> String {
        format!("bulkhead_{}", self.stage.database)
    }
}

fn policy() -> Policy {
    Policy::jwt(
        "{issuer: 'https://issuer.test', audiences: [chat], jwks: {secretRef: {name: keys}}}",
    )
    .database(
        "{session: {rowLevelSecurity: Signed, signingKeySecretRef: {name: signing}}, breaker: {failures: 1000}}",
    )
}

/// The bodies that a session sees, in order.
pub(super) async fn bodies(session: &Session) -> Vec<String> {
    let rows = session.rows("SELECT body FROM secrets ORDER BY body").await;
    rows.into_iter().filter_map(|row| row[0].clone()).collect()
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
