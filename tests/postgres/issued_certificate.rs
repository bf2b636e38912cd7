//! `listen.tls: Issued`: the certificate that the operator issues for the application that insists on TLS.

use bulkhead_tests::certificates::Authority;
use bulkhead_tests::pod::Pod;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::processes::folder;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::tools::Said;
use bulkhead_tests::{programs, tools, wait};

/// psql as the application runs it, which believes nobody but `authority`.
async fn psql(stage: &Stage, authority: &Authority) -> Said {
    let root = folder("ca").join("ca.crt");
    std::fs::write(&root, authority.certificate()).unwrap();
    let mut command = tokio::process::Command::new(programs::postgresql("psql"));
    command
        .args(["-X", "-q", "-A", "-t", "-c", "SELECT current_setting('app.user_id')"])
        .arg(format!(
            "host=db.internal hostaddr=127.0.0.1 port={} user=chat_app+alice dbname={} sslmode=verify-full",
            stage.sidecar.port(),
            stage.database,
        ))
        .env("PGSSLROOTCERT", root);
    tools::run(command, "").await
}

async fn pod(authority: &Authority) -> Pod {
    let identity = authority.issue(&["db.internal"]);
    Stage::with(Policy::trusted().database("listen: {tls: Issued}"))
        .secret("bulkhead-chat-tls/tls.crt", &identity.certificate)
        .secret("bulkhead-chat-tls/tls.key", &identity.key)
        .start_in_a_pod()
        .await
}

#[tokio::test]
async fn psql_verifies_the_issued_certificate_by_the_upstreams_name() {
    let authority = Authority::new("bulkhead chat");
    let pod = pod(&authority).await;
    assert_eq!(psql(&pod.stage, &authority).await.well(), "alice\n");
    let stranger = Authority::new("somebody else");
    assert!(!psql(&pod.stage, &stranger).await.success);
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let old = Authority::new("bulkhead chat");
    let mut pod = pod(&old).await;
    let new = Authority::new("bulkhead chat");
    let identity = new.issue(&["db.internal"]);
    pod.write_secret("bulkhead-chat-tls/tls.crt", &identity.certificate);
    // Half a pair is refused, and the old one stays.
    wait::until("half a pair to be told", || async {
        let told = pod.stage.sidecar.revision()["rejection"].to_string();
        told.contains("databases[main].listen.tls")
    })
    .await;
    assert_eq!(psql(&pod.stage, &old).await.well(), "alice\n");
    pod.write_secret("bulkhead-chat-tls/tls.key", &identity.key);
    wait::until("the new certificate", || async {
        psql(&pod.stage, &new).await.success
    })
    .await;
    assert!(!psql(&pod.stage, &old).await.success);
    assert!(pod.stage.sidecar.revision()["rejection"].is_null());
}

#[tokio::test]
async fn without_one_the_policy_is_refused_and_the_way_to_make_it_is_told() {
    let stage = Stage::start(Policy::trusted()).await;
    let issued = stage
        .sidecar
        .policy()
        .clone()
        .database("listen: {tls: Issued}");
    stage.sidecar.write_policy(&issued.text());
    wait::until("the rejection to be told", || async {
        let told = stage.sidecar.revision()["rejection"].to_string();
        told.contains("bulkhead-chat-tls/tls.crt") && told.contains("openssl req -x509")
    })
    .await;
    stage.user("alice").await.run("SELECT 1").await;
}
