//! The end of a replica, and the API server's: what was begun is finished, and what was there is there again.

use std::time::Duration;

use bulkhead_tests::operator::{Operator, READY, control_plane};
use bulkhead_tests::wait;
use rustix::process::Signal;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{POLICY, http};

#[tokio::test]
async fn a_review_that_has_begun_is_answered_and_late_ones_are_taken_for_a_while() {
    let cluster = control_plane().await;
    let mut operator = Operator::start(&cluster).await;
    let client = http::Client::of(&cluster, &operator).await;
    let mut begun = client.connect().await.unwrap();
    begun
        .write_all(b"POST /validate HTTP/1.1\r\nHost: bulkhead\r\nContent-Length: 2\r\n\r\n{")
        .await
        .unwrap();
    begun.flush().await.unwrap();
    // An answer on another connection: the server has come to what was sent before.
    assert_eq!(client.post("/validate", b"{}").await.0, 400);

    operator.signal(Signal::TERM);
    wait::until("it to be not ready", || async {
        operator
            .get("/readyz")
            .is_some_and(|(status, body)| status == 503 && body == "draining")
    })
    .await;
    // The API server has not heard yet, and is answered.
    assert_eq!(client.post("/validate", b"{}").await.0, 400);
    begun.write_all(b"}").await.unwrap();
    let mut answer = String::new();
    wait::within("the answer", begun.read_to_string(&mut answer))
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(operator.wait(Duration::from_secs(10)).success());
}

#[tokio::test]
async fn the_operator_outlives_a_crash_of_the_api_server() {
    let cluster = control_plane().await;
    let operator = Operator::start(&cluster).await;
    operator.until_installed().await;

    cluster.stop_api_server();
    wait::until_within(READY, "the lease to be lost", || async {
        !operator.leads()
    })
    .await;
    assert!(operator.is_ready(), "it can answer, should anybody ask");
    cluster.start_api_server().await;
    wait::until_within(READY, "it to lead again", || async { operator.leads() }).await;

    let removed = [
        "delete",
        "validatingwebhookconfiguration",
        "bulkhead-validate",
    ];
    let _removed = cluster.kubectl(&removed).await.well();
    let found = ["get", "validatingwebhookconfiguration", "-o", "name"];
    wait::until_within(READY, "the webhook to be back", || async {
        let said = cluster.kubectl(&found).await.well();
        said.contains("bulkhead-validate")
    })
    .await;
    let said = cluster.kubectl_with(&["apply", "-f", "-"], POLICY).await;
    assert!(said.success, "{said:?}");
}
