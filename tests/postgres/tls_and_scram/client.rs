//! Towards the application: TLS where the policy has a certificate, and SCRAM where it asks for a password.

use std::sync::Arc;

use bulkhead_tests::certificates::Authority;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::PASSWORD;
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::session::connect;
use bulkhead_tests::stage::{Setting, Stage};
use bulkhead_tests::tools;
use bulkhead_tests::wire::{Wire, send};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;

use super::{ENCRYPTED, upstream};

fn guarded() -> Setting<'static> {
    Stage::with(
        Policy::trusted().database("listen: {auth: {mode: Scram, secretRef: {name: front}}}"),
    )
    .secret("front/password", "between-us-two")
}

#[tokio::test]
async fn scram_lets_in_who_knows_the_password_and_nobody_else() {
    let stage = guarded().start().await;
    let mut config = stage.config();
    config.options("-c bulkhead.user=alice");
    let session = connect(config.clone().password("between-us-two"))
        .await
        .unwrap();
    assert_eq!(
        session
            .text("SELECT current_setting('app.user_id')")
            .await
            .as_deref(),
        Some("alice")
    );
    for wrong in ["", "wrong", "between-us-tw", PASSWORD] {
        let error = connect(config.clone().password(wrong))
            .await
            .map(|_| ())
            .unwrap_err();
        assert_eq!(Refusal::from(error).code, "28P01", "{wrong:?}");
    }
    assert!(connect(&config).await.is_err(), "no password was asked for");
}

#[tokio::test]
async fn psql_and_psycopg_speak_scram_to_the_sidecar() {
    let stage = guarded().secret("front/password", PASSWORD).start().await;
    assert_eq!(stage.psql("alice", "SELECT 'in'").await.well(), "in\n");
    let script =
        "with connect() as conn:\n    print(conn.execute(\"SELECT 'in'\").fetchone()[0])\n";
    assert_eq!(stage.psycopg("alice", script).await.well(), "in\n");
}

#[tokio::test]
async fn nothing_is_told_about_users_before_the_password_is_right() {
    let stage = guarded().start().await;
    let known = connect(
        stage
            .config()
            .options("-c bulkhead.user=null")
            .password("wrong"),
    )
    .await;
    let refusal = Refusal::from(known.map(|_| ()).unwrap_err());
    assert_eq!(refusal.code, "28P01", "{refusal:?}");
}

/// A sidecar that offers TLS to the application, and the authority that the application believes.
async fn encrypted(auth: &str) -> (Stage, Authority) {
    let authority = Authority::new("Application side");
    let identity = authority.issue(&["localhost", "127.0.0.1"]);
    let policy = Policy::trusted().database(&format!(
        "listen: {{tls: Secret, tlsSecretRef: {{name: own}}, auth: {auth}}}"
    ));
    let stage = Stage::with(policy)
        .secret("own/tls.crt", &identity.certificate)
        .secret("own/tls.key", &identity.key)
        .secret("front/password", PASSWORD)
        .start()
        .await;
    (stage, authority)
}

async fn handshake(stage: &Stage, authority: &Authority, stream: TcpStream, alpn: bool) -> Wire {
    let mut roots = rustls::RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(authority.certificate().as_bytes()).unwrap())
        .unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    if alpn {
        config.alpn_protocols = vec![b"postgresql".to_vec()];
    }
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").unwrap();
    let mut wire = Wire::over(connector.connect(name, stream).await.unwrap());
    wire.login(&[("user", "chat_app+alice"), ("database", &stage.database)])
        .await
        .unwrap();
    wire
}

#[tokio::test]
async fn a_client_may_ask_for_tls() {
    let (stage, authority) = encrypted("{mode: Trust}").await;
    let mut stream = TcpStream::connect(("127.0.0.1", stage.sidecar.port()))
        .await
        .unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, &send::ssl_request())
        .await
        .unwrap();
    let mut answer = [0];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut answer)
        .await
        .unwrap();
    assert_eq!(&answer, b"S");
    let mut wire = handshake(&stage, &authority, stream, false).await;
    let length = wire
        .query("SELECT repeat('t', 1000000)")
        .await
        .value()
        .unwrap()
        .len();
    assert_eq!(length, 1_000_000);
}

