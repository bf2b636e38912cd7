//! Clients that come over the Unix socket of `listen.socket`.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::{APP_ROLE, PASSWORD};
use bulkhead_tests::processes::folder;
use bulkhead_tests::session::{Session, connect};
use bulkhead_tests::stage::Stage;
use bulkhead_tests::tools::Said;
use bulkhead_tests::wire::{Wire, send};
use bulkhead_tests::{programs, tools, wait};
use tokio_postgres::Config;

fn with_socket(folder: &Path) -> Policy {
    Policy::trusted().database(&format!("listen: {{socket: {}}}", folder.display()))
}

async fn start() -> (Stage, PathBuf) {
    let folder = folder("socket");
    (Stage::start(with_socket(&folder)).await, folder)
}

fn config(stage: &Stage, folder: &Path) -> Config {
    let mut config = Config::new();
    config
        .host_path(folder)
        .port(stage.sidecar.port())
        .user(APP_ROLE)
        .dbname(&stage.database)
        .options("-c bulkhead.user=alice");
    config
}

async fn alice(stage: &Stage, folder: &Path) -> Session {
    connect(&config(stage, folder)).await.unwrap()
}

async fn psql(stage: &Stage, folder: &Path, more: &str) -> Said {
    let mut command = tokio::process::Command::new(programs::postgresql("psql"));
    command
        .args([
            "-X",
            "-q",
            "-A",
            "-t",
            "-c",
            "SELECT current_setting('app.user_id')",
        ])
        .arg(format!(
            "host={} port={} user={APP_ROLE}+alice dbname={} {more}",
            folder.display(),
            stage.sidecar.port(),
            stage.database,
        ))
        .env("PGPASSWORD", PASSWORD)
        .current_dir("/");
    if rustix::process::geteuid().is_root() {
        // In a pod the application is another user than the sidecar.
        command.uid(65_534);
    }
    tools::run(command, "").await
}

#[tokio::test]
async fn psql_and_tokio_postgres_are_served_as_over_tcp() {
    let (stage, folder) = start().await;
    assert_eq!(psql(&stage, &folder, "").await.well(), "alice\n");
    let session = alice(&stage, &folder).await;
    assert_eq!(
        session
            .text("SELECT current_setting('app.user_id')")
            .await
            .as_deref(),
        Some("alice")
    );
    let long = session.text("SELECT repeat('u', 1000000)").await.unwrap();
    assert_eq!(long.len(), 1_000_000);
    // The same listener's TCP port is there beside it, and both are counted as one entry's.
    stage.user("bob").await.run("SELECT 1").await;
    assert_eq!(
        stage.sidecar.metric(
            "bulkhead_connections_total",
            &[("upstream", "main"), ("outcome", "accepted")]
        ),
        3.0
    );
}

#[tokio::test]
async fn who_names_no_user_is_refused_there_too() {
    let (stage, folder) = start().await;
    let mut config = config(&stage, &folder);
    config.options("");
    let refusal = connect(&config).await.map(|_| ()).unwrap_err();
    assert_eq!(
        bulkhead_tests::refusal::Refusal::from(refusal).code,
        "28000"
    );
}

#[tokio::test]
async fn a_statement_is_cancelled_over_the_socket() {
    let (stage, folder) = start().await;
    let admin = stage.admin().await;
    let session = alice(&stage, &folder).await;
    let token = session.cancel_token();
    let (refusal, ()) = tokio::join!(session.refused("SELECT pg_sleep(60)"), async {
        stage.until_asleep(&admin).await;
        token.cancel_query(tokio_postgres::NoTls).await.unwrap();
    });
    assert_eq!(refusal.code, "57014");
}

#[tokio::test]
async fn encryption_is_declined_even_where_there_is_a_certificate() {
    let authority = bulkhead_tests::certificates::Authority::new("Application side");
    let identity = authority.issue(&["localhost"]);
    let folder = folder("socket");
    let policy = with_socket(&folder).database("listen: {tls: Secret, tlsSecretRef: {name: own}}");
    let stage = Stage::with(policy)
        .secret("own/tls.crt", &identity.certificate)
        .secret("own/tls.key", &identity.key)
        .start()
        .await;
    let path = folder.join(format!(".s.PGSQL.{}", stage.sidecar.port()));
    let mut wire = Wire::over(tokio::net::UnixStream::connect(path).await.unwrap());
    wire.send(send::ssl_request()).await;
    assert_eq!(wire.byte().await, Some(b'N'));
    wire.login(&[("user", "chat_app+alice"), ("database", &stage.database)])
        .await
        .unwrap();
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
}

