//! What the upstream tests stand on: a real PostgreSQL, scripted servers, a DNS server, certificates, and a policy entry.

pub mod certificates;
pub mod dns;
pub mod fake;
pub mod postgres;
pub mod query;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bulkhead_crds::effective::EffectiveDatabase;
use bulkhead_crds::kinds::{SecretRef, TlsMode};
use bulkhead_sidecar::secrets::Secrets;
use bulkhead_sidecar::upstream::{ConnectError, ConnectRequest, Connector, Established, Resolver};
use tokio::time::Instant;

/// A temporary folder, removed at the end.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(purpose: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bulkhead-{purpose}-{}-{n}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// Leaves the removing to somebody else.
    pub fn into_path(self) -> PathBuf {
        let path = self.0.clone();
        std::mem::forget(self);
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A policy entry and its secrets, and how to connect by them.
pub struct Entry {
    pub database: EffectiveDatabase,
    pub secrets: Folder,
    pub resolver: Resolver,
    pub timeout: Duration,
}

impl Entry {
    /// An entry named `main` without TLS and credentials.
    pub fn new(host: &str, port: u16) -> Self {
        Self {
            database: database(host, port),
            secrets: Folder::new("secrets"),
            resolver: Resolver::system(),
            timeout: Duration::from_secs(20),
        }
    }

    pub fn secret(&self, name: &str, key: &str, value: &[u8]) {
        let folder = self.secrets.0.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(key), value).unwrap();
    }

    pub fn credentials(mut self, username: &str, password: &str) -> Self {
        self.secret("db", "username", username.as_bytes());
        self.secret("db", "password", password.as_bytes());
        let name = "db".to_owned();
        self.database.upstream.credentials_secret_ref = Some(SecretRef { name });
        self
    }

    pub fn tls(mut self, mode: TlsMode, ca: Option<&str>) -> Self {
        self.database.upstream.tls_mode = mode;
        self.database.upstream.tls_ca_secret_ref = ca.map(|pem| {
            self.secret("ca", "ca.crt", pem.as_bytes());
            let name = "ca".to_owned();
            SecretRef { name }
        });
        self
    }

    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    pub fn connector(&self) -> Connector {
        let secrets = Arc::new(Secrets::new(Some(self.secrets.0.clone())));
        Connector::new(&self.database, &secrets, &self.resolver).unwrap()
    }

    pub async fn connect(&self, role: &str) -> Result<Established, ConnectError> {
        self.connect_with(role, "postgres", &[]).await
    }

    pub async fn connect_with(
        &self,
        role: &str,
        database: &str,
        parameters: &[(String, String)],
    ) -> Result<Established, ConnectError> {
        let request = ConnectRequest {
            database,
            role,
            parameters,
        };
        let deadline = Instant::now() + self.timeout;
        self.connector().connect(&request, deadline).await
    }

    /// The error's text; a connection instead of it fails the test.
    pub async fn refusal(&self, role: &str) -> (ConnectError, String) {
        let error = self.connect(role).await.map(|_| ()).unwrap_err();
        let text = error.to_string();
        let host = &self.database.upstream.host;
        assert!(text.contains(host.as_str()), "names the host: {text}");
        (error, text)
    }
}

fn database(host: &str, port: u16) -> EffectiveDatabase {
    let policy = bulkhead_crds::load(POLICY).unwrap();
    let mut policy = bulkhead_crds::resolve(&policy, "staging").unwrap();
    let mut database = policy.databases.remove(0);
    // Tests dial hosts that no policy may name.
    database.upstream.host = host.to_owned();
    database.upstream.port = port;
    database.upstream.tls_mode = TlsMode::Disable;
    database
}

const POLICY: &str = "
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: chat}
spec:
  selector: {matchLabels: {app: chat}}
  identity: {source: Trusted}
  databases:
  - name: main
    protocol: PostgreSQL
    listen: {port: 5432, auth: {mode: Trust}}
    upstream: {host: db.internal, port: 5432, database: postgres}
    timeouts: {connect: 10s}
";
