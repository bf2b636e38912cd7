//! A name whose addresses change while connections lead to them.

use bulkhead_tests::names::NameServer;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::Server;
use bulkhead_tests::session::Session;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;

const NAME: &str = "db.bulkhead.test";
const OLD: [u8; 4] = [127, 0, 0, 1];
const NEW: [u8; 4] = [127, 0, 0, 2];
const RETIRED: &str = "bulkhead_servers_retired_total";

/// Two servers at two addresses, a name that leads to the first, and a sidecar that dials the name.
struct Move {
    names: NameServer,
    stage: Stage,
    _servers: [Server; 2],
}

impl Move {
    async fn prepare(policy: Policy) -> Self {
        let old = Server::own();
        let new = Server::own_at("127.0.0.2", old.place().port);
        let names = NameServer::start().await;
        names.set(NAME, &[OLD]);
        let policy = policy.database(&format!("upstream: {{host: {NAME}.}}"));
        let stage = Stage::on(&old, policy)
            .flag("--name-server", &names.flag())
            .start()
            .await;
        new.database_called(&stage.database).await;
        Self {
            names,
            stage,
            _servers: [old, new],
        }
    }

    async fn until_retired(&self) {
        self.stage
            .until_metric_at_least(RETIRED, &[("reason", "dns")], 1.0)
            .await;
    }
}

async fn address(session: &Session) -> String {
    let found = session.text("SELECT host(inet_server_addr())").await;
    found.unwrap()
}

#[tokio::test]
async fn idle_connections_leave_with_the_name_and_busy_ones_when_they_come_home() {
    // Given an idle connection and one in a transaction, both at the old address,
    let moved = Move::prepare(Policy::trusted()).await;
    let (alice, bob) = (
        moved.stage.user("alice").await,
        moved.stage.user("bob").await,
    );
    assert_eq!(address(&alice).await, "127.0.0.1");
    bob.run("BEGIN").await;
    assert_eq!(address(&bob).await, "127.0.0.1");

    // when the name moves,
    moved.names.set(NAME, &[NEW]);
    moved.until_retired().await;

    // then the idle one has gone, the other stays to the end of its transaction, and no work fails.
    assert_eq!(address(&alice).await, "127.0.0.2");
    assert_eq!(address(&bob).await, "127.0.0.1");
    bob.run("COMMIT").await;
    assert_eq!(address(&bob).await, "127.0.0.2");
}

#[tokio::test]
async fn an_address_that_joins_the_name_takes_nothing_from_the_others() {
    let moved = Move::prepare(Policy::trusted()).await;
    let alice = moved.stage.user("alice").await;
    let pid = alice.server_pid().await;
    moved.names.set(NAME, &[NEW, OLD]);
    // Whoever connects from here on finds the new address first.
    let count = std::cell::Cell::new(0);
    wait::until("the answer to be taken up", || async {
        count.set(count.get() + 1);
        let user = moved.stage.user(&format!("user{}", count.get())).await;
        address(&user).await == "127.0.0.2"
    })
    .await;
    assert_eq!(alice.server_pid().await, pid);
    assert_eq!(
        moved.stage.sidecar.metric(RETIRED, &[("reason", "dns")]),
        0.0
    );
}

#[tokio::test]
async fn a_name_server_that_falls_silent_costs_nobody_their_connection() {
    let mut moved = Move::prepare(Policy::trusted()).await;
    let alice = moved.stage.user("alice").await;
    let pid = alice.server_pid().await;
    moved.names.set(NAME, &[]);
    moved.names.fall_silent();
    // Two answers' time.
    let began = std::time::Instant::now();
    wait::until("two answers to grow old", || async {
        alice.run("SELECT 1").await;
        began.elapsed() > std::time::Duration::from_secs(3)
    })
    .await;
    assert_eq!(alice.server_pid().await, pid);
}

#[tokio::test]
async fn the_spares_of_the_old_address_go_as_well() {
    let moved = Move::prepare(Policy::trusted().pool("warm: 2")).await;
    moved
        .stage
        .until_metric("bulkhead_server_connections", &[("state", "spare")], 2.0)
        .await;
    moved.names.set(NAME, &[NEW]);
    moved
        .stage
        .until_metric_at_least(RETIRED, &[("reason", "dns")], 2.0)
        .await;
    assert_eq!(address(&moved.stage.user("alice").await).await, "127.0.0.2");
}