#[tokio::test]
async fn a_client_may_begin_with_tls_at_once() {
    let (stage, authority) = encrypted("{mode: Trust}").await;
    let stream = TcpStream::connect(("127.0.0.1", stage.sidecar.port()))
        .await
        .unwrap();
    let mut wire = handshake(&stage, &authority, stream, true).await;
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
}

#[tokio::test]
async fn psql_verifies_the_sidecars_certificate_and_binds_scram_to_it() {
    let (stage, authority) = encrypted("{mode: Scram, secretRef: {name: front}}").await;
    let folder = bulkhead_tests::processes::folder("roots");
    let root = folder.join("root.crt");
    std::fs::write(&root, authority.certificate()).unwrap();
    for binding in ["require", "disable"] {
        let mut command =
            tokio::process::Command::new(bulkhead_tests::programs::postgresql("psql"));
        command
            .args(["-X", "-q", "-A", "-t", "-c", "SELECT current_setting('app.user_id')"])
            .arg(format!(
                "host=localhost hostaddr=127.0.0.1 port={} user=chat_app+alice dbname={} sslmode=verify-full \
                 sslrootcert={} channel_binding={binding}",
                stage.sidecar.port(),
                stage.database,
                root.display()
            ))
            .env("PGPASSWORD", PASSWORD);
        assert_eq!(tools::run(command, "").await.well(), "alice\n", "{binding}");
    }
}

#[tokio::test]
async fn without_a_certificate_tls_is_declined_and_the_client_may_go_on() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire().await;
    wire.send(send::gssenc_request()).await;
    assert_eq!(wire.byte().await, Some(b'N'));
    wire.send(send::ssl_request()).await;
    assert_eq!(wire.byte().await, Some(b'N'));
    wire.login(&[("user", "chat_app+alice"), ("database", &stage.database)])
        .await
        .unwrap();
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
}

#[tokio::test]
async fn plaintext_behind_an_ssl_request_is_an_attack() {
    let (stage, _) = encrypted("{mode: Trust}").await;
    let mut wire = stage.wire().await;
    let startup = send::startup(
        bulkhead_tests::wire::V3_0,
        &[("user", "chat_app+mallory"), ("database", &stage.database)],
    );
    wire.send([send::ssl_request(), startup].concat()).await;
    // Whatever it says, it is not a login.
    let mut said = Vec::new();
    while let Some(byte) = wire.byte().await {
        said.push(byte);
    }
    assert!(
        !said.contains(&b'R') || said.starts_with(b"E"),
        "what came before the encryption was believed: {said:?}"
    );
}

#[tokio::test]
async fn a_big_row_passes_two_layers_of_tls() {
    let authority = Authority::new("Application side");
    let identity = authority.issue(&["localhost"]);
    let policy = upstream("VerifyFull", "localhost")
        .database("listen: {tls: Secret, tlsSecretRef: {name: own}}");
    let stage = Stage::with(policy)
        .secret("own/tls.crt", &identity.certificate)
        .secret("own/tls.key", &identity.key)
        .start()
        .await;
    let stream = TcpStream::connect(("127.0.0.1", stage.sidecar.port()))
        .await
        .unwrap();
    let mut wire = handshake(&stage, &authority, stream, true).await;
    assert_eq!(wire.query(ENCRYPTED).await.value().as_deref(), Some("t"));
    let before = stage.sidecar.memory("VmRSS");
    let answer = wire.query("SELECT repeat('t', 20000000)").await;
    assert_eq!(answer.value().unwrap().len(), 20_000_000);
    let grown = stage.sidecar.memory("VmHWM").saturating_sub(before);
    assert!(grown < 8 << 20, "the sidecar grew by {grown} bytes");
}
