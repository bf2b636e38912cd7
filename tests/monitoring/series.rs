//! How many series a sidecar has: as many with three hundred users as with three, whatever they do wrong.

use std::collections::BTreeSet;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::sidecar::Sidecar;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::websocket::{Asking, Kind, Server, SocketStage};
use futures_util::future::join_all;

/// The series of this moment: names and labels, without their values.
fn series(sidecar: &Sidecar) -> BTreeSet<String> {
    let metrics = sidecar.metrics();
    let samples = metrics.text().lines().filter(|line| !line.starts_with('#'));
    samples
        .filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()))
        .collect()
}

/// What docs/metrics.md says that a process with so many entries has at most, apart from close codes and critical events.
fn documented(databases: usize, web_sockets: usize) -> usize {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md"));
    let page = page.unwrap();
    let (_, rest) = page
        .split_once("a process has at most ")
        .expect("the bound");
    let words: Vec<&str> = rest.split_whitespace().take(7).collect();
    let [own, "+", each, "E", "+", socket, "W"] = words[..] else {
        panic!("the bound is told in other words: {words:?}");
    };
    let number = |text: &str| text.parse::<usize>().unwrap();
    number(own) + number(each) * databases + number(socket) * web_sockets
}

/// Users who suffer at one time.
const AT_ONCE: usize = 15;

/// Everything that can go wrong for these users of a database.
async fn suffer(stage: &Stage, users: std::ops::Range<usize>) {
    for some in users.collect::<Vec<_>>().chunks(AT_ONCE) {
        join_all(some.iter().map(|number| suffers(stage, *number))).await;
    }
}

async fn suffers(stage: &Stage, number: usize) {
    let session = stage.user(&format!("user-{number}")).await;
    session.run("SELECT 1").await;
    for (sql, code) in [
        ("SELEC 1", "42601"),
        ("DO $$BEGIN RAISE deadlock_detected; END$$", "40P01"),
        ("SELECT pg_sleep(30)", "57014"),
    ] {
        assert_eq!(session.refused(sql).await.code, code, "user {number}");
    }
    // Until their own breaker is open.
    while session.refused("SELECT pg_sleep(30)").await.code != "53400" {}
    session.close().await;
    // Names that are the client's to choose: of nobody, of a user, of a role.
    for options in [
        "-c bulkhead.user=null".to_owned(),
        format!("-c bulkhead.user=a{number}%%% -c x=y"),
    ] {
        drop(stage.try_options(&options).await);
    }
    let name = format!("role-{number}+user-{number}");
    drop(stage.try_name(&name).await);
}

#[tokio::test]
async fn users_of_a_database_add_no_series() {
    let policy = Policy::trusted()
        .timeouts("statement: 500ms")
        .pool("maxConnections: 20, warm: 0")
        .database("breaker: {failures: 2, window: 1h, open: 1h, halfOpenProbes: 1}");
    let stage = Stage::start(policy).await;
    suffer(&stage, 0..3).await;
    let few = series(&stage.sidecar);
    suffer(&stage, 3..300).await;
    let opened = [("scope", "user")];
    assert_eq!(
        stage
            .sidecar
            .metric("bulkhead_breaker_opens_total", &opened),
        300.0
    );
    let many = series(&stage.sidecar);
    let new: Vec<_> = many.difference(&few).collect();
    assert!(new.is_empty(), "{new:?}");
    let bound = documented(1, 0);
    assert!(
        many.len() <= bound,
        "{} series, and {bound} are documented",
        many.len()
    );
    assert!(
        many.len() * 2 > bound,
        "{} series: the bound says little",
        many.len()
    );
}

/// A word for each number, without a digit in it.
fn word(number: usize) -> String {
    let letter = |of: usize| char::from(b'a' + u8::try_from(of % 26).unwrap());
    [number / 26, number].map(letter).iter().collect()
}

#[tokio::test]
async fn applications_of_mode_audit_add_series_up_to_a_bound_and_their_users_none() {
    let stage = Stage::start(Policy::trusted().spec("mode: Audit")).await;
    let base = series(&stage.sidecar).len();
    let come = async |number: usize, application: String| {
        let mut config = stage.config();
        config.application_name(format!("{application} bulkhead:user-{number}"));
        let session = bulkhead_tests::session::connect(&config).await.unwrap();
        session
            .run(&format!("SELECT 1 /*bulkhead_user='somebody-{number}'*/"))
            .await;
        session.close().await;
    };
    for number in 0..30 {
        come(number, "web".to_owned()).await;
    }
    let of_inventory =
        |all: &BTreeSet<String>| all.iter().filter(|it| it.contains("inventory")).count();
    assert_eq!(of_inventory(&series(&stage.sidecar)), 8, "one application");
    for number in 0..150 {
        come(number, format!("app-{}", word(number))).await;
    }
    let many = series(&stage.sidecar);
    assert_eq!(of_inventory(&many), 8 * 101, "a hundred, and the rest");
    assert!(many.len() <= base + 8 * 101, "{} after {base}", many.len());
    let other = [("application", "other"), ("attribution", "claimed")];
    let queries = stage
        .sidecar
        .metric("bulkhead_inventory_queries_total", &other);
    assert_eq!(queries, 51.0);
    let told = stage.sidecar.metrics().text().to_owned();
    assert!(
        !told.contains("user-") && !told.contains("somebody"),
        "{told}"
    );
}

#[tokio::test]
async fn users_of_web_sockets_add_no_series() {
    let server = Server::start(Kind::Websockets).await;
    let stage = SocketStage::start(Policy::trusted().web_socket(""), server.port()).await;
    let suffer = async |users: std::ops::Range<usize>| {
        for number in users.clone() {
            drop(stage.open(&format!("user-{number}")).await);
            let path = format!("/ws?room={number}");
            let nobody = stage.ask(&Asking::upgrade(&path).bearer("null")).await;
            assert_eq!(nobody.status, 401);
            let agent = format!("agent-{number}");
            let plain = Asking::request("GET", &path).header("User-Agent", &agent);
            drop(stage.ask(&plain).await);
        }
        wait::until("sockets that have ended", || async {
            stage.sidecar.metric("bulkhead_websocket_closes_total", &[]) > users.end as f64 - 0.5
        })
        .await;
    };
    suffer(0..3).await;
    let few = series(&stage.sidecar);
    suffer(3..300).await;
    let many = series(&stage.sidecar);
    let new: Vec<_> = many
        .difference(&few)
        .filter(|it| !it.contains("closes_total"))
        .collect();
    assert!(new.is_empty(), "{new:?}");
    let closes = many.iter().filter(|it| it.contains("closes_total")).count();
    assert!(closes <= 60, "{closes} series of close codes");
    let bound = documented(0, 1);
    assert!(
        many.len() - closes <= bound,
        "{} series, and {bound} are documented",
        many.len()
    );
}
