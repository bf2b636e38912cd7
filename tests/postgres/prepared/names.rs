//! Whose a name is, and how long: one client and its neighbours on one server connection.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wire::send;

use super::run;

#[tokio::test]
async fn two_clients_may_use_one_name_for_different_statements() {
    let stage = Stage::start(Policy::trusted().pool("perUser: {max: 1}")).await;
    let mut one = stage.wire_of("alice").await;
    let mut two = stage.wire_of("alice").await;
    one.prepare("s", "SELECT 'one'").await;
    two.prepare("s", "SELECT 'two'").await;
    for _ in 0..3 {
        assert_eq!(run(&mut one, "s", &[]).await.as_deref(), Some("one"));
        assert_eq!(run(&mut two, "s", &[]).await.as_deref(), Some("two"));
    }
    // Closing one's own leaves the other's alone.
    assert_eq!(one.close("s").await.tags(), "3Z");
    assert_eq!(run(&mut two, "s", &[]).await.as_deref(), Some("two"));
    let gone = one.bind("s").await;
    assert_eq!(gone.refusal().code, "26000");
}

#[tokio::test]
async fn two_clients_may_use_the_same_name_and_the_same_text() {
    let stage = Stage::start(Policy::trusted().pool("perUser: {max: 1}")).await;
    let mut one = stage.wire_of("alice").await;
    let mut two = stage.wire_of("alice").await;
    for wire in [&mut one, &mut two] {
        let answer = wire.prepare("s", "SELECT 'both'").await;
        assert_eq!(answer.tags(), "1Z", "{answer:?}");
    }
    assert_eq!(one.close("s").await.tags(), "3Z");
    assert_eq!(run(&mut two, "s", &[]).await.as_deref(), Some("both"));
}

#[tokio::test]
async fn a_name_in_use_is_refused_as_the_server_would() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    wire.prepare("s", "SELECT 1").await;
    let again = wire.prepare("s", "SELECT 2").await;
    assert_eq!(again.refusal().code, "42P05", "{again:?}");
    assert_eq!(run(&mut wire, "s", &[]).await.as_deref(), Some("1"));
    // After Close the name is free.
    wire.close("s").await;
    let anew = wire.prepare("s", "SELECT 2").await;
    assert_eq!(anew.tags(), "1Z", "{anew:?}");
    assert_eq!(run(&mut wire, "s", &[]).await.as_deref(), Some("2"));
}

#[tokio::test]
async fn closing_what_does_not_exist_is_no_error() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    let answer = wire
        .exchange(&[
            send::close_statement("nothing"),
            send::close_portal("nothing"),
            send::sync(),
        ])
        .await;
    assert_eq!(answer.tags(), "33Z");
}

#[tokio::test]
async fn a_parse_that_failed_is_forgotten() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    let failed = wire.prepare("s", "SELEKT").await;
    assert_eq!(failed.refusal().code, "42601");
    let unknown = wire.bind("s").await;
    assert_eq!(unknown.refusal().code, "26000");
    let good = wire.prepare("s", "SELECT 1").await;
    assert_eq!(good.tags(), "1Z", "{good:?}");
    assert_eq!(run(&mut wire, "s", &[]).await.as_deref(), Some("1"));
}

#[tokio::test]
async fn the_unnamed_statement_lives_until_the_next_one() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    wire.prepare("", "SELECT $1::int * 2").await;
    // On the server it outlives the transaction, and drivers rely on it.
    assert_eq!(run(&mut wire, "", &["2"]).await.as_deref(), Some("4"));
    assert_eq!(run(&mut wire, "", &["3"]).await.as_deref(), Some("6"));
}

#[tokio::test]
async fn the_unnamed_statement_of_one_client_is_not_its_neighbours() {
    let stage = Stage::start(Policy::trusted().pool("perUser: {max: 1}")).await;
    let mut one = stage.wire_of("alice").await;
    let mut two = stage.wire_of("alice").await;
    one.prepare("", "SELECT 'one'").await;
    two.prepare("", "SELECT 'two'").await;
    assert_eq!(run(&mut one, "", &[]).await.as_deref(), Some("one"));
    assert_eq!(run(&mut two, "", &[]).await.as_deref(), Some("two"));
}

#[tokio::test]
async fn statements_beyond_a_users_memory_are_refused_by_name_of_the_limit() {
    let stage = Stage::start(Policy::trusted().spec("limits: {memoryPerUser: 64Ki}")).await;
    let mut wire = stage.wire_of("alice").await;
    let mut refused = None;
    for number in 0..200 {
        let text = format!("SELECT '{}'", "x".repeat(2000));
        let answer = wire.prepare(&format!("s{number}"), &text).await;
        if answer.tags() != "1Z" {
            refused = Some(answer.refusal());
            break;
        }
    }
    let refusal = refused.expect("two hundred statements of 2 kB went into 64 Ki");
    assert_eq!(refusal.code, "54000", "{refusal:?}");
    assert!(refusal.says("limits.memoryPerUser"), "{refusal:?}");
    // The connection is as good as before, and closing makes room.
    assert_eq!(run(&mut wire, "s0", &[]).await.unwrap().len(), 2000);
    wire.exchange(&[
        send::close_statement("s0"),
        send::close_statement("s1"),
        send::sync(),
    ])
    .await;
    let again = wire.prepare("again", "SELECT 1").await;
    assert_eq!(again.tags(), "1Z");
}

#[tokio::test]
async fn statements_beyond_a_users_memory_are_the_servers_in_session_mode() {
    let policy = Policy::trusted().in_session_mode();
    let stage = Stage::start(policy.spec("limits: {memoryPerUser: 64Ki}")).await;
    let mut wire = stage.wire_of("alice").await;
    let text = format!("SELECT '{}'", "x".repeat(2000));
    for number in 0..50 {
        let answer = wire.prepare(&format!("s{number}"), &text).await;
        assert_eq!(answer.tags(), "1Z");
    }
    assert_eq!(run(&mut wire, "s0", &[]).await.unwrap().len(), 2000);
}

#[tokio::test]
async fn an_error_between_parses_forgets_exactly_what_came_after_it() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    let answer = wire
        .exchange(&[
            send::parse("before", "SELECT 'before'"),
            send::parse("broken", "SELEKT"),
            send::parse("after", "SELECT 'after'"),
            send::close_statement("before"),
            send::sync(),
        ])
        .await;
    assert_eq!(answer.tags(), "1EZ", "{answer:?}");
    assert_eq!(
        run(&mut wire, "before", &[]).await.as_deref(),
        Some("before")
    );
    for name in ["broken", "after"] {
        let gone = wire.bind(name).await;
        assert_eq!(gone.refusal().code, "26000", "{name}");
        assert_eq!(wire.prepare(name, "SELECT 1").await.tags(), "1Z");
    }
}
