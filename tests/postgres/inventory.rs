//! The inventory of a migration: who names their user in mode `Audit` without code, by a comment or the application's name, and that
//! nothing follows from it but a count.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::session::{Session, connect};
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wire::{Wire, send};
use bulkhead_tests::{programs, tools, wait};
use serde_json::Value;

const QUERIES: &str = "bulkhead_inventory_queries_total";
const CONNECTIONS: &str = "bulkhead_inventory_connections_total";

/// The four attributions, in the order in which they are asserted.
const WAYS: [&str; 4] = ["verified", "claimed", "placeholder", "unattributed"];

async fn audit() -> Stage {
    Stage::start(Policy::trusted().spec("mode: Audit")).await
}

async fn named(stage: &Stage, application: &str) -> Session {
    let mut config = stage.config();
    connect(config.application_name(application)).await.unwrap()
}

fn counts(stage: &Stage, family: &str, application: &str) -> [u32; 4] {
    let metrics = stage.sidecar.metrics();
    WAYS.map(|way| {
        let labels = [
            ("application", application),
            ("attribution", way),
            ("protocol", "postgresql"),
        ];
        metrics.sum(family, &labels) as u32
    })
}

async fn until_counts(stage: &Stage, family: &str, application: &str, wanted: [u32; 4]) {
    let what = format!("{family} of {application:?}: {wanted:?}");
    wait::until(&what, || async {
        counts(stage, family, application) == wanted
    })
    .await;
}

#[tokio::test]
async fn a_comment_names_the_user_of_its_own_query_and_of_no_other() {
    let stage = audit().await;
    let session = named(&stage, "web").await;
    session.run("SELECT 1 /*bulkhead_user='alice'*/").await;
    session.run("/*bulkhead_user='bob'*/ SELECT 1;").await;
    session
        .run("SELECT 1 /*action='x',bulkhead_user='null'*/")
        .await;
    session.run("SELECT '/*bulkhead_user=''alice''*/'").await;
    session.run("SELECT $$/*bulkhead_user='alice'*/$$").await;
    session.run("SELECT 1").await;
    until_counts(&stage, QUERIES, "web", [0, 2, 1, 3]).await;
    until_counts(&stage, CONNECTIONS, "web", [0, 0, 0, 1]).await;

    // It is a claim: the work is nobody's all the same.
    let seen = "SELECT current_setting('app.user_id', true) /*bulkhead_user='alice'*/";
    assert_ne!(session.text(seen).await.as_deref(), Some("alice"));
    assert!(stage.sidecar.metric("bulkhead_factories", &[]) < 1.5);

    // Whoever proves who they are is believed, whatever a comment says.
    let alice = stage.user("alice").await;
    alice.run("SELECT 1 /*bulkhead_user='null'*/").await;
    until_counts(&stage, QUERIES, "", [1, 0, 0, 0]).await;
    until_counts(&stage, CONNECTIONS, "", [1, 0, 0, 0]).await;
}

#[tokio::test]
async fn an_applications_name_names_the_user_of_the_connection_and_never_becomes_a_label() {
    let stage = audit().await;
    let session = named(&stage, "web bulkhead:mallory@example.com").await;
    session.run("SELECT 1").await;
    session.run("SELECT 1 /*bulkhead_user='undefined'*/").await;
    until_counts(&stage, QUERIES, "web", [0, 1, 1, 0]).await;
    until_counts(&stage, CONNECTIONS, "web", [0, 1, 0, 0]).await;
    let nobody = named(&stage, "job bulkhead:null").await;
    nobody.run("SELECT 1").await;
    until_counts(&stage, QUERIES, "job", [0, 0, 1, 0]).await;
    // A placeholder that is presented as an identity is one too.
    let placeholder = stage.user("anonymous").await;
    placeholder.run("SELECT 1").await;
    until_counts(&stage, CONNECTIONS, "", [0, 0, 1, 0]).await;
    let told = stage.sidecar.metrics().text().to_owned() + &stage.sidecar.revision().to_string();
    assert!(!told.contains("mallory"), "a user's id is shown");
}

#[tokio::test]
async fn prepared_statements_are_counted_by_each_execution() {
    for (policy, what) in [
        (Policy::trusted(), "transaction"),
        (Policy::trusted().in_session_mode(), "session"),
    ] {
        let stage = Stage::start(policy.spec("mode: Audit")).await;
        let session = named(&stage, "web").await;
        // tokio-postgres prepares, and executes what it has prepared.
        let claimed = "SELECT $1::int4 /*bulkhead_user='alice'*/";
        for number in [1_i32, 2] {
            let row = session.query_one(claimed, &[&number]).await.unwrap();
            assert_eq!(row.get::<_, i32>(0), number, "{what}");
        }
        let plain = "SELECT $1::int4";
        session.query_one(plain, &[&1_i32]).await.unwrap();
        let all: u32 = 3;
        wait::until("three executions", || async {
            counts(&stage, QUERIES, "web").iter().sum::<u32>() == all
        })
        .await;
        let counted = counts(&stage, QUERIES, "web");
        if what == "transaction" {
            assert_eq!(counted, [0, 2, 0, 1], "{what}");
        }
    }
}

