//! Ways to hide or to spoil a switch: each fails closed, and whatever comes next is never another user's.

use bulkhead_tests::wire::send;

use super::{OWN, nobody, setting, stage_with_notes};

/// Texts that would make bob of alice where nobody follows; all are refused before they reach a server.
const HIDDEN: &[(&str, &str)] = &[
    ("a second statement", "SELECT 1; SET app.user_id = 'bob'"),
    ("a first statement", "SET app.user_id = 'bob'; SELECT 1"),
    (
        "a transaction in one text",
        "BEGIN; SET LOCAL app.user_id = 'bob'; COMMIT",
    ),
    (
        "a DO block",
        "DO $$ BEGIN PERFORM set_config('app.user_id', 'bob', false); END $$",
    ),
    (
        "a DO block that computes",
        "DO $$ BEGIN PERFORM set_config('app.' || 'user_id', 'bob', false); END $$",
    ),
    (
        "PREPARE",
        "PREPARE p AS SELECT set_config('app.user_id', 'bob', false)",
    ),
    (
        "PREPARE with parameters",
        "PREPARE p(text, text) AS SELECT set_config($1, $2, false)",
    ),
    (
        "a computed name",
        "SELECT set_config('app.' || 'user_id', 'bob', false)",
    ),
    (
        "a name in two strings",
        "SELECT set_config('app.'\n'user_id', 'bob', false)",
    ),
    (
        "a name from a table",
        "SELECT set_config(name, 'bob', false) FROM pg_settings",
    ),
    (
        "hexadecimal escapes",
        "SELECT set_config(E'\\x61pp.user_id', 'bob', false)",
    ),
    (
        "octal escapes",
        "SELECT set_config(E'\\141pp.user_id', 'bob', false)",
    ),
    (
        "Unicode escapes in a string",
        "SELECT set_config(U&'\\0061pp.user_id', 'bob', false)",
    ),
    (
        "Unicode escapes in a name",
        "SET U&\"\\0061pp\".user_id = 'bob'",
    ),
    (
        "other escape characters",
        "SET U&\"!0061pp\" UESCAPE '!' .user_id = 'bob'",
    ),
    (
        "a computed value",
        "SELECT set_config('app.user_id', 'b' || 'ob', false)",
    ),
    (
        "a value of a query",
        "SELECT set_config('app.user_id', (SELECT 'bob'), false)",
    ),
    (
        "a computed third argument",
        "SELECT set_config('app.user_id', 'bob', 1 = 2)",
    ),
    (
        "two columns",
        "SELECT 1, set_config('app.user_id', 'bob', false)",
    ),
    (
        "UNION",
        "SELECT '' UNION SELECT set_config('app.user_id', 'bob', false)",
    ),
    (
        "WHERE",
        "SELECT 1 WHERE set_config('app.user_id', 'bob', false) = 'bob'",
    ),
    (
        "WITH",
        "WITH x AS (SELECT set_config('app.user_id', 'bob', false)) SELECT * FROM x",
    ),
    (
        "EXPLAIN ANALYZE",
        "EXPLAIN ANALYZE SELECT set_config('app.user_id', 'bob', false)",
    ),
    (
        "COPY",
        "COPY (SELECT set_config('app.user_id', 'bob', false)) TO STDOUT",
    ),
    ("FROM CURRENT", "SET app.user_id FROM CURRENT"),
    ("two values", "SET app.user_id = 'bob', 'x'"),
    ("comments", "SET/**/app/* */.user_id/**/=/**/'bob', 'x'"),
    (
        "quotes and case",
        "SELECT \"set_config\"('APP.User_Id', 'bob', false), 1",
    ),
    (
        "UPDATE pg_settings",
        "UPDATE pg_settings SET setting = 'bob' WHERE name = 'app.user_id'",
    ),
    (
        "UPDATE pg_settings, computed",
        "UPDATE pg_settings SET setting = 'bob' WHERE name LIKE 'app%'",
    ),
    ("ALTER ROLE", "ALTER ROLE chat_app SET app.user_id = 'bob'"),
    (
        "a function's own setting",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql SET app.user_id = 'bob' AS 'SELECT 1'",
    ),
    (
        "a call by name",
        "SELECT pg_catalog.set_config(setting_name => 'app.user_id', new_value => 'bob', is_local => false)",
    ),
    (
        "bulkhead.user in a block",
        "DO $$ BEGIN EXECUTE 'SET bulkhead.user = ''bob'''; END $$",
    ),
    ("EXECUTE with the name", "EXECUTE p('app.user_id', 'bob')"),
];

