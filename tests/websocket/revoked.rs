//! A user who is cut off, wherever their socket is just then: on its way, open, or away and waited for.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use bulkhead_crds::names::Timestamp;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::processes::folder;
use bulkhead_tests::websocket::resumer::Resumer;
use bulkhead_tests::websocket::{Application, Asking, Frame, SocketStage};

/// A file of revocations without any.
fn nobody() -> PathBuf {
    let path = folder("revocations").join("revocations.yaml");
    std::fs::write(&path, "").unwrap();
    path
}

/// Revokes what `user` has been until now.
fn revoke(file: &Path, user: &str) {
    let now = Timestamp::try_from(SystemTime::now()).unwrap();
    let text = format!(
        "apiVersion: bulkhead.dev/v1alpha1\nkind: UserRevocation\nmetadata: {{name: out-{user}}}\n\
         spec: {{user: {user}, notBefore: \"{now}\", reason: AccountClosed}}\n"
    );
    let fresh = file.with_extension("new");
    std::fs::write(&fresh, text).unwrap();
    std::fs::rename(fresh, file).unwrap();
}

async fn stage(application: u16, file: &Path, entry: &str) -> SocketStage {
    let policy = Policy::trusted().web_socket(entry);
    let setting = SocketStage::with(policy, application);
    setting
        .flag("--revocations", file.to_str().unwrap())
        .start()
        .await
}

#[tokio::test]
async fn an_open_socket_is_closed_with_1008_and_the_code_and_nobody_elses() {
    let (application, file) = (Application::listen().await, nobody());
    let stage = stage(application.port(), &file, "").await;
    let (mut alice, mut hers) = tokio::join!(stage.open("alice"), application.opened());
    let (mut bob, mut his) = tokio::join!(stage.open("bob"), application.opened());
    revoke(&file, "alice");
    let ((code, reason), (to_application, _)) = tokio::join!(alice.closed(), hers.closed());
    assert_eq!((code, to_application), (1008, 1001), "{reason}");
    assert_eq!(reason, "access of this user was revoked (AccountClosed)");
    bob.send(Frame::text("still here")).await;
    assert_eq!(his.next().await, Frame::text("still here"));
    let answer = stage.ask(&Asking::upgrade("/ws").bearer("alice")).await;
    let (status, text) = answer.refused().await;
    assert_eq!(status, 401, "{text}");
    assert!(
        text.contains("revoked (AccountClosed); log in again"),
        "{text}"
    );
}

#[tokio::test]
async fn a_handshake_that_waits_for_the_application_is_answered_at_once() {
    let (application, file) = (Application::listen().await, nobody());
    let stage = stage(application.port(), &file, "").await;
    let asking = Asking::upgrade("/ws").bearer("alice");
    let revoked = async {
        // The application has been asked, and does not answer.
        let asked = application.asked().await;
        revoke(&file, "alice");
        asked
    };
    let (answer, _asked) = tokio::join!(stage.ask(&asking), revoked);
    let (status, text) = answer.refused().await;
    assert_eq!(status, 401, "{text}");
}

#[tokio::test]
async fn a_session_whose_client_is_away_ends_and_is_not_resumed() {
    let (application, file) = (Application::listen().await, nobody());
    let stage = stage(
        application.port(),
        &file,
        "resume: {window: 60s, buffer: 2Mi}",
    )
    .await;
    let (alice, mut hers) =
        tokio::join!(Resumer::open(stage.port(), "alice"), application.opened());
    alice.reset();
    stage
        .until_metric("bulkhead_websocket_away_sessions", &[], 1.0)
        .await;
    revoke(&file, "alice");
    let (code, _) = hers.closed().await;
    assert_eq!(code, 1001);
    stage
        .until_metric("bulkhead_websocket_away_sessions", &[], 0.0)
        .await;
    stage.until_closes("1008", "sidecar", 1.0).await;
}