/// A batch as most drivers send it: an unnamed statement, prepared, bound and executed at once.
fn batch(sql: &str) -> Vec<Vec<u8>> {
    vec![
        send::parse("", sql),
        send::bind("", "", &[]),
        send::execute("", 0),
        send::sync(),
    ]
}

#[tokio::test]
async fn in_session_mode_a_comment_counts_in_the_batch_that_prepares_it() {
    let stage = Stage::start(Policy::trusted().in_session_mode().spec("mode: Audit")).await;
    let mut wire = logged_in(&stage, "web").await;
    wire.exchange(&batch("SELECT 1 /*bulkhead_user='alice'*/"))
        .await;
    wire.exchange(&batch("SELECT 1")).await;
    wire.exchange(&[
        send::parse("s", "SELECT 1 /*bulkhead_user='null'*/"),
        send::bind("", "s", &[]),
        send::execute("", 0),
        send::sync(),
    ])
    .await;
    // Nothing is kept of a named statement: its comment is not known any more.
    wire.exchange(&[send::bind("", "s", &[]), send::execute("", 0), send::sync()])
        .await;
    until_counts(&stage, QUERIES, "web", [0, 1, 1, 2]).await;
}

async fn logged_in(stage: &Stage, application: &str) -> Wire {
    let mut wire = stage.wire().await;
    let database = stage.config().get_dbname().unwrap().to_owned();
    let parameters = [
        ("user", bulkhead_tests::postgres::APP_ROLE),
        ("database", &database),
        ("application_name", application),
    ];
    wire.login(&parameters).await.unwrap();
    wire
}

#[tokio::test]
async fn hostile_texts_are_served_as_ever_and_counted_for_what_they_are() {
    let stage = audit().await;
    let mut wire = logged_in(&stage, "web").await;
    let long = "x".repeat(1_000_000);
    let nested = format!("SELECT 1 {}{}", "/*".repeat(5_000), "*/".repeat(5_000));
    // Each is answered as the server answers it, and the next one too.
    for (sql, way) in [
        (
            format!("SELECT length('{long}') /*bulkhead_user='alice'*/"),
            3,
        ),
        (
            format!("/*bulkhead_user='alice'*/ SELECT length('{long}')"),
            1,
        ),
        (nested, 3),
        ("SELECT 1 /*bulkhead_user='alice'".to_owned(), 3),
        ("SELECT 1 /*bulkhead_user='al%ZZice'*/".to_owned(), 3),
        ("SELECT 1 /*bulkhead_user='%00'*/".to_owned(), 3),
        ("SELECT 1 /*bulkhead_user='o%27hara'*/".to_owned(), 1),
        ("SELECT 1 /*bulkhead_user='o''hara'*/".to_owned(), 1),
        (r"SELECT 1 /*bulkhead_user='o\'hara'*/".to_owned(), 1),
        (
            format!("SELECT 1 /*bulkhead_user='{}'*/", "a".repeat(300)),
            3,
        ),
        (
            "SELECT 1 /*bulkhead_user='a',bulkhead_user='b'*/".to_owned(),
            3,
        ),
    ] {
        let before = counts(&stage, QUERIES, "web");
        wire.query(&sql).await;
        let mut expected = before;
        expected[way] += 1;
        let shown: String = sql.chars().take(60).collect();
        assert_eq!(counts(&stage, QUERIES, "web"), expected, "{shown}");
    }
    // A text with a NUL in it is the server's to refuse.
    let mut body = b"SELECT 1 \0/*bulkhead_user='alice'*/".to_vec();
    body.push(0);
    wire.send(send::message(b'Q', &body)).await;
    let before = counts(&stage, QUERIES, "web");
    let session = named(&stage, "web").await;
    session.run("SELECT 1").await;
    assert!(counts(&stage, QUERIES, "web")[3] > before[3]);
}

#[tokio::test]
async fn a_mode_that_enforces_takes_no_inventory_and_a_switch_ends_it_at_once() {
    let stage = Stage::start(Policy::trusted()).await;
    let alice = stage.user("alice").await;
    alice.run("SELECT 1 /*bulkhead_user='alice'*/").await;
    assert!(!stage.sidecar.metrics().has(QUERIES));
    assert_eq!(stage.sidecar.revision()["inventory"], Value::Array(vec![]));

    let stage = audit().await;
    let alice = stage.user("alice").await;
    alice.run("SELECT 1").await;
    until_counts(&stage, QUERIES, "", [1, 0, 0, 0]).await;
    let text = stage.sidecar.policy().text();
    let revision = stage.sidecar.revision()["number"].as_u64().unwrap();
    stage
        .sidecar
        .write_policy(&text.replace("Audit", "Enforce"));
    wait::until("the policy that enforces", || async {
        stage.sidecar.revision()["number"].as_u64().unwrap() > revision
    })
    .await;
    // The transaction that begins next goes by it.
    alice.run("SELECT 2").await;
    alice.run("SELECT 3").await;
    assert_eq!(counts(&stage, QUERIES, ""), [1, 0, 0, 0]);
}

