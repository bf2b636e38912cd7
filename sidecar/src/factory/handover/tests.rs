//! Who gets a connection that is given up, and what is left of the counts.

use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use tokio::task::{JoinHandle, LocalSet, spawn_local};

use super::*;
use crate::factory::checkout::{Checkout, CheckoutError};
use crate::factory::pool::Factory;
use crate::protocol::postgres::session::baseline::{Settings, Value};
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
            wanted: None,
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
        give_up(&stage.entry, 0, owned);
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
        give_up(&stage.entry, 0, owned);
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
        give_up(&stage.entry, 0, owned);
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
        give_up(&stage.entry, 0, owned);
        gone.abort();
        settle().await;
        assert!(server.rest().await.is_empty(), "nothing was asked of it");
        assert_eq!(counts(&stage), (0, false, 0, 0));
    })
    .await;
}

#[tokio::test]
async fn whoever_gives_up_while_it_is_cleaned_leaves_its_permit_to_the_next() {
    play(async {
        let stage = stage(Tier::Reset);
        let (alice, bob) = (stage.factory("alice"), stage.factory("bob"));
        let (owned, mut server) = stage.owned(&alice);
        let gone = waits(&stage, &bob).await;
        let stays = waits(&stage, &stage.factory("carol")).await;
        give_up(&stage.entry, 0, owned);
        server.expect("Q", None).await;
        gone.abort();
        let _dialled = stage.accept().await;
        assert!(within(stays).await.unwrap().is_ok());
        assert!(server.is_closed().await);
        assert_eq!((alice.open(), bob.open()), (0, 0));
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
                wanted: None,
            };
            let mut wait = pin!(checkout.wait());
            let pending =
                std::future::poll_fn(|cx| Poll::Ready(wait.as_mut().poll(cx).is_pending()));
            assert!(pending.await);
            give_up(&stage.entry, 0, owned);
            assert_eq!(
                stage.entry.limiter.richest(0),
                std::slice::from_ref(&bob.holder)
            );
        }
        assert!(server.is_closed().await);
        assert_eq!(counts(&stage), (0, false, 0, 0));
        assert_eq!((alice.open(), bob.open()), (0, 0));
    })
    .await;
}

/// A client on another worker of the same process that waits for a connection.
struct Neighbour {
    entry: Rc<Entry>,
    factory: Rc<Factory>,
    client: JoinHandle<Result<Owned, CheckoutError>>,
}

impl Neighbour {
    async fn waits(stage: &Stage, index: usize, user: &str, wanted: Option<Rc<Settings>>) -> Self {
        let (worker, entry) = stage.neighbour(index);
        let factory = worker.factory(&entry, stage.key(user));
        let (its_entry, its) = (Rc::clone(&entry), Rc::clone(&factory));
        let client = spawn_local(async move {
            let checkout = Checkout {
                worker: &worker,
                entry: &its_entry,
                factory: &its,
                wanted: wanted.as_ref(),
            };
            checkout.wait().await
        });
        settle().await;
        Self {
            entry,
            factory,
            client,
        }
    }
}

fn shown(entry: &Entry) -> usize {
    let mut shown = 0;
    entry.servers.each(|_| shown += 1);
    shown
}

fn wants(name: &str) -> Rc<Settings> {
    let mut wanted = Settings::new();
    wanted.set("application_name", Value::Text(name.into()));
    Rc::new(wanted)
}

#[tokio::test]
async fn whose_turn_it_is_on_another_worker_gets_it_there() {
    play(async {
        let stage = stage(Tier::Reset);
        let alice = stage.factory("alice");
        let (mut owned, mut server) = stage.owned(&alice);
        let (register, lane) = (&stage.entry.servers, alice.key.lane());
        owned.server.enter(register, &lane, Instant::now());
        let bob = Neighbour::waits(&stage, 1, "bob", None).await;
        let carol = waits(&stage, &stage.factory("carol")).await;
        give_up(&stage.entry, 0, owned);
        answer_the_reset(&mut server).await;
        let owned = within(bob.client).await.unwrap().unwrap();
        assert_eq!(**owned.key(), *bob.factory.key);
        assert!(!carol.is_finished(), "bob was first");
        assert_eq!(counts(&stage), (1, true, 1, 0));
        let holders = stage.entry.limiter.richest(0);
        assert_eq!(holders, std::slice::from_ref(&bob.factory.holder));
        assert_eq!((shown(&stage.entry), shown(&bob.entry)), (0, 1));
        drop(owned);
        assert_eq!(shown(&bob.entry), 0);
    })
    .await;
}

