//! The seven timeouts: what each does, what it says, and what survives it.

use std::time::{Duration, Instant};

use bulkhead_tests::listeners::{Link, Scripted, Silent};
use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::Server;
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::wire::send;

/// The message must name the field, its value, the environment, and where the value was written.
fn names(refusal: &Refusal, field: &str, value: &str) {
    let path = format!("databases[main].timeouts.{field}");
    assert!(refusal.says(&path), "{path} is not named: {refusal:?}");
    assert!(refusal.says(value), "{value} is not named: {refusal:?}");
    assert!(
        refusal.says("testing"),
        "the environment is not named: {refusal:?}"
    );
}

async fn until_counted(stage: &Stage, kind: &str) {
    wait::until(&format!("a {kind} timeout to be counted"), || async {
        stage
            .sidecar
            .metric("bulkhead_timeouts_total", &[("kind", kind)])
            >= 1.0
    })
    .await;
}

/// What `user` is told, at the login or by the first query, whichever needs the upstream.
async fn first_refusal(stage: &Stage, user: &str) -> Refusal {
    match stage.try_options(&format!("-c bulkhead.user={user}")).await {
        Ok(session) => session.refused("SELECT 1").await,
        Err(error) => error.into(),
    }
}

#[tokio::test]
async fn connect_ends_when_the_upstream_never_answers() {
    let silent = Silent::listen().await;
    let stage = Stage::with(Policy::trusted().timeouts("connect: 400ms"))
        .upstream(silent.port())
        .unready()
        .start()
        .await;
    let start = Instant::now();
    let refusal = first_refusal(&stage, "alice").await;
    assert_eq!(refusal.code, "08001", "{refusal:?}");
    names(&refusal, "connect", "400ms");
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "it took {:?}",
        start.elapsed()
    );
    until_counted(&stage, "connect").await;
}

