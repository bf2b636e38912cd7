//! TLS in each mode, against certificates that are right, and wrong in one way each.

use bulkhead_crds::kinds::{SecretRef, TlsMode};
use bulkhead_sidecar::secrets::Secrets;
use bulkhead_sidecar::upstream::{ConnectError, Connector};
use std::sync::Arc;

use crate::support::Entry;
use crate::support::certificates::{Authority, self_signed};
use crate::support::fake::{Do, Fake, message};
use crate::support::postgres::Postgres;
use crate::support::query::ask;

const ENCRYPTED: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

#[tokio::test]
async fn each_mode_checks_what_it_says() {
    use TlsMode::{Require, VerifyCa, VerifyFull};
    let authority = Authority::new();
    let server = Postgres::start(Some(&authority.server(&["localhost", "127.0.0.1"])));
    let right = authority.pem();
    let other = Authority::new().pem();
    // 127.0.0.2 is the same server under an address that its certificate does not have.
    let cases = [
        ("localhost", VerifyFull, Some(&right), None),
        ("LOCALHOST.", VerifyFull, Some(&right), None),
        ("127.0.0.1", VerifyFull, Some(&right), None),
        ("127.0.0.2", VerifyFull, Some(&right), Some("upstream.host")),
        (
            "localhost",
            VerifyFull,
            Some(&other),
            Some("upstream.tls.caSecretRef"),
        ),
        (
            "localhost",
            VerifyFull,
            None,
            Some("upstream.tls.caSecretRef"),
        ),
        ("127.0.0.2", VerifyCa, Some(&right), None),
        (
            "localhost",
            VerifyCa,
            Some(&other),
            Some("upstream.tls.caSecretRef"),
        ),
        ("127.0.0.2", Require, None, None),
        ("127.0.0.2", Require, Some(&other), None),
    ];
    for (host, mode, ca, mended_by) in cases {
        let entry = Entry::new(host, server.port).tls(mode, ca.map(String::as_str));
        match mended_by {
            None => {
                let mut connection = entry.connect("trusty").await.unwrap();
                assert_eq!(ask(&mut connection, ENCRYPTED).await, Ok("t".to_owned()));
            }
            Some(field) => {
                let (error, text) = entry.refusal("trusty").await;
                assert!(
                    matches!(error, ConnectError::Tls { .. }),
                    "{host} {mode:?}: {text}"
                );
                assert!(text.contains(&format!("databases[main].{field}")), "{text}");
            }
        }
    }
}

#[tokio::test]
async fn scram_binds_the_channel_to_certificates_of_every_hash() {
    // The server refuses a binding that is wrong, and an exchange that says `y` where it has offered one.
    for algorithm in [
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
    ] {
        let authority = Authority::signing_with(algorithm);
        let server = Postgres::start(Some(&authority.server(&["localhost"])));
        let entry = Entry::new("localhost", server.port)
            .tls(TlsMode::VerifyFull, Some(&authority.pem()))
            .credentials("scrammy", "correct horse");
        let mut connection = entry.connect("scrammy").await.unwrap();
        assert_eq!(ask(&mut connection, ENCRYPTED).await, Ok("t".to_owned()));
    }
}

#[tokio::test]
async fn a_self_signed_certificate_is_its_own_authority() {
    let certificate = self_signed("localhost");
    let server = Postgres::start(Some(&certificate));
    let by = |mode| Entry::new("localhost", server.port).tls(mode, Some(&certificate.certificate));
    by(TlsMode::VerifyCa).connect("trusty").await.unwrap();
    by(TlsMode::VerifyFull).connect("trusty").await.unwrap();

    // Who has not said that it is trusted is told how to.
    for mode in [TlsMode::VerifyFull, TlsMode::VerifyCa] {
        let unknown = Authority::new().pem();
        let entry = Entry::new("localhost", server.port).tls(mode, Some(&unknown));
        let (_, text) = entry.refusal("trusty").await;
        assert!(
            text.contains("self-signed") && text.contains("upstream.tls.caSecretRef"),
            "{text}"
        );
    }

    let elsewhere = Entry::new("127.0.0.2", server.port);
    let elsewhere = elsewhere.tls(TlsMode::VerifyFull, Some(&certificate.certificate));
    let (_, text) = elsewhere.refusal("trusty").await;
    assert!(text.contains("upstream.host"), "{text}");
}

