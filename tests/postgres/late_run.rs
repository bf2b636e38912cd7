//! A run of the application's that takes too long ends its work in the database, and nobody else's.

use std::time::{Duration, Instant};

use bulkhead_tests::policy::Policy;
use bulkhead_tests::processes::free_port;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::websocket::{Application, Asking, Frame, Peer};
use bulkhead_tests::wire::{Wire, send};

/// A stage with runs of so long, and an application behind a port of its own.
struct World {
    stage: Stage,
    application: Application,
    port: u16,
}

/// A socket, seen from both ends.
struct Socket {
    _client: Peer,
    application: Peer,
    token: String,
}

impl World {
    async fn with(execution: &str, policy: Policy) -> Self {
        let application = Application::listen().await;
        let port = free_port();
        let upstream = application.port();
        let policy = policy.spec(&format!(
            "webSockets: [{{name: chat, listen: {{port: {port}}}, upstream: {{port: {upstream}}}, \
             criticalEvents: [agent_started, agent_completed], execution: {execution}}}]"
        ));
        let stage = Stage::start(policy).await;
        Self {
            stage,
            application,
            port,
        }
    }

    async fn socket(&self) -> Socket {
        let asking = Asking::upgrade("/ws").bearer("alice");
        let (answer, (token, application)) = tokio::join!(asking.send(self.port), async {
            let asked = self.application.asked().await;
            let token = asked.header("x-bulkhead-context").unwrap();
            (token, asked.upgrade("").await)
        });
        Socket {
            _client: answer.opened(),
            application,
            token,
        }
    }

    /// A connection to the database that works for this socket.
    async fn work(&self, socket: &Socket) -> Wire {
        let mut wire = self.stage.wire().await;
        let options = format!("-c bulkhead.context={}", socket.token);
        wire.login(&[
            ("user", bulkhead_tests::postgres::APP_ROLE),
            ("database", &self.stage.database),
            ("options", &options),
        ])
        .await
        .unwrap_or_else(|refusal| panic!("it is not let in: {refusal:?}"));
        wire
    }
}

impl Socket {
    async fn says(&mut self, event: &str, run: &str) {
        let said = format!(r#"{{"type": "{event}", "run_id": "{run}"}}"#);
        self.application.send(Frame::text(said)).await;
    }
}

const TOTAL: &str = "webSockets[chat].execution.total = 1s";

#[tokio::test]
async fn a_late_runs_statement_is_cancelled_and_its_transaction_rolled_back_and_the_next_may_begin()
{
    for policy in [Policy::trusted(), Policy::trusted().in_session_mode()] {
        let world = World::with("{total: 1s}", policy).await;
        let (mut late, idle) = (world.socket().await, world.socket().await);
        let (mut busy, mut silent, mut other) = (
            world.work(&late).await,
            world.work(&late).await,
            world.work(&idle).await,
        );
        for (id, wire) in [(1001, &mut busy), (1002, &mut silent)] {
            wire.query("BEGIN").await;
            wire.query(&format!("INSERT INTO things VALUES ({id}, 'x')"))
                .await;
        }
        let start = Instant::now();
        late.says("agent_started", "r1").await;
        other.send(send::query("SELECT pg_sleep(2)")).await;
        // What runs is cancelled in time,
        let refusal = busy.query("SELECT pg_sleep(30)").await.refusal();
        wait::no_longer_than(Duration::from_secs(10), start);
        assert_eq!(refusal.code, "57014");
        assert!(refusal.message.contains(TOTAL), "{refusal:?}");
        // what was written goes with its transaction,
        let failed = busy.query("SELECT 1").await.refusal();
        assert_eq!(failed.code, "25P02");
        busy.query("ROLLBACK").await;
        // and who was silent learns of it.
        let refusal = silent.query("SELECT 1").await.refusal();
        assert_eq!(refusal.code, "57014");
        assert!(refusal.message.contains(TOTAL), "{refusal:?}");
        silent.query("ROLLBACK").await;
        for wire in [&mut busy, &mut silent] {
            let count = "SELECT count(*) FROM things WHERE id > 1000";
            assert_eq!(wire.query(count).await.value().as_deref(), Some("0"));
        }
        // The user's other socket has no run.
        let slept = other.until_ready().await;
        assert_eq!(slept.value().as_deref(), Some(""));
        world
            .stage
            .until_metric(
                "bulkhead_websocket_runs_total",
                &[("outcome", "timed_out")],
                1.0,
            )
            .await;
    }
}

#[tokio::test]
async fn work_of_which_nobody_knows_the_run_is_left_alone() {
    let world = World::with("{progress: 1s}", Policy::trusted()).await;
    let mut socket = world.socket().await;
    let mut wire = world.work(&socket).await;
    socket.says("agent_started", "r1").await;
    wire.send(send::query("SELECT pg_sleep(2)")).await;
    // Given a second run that goes on when the first has been silent for too long, the statement may be of either, and comes to its end.
    let slept = {
        let mut slept = std::pin::pin!(wire.until_ready());
        loop {
            tokio::select! {
                slept = &mut slept => break slept,
                () = wait::pause() => socket.says("agent_started", "r2").await,
            }
        }
    };
    assert_eq!(slept.value().as_deref(), Some(""));
    // When that is late too, all that the socket does is.
    wire.send(send::query("SELECT pg_sleep(30)")).await;
    let refusal = wire.until_ready().await.refusal();
    assert!(
        refusal
            .message
            .contains("webSockets[chat].execution.progress = 1s"),
        "{refusal:?}"
    );
    let labels = [("outcome", "timed_out")];
    world
        .stage
        .until_metric("bulkhead_websocket_runs_total", &labels, 2.0)
        .await;
}
