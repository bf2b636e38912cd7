//! Users, sessions, cancel keys and letters of one worker.

use std::collections::VecDeque;

use super::fixtures::{Stage, owner};
use super::mailbox::{Letter, Receiver, Reclaim};
use super::*;
use crate::factory::key::Holder;
use crate::protocol::postgres::message::CancelKey as Key;
use tokio::sync::oneshot::error::TryRecvError;

fn holder(user: &str, worker: usize) -> Holder {
    Holder {
        owner: owner(user),
        worker,
    }
}

fn reclaim_in(mailbox: &mut Receiver) -> Reclaim {
    match mailbox.try_recv() {
        Ok(Letter::Reclaim(reclaim)) => reclaim,
        other => panic!("no request came: {other:?}"),
    }
}

#[tokio::test]
async fn one_key_has_one_factory() {
    let stage = Stage::new(|_| {});
    let first = stage.factory("alice");
    assert!(Rc::ptr_eq(&first, &stage.factory("alice")));
    assert!(!Rc::ptr_eq(&first, &stage.factory("bob")));
    assert_eq!(stage.entry.metrics.factories.get(), 2);
    assert_eq!(stage.worker.factories_of("main").len(), 2);
    assert!(stage.worker.factories_of("other").is_empty());
}

#[tokio::test]
async fn each_part_of_a_key_tells_factories_apart() {
    let stage = Stage::new(|_| {});
    let key = stage.key("alice");
    let others = [
        FactoryKey {
            policy: "x".into(),
            ..key.clone()
        },
        FactoryKey {
            upstream: "x".into(),
            ..key.clone()
        },
        FactoryKey {
            database: "x".into(),
            ..key.clone()
        },
        FactoryKey {
            role: "x".into(),
            ..key.clone()
        },
        FactoryKey {
            owner: Owner::Unattributed,
            ..key.clone()
        },
        FactoryKey {
            owner: Owner::Shared,
            ..key
        },
    ];
    let first = stage.factory("alice");
    for other in others {
        let factory = stage.worker.factory(&stage.entry, other);
        assert!(!Rc::ptr_eq(&first, &factory));
    }
}

#[tokio::test]
async fn a_user_too_many_gets_no_factory_and_one_who_leaves_makes_room() {
    let stage = Stage::new(|policy| policy.limits.max_users = 1);
    let admit = |key| stage.worker.admit(&stage.entry, key);
    let alice = admit(stage.key("alice")).unwrap();
    // The same user in another database is not another user.
    let mut key = stage.key("alice");
    key.database = "other".into();
    let other = admit(key).unwrap();
    assert_eq!(admit(stage.key("bob")).err(), Some(TooManyUsers));
    assert_eq!(
        stage.entry.metrics.factories.get(),
        2,
        "nothing is left of the refusal"
    );
    stage.worker.dismiss(&stage.entry, &alice);
    assert!(admit(stage.key("bob")).is_err());
    // What they leave idle is for their return, and does not count.
    let (owned, _peer) = stage.owned(&other);
    other.park(owned, tokio::time::Instant::now());
    stage.worker.dismiss(&stage.entry, &other);
    assert_eq!(other.idle(), 1);
    assert!(admit(stage.key("bob")).is_ok());
}

#[tokio::test]
async fn work_of_no_user_is_not_counted_as_one() {
    let stage = Stage::new(|policy| policy.limits.max_users = 0);
    for owner in [Owner::Shared, Owner::Unattributed] {
        let key = FactoryKey {
            owner,
            ..stage.key("")
        };
        assert!(stage.worker.admit(&stage.entry, key).is_ok());
    }
}

#[tokio::test]
async fn what_a_user_who_has_left_keeps_idle_is_given_to_who_waits() {
    let stage = Stage::new(|policy| policy.databases[0].pool.max_connections = 1);
    let alice = stage
        .worker
        .admit(&stage.entry, stage.key("alice"))
        .unwrap();
    let (owned, _peer) = stage.owned(&alice);
    alice.park(owned, tokio::time::Instant::now());
    let mut ticket = stage
        .entry
        .limiter
        .enqueue(&stage.factory("bob").holder, None);
    stage.worker.dismiss(&stage.entry, &alice);
    assert!(ticket.turn.try_recv().is_ok());
    assert_eq!(stage.entry.metrics.evictions.get(), 1);
}

