//! TLS and passwords, on both sides of the sidecar.

use std::sync::Arc;

use bulkhead_tests::certificates::Authority;
use bulkhead_tests::listeners::Scripted;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::{APP_ROLE, PASSWORD};
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::session::connect;
use bulkhead_tests::stage::{Setting, Stage};
use bulkhead_tests::tools;
use bulkhead_tests::wire::{Wire, send};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;

fn upstream(tls: &str, host: &str) -> Policy {
    Policy::trusted().database(&format!(
        "upstream: {{host: {host}, tls: {{mode: {tls}, caSecretRef: {{name: ca}}}}}}"
    ))
}

/// The message must name the field.
fn names_tls(refusal: &Refusal) {
    assert!(
        refusal.says("databases[main].upstream.tls"),
        "the field is not named: {refusal:?}"
    );
}

/// Whether the server connection that answers is encrypted.
const ENCRYPTED: &str = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";

#[tokio::test]
async fn each_tls_mode_reaches_the_upstream_as_it_says() {
    for (mode, host, encrypted) in [
        ("Disable", "127.0.0.1", "f"),
        ("Require", "127.0.0.1", "t"),
        ("VerifyCa", "127.0.0.1", "t"),
        ("VerifyFull", "localhost", "t"),
    ] {
        let stage = Stage::start(upstream(mode, host)).await;
        let alice = stage.user("alice").await;
        assert_eq!(
            alice.text(ENCRYPTED).await.as_deref(),
            Some(encrypted),
            "{mode}"
        );
    }
}

#[tokio::test]
async fn verify_full_refuses_a_certificate_for_another_name() {
    let stage = Stage::with(upstream("VerifyFull", "127.0.0.1"))
        .unready()
        .start()
        .await;
    let refusal = stage.first_refusal("chat_app+alice").await;
    assert_eq!(refusal.code, "08001", "{refusal:?}");
    names_tls(&refusal);
}

#[tokio::test]
async fn verify_ca_refuses_an_authority_that_the_policy_does_not_name() {
    let stranger = Authority::new("Somebody else");
    for (mode, host) in [("VerifyCa", "127.0.0.1"), ("VerifyFull", "localhost")] {
        let stage = Stage::with(upstream(mode, host))
            .secret("ca/ca.crt", &stranger.certificate())
            .unready()
            .start()
            .await;
        let refusal = stage.first_refusal("chat_app+alice").await;
        assert_eq!(refusal.code, "08001", "{mode}: {refusal:?}");
        names_tls(&refusal);
    }
}

#[tokio::test]
async fn tls_is_never_given_up_for_an_upstream_that_has_none() {
    let plain = Scripted::listen(b"N".to_vec()).await;
    let stage = Stage::with(upstream("Require", "127.0.0.1"))
        .upstream(plain.port())
        .unready()
        .start()
        .await;
    let refusal = stage.first_refusal("chat_app+alice").await;
    assert_eq!(refusal.code, "08001", "{refusal:?}");
    names_tls(&refusal);
    let heard = plain.heard();
    assert!(
        !String::from_utf8_lossy(&heard).contains(APP_ROLE),
        "it went on in the clear: {heard:?}"
    );
}

#[tokio::test]
async fn an_upstream_that_sends_plaintext_behind_its_yes_to_tls_is_refused() {
    let mut answer = b"S".to_vec();
    answer.extend(send::message(b'R', &[0, 0, 0, 0]));
    let liar = Scripted::listen(answer).await;
    let stage = Stage::with(upstream("Require", "127.0.0.1"))
        .upstream(liar.port())
        .unready()
        .start()
        .await;
    assert_eq!(stage.first_refusal("chat_app+alice").await.code, "08001");
}

fn with_role(policy: Policy, role: &str) -> Setting<'static> {
    Stage::with(policy).secret("db/username", role)
}

#[tokio::test]
async fn md5_and_scram_are_spoken_to_the_upstream() {
    for role in ["chat_md5", APP_ROLE] {
        let stage = with_role(Policy::trusted(), role).start().await;
        let alice = stage.try_name(&format!("{role}+alice")).await.unwrap();
        assert_eq!(
            alice.text("SELECT current_user").await.as_deref(),
            Some(role)
        );
    }
}

#[tokio::test]
async fn a_cleartext_password_is_sent_over_tls_alone() {
    let stage = with_role(Policy::trusted(), "chat_clear")
        .unready()
        .start()
        .await;
    let refusal = stage.first_refusal("chat_clear+alice").await;
    assert!(
        refusal.code.starts_with("08") || refusal.code.starts_with("28"),
        "{refusal:?}"
    );
    names_tls(&refusal);

    let stage = with_role(upstream("VerifyFull", "localhost"), "chat_clear")
        .start()
        .await;
    let alice = stage.try_name("chat_clear+alice").await.unwrap();
    assert_eq!(
        alice.text("SELECT current_user").await.as_deref(),
        Some("chat_clear")
    );
}

#[tokio::test]
async fn a_role_that_must_use_tls_logs_in_with_it() {
    let stage = with_role(upstream("Require", "127.0.0.1"), "chat_tls")
        .start()
        .await;
    let alice = stage.try_name("chat_tls+alice").await.unwrap();
    assert_eq!(alice.text(ENCRYPTED).await.as_deref(), Some("t"));

    let stage = with_role(Policy::trusted(), "chat_tls")
        .unready()
        .start()
        .await;
    let refusal = stage.first_refusal("chat_tls+alice").await;
    assert!(
        refusal.says("pg_hba"),
        "the server's word is lost: {refusal:?}"
    );
}

#[tokio::test]
async fn a_wrong_upstream_password_is_told_and_a_new_one_is_read() {
    let stage = Stage::with(Policy::trusted())
        .secret("db/password", "not-the-password")
        .unready()
        .start()
        .await;
    let refusal = stage.first_refusal("chat_app+alice").await;
    assert!(
        ["28P01", "08001"].contains(&refusal.code.as_str()),
        "{refusal:?}"
    );
    assert!(!refusal.says("not-the-password"), "{refusal:?}");

    stage.sidecar.write_secret("db/password", PASSWORD);
    bulkhead_tests::wait::until("the new password to be used", || async {
        match stage.try_options("-c bulkhead.user=alice").await {
            Ok(session) => session.simple_query("SELECT 1").await.is_ok(),
            Err(_) => false,
        }
    })
    .await;
}

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
async fn a_cancel_reaches_an_upstream_that_is_reached_by_tls() {
    let stage = Stage::start(upstream("VerifyFull", "localhost")).await;
    let admin = stage.admin().await;
    let alice = stage.user("alice").await;
    let refusal = stage.cancelled_asleep(&admin, &alice).await;
    assert_eq!(refusal.code, "57014");
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
