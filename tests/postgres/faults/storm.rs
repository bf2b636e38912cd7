//! Two thousand clients at once. Each is served or told why not, nobody waits for ever, who was there before hardly notices, and
//! when they have gone nothing of them is left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::wire::{Wire, send};
use tokio_postgres::Config;

use super::policy;

/// Clients of the storm, and the users to whom they belong.
const CLIENTS: usize = 2000;
const USERS: usize = 4;

/// How one client of the storm fared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fate {
    Served,
    Refused(String),
}

/// Connects, asks once and goes.
async fn storm(port: u16, database: String, user: String) -> Fate {
    let mut wire = Wire::tcp(port).await;
    let options = format!("-c bulkhead.user={user}");
    let parameters = [
        ("user", "chat_app"),
        ("database", database.as_str()),
        ("options", options.as_str()),
    ];
    if let Err(refusal) = wire.login(&parameters).await {
        return Fate::Refused(refusal.code);
    }
    wire.send(send::query("SELECT pg_sleep(0.005), 'mine'"))
        .await;
    let answer = wire.until_ready().await;
    if answer.of(b'E').count() > 0 {
        return Fate::Refused(answer.refusal().code);
    }
    assert_eq!(answer.rows()[0][1].as_deref(), Some("mine"));
    Fate::Served
}

/// The time that each of the quiet user's transactions takes, until told to stop.
async fn quiet(mut config: Config, over: Arc<AtomicBool>) -> Vec<Duration> {
    config.options("-c bulkhead.user=quiet");
    let session = bulkhead_tests::session::connect(&config).await.unwrap();
    let mut took = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let start = Instant::now();
        assert_eq!(
            session.text("SELECT 'quiet'").await.as_deref(),
            Some("quiet")
        );
        took.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    took
}

/// The value below which 99 of 100 are.
fn p99(mut took: Vec<Duration>) -> Duration {
    took.sort();
    took[(took.len() - 1) * 99 / 100]
}

