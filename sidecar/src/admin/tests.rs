//! Both doors over real sockets.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bulkhead_crds::kinds::Protocol;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::control::{ControlSocket, PolicyReport};
use super::port::{AdminPort, RevisionReport};
use super::server::MAX_CONNECTIONS;
use super::{
    AdminError, AdminState, ExecutionRow, ExecutionsReport, Inventory, Readiness, UserRow,
    UsersReport, client,
};
use crate::cli::{self, AskArgs, ControlArgs};
use crate::execution::ExecutionState;
use crate::policy::fixtures::{database, policy};
use crate::policy::{Accepted, Diagnostic, PolicyStore, Rejection};
use crate::telemetry::{Attribution, Metrics, UnfinishedRun};

struct TwoUsers;

impl Inventory for TwoUsers {
    fn context_keys(&self) -> Option<String> {
        Some(r#"{"keys":[]}"#.into())
    }

    fn users(&self) -> Pin<Box<dyn Future<Output = Vec<UserRow>> + Send + '_>> {
        let row = |user_id: &str| UserRow {
            user_id: user_id.to_owned(),
            upstream: "main".to_owned(),
            clients: 2,
            attributed: true,
            ..UserRow::default()
        };
        Box::pin(async move { vec![row("alice"), row("bob")] })
    }
}

fn accepted(id: &str, port: u16) -> Accepted {
    Accepted {
        id: id.into(),
        policy: policy(vec![database("main", port)]),
        warnings: Vec::new(),
    }
}

fn state() -> AdminState {
    AdminState {
        metrics: Metrics::new().expect("names are legal"),
        store: PolicyStore::new(accepted("a1b2", 5432)),
        revocations: Arc::default(),
        revocation_standing: Arc::default(),
        readiness: Arc::new(Readiness::default()),
        inventory: Arc::new(TwoUsers),
        trail: Arc::default(),
        drain: Arc::new(Notify::new()),
    }
}

/// Both doors, open until this is dropped.
struct Doors {
    state: AdminState,
    address: std::net::SocketAddr,
    directory: tempfile::TempDir,
    _serving: JoinSet<()>,
}

impl Doors {
    async fn open() -> Self {
        let state = state();
        let directory = tempfile::tempdir().expect("a directory");
        let loopback = "127.0.0.1:0".parse().expect("an address");
        let port = AdminPort::bind(loopback).expect("bound");
        let control = ControlSocket::bind(&directory.path().join("control.sock")).expect("bound");
        let address = port.address();
        let mut serving = JoinSet::new();
        serving.spawn(port.serve(state.clone()));
        serving.spawn(control.serve(state.clone()));
        Self {
            state,
            address,
            directory,
            _serving: serving,
        }
    }

    fn socket(&self) -> std::path::PathBuf {
        self.directory.path().join("control.sock")
    }

    /// Status, headers and body of one request on the TCP port.
    async fn request(&self, method: &str, path: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(self.address).await.expect("connected");
        let request = format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
        let status = head.split(' ').nth(1).expect("a status");
        (
            status.parse().expect("a number"),
            head.to_ascii_lowercase(),
            body.to_owned(),
        )
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let (status, _, body) = self.request("GET", path).await;
        (status, body)
    }
}