#[tokio::test]
async fn what_was_said_meanwhile_is_obeyed_where_it_arrives() {
    type Said = fn(&Stage, &Entry);
    let said: [(&str, Said); 4] = [
        ("another tier", |stage, far| {
            far.set_force(stage.next_policy(|policy| policy.isolation.tier = Tier::Dedicated));
        }),
        ("another epoch", |stage, _| stage.entry.steering.reconnect()),
        ("a pause", |stage, _| assert!(stage.entry.steering.pause())),
        ("another upstream", |stage, far| {
            far.set_force(stage.next_force(|database| database.upstream.port = 5433));
        }),
    ];
    for (what, say) in said {
        play(async {
            let stage = stage(Tier::Reset);
            let alice = stage.factory("alice");
            let (owned, mut server) = stage.owned(&alice);
            let bob = Neighbour::waits(&stage, 1, "bob", None).await;
            give_up(&stage.entry, 0, owned);
            say(&stage, &bob.entry);
            assert!(server.rest().await.is_empty(), "{what}: nothing was asked");
            if what == "a pause" {
                let outcome = within(bob.client).await.unwrap();
                assert!(
                    matches!(outcome, Err(CheckoutError::Paused { .. })),
                    "{what}"
                );
                assert_eq!(counts(&stage), (0, false, 0, 0));
                return;
            }
            let _dialled = stage.accept().await;
            assert!(within(bob.client).await.unwrap().is_ok(), "{what}");
        })
        .await;
    }
}

#[tokio::test]
async fn whoever_gives_up_while_it_comes_leaves_it_to_the_next_on_any_worker() {
    play(async {
        let stage = stage(Tier::Reset);
        let (owned, mut server) = stage.owned(&stage.factory("alice"));
        let bob = Neighbour::waits(&stage, 1, "bob", None).await;
        let carol = waits(&stage, &stage.factory("carol")).await;
        give_up(&stage.entry, 0, owned);
        // When: bob's worker ends, with the connection in its hands.
        bob.client.abort();
        settle().await;
        answer_the_reset(&mut server).await;
        let owned = within(carol).await.unwrap();
        assert!(owned.is_ok());
        assert_eq!(counts(&stage), (1, false, 1, 0));
    })
    .await;
}

#[tokio::test]
async fn it_is_cleaned_and_given_the_settings_of_whose_turn_it_is_in_one_flight() {
    play(async {
        for refused in [false, true] {
            let stage = stage(Tier::Reset);
            let (owned, mut server) = stage.owned(&stage.factory("alice"));
            let bobs = wants("bobs");
            let bob = Neighbour::waits(&stage, 1, "bob", Some(Rc::clone(&bobs))).await;
            give_up(&stage.entry, 0, owned);
            assert_eq!(server.expect("Q", None).await, b"DISCARD ALL\0");
            // Nothing has been answered yet.
            let set = server.expect("Q", None).await;
            assert!(set.starts_with(b"SELECT pg_catalog.set_config('application_name','bobs'"));
            let answer = if refused {
                error("22023")
            } else {
                complete("SELECT 1")
            };
            server
                .send(&[complete("DISCARD ALL"), ready(b'I'), answer, ready(b'I')])
                .await;
            let owned = within(bob.client).await.unwrap().unwrap();
            let now = owned.server.backend.now.as_ref();
            let known = now.is_some_and(|now| Rc::ptr_eq(now, &bobs));
            assert_eq!(known, !refused, "what was refused is said again");
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_is_not_at_rest_is_handed_to_nobody() {
    play(async {
        let stage = stage(Tier::Reset);
        let (owned, mut server) = stage.owned(&stage.factory("alice"));
        let bob = Neighbour::waits(&stage, 1, "bob", None).await;
        owned.server.cancels.begin(Vec::new()).lose();
        give_up(&stage.entry, 0, owned);
        assert!(server.rest().await.is_empty());
        let _dialled = stage.accept().await;
        let owned = within(bob.client).await.unwrap();
        assert!(owned.is_ok());
        assert_eq!(counts(&stage), (1, false, 0, 1));
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
            give_up(&stage.entry, 0, owned);
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
        give_up(&stage.entry, 0, owned);
        assert!(server.is_closed().await);
        settle().await;
        assert!(!client.is_finished());
    })
    .await;
}
