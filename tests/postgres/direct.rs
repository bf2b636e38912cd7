//! The harness itself, proven against PostgreSQL without a sidecar: what fails here says nothing about Bulkhead.

use bulkhead_tests::postgres::{APP_ROLE, PASSWORD, Server};
use bulkhead_tests::wire::{V3_0, Wire, send};
use bulkhead_tests::{processes, programs};

#[tokio::test]
async fn a_database_is_a_copy_of_its_own() {
    // Given two databases of the shared server,
    let server = Server::shared();
    let (one, two) = (server.database().await, server.database().await);
    assert_ne!(one, two);

    // when something changes in one,
    server.admin(&one).await.run("DELETE FROM things").await;

    // then the other has it still.
    let count = server
        .admin(&two)
        .await
        .text("SELECT count(*) FROM things")
        .await;
    assert_eq!(count.as_deref(), Some("100"));
}

#[tokio::test]
async fn the_wire_shows_every_message_of_the_server() {
    let server = Server::shared();
    let database = server.database().await;
    let stream = tokio::net::UnixStream::connect(
        server
            .place()
            .socket
            .join(format!(".s.PGSQL.{}", server.place().port)),
    )
    .await
    .unwrap();
    let mut wire = Wire::over(stream);

    let login = wire
        .login_as(V3_0, &[("user", "postgres"), ("database", &database)])
        .await
        .unwrap();
    assert_eq!(login.tags(), "RKZ");
    assert!(wire.parameters.contains_key("server_version"));
    assert_eq!(wire.key.as_ref().unwrap().1.len(), 4);

    let answer = wire.query("SELECT 1, NULL").await;
    assert_eq!(answer.tags(), "TDCZ");
    assert_eq!(answer.rows(), [[Some("1".to_owned()), None]]);
    assert_eq!(answer.commands(), ["SELECT 1"]);
    assert_eq!(answer.status(), 'I');

    let answer = wire
        .exchange(&[send::run_unnamed("SELECT refuse()"), send::sync()])
        .await;
    let refusal = answer.refusal();
    assert_eq!(
        (
            refusal.code.as_str(),
            refusal.message.as_str(),
            refusal.hint.as_str()
        ),
        ("BH042", "no", "ask again")
    );
}

#[tokio::test]
async fn the_application_logs_in_with_its_password_alone() {
    let server = Server::shared();
    let database = server.database().await;
    let mut config = tokio_postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(server.place().port)
        .user(APP_ROLE)
        .dbname(&database);

    let refusal = bulkhead_tests::session::connect(config.clone().password("wrong"))
        .await
        .map(|_| ())
        .unwrap_err();
    assert_eq!(refusal.code().unwrap().code(), "28P01");
    let session = bulkhead_tests::session::connect(config.password(PASSWORD))
        .await
        .unwrap();
    assert_eq!(
        session.text("SELECT current_user").await.as_deref(),
        Some(APP_ROLE)
    );
}

#[tokio::test]
async fn a_server_that_was_killed_starts_again_on_its_port() {
    let mut server = Server::own();
    let port = server.place().port;
    server.kill();
    server.start();
    assert_eq!(server.place().port, port);
    let admin = server.admin("chat").await;
    assert_eq!(admin.text("SELECT 1").await.as_deref(), Some("1"));
}

#[test]
fn psycopg_is_at_hand() {
    let python = programs::python();
    let output = std::process::Command::new(python)
        .args(["-c", "import psycopg; print(psycopg.__version__)"])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with('3'));
}

#[test]
fn a_process_ends_with_its_handle() {
    let running = processes::Running::start("sleep", std::process::Command::new("sleep").arg("60"));
    let id = running.id();
    drop(running);
    assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
}