#[tokio::test]
async fn the_public_keys_are_a_key_set_that_is_asked_for_again_each_time() {
    let doors = Doors::open().await;
    let (status, head, body) = doors.request("GET", "/jwks.json").await;
    assert_eq!((status, body.as_str()), (200, r#"{"keys":[]}"#));
    assert!(
        head.contains("content-type: application/jwk-set+json"),
        "{head}"
    );
    assert!(head.contains("cache-control: no-cache"), "{head}");
}

#[tokio::test]
async fn metrics_are_served_in_the_text_format() {
    let doors = Doors::open().await;
    let _main = doors.state.metrics.upstream("main", Protocol::PostgreSQL);
    let (status, head, body) = doors.request("GET", "/metrics").await;
    assert_eq!(status, 200);
    assert!(head.contains("content-type: text/plain; version=0.0.4"));
    assert!(body.contains("\nbulkhead_factories{upstream=\"main\"} 0\n"));
    assert!(body.contains("\nprocess_resident_memory_bytes "));
}

#[tokio::test]
async fn health_is_the_process_and_readiness_is_what_the_engine_says() {
    let doors = Doors::open().await;
    assert_eq!(doors.get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(
        doors.get("/readyz").await,
        (503, "not listening yet\n".to_owned())
    );

    doors.state.readiness.set_listening();
    assert_eq!(doors.get("/readyz").await, (200, "ready\n".to_owned()));

    doors.state.readiness.set_draining();
    assert_eq!(doors.get("/readyz").await, (503, "draining\n".to_owned()));
    assert_eq!(doors.get("/healthz").await.0, 200);
}

#[tokio::test]
async fn the_revision_tells_what_is_in_force_what_was_refused_and_what_waits() {
    let doors = Doors::open().await;
    doors
        .state
        .store
        .take_over(accepted("c3d4", 5433), &|_| Ok(()));
    doors.state.store.reject(Rejection {
        at: SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        diagnostics: vec![Diagnostic::of_file("Unreadable", "gone".to_owned())],
    });

    let (status, body) = doors.get("/revision").await;
    assert_eq!(status, 200);
    let report: RevisionReport = serde_json::from_str(&body).expect("JSON");
    assert_eq!((report.revision.as_str(), report.number), ("c3d4", 2));
    assert_eq!(
        (report.policy.as_str(), report.environment.as_str()),
        ("chat", "staging")
    );
    let rejection = report.rejection.expect("refused");
    assert_eq!(rejection.at, 1_700_000_000);
    assert_eq!(rejection.diagnostics[0].message, "gone");
    assert_eq!(
        report.pending_restart[0].path,
        "databases[main].listen.port"
    );

    let raw: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(raw["pendingRestart"][0]["wanted"], "5433");
    assert_eq!(raw["rejection"]["diagnostics"][0]["severity"], "error");
}

#[tokio::test]
async fn the_port_names_no_user_and_changes_nothing() {
    let doors = Doors::open().await;
    for path in ["/users", "/policy", "/drain", "/", "/metrics/"] {
        let (status, body) = doors.get(path).await;
        assert_eq!(status, 404, "{path}");
        assert!(!body.contains("alice"), "{path}");
    }
    for (method, path) in [
        ("POST", "/drain"),
        ("POST", "/metrics"),
        ("DELETE", "/revision"),
    ] {
        let (status, ..) = doors.request(method, path).await;
        assert_eq!(status, 405, "{method} {path}");
    }
    let (status, _, body) = doors.request("HEAD", "/healthz").await;
    assert_eq!((status, body.as_str()), (200, ""));
}

#[tokio::test]
async fn a_request_that_is_none_ends_its_connection_and_no_other() {
    let doors = Doors::open().await;
    for nonsense in [
        "\0\0\0\x08\x04\x52\x16\x2f".to_owned(),
        "GET\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(100_000)),
    ] {
        let mut stream = TcpStream::connect(doors.address).await.expect("connected");
        let _ = stream.write_all(nonsense.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    }
    assert_eq!(doors.get("/healthz").await.0, 200);
}

#[tokio::test]
async fn silent_connections_keep_nobody_out() {
    let doors = Doors::open().await;
    let mut silent = Vec::new();
    for _ in 0..MAX_CONNECTIONS + 8 {
        silent.push(TcpStream::connect(doors.address).await.expect("connected"));
    }
    assert_eq!(doors.get("/healthz").await, (200, "ok\n".to_owned()));
    assert_eq!(doors.get("/readyz").await.0, 503, "an answer all the same");

    // The oldest was closed for those that came later.
    let mut answer = Vec::new();
    let _ = silent[0].read_to_end(&mut answer).await;
    assert_eq!(answer, b"", "closed without an answer");
}

#[tokio::test]
async fn a_connection_that_is_at_an_answer_is_not_closed_for_another() {
    #[derive(Clone, Default)]
    struct Slow {
        asked: Arc<Notify>,
        go_on: Arc<Notify>,
    }
    impl Inventory for Slow {
        fn users(&self) -> Pin<Box<dyn Future<Output = Vec<UserRow>> + Send + '_>> {
            Box::pin(async {
                self.asked.notify_one();
                self.go_on.notified().await;
                Vec::new()
            })
        }
    }
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("control.sock");
    let control = ControlSocket::bind(&socket).expect("bound");
    let slow = Slow::default();
    let mut serving = JoinSet::new();
    serving.spawn(control.serve(AdminState {
        inventory: Arc::new(slow.clone()),
        ..state()
    }));
    let asked = tokio::spawn({
        let socket = socket.clone();
        async move { client::get::<UsersReport>(&socket, "/users").await }
    });
    slow.asked.notified().await;
    let mut others = Vec::new();
    for _ in 0..MAX_CONNECTIONS + 8 {
        others.push(UnixStream::connect(&socket).await.expect("connected"));
    }
    // Answered, so all those before have been accepted.
    client::drain(&socket).await.expect("agreed");
    slow.go_on.notify_one();
    let report = asked.await.expect("no panic").expect("answered");
    assert!(report.users.is_empty());
}

#[tokio::test]
async fn the_socket_tells_the_users_and_who_comes_without_a_context() {
    let doors = Doors::open().await;
    let inventory = &doors.state.metrics.inventory;
    let nightly = inventory.application("postgresql", "nightly");
    nightly.connection(Attribution::Unattributed);
    nightly.query(Attribution::Claimed);
    let report: UsersReport = client::get(&doors.socket(), "/users").await.expect("told");
    let ids: Vec<&str> = report.users.iter().map(|u| u.user_id.as_str()).collect();
    assert_eq!(ids, ["alice", "bob"]);
    let nightly = &report.applications[0];
    assert_eq!(nightly.application, "nightly");
    assert_eq!(
        (nightly.connections.unattributed, nightly.queries.claimed),
        (1, 1)
    );
}

#[tokio::test]
async fn the_socket_tells_the_runs_that_were_not_completed() {
    let doors = Doors::open().await;
    doors.state.metrics.unfinished_runs.add(UnfinishedRun {
        user_id: "alice".to_owned(),
        upstream: "chat".to_owned(),
        run_id: "r-1".to_owned(),
        outcome: ExecutionState::TimedOut,
        age: Duration::from_secs(61),
        ended: std::time::Instant::now(),
    });
    let report: ExecutionsReport = client::get(&doors.socket(), "/executions")
        .await
        .expect("told");
    let expected = ExecutionRow {
        user_id: "alice".to_owned(),
        upstream: "chat".to_owned(),
        run_id: "r-1".to_owned(),
        outcome: "timed_out".to_owned(),
        age_seconds: 61,
        ended_seconds_ago: 0,
    };
    assert_eq!(report.unfinished, [expected]);
    let args = AskArgs {
        control: ControlArgs {
            control: Some(doors.socket()),
        },
        json: false,
    };
    let mut out = Vec::new();
    cli::executions(&args, &mut out).await.expect("told");
    let text = String::from_utf8(out).expect("text");
    assert!(
        text.contains("alice") && text.contains("timed_out") && text.contains("61s"),
        "{text}"
    );
}

#[tokio::test]
async fn the_socket_tells_the_policy_with_its_origins() {
    let doors = Doors::open().await;
    let report: PolicyReport = client::get(&doors.socket(), "/policy").await.expect("told");
    assert_eq!(report.revision, "a1b2");
    let statement = report
        .fields
        .iter()
        .find(|field| field.path == "databases[main].timeouts.statement")
        .expect("every field is told");
    assert_eq!(
        (statement.value.as_str(), statement.origin.as_str()),
        ("30s", "default")
    );
}

#[tokio::test]
async fn the_subcommands_print_what_the_socket_tells() {
    let doors = Doors::open().await;
    let inventory = &doors.state.metrics.inventory;
    let nightly = inventory.application("postgresql", "nightly");
    nightly.connection(Attribution::Unattributed);
    nightly.query(Attribution::Claimed);
    let control = ControlArgs {
        control: Some(doors.socket()),
    };
    let ask = |json| AskArgs {
        control: control.clone(),
        json,
    };
    let text = |out: Vec<u8>| String::from_utf8(out).expect("text");

    let mut out = Vec::new();
    cli::users(&ask(false), &mut out).await.expect("told");
    let table = text(out);
    let lines: Vec<&str> = table.lines().collect();
    assert!(
        lines[0].starts_with("USER   UPSTREAM  DATABASE  ROLE  CLIENTS"),
        "{table}"
    );
    assert!(lines[1].starts_with("alice  main"), "{table}");
    assert!(lines[2].starts_with("bob    main"), "{table}");
    assert!(lines[5].starts_with("nightly"), "{table}");

    let mut out = Vec::new();
    cli::users(&ask(true), &mut out).await.expect("told");
    let report: UsersReport = serde_json::from_str(&text(out)).expect("JSON");
    assert_eq!(report.users.len(), 2);

    let mut out = Vec::new();
    cli::policy(&ask(false), &mut out).await.expect("told");
    let table = text(out);
    assert!(
        table.starts_with("policy default/chat for environment staging, revision a1b2\n"),
        "{table}"
    );
    assert!(
        table.contains("\ndatabases[main].timeouts.statement "),
        "{table}"
    );

    let mut out = Vec::new();
    cli::drain(&control, &mut out).await.expect("agreed");
    assert_eq!(
        text(out),
        "not ready from now on; databases stay open to the application, and SIGTERM ends what is left\n"
    );
}

#[tokio::test]
async fn a_request_to_drain_is_kept_until_somebody_waits_for_it() {
    let doors = Doors::open().await;
    client::drain(&doors.socket()).await.expect("agreed");
    tokio::time::timeout(Duration::from_secs(30), doors.state.drain.notified())
        .await
        .expect("notified");
}

#[tokio::test]
async fn workers_that_do_not_answer_do_not_hold_the_caller() {
    struct Silent;
    impl Inventory for Silent {
        fn users(&self) -> Pin<Box<dyn Future<Output = Vec<UserRow>> + Send + '_>> {
            Box::pin(std::future::pending())
        }
    }
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("control.sock");
    let control = ControlSocket::bind(&socket).expect("bound");
    let mut serving = JoinSet::new();
    serving.spawn(control.serve(AdminState {
        inventory: Arc::new(Silent),
        ..state()
    }));

    // The clock jumps to the next deadline whenever nothing else is to be done.
    tokio::time::pause();
    let answer = client::get::<UsersReport>(&socket, "/users").await;
    let Err(AdminError::Refused { status, text, .. }) = answer else {
        panic!("{answer:?}");
    };
    assert_eq!((status, text.as_str()), (504, "the workers do not answer"));
}

#[tokio::test]
async fn the_socket_is_for_its_owner_and_gone_when_its_sidecar_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("bulkhead/control.sock");
    let control = ControlSocket::bind(&path).expect("bound");
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().expect("a parent")), 0o700);
    drop(control);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_mistyped_path_creates_no_folders() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("rnu/bulkhead/control.sock");
    let refused = ControlSocket::bind(&path).expect_err("there is no rnu");
    assert!(
        matches!(refused, AdminError::NoDirectory { .. }),
        "{refused}"
    );
    assert!(!directory.path().join("rnu").exists());
}

