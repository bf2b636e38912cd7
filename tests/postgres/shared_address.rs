//! Databases of one server share an address, and are told apart by the database that a client names.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::{APP_ROLE, Server};
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::session::{Session, connect};
use bulkhead_tests::stage::Stage;

async fn alice(stage: &Stage, database: &str) -> Result<Session, Refusal> {
    let mut config = stage.config();
    config.dbname(database).options("-c bulkhead.user=alice");
    connect(&config).await.map_err(Refusal::from)
}

fn accepted(stage: &Stage, entry: &str) -> f64 {
    let labels = [("upstream", entry), ("outcome", "accepted")];
    stage.sidecar.metric("bulkhead_connections_total", &labels)
}

#[tokio::test]
async fn each_database_has_the_settings_of_its_own_entry() {
    let reports = Server::shared().database().await;
    let policy = Policy::trusted().timeouts("statement: 20s").another(
        "reports",
        &format!("{{upstream: {{database: {reports}}}, timeouts: {{statement: 300ms}}}}"),
    );
    let stage = Stage::start(policy).await;
    let chat = alice(&stage, &stage.database).await.unwrap();
    let report = alice(&stage, &reports).await.unwrap();
    for (session, database) in [(&chat, &stage.database), (&report, &reports)] {
        let named = session.text("SELECT current_database()").await;
        assert_eq!(named.as_ref(), Some(database));
    }
    chat.run("SELECT pg_sleep(0.6)").await;
    let refusal = report.refused("SELECT pg_sleep(0.6)").await;
    assert_eq!(refusal.code, "57014");
    assert!(
        refusal.says("databases[reports].timeouts.statement"),
        "{refusal:?}"
    );
    assert_eq!(
        (accepted(&stage, "main"), accepted(&stage, "reports")),
        (1.0, 1.0)
    );
}

#[tokio::test]
async fn a_database_without_an_entry_is_refused() {
    let reports = Server::shared().database().await;
    let policy =
        Policy::trusted().another("reports", &format!("upstream: {{database: {reports}}}"));
    let stage = Stage::start(policy).await;
    let refusal = alice(&stage, "postgres").await.map(|_| ()).unwrap_err();
    assert_eq!(refusal.code, "3D000");
    assert!(refusal.says("postgres"), "{refusal:?}");
}

#[tokio::test]
async fn an_entry_that_names_no_database_takes_the_rest() {
    let other = Server::shared().database().await;
    let stage = Stage::start(Policy::trusted().another("rest", "{}")).await;
    alice(&stage, &stage.database)
        .await
        .unwrap()
        .run("SELECT 1")
        .await;
    let rest = alice(&stage, &other).await.unwrap();
    assert_eq!(rest.text("SELECT current_database()").await, Some(other));
    assert_eq!(
        (accepted(&stage, "main"), accepted(&stage, "rest")),
        (1.0, 1.0)
    );
}

#[tokio::test]
async fn they_share_the_unix_socket_as_well() {
    let folder = bulkhead_tests::processes::folder("socket");
    let policy = Policy::trusted()
        .database(&format!("listen: {{socket: {}}}", folder.display()))
        .another("rest", "{}");
    let stage = Stage::start(policy).await;
    let mut config = tokio_postgres::Config::new();
    config
        .host_path(&folder)
        .port(stage.sidecar.port())
        .user(APP_ROLE)
        .dbname("postgres")
        .options("-c bulkhead.user=alice");
    let rest = connect(&config).await.unwrap();
    assert_eq!(
        rest.text("SELECT current_database()").await.as_deref(),
        Some("postgres")
    );
    assert_eq!(accepted(&stage, "rest"), 1.0);
}
