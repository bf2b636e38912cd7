//! Which session state crosses from one user to the next, for each tier, with one server connection for everybody.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::session::Session;
use bulkhead_tests::stage::Stage;

/// One kind of session state: how alice makes it, and how bob would see it.
struct Trace {
    kind: &'static str,
    made_by: &'static [&'static str],
    seen_by: &'static str,
}

/// The session state that anchors of the field are known to leak, and some more.
const TRACES: &[Trace] = &[
    Trace {
        kind: "SET",
        made_by: &["SET work_mem = '7MB'"],
        seen_by: "SHOW work_mem",
    },
    Trace {
        kind: "a SET that a rollback has undone",
        made_by: &[
            "SET work_mem = '9MB'",
            "BEGIN",
            "SET work_mem = '7MB'",
            "ROLLBACK",
        ],
        seen_by: "SHOW work_mem",
    },
    Trace {
        kind: "SET in a committed transaction",
        made_by: &["BEGIN", "SET work_mem = '7MB'", "COMMIT"],
        seen_by: "SHOW work_mem",
    },
    Trace {
        kind: "SET ROLE",
        made_by: &["SET ROLE chat_reader"],
        seen_by: "SELECT current_user",
    },
    Trace {
        kind: "SET TIME ZONE",
        made_by: &["SET TIME ZONE 'Pacific/Chatham'"],
        seen_by: "SHOW timezone",
    },
    Trace {
        kind: "client_encoding",
        made_by: &["SET client_encoding = 'LATIN1'"],
        seen_by: "SHOW client_encoding",
    },
    Trace {
        kind: "read-only by default",
        made_by: &["SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"],
        seen_by: "SHOW default_transaction_read_only",
    },
    Trace {
        kind: "search_path by set_config",
        made_by: &["SELECT set_config('search_path', 'pg_temp', false)"],
        seen_by: "SHOW search_path",
    },
    Trace {
        kind: "set_config inside a function",
        made_by: &["SELECT set_in_secret('app.secret', 'alice was here')"],
        seen_by: "SELECT coalesce(current_setting('app.secret', true), '')",
    },
    Trace {
        kind: "set_config inside a DO block",
        made_by: &["DO $$ BEGIN PERFORM set_config('statement_timeout', '77s', false); END $$"],
        seen_by: "SHOW statement_timeout",
    },
    Trace {
        kind: "a setting of the application's own",
        made_by: &["SET app.tenant = 'alice and sons'"],
        seen_by: "SELECT coalesce(current_setting('app.tenant', true), '')",
    },
    Trace {
        kind: "the user parameter, overwritten",
        made_by: &["SET app.user_id = 'mallory'"],
        seen_by: "SELECT current_setting('app.user_id') = 'mallory'",
    },
    Trace {
        kind: "a temporary table",
        made_by: &["CREATE TEMP TABLE secret AS SELECT 1 AS n"],
        seen_by: "SELECT count(*) FROM pg_class WHERE relname = 'secret'",
    },
    Trace {
        kind: "a temporary table made inside a block",
        made_by: &["DO $$ BEGIN CREATE TEMP TABLE hidden (n int); END $$"],
        seen_by: "SELECT count(*) FROM pg_class WHERE relname = 'hidden'",
    },
    Trace {
        kind: "SQL PREPARE",
        made_by: &["PREPARE mine AS SELECT 1"],
        seen_by: "SELECT count(*) FROM pg_prepared_statements WHERE name = 'mine'",
    },
    Trace {
        kind: "an advisory lock",
        made_by: &["SELECT pg_advisory_lock(42)"],
        seen_by: "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()",
    },
    Trace {
        kind: "LISTEN",
        made_by: &["LISTEN gossip"],
        seen_by: "SELECT count(*) FROM pg_listening_channels()",
    },
    Trace {
        kind: "a cursor WITH HOLD",
        made_by: &[
            "BEGIN",
            "DECLARE held CURSOR WITH HOLD FOR SELECT * FROM things",
            "COMMIT",
        ],
        seen_by: "SELECT count(*) FROM pg_cursors",
    },
    Trace {
        kind: "the last value of a sequence",
        made_by: &["SELECT nextval('numbers')"],
        seen_by: "DO $$ BEGIN PERFORM currval('numbers'); RAISE EXCEPTION 'seen'; \
                  EXCEPTION WHEN object_not_in_prerequisite_state THEN NULL; END $$",
    },
    Trace {
        kind: "a transaction left open",
        made_by: &["BEGIN", "CREATE TEMP TABLE open (n int)"],
        seen_by: "SELECT count(*) FROM pg_class WHERE relname = 'open'",
    },
];

