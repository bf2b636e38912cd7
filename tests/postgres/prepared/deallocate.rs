//! Statements that are forgotten, or made, in SQL.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wire::send;

use super::{change_server, prepare_both, run};

#[tokio::test]
async fn deallocate_forgets_one_and_deallocate_all_forgets_all() {
    let stage = Stage::start(Policy::trusted()).await;
    let admin = stage.admin().await;
    for forget in [
        "DEALLOCATE ALL",
        "DISCARD ALL",
        "deallocate prepare all",
        " /* note */ DISCARD ALL;",
    ] {
        let mut wire = stage.wire_of("alice").await;
        prepare_both(&mut wire).await;
        let done = wire.query(forget).await;
        assert_eq!(done.tags(), "CZ", "{forget}: {done:?}");
        for name in ["a", "b"] {
            let gone = wire.bind(name).await;
            assert_eq!(gone.refusal().code, "26000", "{forget}");
        }
        // The names are free again, here and on another server connection.
        let anew = prepare_both(&mut wire).await;
        assert_eq!(anew.tags(), "11Z", "{forget}");
        change_server(&stage, &admin).await;
        assert_eq!(run(&mut wire, "b", &[]).await.as_deref(), Some("b"));
    }
}

#[tokio::test]
async fn deallocate_by_name_reaches_a_statement_of_the_protocol() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    prepare_both(&mut wire).await;
    let done = wire.query("DEALLOCATE a").await;
    assert_eq!(done.tags(), "CZ", "{done:?}");
    let gone = wire.bind("a").await;
    assert_eq!(gone.refusal().code, "26000");
    assert_eq!(run(&mut wire, "b", &[]).await.as_deref(), Some("b"));
}

#[tokio::test]
async fn deallocate_all_of_one_client_leaves_its_neighbours_statements() {
    let stage = Stage::start(Policy::trusted().pool("perUser: {max: 1}")).await;
    let mut one = stage.wire_of("alice").await;
    let mut two = stage.wire_of("alice").await;
    for (wire, sql) in [(&mut one, "SELECT 'one'"), (&mut two, "SELECT 'two'")] {
        wire.prepare("s", sql).await;
    }
    one.query("DEALLOCATE ALL").await;
    assert_eq!(run(&mut two, "s", &[]).await.as_deref(), Some("two"));
    one.query("DISCARD ALL").await;
    assert_eq!(run(&mut two, "s", &[]).await.as_deref(), Some("two"));
}

#[tokio::test]
async fn deallocate_in_a_pipeline_keeps_its_place() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut wire = stage.wire_of("alice").await;
    wire.prepare("a", "SELECT 'a'").await;
    wire.send(
        [
            send::bind("", "a", &[]),
            send::execute("", 0),
            send::sync(),
            send::query("DEALLOCATE a"),
            send::bind("", "a", &[]),
            send::sync(),
            send::query("SELECT 'end'"),
        ]
        .concat(),
    )
    .await;
    for tags in ["2DCZ", "CZ", "EZ", "TDCZ"] {
        assert_eq!(wire.until_ready().await.tags(), tags);
    }
}

#[tokio::test]
async fn sql_prepare_keeps_its_server_connection() {
    let stage = Stage::start(Policy::trusted()).await;
    let one = stage.user("alice").await;
    let two = stage.user("alice").await;
    one.run("PREPARE mine AS SELECT 'mine'").await;
    for _ in 0..3 {
        two.run("SELECT 1").await;
        assert_eq!(one.text("EXECUTE mine").await.as_deref(), Some("mine"));
    }
    assert_eq!(two.refused("EXECUTE mine").await.code, "26000");
}
