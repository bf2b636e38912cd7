//! What is shown while two users are at work.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;

use super::{console, psql, row_of, table};

/// Alice has done five transactions and is idle; Bob is in the middle of one.
async fn at_work(policy: Policy) -> (Stage, [bulkhead_tests::session::Session; 2]) {
    let stage = Stage::start(policy).await;
    let (alice, bob) = (stage.user("alice").await, stage.user("bob").await);
    for _ in 0..5 {
        alice.run("SELECT 1").await;
    }
    bob.run("BEGIN; SELECT 1").await;
    (stage, [alice, bob])
}

#[tokio::test]
async fn psql_shows_the_users_by_the_folder_alone() {
    let (stage, _sessions) = at_work(Policy::trusted()).await;
    let folder = stage.sidecar.home();
    let said = psql(folder, &["-c", "SHOW USERS"]).await.well();
    let mut lines = said.lines();
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("user_id|owner|worker|clients|"),
        "{said}"
    );
    // The busiest first,
    assert!(lines.next().unwrap().starts_with("alice|user|"), "{said}");
    assert!(lines.next().unwrap().starts_with("bob|user|"), "{said}");
    assert_eq!(lines.next(), Some("(2 rows)"), "{said}");
    // in any case, with an end or without, several at once, and a wrong word with what was meant.
    let said = psql(
        folder,
        &["-t", "-c", "show users; Show Stats;", "-c", "ShOw HELP"],
    )
    .await
    .well();
    assert!(
        said.contains("alice|user|") && said.contains("main|postgresql|"),
        "{said}"
    );
    assert!(said.contains("SHOW BREAKERS|"), "{said}");
    let said = psql(folder, &["-c", "SHOW USER"]).await;
    assert!(!said.success);
    assert!(said.errors.contains("Did you mean SHOW USERS?"), "{said:?}");
    let said = psql(folder, &["-c", "SELECT 1"]).await;
    assert!(
        said.errors.contains("SHOW HELP lists the commands"),
        "{said:?}"
    );
}

#[tokio::test]
async fn users_and_factories_say_what_each_holds_and_has_done() {
    let (stage, [alice, _bob]) = at_work(Policy::trusted().pool("perUser: {max: 3}")).await;
    let console = console(&stage).await;
    let row = row_of(&console, "USERS", "alice").await;
    for (column, number) in [
        ("clients", 1),
        ("sockets", 0),
        ("factories", 1),
        ("servers", 1),
        ("idle", 1),
        ("transactions", 5),
        ("errors", 0),
    ] {
        assert!(row.is(column, number), "{column}: {row:?}");
    }
    assert!(row.number("last_active") < 60.0, "{row:?}");
    let row = row_of(&console, "FACTORIES", "bob").await;
    for (column, number) in [
        ("clients", 1),
        ("servers", 1),
        ("idle", 0),
        ("waiting", 0),
        ("max", 3),
    ] {
        assert!(row.is(column, number), "{column}: {row:?}");
    }
    assert_eq!(
        (row.get("upstream"), row.get("database"), row.get("role")),
        ("main", &*stage.database, "chat_app")
    );
    // Who has gone is still there with what is kept for them, and says so.
    alice.close().await;
    wait::until("alice to have gone", || async {
        row_of(&console, "USERS", "alice").await.is("clients", 0)
    })
    .await;
}

