//! Who gets a connection that is given up, and what is left of the counts.

use std::pin::pin;
use std::task::Poll;

use tokio::task::{JoinHandle, LocalSet};

use super::*;
use crate::factory::checkout::{Checkout, CheckoutError};
use crate::factory::pool::Factory;
use crate::worker::fixtures::{Peer, Stage, complete, error, ready, settle, within};

/// One connection for everybody, and whoever may have it.
fn stage(tier: Tier) -> Rc<Stage> {
    Rc::new(Stage::new(|policy| {
        policy.isolation.tier = tier;
        policy.databases[0].pool.max_connections = 1;
    }))
}

async fn play(story: impl Future<Output = ()>) {
    LocalSet::new().run_until(story).await;
}

/// A client that waits for a connection of this factory's.
async fn waits(
    stage: &Rc<Stage>,
    factory: &Rc<Factory>,
) -> JoinHandle<Result<Owned, CheckoutError>> {
    let (stage, factory) = (Rc::clone(stage), Rc::clone(factory));
    let client = spawn_local(async move {
        let checkout = Checkout {
            worker: &stage.worker,
            entry: &stage.entry,
            factory: &factory,
        };
        checkout.wait().await
    });
    settle().await;
    client
}

async fn answer_the_reset(server: &mut Peer) {
    assert_eq!(server.expect("Q", None).await, b"DISCARD ALL\0");
    server.send(&[complete("DISCARD ALL"), ready(b'I')]).await;
}

/// In use; waiting; hand-overs; evictions.
fn counts(stage: &Stage) -> (usize, bool, u64, u64) {
    let (limiter, metrics) = (&stage.entry.limiter, &stage.entry.metrics);
    (
        limiter.in_use(),
        limiter.has_waiters(),
        metrics.cross_user_handoffs.get(),
        metrics.evictions.get(),
    )
}

#[tokio::test]
async fn in_tier_reset_it_is_cleaned_and_given_to_whose_turn_it_is() {
    play(async {
        let stage = stage(Tier::Reset);
        let (alice, bob) = (stage.factory("alice"), stage.factory("bob"));
        let (owned, mut server) = stage.owned(&alice);
        let client = waits(&stage, &bob).await;
        give_up(&stage.entry, owned);
        assert!(!stage.entry.limiter.has_waiters(), "the turn is taken");
        answer_the_reset(&mut server).await;
        let owned = within(client).await.unwrap().unwrap();
        assert_eq!(**owned.key(), *bob.key);
        assert_eq!(counts(&stage), (1, false, 1, 0));
        assert_eq!((alice.open(), bob.open()), (0, 1));
        drop(owned);
        assert_eq!(counts(&stage).0, 0);
    })
    .await;
}

#[tokio::test]
async fn one_that_cannot_be_proven_clean_is_closed_and_its_permit_is_dialled_with() {
    play(async {
        let stage = stage(Tier::Reset);
        let (alice, bob) = (stage.factory("alice"), stage.factory("bob"));
        let (owned, mut server) = stage.owned(&alice);
        let client = waits(&stage, &bob).await;
        // Somebody else waits too, and does not get bob's turn.
        let carol = waits(&stage, &stage.factory("carol")).await;
        give_up(&stage.entry, owned);
        server.expect("Q", None).await;
        server.send(&[error("XX000"), ready(b'I')]).await;
        let _dialled = stage.accept().await;
        let owned = within(client).await.unwrap().unwrap();
        assert!(server.is_closed().await);
        assert_eq!(counts(&stage), (1, true, 0, 0));
        assert!(!carol.is_finished());
        drop(owned);
    })
    .await;
}

#[tokio::test]
async fn whoever_gives_up_meanwhile_leaves_it_to_the_next() {
    play(async {
        let stage = stage(Tier::Reset);
        let (alice, bob, carol) = (
            stage.factory("alice"),
            stage.factory("bob"),
            stage.factory("carol"),
        );
        let (owned, mut server) = stage.owned(&alice);
        let gone = waits(&stage, &bob).await;
        let stays = waits(&stage, &carol).await;
        give_up(&stage.entry, owned);
        gone.abort();
        settle().await;
        answer_the_reset(&mut server).await;
        let owned = within(stays).await.unwrap().unwrap();
        assert_eq!(**owned.key(), *carol.key);
        assert_eq!(counts(&stage), (1, false, 1, 0));
        assert_eq!(
            stage.entry.limiter.richest(0),
            std::slice::from_ref(&carol.holder),
            "and nobody else's count is left"
        );
    })
    .await;
}

#[tokio::test]
async fn with_nobody_left_it_is_closed() {
    play(async {
        let stage = stage(Tier::Reset);
        let (alice, bob) = (stage.factory("alice"), stage.factory("bob"));
        let (owned, mut server) = stage.owned(&alice);
        let gone = waits(&stage, &bob).await;
        give_up(&stage.entry, owned);
        gone.abort();
        settle().await;
        answer_the_reset(&mut server).await;
        assert!(server.is_closed().await);
        assert_eq!(counts(&stage), (0, false, 0, 0));
    })
    .await;
}

#[tokio::test]
async fn a_checkout_that_is_dropped_with_the_connection_in_its_hands_loses_nothing() {
    play(async {
        let stage = stage(Tier::Reset);
        let (alice, bob) = (stage.factory("alice"), stage.factory("bob"));
        let (owned, mut server) = stage.owned(&alice);
        {
            let checkout = Checkout {
                worker: &stage.worker,
                entry: &stage.entry,
                factory: &bob,
            };
            let mut wait = pin!(checkout.wait());
            let pending =
                std::future::poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx).is_pending()));
            assert!(pending.await);
            give_up(&stage.entry, owned);
            answer_the_reset(&mut server).await;
            settle().await;
        }
        assert_eq!(counts(&stage), (0, false, 0, 0));
        assert_eq!((alice.open(), bob.open()), (0, 0));
    })
    .await;
}

#[tokio::test]
async fn in_another_lane_or_tier_it_is_closed_and_counts_as_evicted() {
    play(async {
        for tier in [Tier::Dedicated, Tier::Reset] {
            let stage = stage(tier);
            let alice = stage.factory("alice");
            let mut key = stage.key("bob");
            if tier == Tier::Reset {
                key.database = "other".into();
            }
            let bob = stage.worker.factory(&stage.entry, key);
            let (owned, mut server) = stage.owned(&alice);
            let client = waits(&stage, &bob).await;
            give_up(&stage.entry, owned);
            assert!(server.is_closed().await);
            let _dialled = stage.accept().await;
            let owned = within(client).await.unwrap();
            assert!(owned.is_ok());
            assert_eq!(counts(&stage), (1, false, 0, 1));
        }
    })
    .await;
}

#[tokio::test]
async fn above_a_limit_that_was_lowered_nothing_is_handed_over() {
    play(async {
        let stage = stage(Tier::Reset);
        let (alice, bob) = (stage.factory("alice"), stage.factory("bob"));
        let (owned, mut server) = stage.owned(&alice);
        stage.entry.limiter.set_capacity(0);
        let client = waits(&stage, &bob).await;
        give_up(&stage.entry, owned);
        assert!(server.is_closed().await);
        settle().await;
        assert!(!client.is_finished());
    })
    .await;
}