#[tokio::test]
async fn a_factory_that_is_used_is_not_released() {
    let stage = Stage::new(|_| {});
    let alice = stage.factory("alice");
    let (owned, _peer) = stage.owned(&alice);
    stage.worker.release_factory(&stage.entry, &alice);
    assert_eq!(stage.entry.metrics.factories.get(), 1);
    drop(owned);
    stage.worker.release_factory(&stage.entry, &alice);
    assert_eq!(stage.entry.metrics.factories.get(), 0);
}

#[tokio::test]
async fn a_factory_released_twice_takes_no_other_with_it() {
    let stage = Stage::new(|_| {});
    let before = stage.factory("alice");
    stage.worker.release_factory(&stage.entry, &before);
    let after = stage.factory("alice");
    after.client_joins();
    stage.worker.release_factory(&stage.entry, &before);
    assert!(Rc::ptr_eq(&after, &stage.factory("alice")));
    assert_eq!(stage.entry.metrics.factories.get(), 1);
}

#[tokio::test]
async fn a_cancel_reaches_the_session_whose_key_it_carries() {
    let stage = Stage::new(|_| {});
    let (handle, other) = (Rc::new(Handle::default()), Rc::new(Handle::default()));
    let slot = stage.worker.enter_session(Rc::clone(&handle));
    stage.worker.enter_session(Rc::clone(&other));
    let process_id = cancel_key::process_id(0, slot);
    handle.set_key(Key::new(process_id, b"right").unwrap());
    stage
        .worker
        .cancel(&Key::new(process_id, b"right").unwrap(), nobody());
    let cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert_eq!(handle.take(&cx), Some(Signal::Cancel));
    assert_eq!(other.take(&cx), None);
}

/// A canceller who waits for nothing.
fn nobody() -> Canceller {
    tokio::sync::oneshot::channel().0
}

#[tokio::test]
async fn a_canceller_waits_until_the_session_has_dealt_with_the_request_or_has_ended() {
    let stage = Stage::new(|_| {});
    let (handle, right) = session(&stage, b"four");
    let (canceller, mut dealt_with) = tokio::sync::oneshot::channel();
    stage.worker.cancel(&right, canceller);
    assert_eq!(dealt_with.try_recv(), Err(TryRecvError::Empty));
    drop(handle.take_cancellers());
    assert_eq!(dealt_with.try_recv(), Err(TryRecvError::Closed));
    // Whoever has a wrong key is not kept.
    let (canceller, mut dealt_with) = tokio::sync::oneshot::channel();
    let wrong = Key::new(right.process_id(), b"wron").unwrap();
    stage.worker.cancel(&wrong, canceller);
    assert_eq!(dealt_with.try_recv(), Err(TryRecvError::Closed));
}

/// A session that has this key's secret, and the key.
fn session(stage: &Stage, secret: &[u8]) -> (Rc<Handle>, Key) {
    let handle = Rc::new(Handle::default());
    let slot = stage.worker.enter_session(Rc::clone(&handle));
    let key = Key::new(cancel_key::process_id(0, slot), secret).unwrap();
    handle.set_key(key.clone());
    (handle, key)
}

fn try_wrong_keys(stage: &Stage, key: &Key, times: u32) {
    for _ in 0..times {
        stage
            .worker
            .cancel(&Key::new(key.process_id(), b"wrong").unwrap(), nobody());
    }
}

