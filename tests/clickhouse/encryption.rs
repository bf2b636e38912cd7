//! TLS on the client's side.

use bulkhead_tests::certificates::Authority;
use bulkhead_tests::clickhouse::{Server, Stage, curl, trusted};
use bulkhead_tests::processes::folder;

#[tokio::test]
async fn a_client_that_insists_on_tls_has_it_and_one_that_does_not_is_served_too() {
    let authority = Authority::new("house");
    let identity = authority.issue(&["127.0.0.1"]);
    let policy = trusted().database("listen: {tls: Secret, tlsSecretRef: {name: listen}}");
    let secrets = [
        ("listen/tls.crt", identity.certificate.as_str()),
        ("listen/tls.key", identity.key.as_str()),
    ];
    let stage = Stage::before(Server::shared().port, &policy, &secrets);
    let file = folder("ca").join("ca.crt");
    std::fs::write(&file, authority.certificate()).unwrap();
    let file = file.display().to_string();
    let url = stage.url("/").replace("http://", "https://");
    let header = "X-Bulkhead-User: alice";
    let sealed = curl(
        &[
            "--cacert",
            &file,
            "-H",
            header,
            "--data-binary",
            "SELECT 1",
            &url,
        ],
        "",
    )
    .await;
    assert_eq!(sealed.rows(), "1");
    assert_eq!(stage.query("alice", "SELECT 2").await.rows(), "2");
}