#[tokio::test]
async fn a_new_authority_is_taken_over_without_a_new_connector() {
    let authority = Authority::new();
    let server = Postgres::start(Some(&authority.server(&["localhost"])));
    let entry = Entry::new("localhost", server.port)
        .tls(TlsMode::VerifyFull, Some(&Authority::new().pem()));
    let connector = entry.connector();
    let request = bulkhead_sidecar::upstream::ConnectRequest {
        database: "postgres",
        role: "trusty",
        parameters: &[],
    };
    let soon = || tokio::time::Instant::now() + entry.timeout;
    assert!(connector.connect(&request, soon()).await.is_err());
    entry.secret("ca", "ca.crt", authority.pem().as_bytes());
    connector.connect(&request, soon()).await.unwrap();
}

#[tokio::test]
async fn a_server_without_tls_is_not_talked_to_in_the_clear() {
    let server = Postgres::shared();
    let entry = Entry::new("127.0.0.1", server.port).tls(TlsMode::Require, None);
    let (error, text) = entry.refusal("trusty").await;
    assert!(matches!(error, ConnectError::Tls { .. }));
    assert!(text.contains("databases[main].upstream.tls.mode"), "{text}");
}

#[tokio::test]
async fn what_stands_around_the_consent_to_tls_is_an_attack() {
    let error = message(b'E', b"SFATAL\0Mlog in at evil.example\0\0");
    let stuffed = [&b"S"[..], &error].concat();
    for (answer, told) in [
        (stuffed, "inserting"),
        (error, "something else"),
        (b"SS".to_vec(), "inserting"),
        (b"x".to_vec(), "something else"),
    ] {
        let fake = Fake::start(vec![Do::ReadStartup, Do::Write(answer), Do::Hang]).await;
        let entry = Entry::new("127.0.0.1", fake.port).tls(TlsMode::Require, None);
        let (error, text) = entry.refusal("app").await;
        assert!(
            matches!(error, ConnectError::Tls { .. }) && text.contains(told),
            "{text}"
        );
        assert!(!text.contains("evil"), "{text}");
    }
}

#[tokio::test]
async fn a_handshake_that_is_garbage_or_breaks_off_is_told_apart() {
    let garbage = vec![
        Do::ReadStartup,
        Do::Write(b"S".to_vec()),
        Do::ReadAnything,
        Do::Write(vec![0; 64]),
        Do::Hang,
    ];
    let fake = Fake::start(garbage).await;
    let entry = Entry::new("127.0.0.1", fake.port).tls(TlsMode::Require, None);
    let (error, text) = entry.refusal("app").await;
    assert!(matches!(error, ConnectError::Tls { .. }), "{text}");

    let fake = Fake::start(vec![Do::ReadStartup, Do::Write(b"S".to_vec())]).await;
    let entry = Entry::new("127.0.0.1", fake.port).tls(TlsMode::Require, None);
    let (error, text) = entry.refusal("app").await;
    assert!(
        matches!(error, ConnectError::Protocol { lost: true, .. }),
        "{text}"
    );
}

#[tokio::test]
async fn what_no_connection_can_be_made_from_is_told_beforehand() {
    let told = |entry: &Entry| {
        let secrets = Arc::new(Secrets::new(Some(entry.secrets.0.clone())));
        let connector = Connector::new(&entry.database, &secrets, &entry.resolver);
        connector.map(|_| ()).unwrap_err().to_string()
    };
    let entry = || Entry::new("db.internal", 5432);
    let text = told(&entry().tls(TlsMode::VerifyCa, None));
    assert!(
        text.contains("databases[main].upstream.tls.caSecretRef"),
        "{text}"
    );
    let text = told(&entry().tls(TlsMode::VerifyFull, Some("not a certificate")));
    assert!(text.contains("ca.crt"), "{text}");
    let mut missing = entry().tls(TlsMode::VerifyFull, None);
    missing.database.upstream.tls_ca_secret_ref = Some(SecretRef {
        name: "gone".to_owned(),
    });
    assert!(told(&missing).contains("gone/ca.crt"));
    let text = told(&Entry::new("no host", 5432).tls(TlsMode::Require, None));
    assert!(text.contains("databases[main].upstream.host"), "{text}");
}
