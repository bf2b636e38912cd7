//! Each user's own limit and queue, and the upstream's for all of them.

use std::time::{Duration, Instant};

use bulkhead_tests::clickhouse::{Server, Stage, trusted};
use bulkhead_tests::wait;

fn slow(mark: &str, seconds: u32) -> String {
    format!(
        "SELECT sleepEachRow(1) /* {mark} */ FROM numbers({seconds}) SETTINGS max_block_size = 1"
    )
}

#[tokio::test]
async fn a_user_has_so_many_at_one_time_and_the_next_waits_in_line() {
    let stage = Stage::start(&trusted().pool("perUser: {max: 2}").timeouts("acquire: 20s"));
    let query = slow("own limit", 2);
    let most = async {
        let mut most = 0;
        for _ in 0..40 {
            most = most.max(Server::shared().running("/* own limit */"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        most
    };
    let (a, b, c, d, most) = tokio::join!(
        stage.query("alice", &query),
        stage.query("alice", &query),
        stage.query("alice", &query),
        stage.query("alice", &query),
        most
    );
    for answer in [a, b, c, d] {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(most, 2);
}

#[tokio::test]
async fn who_waits_too_long_is_told_by_which_setting() {
    let stage = Stage::start(
        &trusted()
            .pool("perUser: {max: 1}")
            .timeouts("acquire: 300ms"),
    );
    let holder = stage.begin("alice", &slow("own acquire", 30));
    Server::shared().until_running("/* own acquire */", 1).await;
    let refused = stage.query("alice", "SELECT 1").await;
    refused.is_error(503, 202, "databases[main].timeouts.acquire = 300ms");
    assert!(
        refused
            .body
            .contains("databases[main].pool.perUser.max = 1"),
        "{refused:?}"
    );
    assert_eq!(stage.query("bob", "SELECT 1").await.rows(), "1");
    drop(holder);
    Server::shared().until_running("/* own acquire */", 0).await;
}

/// One user's storm and another's single query, at an upstream with room for two: the storm's queue is not in front of the other.
#[tokio::test]
async fn a_storm_delays_nobody_but_its_own_user() {
    let policy = trusted()
        .pool("maxConnections: 2, perUser: {max: 2}")
        .timeouts("acquire: 60s");
    let stage = Stage::start(&policy);
    let query = slow("storm", 1);
    let storm: Vec<_> = (0..20).map(|_| stage.begin("alice", &query)).collect();
    Server::shared().until_running("/* storm */", 2).await;
    let start = Instant::now();
    assert_eq!(stage.query("bob", "SELECT 1").await.rows(), "1");
    // Two of the twenty run: whoever is polled, or comes last in one line, waits for ten rounds.
    wait::no_longer_than(Duration::from_secs(5), start);
    drop(storm);
    Server::shared().until_running("/* storm */", 0).await;
}