/// One storm, and what became of each of its clients.
async fn one_storm(stage: &Stage) -> BTreeMap<Fate, usize> {
    let (port, database) = (stage.sidecar.port(), &stage.database);
    let clients = (0..CLIENTS).map(|number| {
        let user = format!("storm-{}", number % USERS);
        tokio::spawn(storm(port, database.clone(), user))
    });
    let clients: Vec<_> = clients.collect();
    let mut fates = BTreeMap::new();
    for client in clients {
        let fate = tokio::time::timeout(Duration::from_secs(60), client).await;
        let fate = fate.expect("no client hangs").unwrap();
        *fates.entry(fate).or_default() += 1;
    }
    fates
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_connections_at_once_are_served_or_told_why_not_and_leave_nothing_behind() {
    // Given room for ten, of which one user may have two, and a quiet user at work,
    let policy = policy()
        .pool("maxConnections: 10, perUser: {max: 2}")
        .timeouts("acquire: 5s, statement: 30s, idle: 1s");
    let stage = Stage::start(policy).await;
    // storms after which the allocator has what it keeps (pages of the program itself come and go, and are not counted),
    let first = one_storm(&stage).await;
    one_storm(&stage).await;
    settled(&stage).await;
    let (files, memory) = (stage.sidecar.descriptors(), stage.sidecar.memory("RssAnon"));
    let over = Arc::new(AtomicBool::new(false));
    let quiet = tokio::spawn(quiet(stage.config(), Arc::clone(&over)));
    let start = Instant::now();
    let fates = one_storm(&stage).await;
    let lasted = start.elapsed();
    over.store(true, Ordering::Relaxed);
    let quiet = quiet.await.unwrap();

    // then each of the storm was served, or told that no connection became free in time,
    for fates in [&first, &fates] {
        assert_eq!(fates.values().sum::<usize>(), CLIENTS);
        assert!(
            fates
                .get(&Fate::Served)
                .is_some_and(|served| *served > CLIENTS / 10),
            "{fates:?}"
        );
        for fate in fates.keys() {
            assert!(
                [Fate::Served, Fate::Refused("53300".to_owned())].contains(fate),
                "{fates:?}"
            );
        }
    }
    // the quiet user was served throughout, in a time that has nothing to do with the queue's,
    let (count, p99) = (quiet.len(), p99(quiet));
    assert!(count > 10, "{count} in {lasted:?}");
    assert!(
        p99 < Duration::from_millis(1500),
        "p99 {p99:?} of {count} in {lasted:?}"
    );

    // and when it is over all is as before.
    settled(&stage).await;
    wait::until("the descriptors to be given back", || async {
        stage.sidecar.descriptors() <= files + 2
    })
    .await;
    let grown = stage.sidecar.memory("RssAnon").saturating_sub(memory);
    assert!(
        grown < 8 << 20,
        "the last storm has left {grown} bytes more than those before"
    );
    assert_eq!(
        stage.user("late").await.text("SELECT 1").await.as_deref(),
        Some("1")
    );
}

async fn settled(stage: &Stage) {
    stage.until_metric("bulkhead_connections", &[], 0.0).await;
    stage.until_metric("bulkhead_factories", &[], 0.0).await;
    stage
        .until_metric("bulkhead_server_connections", &[], 0.0)
        .await;
}

#[tokio::test]
async fn clients_that_never_finish_their_start_up_are_let_go_and_keep_nobody_out() {
    // Given two hundred clients that say a byte now and then, or nothing, and one at work,
    let stage = Stage::start(policy()).await;
    let alice = stage.user("alice").await;
    let before = stage.sidecar.descriptors();
    let startup = send::startup(bulkhead_tests::wire::V3_0, &[("user", "chat_app+mallory")]);
    let mut lorises = Vec::new();
    let start = Instant::now();
    for number in 0..200 {
        let wire = stage.wire().await;
        let startup = startup.clone();
        lorises.push(tokio::spawn(async move {
            let mut wire = wire;
            for byte in startup
                .chunks(1)
                .cycle()
                .take(if number % 2 == 0 { 20 } else { 0 })
            {
                if wire.try_send(byte).await.is_err()
                    || wire.says_something(Duration::from_secs(1)).await
                {
                    break;
                }
            }
            // What is said at the end is the handshake's deadline, or nothing.
            while wire.says_something(Duration::from_secs(20)).await {
                if wire.discard_some().await == 0 {
                    return start.elapsed();
                }
            }
            panic!("it was held for {:?}", start.elapsed());
        }));
    }
    // then others come in and are served meanwhile,
    alice.run("SELECT 1").await;
    assert_eq!(
        stage.user("bob").await.text("SELECT 1").await.as_deref(),
        Some("1")
    );
    // and all are let go when a login has had its time, whatever they have said until then.
    for loris in lorises {
        let held = loris.await.unwrap();
        assert!(held < Duration::from_secs(18), "{held:?}");
    }
    wait::until("the descriptors to be given back", || async {
        stage.sidecar.descriptors() <= before + 4
    })
    .await;
    alice.run("SELECT 1").await;
}

#[tokio::test]
async fn a_refusal_in_a_storm_names_the_field_and_the_queue() {
    let policy = policy()
        .pool("perUser: {max: 1}")
        .timeouts("acquire: 300ms");
    let stage = Stage::start(policy).await;
    let holder = stage.user("alice").await;
    holder.run("BEGIN; SELECT 1").await;
    let mut waiters = Vec::new();
    for _ in 0..5 {
        waiters.push(stage.user("alice").await);
    }
    let asked = waiters.iter().map(|waiter| waiter.simple_query("SELECT 1"));
    for outcome in futures_util::future::join_all(asked).await {
        let refusal = Refusal::from(outcome.unwrap_err());
        assert_eq!(refusal.code, "53300", "{refusal:?}");
        assert!(
            refusal.says("databases[main].pool.perUser.max = 1"),
            "{refusal:?}"
        );
        assert!(
            refusal.says("databases[main].timeouts.acquire = 300ms"),
            "{refusal:?}"
        );
    }
    holder.run("COMMIT").await;
}
