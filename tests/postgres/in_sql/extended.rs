//! The extended protocol: names given by statements that are prepared, and statements that outlive a switch.

use bulkhead_tests::wire::{Wire, send};

use super::{OWN, nobody, setting, stage_with_notes};

const NAME: &str = "SELECT set_config('app.user_id', $1, false)";

async fn wire(stage: &bulkhead_tests::stage::Stage) -> Wire {
    let mut wire = stage.wire().await;
    wire.login(&[("user", "chat_app"), ("database", &stage.database)])
        .await
        .unwrap();
    wire
}

#[tokio::test]
async fn prepared_statements_outlive_a_switch() {
    let stage = stage_with_notes(setting("Transaction")).await;
    let session = nobody(&stage).await;
    let name = session.prepare(NAME).await.unwrap();
    session.query(&name, &[&"alice"]).await.unwrap();
    let own = session
        .prepare("SELECT body FROM notes WHERE body <> $1")
        .await
        .unwrap();
    for n in 0..40 {
        let user = if n % 3 == 0 { "bob" } else { "alice" };
        let row = session.query_one(&name, &[&user]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), user);
        let row = session.query_one(&own, &[&"x"]).await.unwrap();
        assert_eq!(row.get::<_, String>(0), format!("of {user}"));
        let error = session.query(&own, &[&"x"]).await.unwrap_err();
        assert_eq!(error.code().map(|it| it.code()), Some("28000"));
    }
}

#[tokio::test]
async fn what_is_only_prepared_uses_nothing_up() {
    let stage = stage_with_notes(setting("Transaction")).await;
    let session = nobody(&stage).await;
    for user in ["alice", "bob"] {
        session.run(&format!("SET app.user_id = '{user}'")).await;
        // The driver prepares in a round trip of its own, and runs in another.
        let row = session
            .query_one("SELECT body FROM notes", &[])
            .await
            .unwrap();
        assert_eq!(row.get::<_, String>(0), format!("of {user}"));
        let error = session
            .query("SELECT body FROM notes", &[])
            .await
            .unwrap_err();
        assert_eq!(error.code().map(|it| it.code()), Some("28000"));
    }
}

#[tokio::test]
async fn a_driver_may_say_begin_and_the_name_in_one_batch() {
    let stage = stage_with_notes(setting("Transaction")).await;
    let mut wire = wire(&stage).await;
    for user in ["alice", "bob", "alice"] {
        // As JDBC does it without autocommit.
        let batch = [
            send::parse("", "BEGIN"),
            send::bind("", "", &[]),
            send::execute("", 0),
            send::parse("", NAME),
            send::bind("", "", &[user]),
            send::describe_portal(""),
            send::execute("", 0),
            send::sync(),
        ];
        wire.send(batch.concat()).await;
        let replies = wire.until_ready().await;
        assert_eq!(replies.tags(), "12C12TDCZ");
        assert_eq!(
            (replies.value().as_deref(), replies.status()),
            (Some(user), 'T')
        );
        let batch = [
            send::parse("", OWN),
            send::bind("", "", &[]),
            send::execute("", 0),
            send::sync(),
        ];
        wire.send(batch.concat()).await;
        let replies = wire.until_ready().await;
        assert_eq!(replies.value(), Some(format!("of {user}")));
        assert_eq!(replies.status(), 'T');
        wire.send(send::query("COMMIT")).await;
        assert_eq!(wire.until_ready().await.status(), 'I');
        wire.send(send::query(OWN)).await;
        assert_eq!(wire.until_ready().await.refusal().code, "28000");
    }
}

#[tokio::test]
async fn what_is_answered_here_is_described_as_a_server_describes_it() {
    let stage = stage_with_notes(setting("Transaction")).await;
    let mut through = wire(&stage).await;
    for text in [
        "SELECT 1",
        "BEGIN",
        "ROLLBACK",
        "",
        "RESET ALL",
        "SELECT pg_advisory_unlock_all()",
    ] {
        let batch = [
            send::parse("s", text),
            send::describe_statement("s"),
            send::bind("p", "s", &[]),
            send::describe_portal("p"),
            send::execute("p", 0),
            send::close_portal("p"),
            send::close_statement("s"),
            send::sync(),
        ];
        through.send(batch.concat()).await;
        let ours = through.until_ready().await;
        // What a server says, once somebody is named.
        let admin = stage.admin().await;
        let statement = admin.prepare(text).await.unwrap();
        let rows = !statement.columns().is_empty();
        let expected = match (rows, text.is_empty()) {
            (true, _) => "1tT2TDC33Z",
            (false, true) => "1tn2nI33Z",
            (false, false) => "1tn2nC33Z",
        };
        assert_eq!(ours.tags(), expected, "{text}");
    }
}

#[tokio::test]
async fn nobody_binds_nothing_that_somebody_has_prepared() {
    let stage = stage_with_notes(setting("Transaction")).await;
    let mut wire = wire(&stage).await;
    wire.send(send::query("SET app.user_id = 'alice'")).await;
    wire.until_ready().await;
    wire.send([send::parse("own", OWN), send::sync()].concat())
        .await;
    assert_eq!(wire.until_ready().await.tags(), "1Z");
    wire.send(send::query("RESET app.user_id")).await;
    wire.until_ready().await;
    for batch in [
        [
            send::bind("", "own", &[]),
            send::execute("", 0),
            send::sync(),
        ]
        .concat(),
        [send::describe_statement("own"), send::sync()].concat(),
        [send::parse("", OWN), send::sync()].concat(),
    ] {
        wire.send(batch).await;
        let replies = wire.until_ready().await;
        assert_eq!(replies.tags(), "EZ");
        assert_eq!(replies.refusal().code, "28000");
    }
    wire.send([send::execute("nothing", 0), send::sync()].concat())
        .await;
    assert_eq!(wire.until_ready().await.refusal().code, "34000");
    wire.send([send::bind("", "nothing", &[]), send::sync()].concat())
        .await;
    assert_eq!(wire.until_ready().await.refusal().code, "26000");
    let pipeline = [
        send::query("SET app.user_id = 'bob'"),
        send::bind("", "own", &[]),
        send::execute("", 0),
        send::sync(),
    ];
    wire.send(pipeline.concat()).await;
    wire.until_ready().await;
    assert_eq!(wire.until_ready().await.value().as_deref(), Some("of bob"));
}

#[tokio::test]
async fn copy_works_between_names() {
    let stage = stage_with_notes(setting("Transaction")).await;
    let mut wire = wire(&stage).await;
    for (user, id) in [("alice", 1001), ("bob", 1002)] {
        wire.send(send::query(&format!("SET app.user_id = '{user}'")))
            .await;
        wire.until_ready().await;
        let copy = [
            // Row-level security allows no COPY FROM, and this table has none.
            send::query("COPY things FROM STDIN"),
            send::message(b'd', format!("{id}\tof {user}\n").as_bytes()),
            send::message(b'c', b""),
        ];
        wire.send(copy.concat()).await;
        let replies = wire.until_ready().await;
        assert_eq!(replies.commands(), ["COPY 1"]);
        wire.send(send::query(OWN)).await;
        assert_eq!(wire.until_ready().await.refusal().code, "28000");
    }
}
