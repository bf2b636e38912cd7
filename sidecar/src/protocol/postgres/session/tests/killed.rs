//! A user whom an operator ends while a client of theirs is in no worker's list, or not let in yet.

use std::rc::Rc;
use std::sync::Arc;

use bulkhead_crds::kinds::SqlScope;
use tokio::task::spawn_local;

use super::super::go_on;
use super::*;
use crate::identity::UserId;
use crate::worker::Worker;
use crate::worker::mailbox::Letter;
use crate::worker::orders::Order;

fn user(id: &str) -> UserId {
    UserId::parse(id).unwrap()
}

/// Ends a user, as the console does: told to all first, then to the user's worker.
fn kill(stage: &Stage, user: &UserId) -> u64 {
    stage.process.kills.tell(user, None);
    let order = Order::Kill {
        user: user.clone(),
        upstream: None,
    };
    stage.worker.obey(&order).clients
}

/// The client is told, and nothing before it.
async fn is_told(client: &mut Peer) {
    let body = client.expect("E", None).await;
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(
        text.contains("57P01") && text.contains("KILL USER"),
        "{text}"
    );
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn who_had_said_who_they_are_before_it_is_not_let_in() {
    play(async {
        let stage = Stage::new(|_| {});
        let (_bob, _server) = stage.greeted("bob").await;
        // Given alice in the middle of her login, when her connections are ended,
        let before = stage.process.kills.now();
        assert_eq!(kill(&stage, &user("alice")), 0, "she is in no list");
        // then she is not let in, and is in no list either.
        let (mut alice, _) = stage.client_since("alice", None, before.clone());
        is_told(&mut alice).await;
        settle().await;
        assert_eq!(
            (stage.worker.sessions(), stage.factory("alice").clients()),
            (1, 0)
        );
        // Who came behind it is welcome, and who is another.
        let (mut again, _) = stage.client("alice");
        again.expect("RKZ", None).await;
        let (mut carol, _) = stage.client_since("carol", None, before);
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
        assert_eq!(kill(&stage, &user("alice")), 1);
        is_told(&mut alice).await;
        settle().await;
        assert_eq!(stage.entry.limiter.in_use(), 0, "nobody is dialled for");
    })
    .await;
}

#[tokio::test]
async fn who_has_named_the_user_in_sql_is_ended_on_the_way_to_the_users_worker() {
    play(async {
        for before in [true, false] {
            let mut stage = Stage::of_workers(2, |policy| {
                policy.identity.in_sql = Some(SqlScope::Connection);
            });
            let there = Rc::new(Worker::new(1, Arc::clone(&stage.process)));
            there.add_entry(Rc::clone(&stage.entry));
            let mut ids = (0..).map(|number| format!("user-{number}"));
            let id = ids.find(|id| user(id).home(2) == 1).unwrap();
            let (mut client, _server) = stage.greeted("").await;
            if !before {
                kill(&stage, &user(&id));
            }
            // Given a client that has named a user who lives on the other worker, and is on its way,
            client
                .send(&[query(&format!("SET bulkhead.user = '{id}'"))])
                .await;
            settle().await;
            let Ok(Letter::Moving(moving)) = stage.mailboxes[1].try_recv() else {
                panic!("nobody has moved");
            };
            // when that user is ended,
            if before {
                kill(&stage, &user(&id));
            }
            spawn_local(go_on(Rc::clone(&there), moving));
            // then it is ended when it comes.
            client.expect("CZ", None).await;
            if before {
                is_told(&mut client).await;
            } else {
                client.send(&[query("")]).await;
                client.expect("IZ", None).await;
            }
        }
    })
    .await;
}