/// What `sql` shows; a statement that gives no row shows nothing.
async fn shown(session: &Session, sql: &str) -> Option<String> {
    let rows = session.rows(sql).await;
    rows.first().and_then(|row| row[0].clone())
}

fn one_connection(tier: &str) -> Policy {
    Policy::trusted()
        .tier(tier)
        .pool("maxConnections: 1, perUser: {max: 1}")
        .timeouts("acquire: 8s")
}

/// Leaves every trace as alice, and looks for it as bob. Gives back how often bob was on the server connection that alice had.
///
/// There is one worker: between workers a connection is closed rather than handed over, and nothing could cross.
async fn look_for_traces(policy: Policy) -> usize {
    let stage = Stage::with(policy).workers(1).start().await;
    let mut crossed = 0;
    for trace in TRACES {
        // Given a newcomer's view of a fresh server connection,
        let newcomer = stage.user("newcomer").await;
        let clean = shown(&newcomer, trace.seen_by).await;
        newcomer.close().await;

        // when alice leaves her trace and goes,
        let alice = stage.user("alice").await;
        for sql in trace.made_by {
            alice.run(sql).await;
        }
        let hers = if trace.kind == "a transaction left open" {
            0
        } else {
            alice.server_pid().await
        };
        alice.close().await;

        // then bob sees what the newcomer saw.
        let bob = stage.user("bob").await;
        let seen = shown(&bob, trace.seen_by).await;
        assert_eq!(seen, clean, "{} crossed from alice to bob", trace.kind);
        crossed += usize::from(bob.server_pid().await == hers);
        bob.close().await;
    }
    let handoffs = stage.cross_user_handoffs();
    assert_eq!(
        handoffs > 0.0,
        crossed > 0,
        "{handoffs} hand-offs counted, {crossed} seen"
    );
    crossed
}

#[tokio::test]
async fn dedicated_lets_nothing_cross_in_transaction_mode() {
    assert_eq!(look_for_traces(one_connection("Dedicated")).await, 0);
}

#[tokio::test]
async fn dedicated_lets_nothing_cross_in_session_mode() {
    assert_eq!(
        look_for_traces(one_connection("Dedicated").in_session_mode()).await,
        0
    );
}

#[tokio::test]
async fn reset_lets_nothing_cross_but_the_connection_in_transaction_mode() {
    assert!(
        look_for_traces(one_connection("Reset")).await > 0,
        "nothing crossed: nothing was tried"
    );
}

#[tokio::test]
async fn reset_lets_nothing_cross_but_the_connection_in_session_mode() {
    let policy = one_connection("Reset").in_session_mode();
    assert!(
        look_for_traces(policy).await > 0,
        "nothing crossed: nothing was tried"
    );
}

#[tokio::test]
async fn dedicated_does_not_even_let_the_random_seed_cross() {
    let stage = Stage::start(one_connection("Dedicated")).await;
    let alice = stage.user("alice").await;
    alice.run("SELECT setseed(0.5)").await;
    let would_be = stage
        .admin()
        .await
        .rows("SELECT setseed(0.5), random()")
        .await;
    alice.close().await;
    let bob = stage.user("bob").await;
    let drawn = bob.text("SELECT random()").await;
    assert_ne!(drawn, would_be[0][1], "bob draws from alice's seed");
}

#[tokio::test]
async fn dedicated_never_hands_over_while_both_are_connected() {
    // Given two users who take turns on one server connection for all,
    let stage = Stage::start(one_connection("Dedicated")).await;
    let (alice, bob) = (stage.user("alice").await, stage.user("bob").await);
    let mut hers = std::collections::BTreeSet::new();
    let mut his = std::collections::BTreeSet::new();
    for _ in 0..5 {
        hers.insert(alice.server_pid().await);
        his.insert(bob.server_pid().await);
    }
    // then no server process has ever served both.
    assert!(hers.is_disjoint(&his), "{hers:?} {his:?}");
    assert!(stage.sidecar.metric("bulkhead_evictions_total", &[]) > 0.0);
    assert!(stage.cross_user_handoffs().abs() < 0.5);
}

#[tokio::test]
async fn reset_hands_over_to_who_waits_instead_of_connecting_again() {
    // Given five users at once, and one server connection for all (and one worker: between workers it is closed),
    let stage = Stage::with(one_connection("Reset"))
        .workers(1)
        .start()
        .await;
    let mut users = Vec::new();
    for number in 0..5 {
        users.push(stage.user(&format!("user-{number}")).await);
    }
    let work = users.iter().map(async |user| {
        let mut pids = Vec::new();
        for _ in 0..8 {
            pids.push(user.server_pid().await);
        }
        pids
    });
    let pids = futures_util::future::join_all(work).await.concat();
    // then one server process has served everybody.
    let distinct: std::collections::BTreeSet<_> = pids.iter().collect();
    assert_eq!(distinct.len(), 1, "{distinct:?}");
    assert!(stage.cross_user_handoffs() > 5.0);
    assert!(stage.sidecar.metric("bulkhead_evictions_total", &[]).abs() < 0.5);
}

