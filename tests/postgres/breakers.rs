//! Breakers: a user's own for their own failing work, an upstream's for trouble in reaching it. What each refuses, and whom it
//! leaves alone.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::Server;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::wire::send;

/// A policy whose statements have little time, and whose users' breakers open at the third that had too little.
fn three_strikes(open: &str) -> Policy {
    Policy::trusted()
        .timeouts("statement: 200ms")
        .database(&format!(
            "breaker: {{failures: 3, window: 1m, open: {open}, halfOpenProbes: 1}}"
        ))
}

/// Three statements of the user's that take too long.
async fn strike_out(stage: &Stage, user: &str) {
    let session = stage.user(user).await;
    for _ in 0..3 {
        let refusal = session.refused("SELECT pg_sleep(30)").await;
        assert_eq!(refusal.code, "57014", "{refusal:?}");
    }
}

#[tokio::test]
async fn a_user_whose_statements_time_out_is_refused_and_nobody_else_is() {
    let stage = Stage::start(three_strikes("1h")).await;
    let bob = stage.user("bob").await;
    bob.run("SELECT 1").await;

    // Given alice, whose work has timed out three times,
    strike_out(&stage, "alice").await;

    // then she is told at once, by the name of the field, and when to try again: on any connection of hers.
    let alice = stage.user("alice").await;
    let refusal = alice.refused("SELECT 1").await;
    assert_eq!(refusal.code, "53400", "{refusal:?}");
    for words in [
        "databases[main].breaker.failures = 3",
        "within 1m",
        "try again in 3600 s",
        "testing",
    ] {
        assert!(refusal.says(words), "{words} is not said: {refusal:?}");
    }
    // Her connection goes on, in the extended protocol as well.
    let mut wire = stage.wire_of("alice").await;
    wire.send([send::run_unnamed("SELECT 1"), send::sync()].concat())
        .await;
    assert_eq!(wire.until(b'E').await.refusal().code, "53400");
    wire.until(b'Z').await;

    // Bob notices nothing, and neither does who comes new.
    bob.run("SELECT 1").await;
    stage.user("carol").await.run("SELECT 1").await;
    stage
        .until_metric("bulkhead_user_breakers", &[("state", "open")], 1.0)
        .await;
    let metric = |name, labels: &[(&str, &str)]| stage.sidecar.metric(name, labels);
    assert!(metric("bulkhead_breaker_opens_total", &[("scope", "user")]) >= 1.0);
    assert!(metric("bulkhead_breaker_refusals_total", &[("scope", "user")]) >= 2.0);
    assert!(
        metric("bulkhead_breaker_state", &[]) < 0.5,
        "the upstream's is closed"
    );
}

#[tokio::test]
async fn a_probe_that_goes_well_closes_a_users_breaker_and_one_that_does_not_opens_it_again() {
    let stage = Stage::start(three_strikes("1s")).await;
    strike_out(&stage, "alice").await;
    let alice = stage.user("alice").await;
    let state = |state| [("state", state)];

    // The first transaction after `open` is a probe; it fails,
    stage
        .until_metric("bulkhead_user_breakers", &state("half_open"), 1.0)
        .await;
    let refusal = alice.refused("SELECT pg_sleep(30)").await;
    assert_eq!(refusal.code, "57014", "{refusal:?}");
    let refusal = alice.refused("SELECT 1").await;
    assert_eq!(refusal.code, "53400", "{refusal:?}");

    // and the next one goes well.
    stage
        .until_metric("bulkhead_user_breakers", &state("half_open"), 1.0)
        .await;
    alice.run("SELECT 1").await;
    alice.run("SELECT 1").await;
    stage
        .until_metric("bulkhead_user_breakers", &state("half_open"), 0.0)
        .await;
    stage
        .until_metric("bulkhead_user_breakers", &state("open"), 0.0)
        .await;
}

#[tokio::test]
async fn a_transaction_counts_once_whatever_runs_out_in_it() {
    let policy = three_strikes("1h").timeouts("transaction: 400ms, idleInTransaction: 300ms");
    let stage = Stage::start(policy).await;
    let alice = stage.user("alice").await;
    let fired = |kind: &'static str, times: f64| {
        let stage = &stage;
        async move {
            let labels = [("kind", kind)];
            stage
                .until_metric("bulkhead_timeouts_total", &labels, times)
                .await;
        }
    };
    // Each of these transactions runs into two clocks: the statement's, and that of its client's silence.
    for times in [1.0, 2.0] {
        alice.run("BEGIN").await;
        let refusal = alice.refused("SELECT pg_sleep(30)").await;
        assert_eq!(refusal.code, "57014", "{refusal:?}");
        fired("statement", times).await;
        // Whichever of the two fires, the transaction is over.
        wait::until("the transaction's end", || async {
            let fired = |kind| {
                let labels = [("kind", kind)];
                stage.sidecar.metric("bulkhead_timeouts_total", &labels)
            };
            fired("idle_in_transaction") + fired("transaction") >= times
        })
        .await;
        alice.run("ROLLBACK").await;
    }
    alice.run("SELECT 1").await;
    let refusal = alice.refused("SELECT pg_sleep(30)").await;
    assert_eq!(refusal.code, "57014", "the third: {refusal:?}");
    assert_eq!(alice.refused("SELECT 1").await.code, "53400");
}