#[tokio::test]
async fn servers_and_clients_say_who_has_which() {
    let (stage, [_alice, bob]) = at_work(Policy::trusted()).await;
    let pid = bob.server_pid().await.to_string();
    let console = console(&stage).await;
    let servers = table(&console, "SERVERS").await;
    assert_eq!(servers.len(), 2, "{servers:?}");
    // Those in use first.
    let of = |row: &super::Row| (row.get("user_id").to_owned(), row.get("state").to_owned());
    assert_eq!(of(&servers[0]), ("bob".to_owned(), "active".to_owned()));
    assert_eq!(of(&servers[1]), ("alice".to_owned(), "idle".to_owned()));
    assert_eq!(
        (servers[0].get("pid"), servers[0].get("unused")),
        (&*pid, "")
    );
    assert!(servers[1].number("unused") < 60.0 && servers[1].number("age") < 60.0);
    let client = row_of(&console, "CLIENTS", "bob").await;
    assert_eq!(
        (client.get("state"), client.get("server_pid")),
        ("active", &*pid)
    );
    assert_eq!(
        (client.get("protocol"), client.get("role")),
        ("postgresql", "chat_app")
    );
    let client = row_of(&console, "CLIENTS", "alice").await;
    assert_eq!(
        (client.get("state"), client.get("server_pid")),
        ("idle", "")
    );
    let execution = row_of(&console, "EXECUTIONS", "bob").await;
    assert_eq!(
        (execution.get("state"), execution.get("ended")),
        ("running", "")
    );
    // A transaction that has failed is open all the same.
    bob.refused("SELECT nothing_at_all").await;
    let client = row_of(&console, "CLIENTS", "bob").await;
    assert_eq!(client.get("state"), "active");
    bob.run("ROLLBACK").await;
    let client = row_of(&console, "CLIENTS", "bob").await;
    assert_eq!(
        (client.get("state"), client.get("server_pid")),
        ("idle", "")
    );
}

#[tokio::test]
async fn spares_belong_to_nobody_until_somebody_comes() {
    let stage = Stage::start(Policy::trusted().pool("warm: 1")).await;
    let console = console(&stage).await;
    wait::until("a spare", || async {
        table(&console, "SERVERS").await.len() == 1
    })
    .await;
    let spare = table(&console, "SERVERS").await.remove(0);
    assert_eq!(
        (spare.get("user_id"), spare.get("owner"), spare.get("state")),
        ("", "", "spare")
    );
}

#[tokio::test]
async fn stats_timeouts_and_policy_say_what_the_metrics_and_the_policy_say() {
    let policy = Policy::trusted()
        .timeouts("statement: 200ms, idle: 0s")
        .pool("maxConnections: 17")
        .overlay("timeouts: {connect: 35s}");
    let (stage, [alice, _bob]) = at_work(policy).await;
    assert_eq!(alice.refused("SELECT pg_sleep(30)").await.code, "57014");
    let console = console(&stage).await;
    // Her connection comes home once its cancel has been dealt with.
    wait::until("alice's connection to come home", || async {
        row_of(&console, "STATS", "main")
            .await
            .is("servers_idle", 1)
    })
    .await;
    let row = row_of(&console, "STATS", "main").await;
    for (column, number) in [
        ("clients", 2),
        ("factories", 2),
        ("servers_active", 1),
        ("servers_idle", 1),
        ("max_connections", 17),
        ("timeouts", 1),
        ("handoffs", 0),
    ] {
        assert!(row.is(column, number), "{column}: {row:?}");
    }
    assert!(
        row.number("statements") >= 6.0 && row.number("statement_seconds") > 0.1,
        "{row:?}"
    );
    let timeouts = table(&console, "TIMEOUTS").await;
    let of = |field: &str| {
        timeouts
            .iter()
            .find(|row| row.get("timeout") == field)
            .unwrap()
    };
    let statement = of("statement");
    assert_eq!(
        (statement.get("seconds"), statement.get("origin")),
        ("0.2", "base")
    );
    assert!(statement.is("fired", 1), "{statement:?}");
    assert_eq!(
        (of("connect").get("seconds"), of("connect").get("origin")),
        ("35", "environment testing")
    );
    let field = row_of(&console, "POLICY", "databases[main].timeouts.connect").await;
    assert_eq!(
        (field.get("value"), field.get("origin")),
        ("35s", "environment testing")
    );
}