#[tokio::test]
async fn a_stale_socket_is_replaced_and_a_live_one_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("control.sock");
    // A sidecar that was killed leaves its socket behind.
    drop(std::os::unix::net::UnixListener::bind(&path).expect("bound"));
    assert!(path.exists());

    let first = ControlSocket::bind(&path).expect("a stale one is in nobody's way");
    let second = ControlSocket::bind(&path).expect_err("the first one lives");
    assert!(matches!(second, AdminError::ControlInUse { .. }));
    assert!(second.to_string().contains("a running sidecar answers"));

    drop(first);
    ControlSocket::bind(&path).expect("now it is free");
}

#[tokio::test]
async fn a_file_in_the_sockets_place_is_not_removed() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("control.sock");
    fs::write(&path, "precious").expect("written");
    let refused = ControlSocket::bind(&path).expect_err("there is a file");
    assert!(matches!(refused, AdminError::NotASocket { .. }));
    assert_eq!(fs::read_to_string(&path).expect("still there"), "precious");
}

#[tokio::test]
async fn a_socket_that_a_successor_has_replaced_is_left_to_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("control.sock");
    let first = ControlSocket::bind(&path).expect("bound");
    fs::remove_file(&path).expect("removed");
    let _second = ControlSocket::bind(&path).expect("bound");
    drop(first);
    UnixStream::connect(&path)
        .await
        .expect("the second one lives");
}

