//! A real ClickHouse with the sidecar before it, and curl.
//!
//! Debian's server is 18.16: the HTTP interface, sessions, compression, KILL QUERY, users with databases of their own. [`Engine`] is the
//! engine of a newer one behind a thin adapter, for settings and row policies.

use std::fs::File;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::process::Signal;

use crate::certificates::Identity;
use crate::policy::Policy;
use crate::postgres::PASSWORD;
use crate::processes::{Running, folder, free_port};
use crate::sidecar::{Launch, Sidecar};
use crate::tools::{Said, run_within};
use crate::{PATIENCE, programs, wait};

/// The sidecar's own user.
pub const USER: &str = "app";

/// How long a query of a test's may take.
const LONG: Duration = Duration::from_secs(60);

/// Debian's ClickHouse server.
#[derive(Debug)]
pub struct Server {
    process: Option<Running>,
    home: PathBuf,
    /// The port of its HTTP interface.
    pub port: u16,
    /// The port of the same over TLS, where it has a certificate.
    pub tls_port: Option<u16>,
}

/// The engine of a newer ClickHouse behind a thin HTTP adapter.
#[derive(Debug)]
pub struct Engine {
    _process: Running,
    /// The adapter's port.
    pub port: u16,
}

/// A sidecar before a ClickHouse.
#[derive(Debug)]
pub struct Stage {
    /// The sidecar.
    pub sidecar: Sidecar,
}

/// What an HTTP client got.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The status; 0 where there was no answer.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body as text.
    pub body: String,
    /// curl's own exit code.
    pub exit: bool,
}

impl Server {
    /// The server that all tests of this process share; it is never stopped.
    ///
    /// # Panics
    /// When ClickHouse is missing or does not start.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Self::own)
    }

    /// A server for one test, which may stop and kill it.
    ///
    /// # Panics
    /// When ClickHouse is missing or does not start.
    #[must_use]
    pub fn own() -> Self {
        Self::with(None)
    }

    /// The same with a certificate, which it shows at a port of its own.
    ///
    /// # Panics
    /// When ClickHouse is missing or does not start.
    #[must_use]
    pub fn sealed(identity: &Identity) -> Self {
        Self::with(Some(identity))
    }

    fn with(identity: Option<&Identity>) -> Self {
        let home = folder("clickhouse");
        if let Some(identity) = identity {
            std::fs::write(home.join("tls.crt"), &identity.certificate).unwrap();
            std::fs::write(home.join("tls.key"), &identity.key).unwrap();
        }
        for name in ["data", "tmp"] {
            std::fs::create_dir(home.join(name)).unwrap();
        }
        std::fs::write(home.join("users.xml"), users()).unwrap();
        let mut server = Self {
            process: None,
            home,
            port: free_port(),
            tls_port: identity.map(|_| free_port()),
        };
        server.start();
        server.direct("CREATE DATABASE IF NOT EXISTS alices");
        server.direct("CREATE DATABASE IF NOT EXISTS bobs");
        server
    }

    /// Starts it, at the port that it had.
    ///
    /// # Panics
    /// When it does not answer in time.
    pub fn start(&mut self) {
        let config = self.home.join("config.xml");
        std::fs::write(&config, self.config()).unwrap();
        let log = File::create(self.home.join("output")).unwrap();
        let mut command = Command::new(programs::clickhouse());
        command
            .arg(format!("--config-file={}", config.display()))
            .current_dir(&self.home)
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        self.process = Some(Running::start("ClickHouse", &mut command));
        let up = wait::blocking(6 * PATIENCE, || {
            TcpStream::connect(("127.0.0.1", self.port)).ok()
        });
        assert!(
            up.is_some(),
            "ClickHouse does not come up: {}",
            std::fs::read_to_string(self.home.join("log")).unwrap_or_default()
        );
    }

    /// Kills it: nothing of it is put in order.
    ///
    /// # Panics
    /// When it does not end.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal(Signal::KILL);
            process.wait(PATIENCE);
        }
    }

    /// Runs a query as the sidecar's own user, past the sidecar: its output.
    ///
    /// # Panics
    /// When it fails.
    pub fn direct(&self, query: &str) -> String {
        let output = Command::new(programs::curl())
            .args(["-sS", "--fail-with-body", "-u"])
            .arg(format!("{USER}:{PASSWORD}"))
            .arg("--data-binary")
            .arg(query)
            .arg(format!("http://127.0.0.1:{}/", self.port))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{query}: {said}");
        said.trim_end().to_owned()
    }

    /// Queries that run whose text has this in it.
    #[must_use]
    pub fn running(&self, part: &str) -> usize {
        let query = format!(
            "SELECT count() FROM system.processes WHERE query LIKE '%{part}%' AND query NOT LIKE '%system.processes%'"
        );
        self.direct(&query).parse().unwrap()
    }

    /// Waits until so many run.
    pub async fn until_running(&self, part: &str, wanted: usize) {
        let what = format!("{wanted} queries with {part} to run");
        wait::until(&what, || async { self.running(part) == wanted }).await;
    }

    fn config(&self) -> String {
        let home = self.home.display();
        let (native, other) = (free_port(), free_port());
        let sealed = self.tls_port.map_or_else(String::new, |port| {
            format!(
                "<https_port>{port}</https_port>
  <openSSL><server><certificateFile>{home}/tls.crt</certificateFile><privateKeyFile>{home}/tls.key</privateKeyFile>
    <verificationMode>none</verificationMode><loadDefaultCAFile>false</loadDefaultCAFile><cacheSessions>true</cacheSessions></server></openSSL>"
            )
        });
        format!(
            "<yandex>
  <logger><level>error</level><log>{home}/log</log><errorlog>{home}/errors</errorlog></logger>
  <listen_host>127.0.0.1</listen_host>
  <http_port>{}</http_port><tcp_port>{native}</tcp_port><interserver_http_port>{other}</interserver_http_port>
  {sealed}
  <keep_alive_timeout>3</keep_alive_timeout>
  <max_concurrent_queries>200</max_concurrent_queries>
  <path>{home}/data/</path><tmp_path>{home}/tmp/</tmp_path>
  <users_config>users.xml</users_config>
  <default_profile>default</default_profile><default_database>default</default_database>
  <mark_cache_size>5368709120</mark_cache_size>
</yandex>",
            self.port
        )
    }
}