#[tokio::test(start_paused = true)]
async fn wrong_keys_do_nothing_and_too_many_make_the_session_they_name_deaf_for_a_second() {
    let stage = Stage::new(|_| {});
    let cx = std::task::Context::from_waker(std::task::Waker::noop());
    let (handle, right) = session(&stage, b"four");
    let (other, others) = session(&stage, b"more");
    try_wrong_keys(&stage, &right, 200);
    assert_eq!(handle.take(&cx), None);
    stage.worker.cancel(&right, nobody());
    assert_eq!(handle.take(&cx), Some(Signal::Cancel), "a burst is nothing");
    try_wrong_keys(&stage, &right, guesses::AT_ONE);
    stage.worker.cancel(&right, nobody());
    assert_eq!(handle.take(&cx), None, "deaf");
    stage.worker.cancel(&others, nobody());
    assert_eq!(other.take(&cx), Some(Signal::Cancel), "nobody else is");
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    stage.worker.cancel(&right, nobody());
    assert_eq!(handle.take(&cx), Some(Signal::Cancel));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_cannot_be_guessed_is_always_heard() {
    let stage = Stage::new(|_| {});
    let cx = std::task::Context::from_waker(std::task::Waker::noop());
    let (handle, right) = session(&stage, &[7; 32]);
    try_wrong_keys(&stage, &right, 50_000);
    stage.worker.cancel(&right, nobody());
    assert_eq!(handle.take(&cx), Some(Signal::Cancel));
}

#[tokio::test]
async fn a_session_without_a_key_cannot_be_cancelled() {
    assert!(
        !Handle::default()
            .accepts(&Key::new(0, b"").unwrap_or_else(|| Key::new(0, b"0000").unwrap()))
    );
}

#[tokio::test]
async fn signals_are_taken_one_by_one_the_most_urgent_first() {
    let handle = Handle::default();
    let cx = std::task::Context::from_waker(std::task::Waker::noop());
    let all = [
        Signal::Cancel,
        Signal::Orphaned,
        Signal::Lost,
        Signal::Stop,
        Signal::Drain,
    ];
    for signal in all {
        handle.send(signal);
    }
    assert_eq!(
        handle.poll_interrupted(&cx),
        std::task::Poll::Ready(Signal::Stop)
    );
    let taken: Vec<_> = std::iter::from_fn(|| handle.take(&cx)).collect();
    let by_urgency = [
        Signal::Stop,
        Signal::Lost,
        Signal::Drain,
        Signal::Orphaned,
        Signal::Cancel,
    ];
    assert_eq!(taken, by_urgency);
    assert!(handle.poll_interrupted(&cx).is_pending());
}

#[tokio::test]
async fn a_session_that_leaves_twice_is_counted_once() {
    let stage = Stage::new(|_| {});
    let slot = stage.worker.enter_session(Rc::default());
    stage.worker.leave_session(slot);
    stage.worker.leave_session(slot);
    assert_eq!((stage.worker.sessions(), stage.process.sessions()), (0, 0));
}

fn ask(spares: &[usize], holders: &[Holder]) -> Reclaim {
    Reclaim {
        entry: "main".into(),
        holder: Some(holder("carol", 0)),
        spares: spares.iter().copied().collect(),
        idle: false,
        holders: holders.iter().cloned().collect(),
    }
}

#[tokio::test]
async fn a_request_for_room_asks_for_spares_first_and_then_the_richest() {
    let mut stage = Stage::of_workers(2, |policy| policy.databases[0].pool.max_connections = 4);
    let (alice, bob) = (stage.factory("alice"), stage.factory("bob"));
    let _held = [stage.owned(&alice), stage.owned(&alice), stage.owned(&bob)];
    let (idle, _peer) = stage.owned(&bob);
    bob.park(idle, Instant::now());
    let _waits = stage.entry.limiter.enqueue(&holder("carol", 0), None);
    bob.client_joins();
    stage.worker.reclaim(&stage.entry, &holder("carol", 0));
    let reclaim = reclaim_in(&mut stage.mailboxes[0]);
    assert_eq!(reclaim.spares, [0, 1]);
    stage.worker.answer_reclaim(reclaim);
    // The other worker has nothing idle; this one said that it has.
    let mut reclaim = reclaim_in(&mut stage.mailboxes[1]);
    assert_eq!(
        (&reclaim.spares, reclaim.idle),
        (&VecDeque::from([1]), true)
    );
    reclaim.spares = VecDeque::from([0]);
    stage.worker.answer_reclaim(reclaim);
    let reclaim = reclaim_in(&mut stage.mailboxes[0]);
    let both = [alice.holder.clone(), bob.holder.clone()];
    assert!(reclaim.holders.iter().all(|holder| both.contains(holder)));
    assert_eq!(reclaim.holders.len(), 2);
    stage.worker.answer_reclaim(reclaim);
    assert_eq!(bob.idle(), 0);
}

#[tokio::test]
async fn where_nothing_is_idle_nobody_is_asked_but_each_worker_once() {
    let mut stage = Stage::of_workers(2, |policy| policy.databases[0].pool.max_connections = 1);
    let _held = stage.owned(&stage.factory("alice"));
    let _waits = stage.entry.limiter.enqueue(&holder("carol", 0), None);
    stage.worker.answer_reclaim(ask(&[0], &[]));
    for mailbox in &mut stage.mailboxes {
        assert!(mailbox.try_recv().is_err());
    }
}

#[tokio::test]
async fn a_worker_without_a_spare_passes_the_request_on() {
    let mut stage = Stage::of_workers(2, |policy| policy.databases[0].pool.max_connections = 0);
    let _waits = stage.entry.limiter.enqueue(&holder("carol", 0), None);
    stage.worker.answer_reclaim(ask(&[0, 1], &[]));
    assert_eq!(reclaim_in(&mut stage.mailboxes[1]).spares, [1]);
    assert!(stage.mailboxes[0].try_recv().is_err());
}

#[tokio::test]
async fn the_richest_closes_what_has_been_idle_longest() {
    let mut stage = Stage::of_workers(2, |policy| policy.databases[0].pool.max_connections = 1);
    let alice = stage.factory("alice");
    let (owned, _peer) = stage.owned(&alice);
    alice.park(owned, Instant::now());
    let mut waits = stage.entry.limiter.enqueue(&holder("carol", 0), None);
    // One who has nothing idle passes it on, to the worker of the next.
    stage
        .worker
        .answer_reclaim(ask(&[], &[holder("bob", 0), holder("dave", 1)]));
    assert_eq!(
        reclaim_in(&mut stage.mailboxes[1]).holders,
        [holder("dave", 1)]
    );
    stage
        .worker
        .answer_reclaim(ask(&[], std::slice::from_ref(&alice.holder)));
    assert_eq!(alice.idle(), 0);
    assert!(waits.turn.try_recv().is_ok());
    assert_eq!(stage.entry.metrics.evictions.get(), 1);
}

#[tokio::test]
async fn who_waits_behind_a_richer_one_is_served_without_the_janitor() {
    let mut stage = Stage::new(|policy| policy.databases[0].pool.max_connections = 4);
    // Given: two idle connections of one user's; another holds two and waits for a third, and is first in turn.
    let (idles, rich) = (stage.factory("idles"), stage.factory("rich"));
    let mut peers = Vec::new();
    for _ in 0..2 {
        let (owned, peer) = stage.owned(&idles);
        idles.park(owned, Instant::now());
        peers.push(peer);
    }
    let _busy = [stage.owned(&rich), stage.owned(&rich)];
    let mut first = stage.entry.limiter.enqueue(&rich.holder, None);
    // When: one who holds none asks.
    let poor = holder("poor", 0);
    let mut second = stage.entry.limiter.enqueue(&poor, None);
    stage.worker.reclaim(&stage.entry, &poor);
    while let Ok(Letter::Reclaim(reclaim)) = stage.mailboxes[0].try_recv() {
        stage.worker.answer_reclaim(reclaim);
    }
    // Then: both are served.
    let _first = first.turn.try_recv().unwrap();
    let _second = second.turn.try_recv().unwrap();
    assert_eq!((idles.idle(), stage.entry.metrics.evictions.get()), (0, 2));
}

#[tokio::test]
async fn a_request_that_comes_when_nobody_waits_any_more_closes_nothing() {
    let stage = Stage::new(|_| {});
    let alice = stage.factory("alice");
    let (owned, _peer) = stage.owned(&alice);
    alice.park(owned, Instant::now());
    stage
        .worker
        .answer_reclaim(ask(&[], std::slice::from_ref(&alice.holder)));
    assert_eq!(alice.idle(), 1);
}

#[tokio::test]
async fn a_user_lives_on_one_worker_and_work_of_no_user_where_it_came() {
    for user in ["alice", "bob", "carol"] {
        let home = owner(user).home(4, 0);
        assert!(home < 4);
        assert_eq!(owner(user).home(4, 3), home);
        assert_eq!(owner(user).home(0, 0), 0);
    }
    assert_eq!(Owner::Shared.home(4, 3), 3);
}

#[tokio::test]
async fn rows_are_of_this_workers_users() {
    let stage = Stage::new(|_| {});
    stage.factory("alice");
    stage.factory("bob");
    let mut users: Vec<_> = stage
        .worker
        .user_rows()
        .into_iter()
        .map(|row| row.user_id)
        .collect();
    users.sort();
    assert_eq!(users, ["alice", "bob"]);
}