#[tokio::test]
async fn scram_guards_the_socket_as_it_guards_the_port() {
    let folder = folder("socket");
    let policy =
        with_socket(&folder).database("listen: {auth: {mode: Scram, secretRef: {name: front}}}");
    let stage = Stage::with(policy)
        .secret("front/password", "between-us-two")
        .start()
        .await;
    let config = config(&stage, &folder);
    let session = connect(config.clone().password("between-us-two")).await;
    session.unwrap().run("SELECT 1").await;
    let wrong = connect(config.clone().password("wrong")).await;
    let refusal = bulkhead_tests::refusal::Refusal::from(wrong.map(|_| ()).unwrap_err());
    assert_eq!(refusal.code, "28P01");
}

#[tokio::test]
async fn the_file_goes_with_the_sidecar_and_a_stale_one_is_replaced() {
    let folder = folder("socket");
    let mut pod = Stage::with(with_socket(&folder)).start_in_a_pod().await;
    let path = folder.join(format!(".s.PGSQL.{}", pod.stage.sidecar.port()));
    // Given a container that was killed, and has left its socket behind
    pod.stage.sidecar.kill();
    pod.stage.sidecar.wait(bulkhead_tests::PATIENCE);
    assert!(UnixStream::connect(&path).is_err() && path.exists());
    // When the next one starts, then its clients find it
    pod.restart();
    alice(&pod.stage, &folder).await.run("SELECT 1").await;
    // And after an orderly end nothing is left
    pod.stage.sidecar.terminate();
    pod.stage.sidecar.wait(bulkhead_tests::PATIENCE);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0);
}

#[tokio::test]
async fn a_socket_on_which_somebody_answers_is_left_alone() {
    let folder = folder("socket");
    let mut pod = Stage::with(with_socket(&folder)).start_in_a_pod().await;
    let path = folder.join(format!(".s.PGSQL.{}", pod.stage.sidecar.port()));
    pod.stage.sidecar.terminate();
    pod.stage.sidecar.wait(bulkhead_tests::PATIENCE);
    let other = UnixListener::bind(&path).unwrap();
    let said = pod.try_restart().unwrap_err();
    assert!(said.contains("a server answers there"), "{said}");
    drop(other);
    pod.restart();
}

#[tokio::test]
async fn another_folder_waits_for_a_restart() {
    let (stage, folder) = start().await;
    let elsewhere = stage
        .sidecar
        .policy()
        .clone()
        .database("listen: {socket: /elsewhere}");
    stage.sidecar.write_policy(&elsewhere.text());
    wait::until("the change to be told", || async {
        stage.sidecar.revision()["pendingRestart"][0]["path"] == "databases[main].listen.socket"
    })
    .await;
    alice(&stage, &folder).await.run("SELECT 1").await;
}

#[tokio::test]
async fn only_the_user_ids_that_the_policy_names_are_let_in() {
    let own = rustix::process::geteuid().as_raw();
    for (allowed, let_in) in [(own, true), (own + 1, false)] {
        let folder = folder("socket");
        let policy =
            with_socket(&folder).database(&format!("listen: {{allowedUids: [{allowed}]}}"));
        let stage = Stage::start(policy).await;
        match connect(&config(&stage, &folder)).await {
            Ok(session) => {
                assert!(let_in, "{allowed}");
                session.run("SELECT 1").await;
            }
            Err(error) => {
                assert!(!let_in, "{allowed}: {error:?}");
                let refusal = bulkhead_tests::refusal::Refusal::from(error);
                assert_eq!(refusal.code, "28000");
                let told = format!(
                    "user id {own} may not connect by this socket: databases[main].listen.allowedUids = {allowed}"
                );
                assert!(refusal.message.contains(&told), "{refusal:?}");
            }
        }
        // psql runs as another user where the tests run as root.
        if rustix::process::geteuid().is_root() {
            let said = psql(&stage, &folder, "").await;
            assert!(said.errors.contains("user id 65534 may not connect"));
        }
        // The port beside the socket knows no user ids.
        stage.user("bob").await.run("SELECT 1").await;
    }
}
