//! An operator who ends a user's sockets.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::websocket::{Application, Asking, Frame, SocketStage};

#[tokio::test]
async fn a_killed_users_sockets_end_with_1008_and_nobody_elses() {
    let application = Application::listen().await;
    let policy = Policy::trusted().web_socket("");
    let stage = SocketStage::start(policy, application.port()).await;
    let (mut alice, mut hers) = tokio::join!(stage.open("alice"), application.opened());
    let (mut bob, mut his) = tokio::join!(stage.open("bob"), application.opened());
    let said = stage.sidecar.command(&["console", "-c", "SHOW CLIENTS"]);
    let text = String::from_utf8(said.stdout).unwrap();
    assert_eq!(text.matches(" websocket ").count(), 2, "{text}");

    let said = stage
        .sidecar
        .command(&["console", "-c", "KILL USER 'alice' ON chat"]);
    assert_eq!(String::from_utf8(said.stdout).unwrap(), "KILL 1\n");

    let ((code, reason), (to_application, _)) = tokio::join!(alice.closed(), hers.closed());
    assert_eq!((code, to_application), (1008, 1001), "{reason}");
    assert!(reason.contains("an administrator"), "{reason}");
    bob.send(Frame::text("still here")).await;
    assert_eq!(his.next().await, Frame::text("still here"));
    // She may come again.
    let (_alice, _hers) = tokio::join!(stage.open("alice"), application.opened());
}

#[tokio::test]
async fn who_waits_for_the_applications_answer_is_turned_back_and_may_come_again() {
    let application = Application::listen().await;
    let policy = Policy::trusted().web_socket("");
    let stage = SocketStage::start(policy, application.port()).await;
    // Given alice, whose handshake the application has not answered,
    let asking = Asking::upgrade("/ws").bearer("alice");
    let killed = async {
        let asked = application.asked().await;
        let said = stage
            .sidecar
            .command(&["console", "-c", "KILL USER 'alice'"]);
        assert_eq!(String::from_utf8(said.stdout).unwrap(), "KILL 1\n");
        asked
    };
    let (answer, _asked) = tokio::join!(stage.ask(&asking), killed);
    let (status, text) = answer.refused().await;
    assert_eq!(status, 503, "{text}");
    assert!(text.contains("an administrator"), "{text}");
    let (_alice, _hers) = tokio::join!(stage.open("alice"), application.opened());
}