#[tokio::test]
async fn connect_covers_tls_and_authentication() {
    // Given upstreams that fall silent after the first step: TLS agreed to, and a password asked for,
    let asks_for_scram = send::message(b'R', b"\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00");
    for (tls, answer) in [("Require", b"S".to_vec()), ("Disable", asks_for_scram)] {
        let upstream = Scripted::listen(answer).await;
        let policy = Policy::trusted()
            .timeouts("connect: 400ms")
            .database(&format!("upstream: {{tls: {{mode: {tls}}}}}"));
        let stage = Stage::with(policy)
            .upstream(upstream.port())
            .unready()
            .start()
            .await;
        // then the same clock ends the attempt.
        let start = Instant::now();
        let refusal = first_refusal(&stage, "alice").await;
        names(&refusal, "connect", "400ms");
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "it took {:?}",
            start.elapsed()
        );
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_is_told_at_once_and_by_name() {
    let policy = Policy::trusted().timeouts("connect: 9s");
    let nobody = bulkhead_tests::processes::free_port();
    let stage = Stage::with(policy).upstream(nobody).unready().start().await;
    let start = Instant::now();
    let refusal = first_refusal(&stage, "alice").await;
    assert_eq!(refusal.code, "08001", "{refusal:?}");
    assert!(refusal.says(&nobody.to_string()), "{refusal:?}");
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "it took {:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn an_upstream_whose_name_does_not_exist_is_named() {
    let policy = Policy::trusted()
        .timeouts("connect: 2s")
        .database("upstream: {host: db.does-not-exist.invalid}");
    let stage = Stage::with(policy).unready().start().await;
    let refusal = first_refusal(&stage, "alice").await;
    assert_eq!(refusal.code, "08001", "{refusal:?}");
    assert!(
        refusal.says("db.does-not-exist.invalid")
            || refusal.says("databases[main].timeouts.connect"),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn several_addresses_are_tried() {
    // `localhost` is ::1 as well, where nobody listens.
    let policy = Policy::trusted().database("upstream: {host: localhost}");
    let stage = Stage::start(policy).await;
    assert_eq!(
        stage.user("alice").await.text("SELECT 1").await.as_deref(),
        Some("1")
    );
}

#[tokio::test]
async fn acquire_ends_the_wait_for_ones_own_second_connection_and_leaves_the_client_usable() {
    let policy = Policy::trusted()
        .pool("perUser: {max: 1}")
        .timeouts("acquire: 300ms");
    let stage = Stage::start(policy).await;
    let (one, two) = (stage.user("alice").await, stage.user("alice").await);
    one.run("BEGIN; SELECT 1").await;

    let refusal = two.refused("SELECT 1").await;
    assert_eq!(refusal.code, "53300", "{refusal:?}");
    names(&refusal, "acquire", "300ms");
    until_counted(&stage, "acquire").await;

    one.run("COMMIT").await;
    assert_eq!(two.text("SELECT 2").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn acquire_ends_the_wait_for_the_upstreams_limit() {
    let policy = Policy::trusted()
        .pool("maxConnections: 1, perUser: {max: 1}")
        .timeouts("acquire: 300ms");
    let stage = Stage::start(policy).await;
    let (alice, bob) = (stage.user("alice").await, stage.user("bob").await);
    alice.run("BEGIN; SELECT 1").await;
    let refusal = bob.refused("SELECT 1").await;
    names(&refusal, "acquire", "300ms");
    alice.run("COMMIT").await;
    assert_eq!(bob.text("SELECT 2").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn acquire_in_the_extended_protocol_discards_to_sync() {
    let policy = Policy::trusted()
        .pool("perUser: {max: 1}")
        .timeouts("acquire: 300ms");
    let stage = Stage::start(policy).await;
    let mut wire = stage.wire_of("alice").await;
    let holder = stage.user("alice").await;
    holder.run("BEGIN; SELECT 1").await;
    let answer = wire
        .exchange(&[
            send::run_unnamed("SELECT 1"),
            send::run_unnamed("SELECT 2"),
            send::sync(),
        ])
        .await;
    assert_eq!(answer.tags(), "EZ");
    assert_eq!(answer.status(), 'I');
    holder.run("COMMIT").await;
    assert_eq!(wire.query("SELECT 3").await.value().as_deref(), Some("3"));
}

#[tokio::test]
async fn statement_is_cancelled_on_the_server_and_the_connection_survives() {
    let policy = Policy::trusted()
        .timeouts("statement: 300ms")
        .pool("perUser: {max: 1}");
    let stage = Stage::start(policy).await;
    let admin = stage.admin().await;
    let alice = stage.user("alice").await;
    let pid = alice.server_pid().await;

    let start = Instant::now();
    let refusal = alice.refused("SELECT pg_sleep(30)").await;
    assert_eq!(refusal.code, "57014", "{refusal:?}");
    names(&refusal, "statement", "300ms");
    assert!(refusal.says("base"), "the origin is not named: {refusal:?}");
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert!(
        start.elapsed() < Duration::from_secs(4),
        "it took {:?}",
        start.elapsed()
    );

    // The work is over on the server too, and its connection was not thrown away.
    stage
        .until_server(&admin, &format!("pid = {pid} AND state = 'idle'"))
        .await;
    assert_eq!(alice.server_pid().await, pid);
    until_counted(&stage, "statement").await;
}

#[tokio::test]
async fn statement_names_the_overlay_that_it_comes_from() {
    let policy = Policy::trusted()
        .timeouts("statement: 30s")
        .overlay("timeouts: {statement: 250ms}");
    let stage = Stage::start(policy).await;
    let refusal = stage
        .user("alice")
        .await
        .refused("SELECT pg_sleep(30)")
        .await;
    names(&refusal, "statement", "250ms");
    assert!(refusal.says("from environment testing"), "{refusal:?}");
}

#[tokio::test]
async fn one_users_timeout_leaves_another_alone() {
    let stage = Stage::start(Policy::trusted().timeouts("statement: 600ms")).await;
    let (alice, bob) = (stage.user("alice").await, stage.user("bob").await);
    let slow = alice.refused("SELECT pg_sleep(30)");
    let quick = async {
        let mut rounds = 0;
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(700) {
            bob.run("SELECT count(*) FROM things").await;
            rounds += 1;
        }
        rounds
    };
    let (refusal, rounds) = tokio::join!(slow, quick);
    assert_eq!(refusal.code, "57014");
    assert!(rounds > 10, "bob came through {rounds} times only");
}

#[tokio::test]
async fn statement_inside_a_transaction_leaves_it_failed_and_rollback_recovers() {
    let stage = Stage::start(Policy::trusted().timeouts("statement: 300ms")).await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("BEGIN").await;
    let answer = wire.query("SELECT pg_sleep(30)").await;
    // What the server had said before its end is not kept from her.
    assert_eq!(answer.tags(), "TEZ");
    assert_eq!(answer.status(), 'E');
    assert_eq!(wire.query("SELECT 1").await.refusal().code, "25P02");
    assert_eq!(wire.query("ROLLBACK").await.status(), 'I');
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
}

#[tokio::test]
async fn statement_in_a_pipeline_is_answered_once_and_discards_to_sync() {
    let stage = Stage::start(Policy::trusted().timeouts("statement: 300ms")).await;
    let mut wire = stage.wire_of("alice").await;
    let answer = wire
        .exchange(&[
            send::run_unnamed("SELECT 1"),
            send::run_unnamed("SELECT pg_sleep(30)"),
            send::run_unnamed("SELECT 2"),
            send::sync(),
        ])
        .await;
    assert_eq!(answer.refusal().code, "57014");
    names(&answer.refusal(), "statement", "300ms");
    assert!(answer.tags().ends_with("EZ"), "{}", answer.tags());
    assert_eq!(wire.query("SELECT 3").await.value().as_deref(), Some("3"));
}

#[tokio::test]
async fn statement_ends_though_the_client_does_not_read() {
    // Given a client that asks for more than fits on the way and reads none of it,
    let policy = Policy::trusted()
        .timeouts("statement: 3s, acquire: 9s")
        .pool("perUser: {max: 1}");
    let stage = Stage::start(policy).await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    wire.send(send::query(
        "SELECT repeat('x', 1000), generate_series(1, 100000000)",
    ))
    .await;
    stage.until_stuck_in_write(&admin).await;

    // then the server's work ends all the same, and her only connection is free for another client of hers.
    let again = stage.user("alice").await;
    assert_eq!(again.text("SELECT 1").await.as_deref(), Some("1"));
    wait::until("the query's end on the server", || async {
        let running = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                       AND state = 'active' AND query LIKE '%repeat%' AND usename <> 'postgres'";
        admin.text(running).await.as_deref() == Some("0")
    })
    .await;
    until_counted(&stage, "statement").await;
}

#[tokio::test]
async fn a_statement_never_answers_with_rows_and_an_end_that_do_not_belong_together() {
    // Given statements that end by themselves just before, just after and in the moment in which their time is over,
    let stage = Stage::start(Policy::trusted().timeouts("statement: 100ms")).await;
    let mut wire = stage.wire_of("alice").await;
    let (mut whole, mut cut) = (0, 0);
    for round in 0..40 {
        let seconds = 0.08 + f64::from(round) * 0.001;
        let sql = format!("SELECT pg_sleep({seconds}), g FROM generate_series(1, 1) g");
        let answer = wire.query(&sql).await;
        // then each has its row and its normal end, or our error.
        match answer.tags().as_str() {
            "TDCZ" => whole += 1,
            "TEZ" | "TDEZ" | "EZ" => {
                names(&answer.refusal(), "statement", "100ms");
                cut += 1;
            }
            other => panic!("{other}"),
        }
    }
    assert!(whole > 0 && cut > 0, "{whole} whole, {cut} cut");
}

#[tokio::test]
async fn a_server_that_does_not_even_answer_the_cancel_is_left() {
    // Given a link on which nothing comes through any more,
    let server = Server::shared();
    let link = Link::to(server.place().port).await;
    let policy = Policy::trusted()
        .timeouts("statement: 300ms, connect: 1s")
        .pool("perUser: {max: 1}");
    let stage = Stage::with(policy).upstream(link.port()).start().await;
    let alice = stage.user("alice").await;
    alice.run("SELECT 1").await;
    link.freeze();

    // then her statement ends with the timeout, or with the connection's loss, but it ends,
    let start = Instant::now();
    let refusal = alice.refused("SELECT 2").await;
    assert!(
        ["57014", "08006"].contains(&refusal.code.as_str()),
        "{refusal:?}"
    );
    assert!(
        start.elapsed() < Duration::from_secs(9),
        "it took {:?}",
        start.elapsed()
    );

    // and when the network is back she goes on, with another client if she must.
    link.thaw();
    wait::until("alice to be served again", || async {
        match stage.try_options("-c bulkhead.user=alice").await {
            Ok(session) => session.simple_query("SELECT 1").await.is_ok(),
            Err(_) => false,
        }
    })
    .await;
}

#[tokio::test]
async fn transaction_ends_while_the_client_is_idle_and_says_so_at_its_next_message() {
    let policy = Policy::trusted().timeouts("transaction: 400ms, idleInTransaction: 20s");
    let stage = Stage::start(policy).await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("BEGIN").await;
    wire.query("INSERT INTO notes (owner, body) VALUES ('alice', 'lost')")
        .await;
    until_counted(&stage, "transaction").await;

    // An error to an idle client would be illegal; and the server has nothing to do with it any more.
    assert!(!wire.says_something(Duration::from_millis(50)).await);
    wait::until("the server's release", || async {
        let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                    AND state LIKE 'idle in transaction%'";
        admin.text(open).await.as_deref() == Some("0")
    })
    .await;

    let answer = wire.query("SELECT 1").await;
    assert_eq!(answer.refusal().code, "25P04", "{answer:?}");
    names(&answer.refusal(), "transaction", "400ms");
    assert_eq!(answer.status(), 'E');
    assert_eq!(wire.query("ROLLBACK").await.status(), 'I');
    assert_eq!(
        wire.query("SELECT count(*) FROM notes")
            .await
            .value()
            .as_deref(),
        Some("0")
    );
}

#[tokio::test]
async fn transaction_ends_a_statement_that_is_running() {
    let policy = Policy::trusted().timeouts("transaction: 400ms, statement: 20s");
    let stage = Stage::start(policy).await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("BEGIN").await;
    let answer = wire.query("SELECT pg_sleep(30)").await;
    assert_eq!(answer.refusal().code, "25P04", "{answer:?}");
    names(&answer.refusal(), "transaction", "400ms");
    assert_eq!(answer.status(), 'E');
    assert_eq!(wire.query("ROLLBACK").await.status(), 'I');
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
    until_counted(&stage, "transaction").await;
}

#[tokio::test]
async fn idle_in_transaction_rolls_back_and_keeps_the_client_in_a_failed_transaction() {
    let policy = Policy::trusted()
        .timeouts("idleInTransaction: 300ms")
        .pool("perUser: {max: 1}");
    let stage = Stage::start(policy).await;
    let mut wire = stage.wire_of("alice").await;
    wire.query("BEGIN").await;
    wire.query("INSERT INTO notes (owner, body) VALUES ('alice', 'lost')")
        .await;
    until_counted(&stage, "idle_in_transaction").await;
    assert!(!wire.says_something(Duration::from_millis(50)).await);

    // The server connection is another client's by now.
    let other = stage.user("alice").await;
    assert_eq!(
        other.text("SELECT count(*) FROM notes").await.as_deref(),
        Some("0")
    );

    // The reason, until the client ends the transaction.
    for _ in 0..2 {
        let answer = wire.query("SELECT 1").await;
        assert_eq!(answer.refusal().code, "25P03", "{answer:?}");
        names(&answer.refusal(), "idleInTransaction", "300ms");
        assert_eq!(answer.status(), 'E');
    }
    let answer = wire
        .exchange(&[send::run_unnamed("SELECT 1"), send::sync()])
        .await;
    assert_eq!(answer.tags(), "EZ");
    names(&answer.refusal(), "idleInTransaction", "300ms");

    // COMMIT of what failed is a ROLLBACK, as on the server.
    let answer = wire.query("COMMIT").await;
    assert_eq!(answer.commands(), ["ROLLBACK"]);
    assert_eq!(answer.status(), 'I');
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
}

#[tokio::test]
async fn idle_in_transaction_recovers_with_rollback_of_the_extended_protocol() {
    let policy = Policy::trusted().timeouts("idleInTransaction: 300ms");
    let stage = Stage::start(policy).await;
    let mut wire = stage.wire_of("alice").await;
    wire.exchange(&[send::run_unnamed("BEGIN"), send::sync()])
        .await;
    wire.exchange(&[send::run_unnamed("SELECT 1"), send::sync()])
        .await;
    until_counted(&stage, "idle_in_transaction").await;
    let answer = wire
        .exchange(&[send::run_unnamed("ROLLBACK"), send::sync()])
        .await;
    assert_eq!(answer.tags(), "12CZ");
    assert_eq!(answer.status(), 'I');
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
}

#[tokio::test]
async fn a_client_that_keeps_working_is_not_idle_in_its_transaction() {
    let policy = Policy::trusted().timeouts("idleInTransaction: 400ms");
    let stage = Stage::start(policy).await;
    let alice = stage.user("alice").await;
    alice.run("BEGIN").await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(1000) {
        alice.run("SELECT pg_sleep(0.05)").await;
    }
    // A long statement is not idleness either.
    alice.run("SELECT pg_sleep(0.6)").await;
    alice.run("COMMIT").await;
}

#[tokio::test]
async fn idle_closes_a_server_connection_that_nobody_uses() {
    let stage = Stage::start(Policy::trusted().timeouts("idle: 300ms")).await;
    let admin = stage.admin().await;
    let alice = stage.user("alice").await;
    let before = alice.server_pid().await;
    until_counted(&stage, "idle").await;
    wait::until("the server connection's end", || async {
        stage.server_sessions(&admin).await == 0
    })
    .await;
    assert_ne!(alice.server_pid().await, before);
}

#[tokio::test]
async fn lifetime_renews_a_server_connection_between_transactions_and_never_inside() {
    let stage = Stage::start(Policy::trusted().timeouts("lifetime: 500ms, idle: 30s")).await;
    let alice = stage.user("alice").await;
    alice.run("BEGIN").await;
    let inside = alice.server_pid().await;
    alice.run("SELECT pg_sleep(0.8)").await;
    assert_eq!(alice.server_pid().await, inside);
    alice.run("COMMIT").await;
    wait::until("another server connection", || async {
        alice.server_pid().await != inside
    })
    .await;
    until_counted(&stage, "lifetime").await;
}

#[tokio::test]
async fn zero_switches_a_timeout_off() {
    let policy =
        Policy::trusted().timeouts("statement: 0s, transaction: 0s, idleInTransaction: 0s");
    let stage = Stage::start(policy).await;
    let alice = stage.user("alice").await;
    alice.run("BEGIN; SELECT pg_sleep(0.5)").await;
    alice.run("COMMIT").await;
    let reach = alice.text("SHOW statement_timeout").await;
    assert_eq!(reach.as_deref(), Some("0"));
}

#[tokio::test]
async fn copy_in_is_bounded_by_the_transaction_and_not_by_the_statement() {
    let policy = Policy::trusted().timeouts("statement: 300ms, transaction: 20s");
    let stage = Stage::start(policy).await;
    let admin = stage.admin().await;
    let mut wire = stage.wire_of("alice").await;
    wire.send(send::query("COPY things FROM STDIN")).await;
    wire.until(b'G').await;
    wire.send(send::copy_data(b"1001\tslow\n")).await;
    stage
        .until_server(
            &admin,
            "query LIKE 'COPY%' AND clock_timestamp() - query_start > interval '600 ms'",
        )
        .await;
    wire.send(send::copy_done()).await;
    let answer = wire.until_ready().await;
    assert_eq!(answer.commands(), ["COPY 1"], "{answer:?}");
}

#[tokio::test]
async fn timeouts_hold_in_session_mode_too() {
    let policy = Policy::trusted()
        .in_session_mode()
        .timeouts("statement: 300ms, idleInTransaction: 400ms");
    let stage = Stage::start(policy).await;
    let mut wire = stage.wire_of("alice").await;
    assert_eq!(
        wire.query("SELECT pg_sleep(30)").await.refusal().code,
        "57014"
    );
    wire.query("BEGIN").await;
    wire.query("SELECT 1").await;
    until_counted(&stage, "idle_in_transaction").await;
    assert_eq!(wire.query("SELECT 1").await.refusal().code, "25P03");
    assert_eq!(wire.query("ROLLBACK").await.status(), 'I');
    assert_eq!(wire.query("SELECT 1").await.value().as_deref(), Some("1"));
}