#[tokio::test]
async fn asking_where_nobody_answers_says_where_and_what_to_check() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("control.sock");
    let refused = client::drain(&path).await.expect_err("nobody is there");
    let text = refused.to_string();
    assert!(matches!(refused, AdminError::NoSidecar { .. }));
    assert!(
        text.contains("control.sock: no sidecar answers there"),
        "{text}"
    );
}

#[tokio::test]
async fn an_address_that_is_taken_is_named() {
    let doors = Doors::open().await;
    let refused = AdminPort::bind(doors.address.into()).expect_err("taken");
    let text = refused.to_string();
    assert!(
        text.starts_with(&format!("--admin {}: cannot listen", doors.address)),
        "{text}"
    );
    assert!(text.contains("choose another"), "{text}");
}

#[tokio::test]
async fn a_port_without_an_address_is_reached_at_every_address() {
    let port = AdminPort::bind(":0".parse().expect("all addresses")).expect("bound");
    let number = port.address().port();
    let mut serving = JoinSet::new();
    serving.spawn(port.serve(state()));
    let there_is_ipv6 = std::net::TcpListener::bind("[::1]:0").is_ok();
    let hosts = ["127.0.0.1", "127.0.0.2", "::1"];
    for host in hosts.iter().take(if there_is_ipv6 { 3 } else { 2 }) {
        TcpStream::connect((*host, number)).await.expect(host);
    }
}
