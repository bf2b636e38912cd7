//! What runs out: descriptors, the server's connections, a user's memory. Who is refused, who goes on, and that it passes.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::{APP_ROLE, PASSWORD, Server};
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::session::{self, Session};
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::wire::{Wire, send};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};

/// Statements of about 9 KiB, of which seven fit into 64 KiB.
fn long_statement(number: usize) -> String {
    format!("SELECT {number} /* {} */", "x".repeat(9 * 1024))
}

async fn prepare(wire: &mut Wire, number: usize) -> Option<Refusal> {
    let name = format!("s{number}");
    let parse = send::parse(&name, &long_statement(number));
    wire.send([parse, send::sync()].concat()).await;
    let replies = wire.until(b'Z').await;
    replies.tags().contains('E').then(|| replies.refusal())
}

#[tokio::test]
async fn all_clients_of_a_user_share_one_ledger_of_memory() {
    let policy = Policy::trusted().spec("limits: {memoryPerUser: 64Ki}");
    let stage = Stage::start(policy).await;
    let (mut first, mut second) = (stage.wire_of("alice").await, stage.wire_of("alice").await);
    let mut bob = stage.wire_of("bob").await;
    // Given two clients of alice's that keep six statements together,
    for number in 0..3 {
        assert_eq!(prepare(&mut first, number).await, None);
        assert_eq!(prepare(&mut second, number).await, None);
    }
    // then there is room for one more, whichever asks, and no longer for two.
    assert_eq!(prepare(&mut first, 3).await, None);
    let refusal = prepare(&mut second, 3).await.unwrap();
    assert_eq!(refusal.code, "54000", "{refusal:?}");
    assert!(refusal.says("limits.memoryPerUser = 65536"), "{refusal:?}");
    // Bob has all of his own.
    for number in 0..7 {
        assert_eq!(prepare(&mut bob, number).await, None);
    }
    // What a client kept is free when it has gone.
    drop(first);
    let freed = async {
        for number in 4.. {
            if prepare(&mut second, number).await.is_none() {
                return;
            }
            wait::pause().await;
        }
    };
    wait::within("the room of the client that left", freed).await;
}

/// A client of the application's role, past the sidecar.
async fn direct(stage: &Stage) -> Result<Session, tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(stage.place().port)
        .user(APP_ROLE)
        .password(PASSWORD)
        .dbname("postgres");
    session::connect(&config).await
}

#[tokio::test]
async fn a_server_that_has_no_connection_left_refuses_who_needs_one_and_nobody_else() {
    // Given a server with room for few, all taken but those kept for superusers,
    let mut server = Server::own();
    let admin = server.admin("postgres").await;
    admin.run("ALTER SYSTEM SET max_connections = 8").await;
    admin
        .run("ALTER SYSTEM SET superuser_reserved_connections = 3")
        .await;
    drop(admin);
    server.kill();
    server.start();
    let policy = Policy::trusted()
        .timeouts("connect: 5s")
        .database("breaker: {failures: 3, window: 1m, open: 1s, halfOpenProbes: 1}");
    let stage = Stage::on(&server, policy).start().await;
    let alice = stage.user("alice").await;
    let bob = stage.user("bob").await;
    alice.run("SELECT 1").await;
    // when one needs one, they are told. (The sidecar's own look at the server's health may hold one for a moment.)
    let mut others = Vec::new();
    let refusal: Refusal = loop {
        while let Ok(other) = direct(&stage).await {
            others.push(other);
        }
        let user = format!("-c bulkhead.user=late{}", others.len());
        match stage.try_options(&user).await {
            Ok(session) => match session.simple_query("SELECT 1").await {
                Ok(_) => others.push(session),
                Err(error) => break error.into(),
            },
            Err(error) => break error.into(),
        }
        assert!(others.len() < 8, "{} more were let in", others.len());
    };
    assert!(
        ["53300", "08001"].contains(&refusal.code.as_str()),
        "{refusal:?}"
    );
    assert!(refusal.says("the server said"), "{refusal:?}");
    // Alice goes on with hers.
    alice.run("SELECT 1").await;

    // When there is room again, everybody is served, without anybody's doing.
    drop(others);
    wait::until("bob to be served", || async {
        bob.simple_query("SELECT 1").await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_sidecar_without_a_descriptor_left_serves_who_it_has_and_recovers_by_itself() {
    let policy = Policy::trusted()
        .timeouts("connect: 2s")
        .database("breaker: {failures: 3, window: 1m, open: 1h, halfOpenProbes: 1}");
    let stage = Stage::start(policy).await;
    let alice = stage.user("alice").await;
    alice.run("SELECT 1").await;
    let bob = stage.user("bob").await;
    // What his login may have opened is gone.
    let admin = stage.admin().await;
    let hers = alice.server_pid().await;
    let others = format!(
        "FROM pg_stat_activity WHERE datname = current_database() AND usename = 'chat_app' AND pid <> {hers}"
    );
    wait::until("bob to have no server connection", || async {
        admin
            .run(&format!("SELECT pg_terminate_backend(pid) {others}"))
            .await;
        admin
            .text(&format!("SELECT count(*) {others}"))
            .await
            .as_deref()
            == Some("0")
    })
    .await;

    // Given a sidecar that may open nothing more,
    let id = i32::try_from(stage.sidecar.id()).unwrap();
    let pid = Pid::from_raw(id).unwrap();
    let some = |limit| Rlimit {
        current: Some(limit),
        ..getrlimit(Resource::Nofile)
    };
    let before = prlimit(Some(pid), Resource::Nofile, some(10)).unwrap();
    // then who has a connection goes on, who needs one is told why, and who comes new waits at the door.
    for _ in 0..5 {
        let refusal = bob.refused("SELECT 1").await;
        assert_eq!(refusal.code, "08001", "{refusal:?}");
        assert!(refusal.says("open files"), "{refusal:?}");
        alice.run("SELECT 1").await;
    }
    let carol = tokio::spawn({
        let config = stage.config();
        async move {
            let mut config = config;
            config.options("-c bulkhead.user=carol");
            bulkhead_tests::session::connect(&config).await
        }
    });
    alice.run("SELECT 1").await;

    // When it may again, everybody is served, the upstream's breaker never having opened.
    prlimit(Some(pid), Resource::Nofile, before).unwrap();
    let carol = wait::within("carol's turn", carol).await.unwrap().unwrap();
    carol.run("SELECT 1").await;
    bob.run("SELECT 1").await;
    let opens = [("scope", "upstream")];
    assert!(stage.sidecar.metric("bulkhead_breaker_opens_total", &opens) < 0.5);
}
