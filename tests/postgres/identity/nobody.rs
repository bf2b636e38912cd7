//! Those who do not say who they are, or say that they are nobody.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::APP_ROLE;
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::stage::Stage;

use super::{refused, seen};

#[tokio::test]
async fn nobody_is_refused_with_a_hint_that_shows_the_right_form() {
    let stage = Stage::start(Policy::trusted()).await;
    let refusal = refused(stage.try_name(APP_ROLE).await);
    assert_eq!(refusal.code, "28000");
    assert_eq!(refusal.severity, "FATAL");
    assert!(refusal.hint.contains("bulkhead.user="), "{refusal:?}");
    assert!(refusal.hint.contains("chat_app+ID"), "{refusal:?}");
    stage
        .until_metric("bulkhead_identity_rejections_total", &[], 1.0)
        .await;
}

#[tokio::test]
async fn two_different_names_are_refused_because_the_sidecar_does_not_guess() {
    let stage = Stage::start(Policy::trusted()).await;
    let login = bulkhead_tests::session::connect(
        stage
            .config()
            .user("chat_app+alice")
            .options("-c bulkhead.user=bob"),
    )
    .await;
    assert_eq!(refused(login).code, "28000");
}

#[tokio::test]
async fn placeholders_are_refused_by_name() {
    let stage = Stage::start(Policy::trusted()).await;
    for placeholder in [
        "null",
        "NULL",
        "undefined",
        "none",
        "None",
        "test",
        "default",
        "anonymous",
        "Anonymous",
        "placeholder",
        "user",
        "0",
        "00000000-0000-0000-0000-000000000000",
        "00000000000000000000000000000000",
        r"\ null\ ",
        r"\ ",
        "",
    ] {
        let login = stage
            .try_options(&format!("-c bulkhead.user={placeholder}"))
            .await;
        let refusal = match login {
            Ok(_) => panic!("{placeholder:?} was let in"),
            Err(error) => Refusal::from(error),
        };
        assert_eq!(refusal.code, "28000", "{placeholder:?}");
        assert!(!refusal.hint.is_empty(), "{placeholder:?}: {refusal:?}");
        let login = stage
            .try_name(&format!("chat_app+{}", placeholder.replace('\\', "")))
            .await;
        assert!(login.is_err(), "{placeholder:?} was let in as a suffix");
    }
}

#[tokio::test]
async fn placeholders_may_be_allowed() {
    let stage = Stage::start(Policy::trusted().spec("identity: {rejectPlaceholders: false}")).await;
    let session = stage.user("test").await;
    assert_eq!(seen(&session).await.as_deref(), Some("test"));
}

#[tokio::test]
async fn audit_serves_nobody_from_the_unattributed_factory_and_counts_the_application() {
    let stage = Stage::start(Policy::trusted().spec("mode: Audit")).await;
    let session = bulkhead_tests::session::connect(stage.config().application_name("old-report"))
        .await
        .unwrap();
    assert_eq!(session.text("SELECT 1").await.as_deref(), Some("1"));
    assert_ne!(seen(&session).await.as_deref(), Some("old-report"));
    stage
        .until_metric("bulkhead_unattributed_total", &[], 1.0)
        .await;

    let users = stage.sidecar.command(&["users", "--json"]);
    let report = String::from_utf8(users.stdout).unwrap();
    assert!(report.contains("old-report"), "{report}");
    assert!(report.contains("unattributed"), "{report}");

    // A user who says who they are is that user in Audit too.
    let session = stage.user("alice").await;
    assert_eq!(seen(&session).await.as_deref(), Some("alice"));
    stage
        .until_metric("bulkhead_unattributed_total", &[], 1.0)
        .await;
}

#[tokio::test]
async fn in_tier_shared_a_placeholder_is_told_to_name_nobody() {
    let stage = Stage::start(Policy::trusted().tier("Shared")).await;
    let refusal = stage.first_refusal("chat_app+null").await;
    assert_eq!(refusal.code, "28000");
    assert!(refusal.hint.contains("Name no user"), "{refusal:?}");
}