#[tokio::test]
async fn a_prepared_statement_of_one_user_is_unknown_to_the_next() {
    for tier in ["Dedicated", "Reset"] {
        let stage = Stage::start(one_connection(tier)).await;
        let alice = stage.user("alice").await;
        let statement = alice.prepare("SELECT 'alice' AS whose").await.unwrap();
        let whose = async || {
            let row = alice.query_one(&statement, &[]).await.unwrap();
            row.get::<_, String>(0)
        };
        assert_eq!(whose().await, "alice");
        let bob = stage.user("bob").await;
        let seen = bob
            .text("SELECT count(*) FROM pg_prepared_statements")
            .await;
        assert_eq!(seen.as_deref(), Some("0"), "{tier}");
        // And alice's works still, wherever she is now.
        assert_eq!(whose().await, "alice");
    }
}

#[tokio::test]
async fn a_clients_own_settings_come_back_with_it_and_stay_away_from_its_neighbour() {
    // Given two clients of one user with different start-up parameters on one server connection,
    let stage = Stage::start(one_connection("Dedicated")).await;
    let one = stage
        .try_options("-c bulkhead.user=alice -c search_path=one -c work_mem=5MB")
        .await
        .unwrap();
    let two = stage
        .try_options("-c bulkhead.user=alice -c TimeZone=Asia/Tokyo")
        .await
        .unwrap();
    for _ in 0..3 {
        // then each finds its own, whoever was there before.
        assert_eq!(one.text("SHOW search_path").await.as_deref(), Some("one"));
        assert_eq!(one.text("SHOW work_mem").await.as_deref(), Some("5MB"));
        assert_ne!(
            one.text("SHOW timezone").await.as_deref(),
            Some("Asia/Tokyo")
        );
        assert_eq!(
            two.text("SHOW timezone").await.as_deref(),
            Some("Asia/Tokyo")
        );
        assert_ne!(two.text("SHOW search_path").await.as_deref(), Some("one"));
        assert_ne!(two.text("SHOW work_mem").await.as_deref(), Some("5MB"));
    }
}

#[tokio::test]
async fn the_user_parameter_is_asserted_again_at_every_checkout() {
    let stage = Stage::start(Policy::trusted()).await;
    let alice = stage.user("alice").await;
    alice
        .run("INSERT INTO notes (owner, body) VALUES ('alice', 'hers')")
        .await;
    for undo in [
        "SET app.user_id = 'bob'",
        "RESET app.user_id",
        "SET app.user_id TO DEFAULT",
        "RESET ALL",
        "DISCARD ALL",
        "SELECT set_config('app.user_id', 'bob', false)",
        "BEGIN; SET app.user_id = 'bob'; ROLLBACK",
        "BEGIN; SET LOCAL app.user_id = 'bob'; COMMIT",
    ] {
        alice.run(undo).await;
        // A second client of hers, so that a fresh checkout is certain.
        let again = stage.user("alice").await;
        assert_eq!(
            again
                .text("SELECT count(*) FROM notes WHERE body = 'hers'")
                .await
                .as_deref(),
            Some("1"),
            "after {undo}"
        );
        again.close().await;
    }
}

#[tokio::test]
async fn the_user_parameter_is_asserted_again_when_it_was_overwritten_where_nobody_could_see_it() {
    let stage = Stage::start(Policy::trusted().pool("perUser: {max: 1}")).await;
    let (one, two) = (stage.user("alice").await, stage.user("alice").await);
    one.run("SELECT set_in_secret('app.user_id', 'bob')").await;
    let seen = two.text("SELECT current_setting('app.user_id')").await;
    assert_eq!(
        seen.as_deref(),
        Some("alice"),
        "another client of hers works as bob"
    );
}

#[tokio::test]
async fn shared_must_be_named_and_serves_everybody_from_the_same_connection() {
    // On one worker, for a factory that is nobody's is split per worker.
    let stage = Stage::with(one_connection("Shared"))
        .workers(1)
        .start()
        .await;
    let first = stage.user("migration").await;
    let pid = first.server_pid().await;
    let second = stage.user("nightly-job").await;
    assert_eq!(second.server_pid().await, pid);
    assert_eq!(first.server_pid().await, pid);
}