#[tokio::test]
async fn a_pool_that_names_its_users_in_sql_is_counted_by_its_queries() {
    let policy = Policy::trusted().spec("mode: Audit\nidentity: {inSql: {scope: Transaction}}");
    let stage = Stage::start(policy).await;
    let session = named(&stage, "pool").await;
    assert_eq!(
        counts(&stage, CONNECTIONS, "pool"),
        [0; 4],
        "it has not worked"
    );
    // A probe is answered by the sidecar itself, and is nobody's query.
    session.run("SELECT 1").await;
    session.run("BEGIN").await;
    session.run("SET LOCAL bulkhead.user = 'alice'").await;
    session.run("SELECT count(*) FROM things").await;
    session.run("COMMIT").await;
    session
        .run("SELECT count(*) FROM things /*bulkhead_user='bob'*/")
        .await;
    session.run("SELECT count(*) FROM things").await;
    // COMMIT is a query too; BEGIN is sent ahead of one.
    assert_eq!(counts(&stage, QUERIES, "pool"), [2, 1, 0, 1]);
    let connections = counts(&stage, CONNECTIONS, "pool");
    assert_eq!(connections.iter().sum::<u32>(), 1, "{connections:?}");
}

#[tokio::test]
async fn the_sidecar_tells_its_inventory_to_people_and_to_the_operator() {
    let stage = audit().await;
    let session = named(&stage, "nightly").await;
    session.run("SELECT 1 /*bulkhead_user='alice'*/").await;
    session.run("SELECT 1").await;
    until_counts(&stage, QUERIES, "nightly", [0, 1, 0, 1]).await;
    let revision = stage.sidecar.revision();
    let row = &revision["inventory"][0];
    assert_eq!(row["application"], "nightly");
    assert_eq!(
        (
            &row["queries"]["claimed"],
            &row["connections"]["unattributed"]
        ),
        (&1.into(), &1.into())
    );
    let shown = stage.sidecar.command(&["console", "-c", "SHOW INVENTORY"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("nightly"), "{shown}");
    let table = stage.sidecar.command(&["users"]);
    let table = String::from_utf8(table.stdout).unwrap();
    let line = table.lines().find(|line| line.starts_with("nightly"));
    let cells: Vec<&str> = line
        .unwrap_or_else(|| panic!("{table}"))
        .split_whitespace()
        .collect();
    assert_eq!(
        cells,
        ["nightly", "postgresql", "1", "2", "0", "1", "0", "1"]
    );
}

/// SQLAlchemy with psycopg, and what its documentation says to do for comments: an event that appends one.
const SQLALCHEMY: &str = r#"
import os, urllib.parse, sqlalchemy as sa
url = sa.URL.create("postgresql+psycopg", os.environ["PGUSER"], host="127.0.0.1", port=int(os.environ["PGPORT"]), database=os.environ["PGDATABASE"])
engine = sa.create_engine(url, connect_args={"application_name": "shop"})
user = None

@sa.event.listens_for(engine, "before_cursor_execute", retval=True)
def comment(connection, cursor, statement, parameters, context, executemany):
    if user is None:
        return statement, parameters
    return statement + " /*bulkhead_user='" + urllib.parse.quote(user, safe="").replace("%", "%%") + "'*/", parameters

with engine.connect() as connection:
    for user in ["alice", "o'hara", "b@example.com", "ülle", "null", None]:
        assert connection.scalar(sa.text("SELECT :n"), {"n": "x"}) == "x"
    connection.commit()
"#;

#[tokio::test]
async fn sqlalchemy_names_its_users_without_a_change_to_a_query() {
    let stage = audit().await;
    let mut command = tokio::process::Command::new(programs::python());
    command
        .args(["-c", SQLALCHEMY])
        .env("PGUSER", bulkhead_tests::postgres::APP_ROLE)
        .env("PGPORT", stage.sidecar.port().to_string())
        .env("PGDATABASE", stage.config().get_dbname().unwrap());
    let said = tools::run(command, "").await;
    assert!(said.success, "{}{}", said.output, said.errors);
    let counted = counts(&stage, QUERIES, "shop");
    assert_eq!((counted[1], counted[2]), (4, 1), "{counted:?}");
    assert!(counted[3] >= 1, "{counted:?}");
}