#[tokio::test]
async fn what_an_application_must_expect_trips_nothing() {
    let stage = Stage::start(three_strikes("1h")).await;
    let alice = stage.user("alice").await;
    for _ in 0..3 {
        for (sql, code) in [
            ("SELEC 1", "42601"),
            ("SELECT * FROM nowhere", "42P01"),
            ("SELECT 1 / 0", "22012"),
            ("DO $$BEGIN RAISE unique_violation; END$$", "23505"),
            ("DO $$BEGIN RAISE serialization_failure; END$$", "40001"),
            ("DO $$BEGIN RAISE deadlock_detected; END$$", "40P01"),
            ("DO $$BEGIN RAISE disk_full; END$$", "53100"),
        ] {
            assert_eq!(alice.refused(sql).await.code, code);
        }
    }
    alice.run("SELECT 1").await;
    // An internal error of the server's is trouble.
    for _ in 0..3 {
        let refusal = alice
            .refused("DO $$BEGIN RAISE internal_error; END$$")
            .await;
        assert_eq!(refusal.code, "XX000");
    }
    assert_eq!(alice.refused("SELECT 1").await.code, "53400");
}

#[tokio::test]
async fn a_client_that_keeps_its_connection_is_refused_its_next_transaction_too() {
    let stage = Stage::start(three_strikes("1h").in_session_mode()).await;
    let alice = stage.user("alice").await;
    let bob = stage.user("bob").await;
    for _ in 0..3 {
        alice.refused("SELECT pg_sleep(30)").await;
    }
    assert_eq!(alice.refused("SELECT 1").await.code, "53400");
    bob.run("SELECT 1").await;
}

#[tokio::test]
async fn in_mode_audit_a_breaker_counts_and_refuses_nobody() {
    let stage = Stage::start(three_strikes("1h").spec("mode: Audit")).await;
    strike_out(&stage, "alice").await;
    stage.user("alice").await.run("SELECT 1").await;
    let labels = [("scope", "user")];
    assert!(
        stage
            .sidecar
            .metric("bulkhead_breaker_refusals_total", &labels)
            >= 1.0
    );
}

#[tokio::test]
async fn an_upstream_that_is_away_is_not_dialled_until_probes_have_found_it_again() {
    let mut server = Server::own();
    let policy = Policy::trusted()
        .timeouts("connect: 2s")
        .database("breaker: {failures: 2, window: 1m, open: 2s, halfOpenProbes: 1}");
    let stage = Stage::on(&server, policy).start().await;
    let alice = stage.user("alice").await;
    alice.run("SELECT 1").await;
    let bob = stage.user("bob").await;

    // When the server dies, a few find out the hard way, and the rest is told at once.
    server.kill();
    let told = wait::within("the upstream's breaker to open", async {
        loop {
            let refusal = bob.refused("SELECT 1").await;
            assert_eq!(refusal.code, "08001", "{refusal:?}");
            if refusal.says("breaker") {
                return refusal;
            }
        }
    });
    let refusal = told.await;
    for words in ["databases[main].breaker.failures = 2", "try again in"] {
        assert!(refusal.says(words), "{refusal:?}");
    }
    let opens = [("scope", "upstream")];
    assert!(stage.sidecar.metric("bulkhead_breaker_opens_total", &opens) >= 1.0);
    assert!(
        stage
            .sidecar
            .metric("bulkhead_breaker_refusals_total", &opens)
            >= 1.0
    );
    stage.until_metric("bulkhead_breaker_state", &[], 2.0).await;

    // When it is back, a probe finds it, and everybody is served.
    server.start();
    for session in [&alice, &bob] {
        wait::until("the upstream to be found again", || async {
            session.simple_query("SELECT 1").await.is_ok()
        })
        .await;
    }
    stage.user("carol").await.run("SELECT 1").await;
    stage.until_metric("bulkhead_breaker_state", &[], 0.0).await;
}

#[tokio::test]
async fn what_one_client_asks_for_does_not_trip_the_upstreams_breaker() {
    let policy = Policy::trusted()
        .database("breaker: {failures: 2, window: 1m, open: 1h, halfOpenProbes: 1}");
    let stage = Stage::start(policy).await;
    // Given one who keeps asking for a database that is not there,
    for _ in 0..4 {
        let mut wire = stage.wire().await;
        let refusal = wire
            .login(&[
                ("user", "chat_app"),
                ("database", "nowhere"),
                ("options", "-c bulkhead.user=alice"),
            ])
            .await
            .unwrap_err();
        assert_eq!(refusal.code, "3D000", "{refusal:?}");
    }
    // then the others go on.
    stage.user("bob").await.run("SELECT 1").await;
}
