//! TLS on the client's side, and on the server's.

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

#[tokio::test]
async fn the_server_is_reached_over_tls_and_another_authoritys_is_not() {
    let (authority, stranger) = (Authority::new("house"), Authority::new("elsewhere"));
    let server = Server::sealed(&authority.issue(&["127.0.0.1"]));
    let port = server.tls_port.unwrap();
    let verified =
        trusted().database("upstream: {tls: {mode: VerifyFull, caSecretRef: {name: ca}}}");
    let trusting = |authority: &Authority| {
        let secrets = [("ca/ca.crt", &*authority.certificate())];
        Stage::before(port, &verified, &secrets)
    };
    let stage = trusting(&authority);
    assert_eq!(stage.query("alice", "SELECT 1").await.rows(), "1");
    // The connection is kept, and a query on it is ended by another one, over TLS too.
    let slow = "SELECT sleepEachRow(1) /* sealed */ FROM numbers(60) SETTINGS max_block_size = 1";
    let begun = stage.begin("alice", slow);
    server.until_running("sealed", 1).await;
    drop(begun);
    server.until_running("sealed", 0).await;
    let policy = stage.sidecar.home().join("policy.yaml");
    let (code, said) = stage.sidecar.check(&policy);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("is ClickHouse 18.16") && said.contains("user \"app\", TLS"),
        "{said}"
    );

    let stage = trusting(&stranger);
    let refused = stage.query("alice", "SELECT 1").await;
    refused.is_error(503, 210, "certificate");
    let (code, said) = stage.sidecar.check(&policy);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("databases[main].upstream") && said.contains("certificate"),
        "{said}"
    );
}

#[tokio::test]
async fn check_says_what_a_server_does_not_take() {
    let stage = Stage::start(&trusted());
    let policy = stage.sidecar.home().join("policy.yaml");
    let (code, said) = stage.sidecar.check(&policy);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("user \"app\", not encrypted"), "{said}");
    for (user, reason) in [
        ("readonly", "error[ReadOnlyProfile]"),
        ("nobody", "error[Probe]"),
    ] {
        std::fs::write(stage.sidecar.secrets().join("db/username"), user).unwrap();
        let (code, said) = stage.sidecar.check(&policy);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(reason) && said.contains(user), "{said}");
    }
}