/// The sidecar's own user, and those of two end users, each of whom may see one database.
fn users() -> String {
    let with_profile = |name: &str, profile: &str, databases: &str| {
        format!(
            "<{name}><password>{PASSWORD}</password><networks><ip>::/0</ip></networks><profile>{profile}</profile><quota>default</quota>{databases}</{name}>"
        )
    };
    let user = |name: &str, databases: &str| with_profile(name, "default", databases);
    let only = |database: &str| {
        format!("<allow_databases><database>{database}</database></allow_databases>")
    };
    format!(
        "<yandex><profiles><default/><readonly><readonly>1</readonly></readonly></profiles><users>{}{}{}{}</users><quotas><default/></quotas></yandex>",
        user(USER, ""),
        with_profile("readonly", "readonly", ""),
        user("bulkhead_alice", &only("alices")),
        user("bulkhead_bob", &only("bobs")),
    )
}

impl Engine {
    /// The engine that all tests of this process share.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<Engine> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    fn start() -> Self {
        let home = folder("engine");
        std::fs::write(
            home.join("config.xml"),
            "<clickhouse><users_config>users.xml</users_config></clickhouse>",
        )
        .unwrap();
        std::fs::write(home.join("users.xml"), ENGINE_USERS).unwrap();
        let port = free_port();
        let log = File::create(home.join("output")).unwrap();
        let mut command = Command::new(programs::python_for_clickhouse());
        command
            .arg(programs::of_suite("clickhouse").join("engine.py"))
            .arg(port.to_string())
            .arg(&home)
            .arg(PASSWORD)
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let process = Running::start("the engine of a newer ClickHouse", &mut command);
        let up = wait::blocking(6 * PATIENCE, || {
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        let said = || std::fs::read_to_string(home.join("output")).unwrap_or_default();
        assert!(up.is_some(), "the engine does not come up: {}", said());
        Self {
            _process: process,
            port,
        }
    }
}

/// A constraint of the profile, and a row policy that goes by a setting. The library does not read `custom_settings_prefixes`, so one of
/// the engine's own text settings stands in for `SQL_bulkhead_user`.
const ENGINE_USERS: &str = "<clickhouse>
  <profiles><default><constraints><max_threads><readonly/></max_threads></constraints></default></profiles>
  <users><default>
    <password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>
    <databases><chat><notes><filter>owner = getSetting('promql_database')</filter></notes></chat></databases>
  </default></users>
  <quotas><default/></quotas>
</clickhouse>";

/// The policy of the tests: the application's word is taken for who the user is.
#[must_use]
pub fn trusted() -> Policy {
    clickhouse(Policy::trusted())
}

/// A policy's database as a ClickHouse.
#[must_use]
pub fn clickhouse(policy: Policy) -> Policy {
    policy.database("{protocol: ClickHouse, session: null}")
}

impl Stage {
    /// A sidecar before the shared server.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn start(policy: &Policy) -> Self {
        Self::before(Server::shared().port, policy, &[])
    }

