//! Faults of databases and of their users: each alert is seen to fire, and to end once the fault has.

use std::time::Duration;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::session::Session;
use bulkhead_tests::stage::Stage;
use tokio::task::JoinHandle;
use tokio_postgres::{Config, NoTls};

use crate::prometheus::{Prometheus, Target};

/// The labels that every alert of this suite's sidecars has.
const HERE: (&str, &str) = ("namespace", "chat-staging");

pub(crate) async fn watched(stage: &Stage) -> Prometheus {
    let target = Target::sidecar(stage.sidecar.admin(), HERE.1, "chat-1");
    Prometheus::start(&[target]).await
}

/// Clients that do the same again and again, until this is dropped.
pub(crate) struct Storm(Vec<JoinHandle<()>>);

impl Storm {
    /// For each of these start-up options a client that connects, runs `sql`, whatever comes of it, and goes.
    pub(crate) fn of(config: &Config, options: &[String], sql: &'static str) -> Self {
        let clients = options.iter().map(|options| {
            let mut config = config.clone();
            config.options(options);
            tokio::spawn(async move {
                loop {
                    once(&config, sql).await;
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
        });
        Self(clients.collect())
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

async fn once(config: &Config, sql: &str) {
    let Ok((client, connection)) = config.connect(NoTls).await else {
        return;
    };
    let connection = tokio::spawn(connection);
    // What the fault makes of it is what the alerts are about.
    let _ = client.batch_execute(sql).await;
    drop(client);
    let _ = connection.await;
}

pub(crate) fn users(count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("-c bulkhead.user=user-{number}"))
        .collect()
}

#[tokio::test]
async fn statements_that_time_out_burn_the_budget_and_are_not_completed() {
    let policy = Policy::trusted()
        .timeouts("statement: 200ms")
        .database("breaker: {failures: 1000}");
    let stage = Stage::start(policy).await;
    let prometheus = watched(&stage).await;
    let labels = [HERE, ("upstream", "main"), ("kind", "statement")];

    let storm = Storm::of(&stage.config(), &users(6), "SELECT pg_sleep(30)");
    let fast = prometheus.firing("BulkheadTimeoutsBurnFast", &labels).await;
    assert_eq!(fast.labels["severity"], "critical");
    assert!(fast.annotations["description"].contains("chat-staging"));
    prometheus.firing("BulkheadTimeoutsBurnSlow", &labels).await;
    prometheus
        .firing("BulkheadExecutionsNotCompleted", &[HERE])
        .await;
    drop(storm);

    // Work goes on, and well.
    let _well = Storm::of(&stage.config(), &users(6), "SELECT 1");
    prometheus
        .resolved("BulkheadTimeoutsBurnFast", &labels)
        .await;
    prometheus
        .resolved("BulkheadTimeoutsBurnSlow", &labels)
        .await;
    prometheus
        .resolved("BulkheadExecutionsNotCompleted", &[HERE])
        .await;
}

#[tokio::test]
async fn many_users_whose_own_work_fails_are_told_of_together() {
    let policy = Policy::trusted()
        .timeouts("statement: 100ms")
        .database("breaker: {failures: 2, window: 1m, open: 25s, halfOpenProbes: 1}");
    let stage = Stage::start(policy).await;
    let prometheus = watched(&stage).await;
    let labels = [HERE, ("upstream", "main")];
    for user in 0..12 {
        let session = stage.user(&format!("user-{user}")).await;
        for _ in 0..2 {
            let refusal = session.refused("SELECT pg_sleep(30)").await;
            assert_eq!(refusal.code, "57014", "{refusal:?}");
        }
    }
    prometheus.firing("BulkheadUserBreakers", &labels).await;
    // Each becomes half open by itself.
    prometheus.resolved("BulkheadUserBreakers", &labels).await;
}

#[tokio::test]
async fn a_pool_that_is_used_up_is_told_of_while_somebody_waits() {
    let policy = Policy::trusted()
        .pool("maxConnections: 2, perUser: {max: 1}, warm: 0")
        .timeouts("acquire: 5m, transaction: 10m, idleInTransaction: 10m");
    let stage = Stage::start(policy).await;
    let prometheus = watched(&stage).await;
    let labels = [HERE, ("upstream", "main")];
    let mut holders: Vec<Session> = Vec::new();
    for user in ["alice", "bob"] {
        let session = stage.user(user).await;
        session.run("BEGIN; SELECT 1").await;
        holders.push(session);
    }
    let waiting = Storm::of(&stage.config(), &users(2), "SELECT 1");
    let exhausted = prometheus.firing("BulkheadPoolExhausted", &labels).await;
    assert!(
        exhausted.annotations["description"].contains("at least 2 clients"),
        "{exhausted:?}"
    );
    prometheus.firing("BulkheadPoolNearLimit", &labels).await;

    for session in holders {
        session.run("COMMIT").await;
    }
    prometheus.resolved("BulkheadPoolExhausted", &labels).await;
    prometheus.resolved("BulkheadPoolNearLimit", &labels).await;
    drop(waiting);
}

#[tokio::test]
async fn a_storm_of_placeholders_is_a_spike_of_refusals_and_of_connections() {
    let stage = Stage::start(Policy::trusted()).await;
    let prometheus = watched(&stage).await;
    let reason = [HERE, ("reason", "placeholder")];
    let clients = [HERE, ("upstream", "main"), ("protocol", "postgresql")];

    let nobody: Vec<String> = ["null", "undefined", "test", "anonymous"]
        .map(|name| format!("-c bulkhead.user={name}"))
        .to_vec();
    let storm = Storm::of(&stage.config(), &nobody, "SELECT 1");
    prometheus
        .firing("BulkheadIdentityRejections", &reason)
        .await;
    prometheus.firing("BulkheadReconnectStorm", &clients).await;
    drop(storm);
    prometheus
        .resolved("BulkheadIdentityRejections", &reason)
        .await;
    prometheus
        .resolved("BulkheadReconnectStorm", &clients)
        .await;
}

#[tokio::test]
async fn a_policy_that_is_refused_is_told_of_until_a_good_one_is_read() {
    let stage = Stage::start(Policy::trusted()).await;
    let prometheus = watched(&stage).await;
    let labels = [HERE, ("pod", "chat-1")];
    let good = stage.sidecar.policy().text();
    stage
        .sidecar
        .write_policy(&good.replace("PostgreSQL", "Oracle"));
    prometheus.firing("BulkheadPolicyRejected", &labels).await;
    stage.sidecar.write_policy(&good);
    prometheus.resolved("BulkheadPolicyRejected", &labels).await;
}

#[tokio::test]
async fn an_audit_trail_that_cannot_be_written_is_told_of_until_it_can() {
    let folder = bulkhead_tests::processes::folder("trail").join("later");
    let policy = Policy::trusted().spec("auditTrail: {destination: File}");
    let setting = Stage::with(policy).flag("--audit-folder", folder.to_str().unwrap());
    let stage = setting.start().await;
    let prometheus = watched(&stage).await;
    let labels = [HERE, ("pod", "chat-1")];
    prometheus
        .firing("BulkheadAuditTrailFailing", &labels)
        .await;
    std::fs::create_dir(folder).unwrap();
    prometheus
        .resolved("BulkheadAuditTrailFailing", &labels)
        .await;
}

#[tokio::test]
async fn hand_overs_of_the_tier_that_has_them_wake_nobody_up() {
    let policy = Policy::trusted()
        .tier("Reset")
        .pool("maxConnections: 1, warm: 0");
    let stage = Stage::start(policy).await;
    let prometheus = watched(&stage).await;
    let _storm = Storm::of(&stage.config(), &users(3), "SELECT 1");
    prometheus
        .positive("increase(bulkhead_cross_user_handoffs_total[5s]) and on (pod) bulkhead_policy_info{tier=\"Reset\"}")
        .await;
    // The alert has no `for`: had it been one, it would be there by the next evaluation.
    prometheus
        .positive("sum(increase(bulkhead_cross_user_handoffs_total[5s])) > 10")
        .await;
    assert!(!prometheus.fires("BulkheadCrossUserHandoff"));
}
