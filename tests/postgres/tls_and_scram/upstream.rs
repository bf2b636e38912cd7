//! Towards the upstream: the TLS that the policy asks for, and the passwords that the server asks for.

use bulkhead_tests::certificates::Authority;
use bulkhead_tests::listeners::Scripted;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::{APP_ROLE, PASSWORD};
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::stage::{Setting, Stage};
use bulkhead_tests::wire::send;

use super::{ENCRYPTED, upstream};

/// The message must name the field.
fn names_tls(refusal: &Refusal) {
    assert!(
        refusal.says("databases[main].upstream.tls"),
        "the field is not named: {refusal:?}"
    );
}

/// The upstream is not reached, because of how its TLS is to be.
async fn unreached_for_tls(stage: &Stage) {
    let refusal = stage.first_refusal("chat_app+alice").await;
    assert_eq!(refusal.code, "08001", "{refusal:?}");
    names_tls(&refusal);
}

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
    unreached_for_tls(&stage).await;
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
        unreached_for_tls(&stage).await;
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
    unreached_for_tls(&stage).await;
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

#[tokio::test]
async fn a_cancel_reaches_an_upstream_that_is_reached_by_tls() {
    let stage = Stage::start(upstream("VerifyFull", "localhost")).await;
    let admin = stage.admin().await;
    let alice = stage.user("alice").await;
    let refusal = stage.cancelled_asleep(&admin, &alice).await;
    assert_eq!(refusal.code, "57014");
}