#[tokio::test]
async fn breakers_are_shown_with_whose_they_are() {
    let policy = Policy::trusted()
        .timeouts("statement: 200ms")
        .database("breaker: {failures: 1, window: 1m, open: 1h, halfOpenProbes: 1}");
    let (stage, [alice, _bob]) = at_work(policy).await;
    alice.refused("SELECT pg_sleep(30)").await;
    let console = console(&stage).await;
    let rows = table(&console, "BREAKERS").await;
    assert_eq!(rows.len(), 2, "{rows:?}");
    assert_eq!(
        (rows[0].get("scope"), rows[0].get("state")),
        ("upstream", "closed")
    );
    assert_eq!(
        (rows[1].get("user_id"), rows[1].get("state")),
        ("alice", "open")
    );
    assert!(
        (3500.0..=3600.0).contains(&rows[1].number("open_for")),
        "{rows:?}"
    );
}

#[tokio::test]
async fn columns_have_the_types_that_the_page_says() {
    let stage = Stage::start(Policy::trusted()).await;
    let socket = stage.sidecar.home().join(".s.PGSQL.5432");
    let stream = tokio::net::UnixStream::connect(socket).await.unwrap();
    let mut wire = bulkhead_tests::wire::Wire::over(stream);
    wire.login(&[("user", "x")]).await.unwrap();
    let replies = wire.query("SHOW TIMEOUTS").await;
    let description = replies.of(b'T').next().unwrap();
    let body = &description.body;
    // text, text, float8, text, int8
    let mut types = Vec::new();
    let mut rest = &body[2..];
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == 0).unwrap();
        types.push(u32::from_be_bytes(
            rest[end + 7..end + 11].try_into().unwrap(),
        ));
        rest = &rest[end + 19..];
    }
    assert_eq!(types, [25, 25, 701, 25, 20]);
}

#[tokio::test]
async fn the_console_is_for_its_owner_alone_and_keeps_secrets() {
    use std::os::unix::fs::PermissionsExt as _;
    let (stage, _sessions) = at_work(Policy::trusted()).await;
    let socket = stage.sidecar.home().join(".s.PGSQL.5432");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    let console = console(&stage).await;
    for view in [
        "HELP",
        "STATS",
        "USERS",
        "FACTORIES",
        "TIMEOUTS",
        "EXECUTIONS",
        "POLICY",
        "REVOCATIONS",
        "BREAKERS",
        "SERVERS",
        "CLIENTS",
    ] {
        let text = format!("{:?}", table(&console, view).await);
        assert!(!text.contains(bulkhead_tests::postgres::PASSWORD), "{view}");
        assert!(!text.contains("SELECT"), "{view}");
    }
}

#[tokio::test]
async fn a_ninth_client_is_told_and_there_is_room_again_when_one_has_gone() {
    let stage = Stage::start(Policy::trusted()).await;
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(console(&stage).await);
    }
    let said = psql(stage.sidecar.home(), &["-c", "SHOW HELP"]).await;
    assert!(said.errors.contains("8 consoles are open"), "{said:?}");
    open.pop();
    wait::until("room for one more", || async {
        psql(stage.sidecar.home(), &["-c", "SHOW HELP"])
            .await
            .success
    })
    .await;
}

#[tokio::test]
async fn the_binary_asks_where_there_is_no_psql() {
    let (stage, _sessions) = at_work(Policy::trusted()).await;
    let said = stage
        .sidecar
        .command(&["console", "-c", "SHOW USERS", "-c", "show breakers"]);
    let text = String::from_utf8(said.stdout).unwrap();
    assert!(said.status.success(), "{text}");
    assert!(text.starts_with("user_id "), "{text}");
    assert!(
        text.contains("\nalice ") && text.contains("\nbob ") && text.contains("\nmain "),
        "{text}"
    );
    let said = stage
        .sidecar
        .command(&["console", "-c", "SHOW USER", "-c", "SHOW USERS"]);
    assert_eq!(said.status.code(), Some(1));
    assert!(said.stdout.is_empty());
    let errors = String::from_utf8(said.stderr).unwrap();
    assert!(errors.contains("Did you mean SHOW USERS?"), "{errors}");
}