#[tokio::test]
async fn a_hidden_switch_is_refused_and_the_user_stays() {
    let stage = stage_with_notes(setting("Connection")).await;
    let session = nobody(&stage).await;
    session.run("SET app.user_id = 'alice'").await;
    for (kind, text) in HIDDEN {
        assert_eq!(session.refused(text).await.code, "0A000", "{kind}: {text}");
        assert_eq!(
            session.text(OWN).await.as_deref(),
            Some("of alice"),
            "{kind}"
        );
        // The same in an open transaction, and prepared.
        session.run("BEGIN").await;
        assert_eq!(
            session.text(OWN).await.as_deref(),
            Some("of alice"),
            "{kind}"
        );
        assert_eq!(
            session.refused(text).await.code,
            "0A000",
            "{kind} in a transaction"
        );
        assert_eq!(session.refused(OWN).await.code, "25P02", "{kind}");
        session.run("ROLLBACK").await;
        let prepared = session.prepare(text).await;
        let error = prepared.map(drop).unwrap_err();
        assert_eq!(
            error.code().map(|it| it.code()),
            Some("0A000"),
            "{kind} prepared"
        );
        assert_eq!(
            session.text(OWN).await.as_deref(),
            Some("of alice"),
            "{kind}"
        );
    }
    assert!(HIDDEN.len() >= 30);
}

#[tokio::test]
async fn a_stored_function_does_not_switch_and_what_it_sets_does_not_stay() {
    let stage = stage_with_notes(setting("Transaction")).await;
    let session = nobody(&stage).await;
    // Nobody cannot call it at all.
    let call = "SELECT set_in_secret('app.user_id', 'bob')";
    assert_eq!(
        session
            .refused("SELECT set_in_secret('app.' || 'user_id', 'bob')")
            .await
            .code,
        "28000"
    );
    assert_eq!(session.refused(call).await.code, "0A000");
    session.run("SET app.user_id = 'alice'").await;
    session
        .run("SELECT set_in_secret('app.' || 'user_id', 'bob')")
        .await;
    assert_eq!(session.refused(OWN).await.code, "28000");
    session.run("SET app.user_id = 'alice'").await;
    assert_eq!(session.text(OWN).await.as_deref(), Some("of alice"));
}

#[tokio::test]
async fn a_pipeline_is_refused_from_the_switch_on() {
    let stage = stage_with_notes(setting("Connection")).await;
    let mut wire = stage.wire().await;
    wire.login(&[("user", "chat_app"), ("database", &stage.database)])
        .await
        .unwrap();
    wire.send(send::query("SET app.user_id = 'alice'")).await;
    assert_eq!(wire.until(b'Z').await.tags(), "CZ");
    // Work first, the switch in the same batch: error, and the rest of the batch is passed over.
    let batch = [
        send::parse("", OWN),
        send::bind("", "", &[]),
        send::execute("", 0),
        send::parse("", "SELECT set_config('app.user_id', $1, false)"),
        send::bind("", "", &["bob"]),
        send::execute("", 0),
        send::parse("", OWN),
        send::bind("", "", &[]),
        send::execute("", 0),
        send::sync(),
    ];
    wire.send(batch.concat()).await;
    let replies = wire.until(b'Z').await;
    assert_eq!(replies.tags(), "12DC1EZ");
    assert_eq!(replies.refusal().code, "25001");
    // The switch first, work behind it: all of it is bob's. Whatever was sent before has been answered as alice's.
    let pipeline = [
        send::query(OWN),
        send::parse("", "SELECT set_config('app.user_id', $1, false)"),
        send::bind("", "", &["bob"]),
        send::execute("", 0),
        send::parse("", OWN),
        send::bind("", "", &[]),
        send::execute("", 0),
        send::sync(),
        send::query("SET app.user_id = 'alice'"),
        send::query(OWN),
        send::query("RESET app.user_id"),
        send::query(OWN),
    ];
    wire.send(pipeline.concat()).await;
    let first = wire.until(b'Z').await;
    assert_eq!(first.rows(), [[Some("of alice".to_owned())]]);
    let second = wire.until(b'Z').await;
    assert_eq!(second.tags(), "12DC12DCZ");
    assert_eq!(second.rows()[1], [Some("of bob".to_owned())]);
    assert_eq!(wire.until(b'Z').await.tags(), "CZ");
    assert_eq!(
        wire.until(b'Z').await.rows(),
        [[Some("of alice".to_owned())]]
    );
    assert_eq!(wire.until(b'Z').await.tags(), "CZ");
    assert_eq!(wire.until(b'Z').await.refusal().code, "28000");
}