    /// A sidecar before whatever listens at this port, with further files in its secrets folder.
    ///
    /// # Panics
    /// When it does not become ready.
    #[must_use]
    pub fn before(port: u16, policy: &Policy, secrets: &[(&str, &str)]) -> Self {
        let own = [("db/username", USER), ("db/password", PASSWORD)];
        let secrets = own.iter().chain(secrets);
        let launch = Launch {
            secrets: secrets
                .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
                .collect(),
            workers: 2,
            grace: "2s",
            ready: true,
            arguments: Vec::new(),
            variables: Vec::new(),
            group: None,
        };
        let sidecar = Sidecar::start(policy, port, "default", &launch);
        Self { sidecar }
    }

    /// The address of a path at the sidecar.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.sidecar.port())
    }

    /// Runs a query for a user, in the body of a POST.
    pub async fn query(&self, user: &str, query: &str) -> Answer {
        self.query_with(user, "", query).await
    }

    /// The same with parameters in the address.
    pub async fn query_with(&self, user: &str, parameters: &str, query: &str) -> Answer {
        let header = format!("X-Bulkhead-User: {user}");
        let url = self.url(&format!("/?{parameters}"));
        curl(&["-H", &header, "--data-binary", "@-", &url], query).await
    }

    /// The same, of which nothing is waited for; it ends when what comes back is dropped.
    ///
    /// # Panics
    /// When curl is missing.
    #[must_use]
    pub fn begin(&self, user: &str, query: &str) -> Running {
        let mut command = Command::new(programs::curl());
        command
            .args(["-sS", "-o", "/dev/null", "-H"])
            .arg(format!("X-Bulkhead-User: {user}"))
            .arg("--data-binary")
            .arg(query)
            .arg(self.url("/"));
        Running::start("curl", &mut command)
    }

    /// Runs a Python script that may import clickhouse_connect; `client()` in it makes a client for `user`.
    pub async fn python(&self, user: &str, script: &str) -> Said {
        let mut command = tokio::process::Command::new(programs::python_for_clickhouse());
        let port = self.sidecar.port();
        command.arg("-c").arg(format!(
            "import clickhouse_connect\n\
             def client(**kwargs):\n    return clickhouse_connect.get_client(host='127.0.0.1', port={port}, username='{USER}+{user}', password='', **kwargs)\n{script}"
        ));
        run_within(command, "", LONG).await
    }
}

/// Runs curl, with `input` on its standard input.
///
/// # Panics
/// When it is missing.
pub async fn curl(arguments: &[&str], input: &str) -> Answer {
    let mut command = tokio::process::Command::new(programs::curl());
    command
        .args(["-sS", "-i", "--max-time", "60"])
        .args(arguments);
    let said = run_within(command, input, LONG).await;
    Answer::read(&said)
}

impl Answer {
    fn read(said: &Said) -> Self {
        let mut rest = said.output.as_str();
        let mut answer = Self {
            exit: said.success,
            ..Self::default()
        };
        // What comes before the answer itself (100 Continue) has a head of its own.
        while rest.starts_with("HTTP/") {
            let (head, behind) = rest.split_once("\r\n\r\n").unwrap_or((rest, ""));
            let mut lines = head.split("\r\n");
            let status = lines.next().and_then(|line| line.split(' ').nth(1));
            answer.status = status.and_then(|status| status.parse().ok()).unwrap_or(0);
            answer.headers = lines
                .filter_map(|line| line.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            rest = behind;
            if answer.status >= 200 {
                break;
            }
        }
        rest.clone_into(&mut answer.body);
        answer
    }

    /// The first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body of a query that has succeeded, without the last line's end.
    ///
    /// # Panics
    /// When it has not.
    #[must_use]
    pub fn rows(&self) -> &str {
        assert_eq!(self.status, 200, "{self:?}");
        self.body.trim_end()
    }

    /// Holds it to being an error of the sidecar's own, in ClickHouse's form.
    ///
    /// # Panics
    /// When it is not.
    pub fn is_error(&self, status: u16, code: u16, part: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("x-clickhouse-exception-code"),
            Some(code.to_string().as_str()),
            "{self:?}"
        );
        let begins = format!("Code: {code}, e.displayText() = DB::Exception: ");
        assert!(
            self.body.starts_with(&begins) && self.body.contains(part),
            "{self:?}"
        );
    }
}
