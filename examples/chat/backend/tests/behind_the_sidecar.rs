//! The backend behind a real sidecar and a real PostgreSQL, with the schema of the example.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test reports by panicking, in its helpers too"
)]

use std::net::SocketAddr;

use bulkhead_example_chat::{Database, serve};
use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::APP_ROLE;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const SCHEMA: &str = include_str!("../../schema.sql");

struct Backend {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Backend {
    async fn start(connection_string: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let database = Database::new(connection_string).unwrap();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(serve(listener, database, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            stop: Some(stop),
            serving,
        }
    }

    async fn before(stage: &Stage) -> Self {
        let schema = SCHEMA.replace("TO chat;", &format!("TO {APP_ROLE};"));
        stage.admin().await.run(&schema).await;
        Self::start(&format!(
            "host=127.0.0.1 port={} user={APP_ROLE} dbname={}",
            stage.sidecar.port(),
            stage.database
        ))
        .await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        user: Option<&str>,
        body: &str,
    ) -> (StatusCode, Value) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(path);
        if let Some(user) = user {
            request = request.header("x-chat-user", user);
        }
        let request = request.body(Full::<Bytes>::from(body.to_owned())).unwrap();
        let reply = wait::within(path, client.send_request(request))
            .await
            .unwrap();
        let status = reply.status();
        let text = reply.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&text).unwrap())
    }

    async fn get(&self, path: &str, user: &str) -> (StatusCode, Value) {
        self.ask(Method::GET, path, Some(user), "").await
    }

    async fn say(&self, user: &str, body: &str) {
        let (status, _) = self.ask(Method::POST, "/messages", Some(user), body).await;
        assert_eq!(status, StatusCode::CREATED);
    }
}

fn bodies(messages: &Value) -> Vec<&str> {
    let messages = messages.as_array().unwrap();
    messages
        .iter()
        .map(|message| message["body"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn each_user_has_their_own_messages() {
    let stage = Stage::start(Policy::trusted()).await;
    let backend = Backend::before(&stage).await;

    backend.say("alice", "hello from alice").await;
    backend.say("bob", "hello from bob").await;
    // Not two options, and not alice.
    backend
        .say("carol -c bulkhead.user=alice", "hello from carol")
        .await;

    let (status, messages) = backend.get("/messages", "alice").await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(bodies(&messages), ["hello from alice"]);
    assert_eq!(messages[0]["user"], "alice");
    assert_eq!(
        bodies(&backend.get("/messages", "bob").await.1),
        ["hello from bob"]
    );
    let rows = stage
        .admin()
        .await
        .text("SELECT count(*) FROM messages")
        .await;
    assert_eq!(rows.as_deref(), Some("3"));
    assert!(stage.cross_user_handoffs().abs() < 0.5);
}

#[tokio::test]
async fn a_report_that_takes_too_long_names_the_setting() {
    let stage = Stage::start(Policy::trusted().timeouts("statement: 300ms")).await;
    let backend = Backend::before(&stage).await;

    let (status, answer) = backend.get("/report?seconds=30", "alice").await;

    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(answer["sqlstate"], "57014");
    let error = answer["error"].as_str().unwrap();
    assert!(
        error.contains("databases[main].timeouts.statement"),
        "{error}"
    );
    assert_eq!(
        backend.get("/report?seconds=0", "alice").await.0,
        StatusCode::OK
    );
}

#[tokio::test]
async fn who_is_nobody_is_refused() {
    let stage = Stage::start(Policy::trusted()).await;
    let backend = Backend::before(&stage).await;

    let (status, answer) = backend.get("/messages", "null").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(answer["sqlstate"], "28000");
    let (status, _) = backend.ask(Method::GET, "/messages", None, "").await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn without_its_database_it_is_healthy_and_says_what_is_wrong() {
    // Given: a port that nobody listens on.
    let port = bulkhead_tests::processes::free_port();
    let backend =
        Backend::start(&format!("host=127.0.0.1 port={port} user=chat dbname=chat")).await;

    let (status, answer) = backend.get("/messages", "alice").await;
    assert_eq!(status, StatusCode::BAD_GATEWAY);
    assert_eq!(answer["sqlstate"], json!(null));
    assert_eq!(backend.get("/healthz", "alice").await.0, StatusCode::OK);
}

#[tokio::test]
async fn told_to_stop_it_finishes_what_it_has_begun() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut backend = Backend::before(&stage).await;
    let admin = stage.admin().await;

    let stop = backend.stop.take().unwrap();
    let working = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep($1)%' AND state = 'active'";
    let asking = backend.get("/report?seconds=1", "alice");
    let stopping = async {
        let begun = || async { admin.text(working).await.as_deref() == Some("1") };
        wait::until("the report's start", begun).await;
        stop.send(()).unwrap();
    };
    let ((status, _), ()) = tokio::join!(asking, stopping);

    assert_eq!(status, StatusCode::OK);
    wait::within("the end", backend.serving).await.unwrap();
    assert!(TcpStream::connect(backend.address).await.is_err());
}
