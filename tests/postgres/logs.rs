//! What an operator reads in the log when something goes wrong, and what never stands there.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::Server;
use bulkhead_tests::stage::Stage;

#[tokio::test]
async fn an_upstream_that_goes_and_comes_back_is_told_once_each() {
    // Given a sidecar whose upstream has died,
    let mut server = Server::own();
    let policy = Policy::trusted().database("breaker: {failures: 1000}");
    let stage = Stage::on(&server, policy).start().await;
    let log = &stage.sidecar.log;
    let alice = stage.user("alice").await;
    alice.run("SELECT 1").await;
    server.kill();

    // when work needs it again and again,
    for _ in 0..5 {
        assert!(alice.simple_query("SELECT 1").await.is_err());
    }

    // then the log says so once, and once that it is back.
    let told = log.until_told("the upstream cannot be reached", 1).await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["level"], "WARN");
    assert_eq!(told[0]["upstream"], "main");
    assert!(log.told("the upstream takes connections again").is_empty());
    server.start();
    alice.run("SELECT 1").await;
    log.until_told("the upstream takes connections again", 1)
        .await;
}

#[tokio::test]
async fn credentials_that_the_server_refuses_are_told_without_the_password() {
    let stage = Stage::with(Policy::trusted())
        .secret("db/password", "not-the-password")
        .start()
        .await;
    stage.first_refusal("chat_app+alice").await;
    let told = stage
        .sidecar
        .log
        .until_told("the upstream refuses a login", 1)
        .await;
    assert!(told[0]["error"].to_string().contains("28P01"), "{told:?}");
    stage.sidecar.log.check();
}

#[tokio::test]
async fn spares_that_cannot_be_opened_are_tried_ever_later() {
    let stage = Stage::with(Policy::trusted().pool("warm: 4"))
        .secret("db/password", "not-the-password")
        .workers(1)
        .start()
        .await;
    let told = stage
        .sidecar
        .log
        .until_told("a spare could not be opened", 3)
        .await;
    let waits: Vec<_> = told.iter().map(|event| &event["again_in"]).collect();
    assert_eq!(waits, ["1s", "2s", "4s"]);
    // With the right password it begins anew, at once.
    stage
        .sidecar
        .write_secret("db/password", bulkhead_tests::postgres::PASSWORD);
    stage
        .until_metric("bulkhead_server_connections", &[("state", "spare")], 4.0)
        .await;
}

#[tokio::test]
async fn refused_clients_are_told_by_reason_and_not_by_name() {
    let mut stage = Stage::start(Policy::trusted().spec("limits: {maxUsers: 1}")).await;
    for hidden in ["undefined", "mallory"] {
        stage.sidecar.log.must_not_show(hidden);
    }
    // Many without a valid user context: one line a reason.
    for _ in 0..5 {
        assert!(
            stage
                .try_options("-c bulkhead.user=undefined")
                .await
                .is_err()
        );
        assert!(stage.try_name("chat_app").await.is_err());
    }
    let log = &stage.sidecar.log;
    let told = log
        .until_told("a client is refused: no valid user context", 2)
        .await;
    let mut reasons: Vec<_> = told
        .iter()
        .map(|event| event["reason"].to_string())
        .collect();
    reasons.sort();
    assert_eq!(reasons, ["\"missing\"", "\"placeholder\""]);

    // One who does not speak the protocol,
    let mut wire = stage.wire().await;
    wire.send([0, 0, 0, 8, 0, 9, 0, 0]).await;
    wire.until_closed().await;
    log.until_told("a client's start-up has failed", 1).await;

    // and one above a limit.
    let _alice = stage.user("alice").await;
    assert!(stage.try_options("-c bulkhead.user=mallory").await.is_err());
    let limited =
        "a client is refused at its login: a limit is reached, or the upstream gives no connection";
    log.until_told(limited, 1).await;
    log.check();
}
