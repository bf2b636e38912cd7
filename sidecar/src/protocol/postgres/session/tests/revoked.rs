//! A user who is cut off while a client of theirs is in no worker's list, or between two transactions.

use bulkhead_crds::names::Timestamp;
use bulkhead_crds::revocations::{Revocation, RevocationList};

use super::*;

/// Cuts a user off, as the watch does: in force first, then told to the workers.
fn revoke(stage: &Stage, user: &str) {
    put_in_force(stage, user);
    stage.worker.enforce_revocations();
}

fn put_in_force(stage: &Stage, user: &str) {
    let now = Timestamp::try_from(std::time::SystemTime::now()).unwrap();
    let list = RevocationList::of(vec![Revocation {
        name: format!("out-{user}"),
        user: user.to_owned(),
        not_before: now,
        expires_at: None,
        reason: None,
    }]);
    stage.process.revocations.put_in_force(list);
}

async fn is_told(client: &mut Peer) {
    let body = client.expect("E", None).await;
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(text.contains("FATAL") && text.contains("28000"), "{text}");
    assert!(text.contains("UserRevocation out-alice"), "{text}");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn who_was_verified_before_it_and_comes_after_it_is_not_let_in() {
    play(async {
        let stage = Stage::new(|_| {});
        let (_bob, _server) = stage.greeted("bob").await;
        // Given alice, verified and on her way to her worker, when she is revoked and the workers have been told,
        revoke(&stage, "alice");
        // then she is not let in.
        let (mut alice, _) = stage.client("alice");
        is_told(&mut alice).await;
        settle().await;
        assert_eq!(
            (stage.worker.sessions(), stage.factory("alice").clients()),
            (1, 0)
        );
        let (mut carol, _) = stage.client("carol");
        carol.expect("RKZ", None).await;
    })
    .await;
}

#[tokio::test]
async fn who_waits_to_be_greeted_hears_of_it() {
    play(async {
        let stage = Stage::new(|_| {});
        let (mut alice, _) = stage.client("alice");
        settle().await;
        revoke(&stage, "alice");
        is_told(&mut alice).await;
        settle().await;
        assert_eq!(stage.entry.limiter.in_use(), 0, "nobody is dialled for");
    })
    .await;
}

#[tokio::test]
async fn nothing_begins_between_the_list_and_the_letter_about_it() {
    play(async {
        let stage = Stage::new(|_| {});
        let (_first, server) = stage.greeted("bob").await;
        let socket = stage.open_socket("alice");
        let (mut alice, _) = stage.client_of_socket("alice", &socket, stage.now());
        alice.expect("RKZ", None).await;
        // Given a list that is in force, of which the worker has not been told yet,
        put_in_force(&stage, "alice");
        // then her next statement is refused, and no server sees it;
        alice.send(&[query("SELECT 1")]).await;
        let body = alice.expect("E", None).await;
        alice.expect("Z", None).await;
        let text = String::from_utf8_lossy(&body).into_owned();
        assert!(text.contains("ERROR") && text.contains("28000"), "{text}");
        assert!(server.has_heard_nothing() && stage.arrived().is_none());
        // and when it has been told, she goes.
        stage.worker.enforce_revocations();
        is_told(&mut alice).await;
    })
    .await;
}
