//! Every query of every dashboard, asked of a Prometheus that scrapes sidecars at work and an operator: each has data.

use std::path::Path;
use std::time::Instant;

use bulkhead_tests::cluster::ControlPlane;
use bulkhead_tests::control_group::MemoryGroup;
use bulkhead_tests::operator::Operator;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::websocket::{Kind, Server, SocketStage};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::databases::{Storm, users};
use crate::limits::{valid_for, with_certificate};
use crate::operator::{apply, enabled, older_control_plane, pod, policy};
use crate::prometheus::{PATIENT, Prometheus, Target};

/// A loopback address at which no other process of the suites answers.
const POD: &str = "127.0.53.1";
/// The admin port of a sidecar in a pod.
const ADMIN: u16 = 9432;

/// The panels' queries: where each stands, and what is asked.
fn queries() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/bulkhead/files/dashboards");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read(entry.unwrap().path()).unwrap();
        let dashboard: Value = serde_json::from_slice(&text).unwrap();
        for panel in dashboard["panels"].as_array().unwrap() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let place = format!("{} / {}", dashboard["title"], panel["title"]);
                found.push((place, spelled_out(target["expr"].as_str().unwrap())));
            }
        }
    }
    found
}

/// As Grafana asks it with every variable at "all".
fn spelled_out(query: &str) -> String {
    query
        .replace("$__rate_interval", "10s")
        .replace("$namespace", ".*")
        .replace("$upstream", ".*")
}

/// A sidecar that is at work in every way that a panel shows: users, refusals, a certificate, a limit of memory.
async fn database(group: &MemoryGroup) -> Stage {
    let (certificate, key) = valid_for(std::time::Duration::from_secs(86_400));
    let stage = Stage::with(with_certificate())
        .secret("own/tls.crt", &certificate)
        .secret("own/tls.key", &key)
        .in_group(group)
        .start()
        .await;
    stage.user("alice").await.run("SELECT 1").await;
    stage
}

/// A socket that has been opened and closed, in an entry that has critical events, and whose users are only counted yet.
async fn sockets() -> SocketStage {
    let server = Server::start(Kind::Websockets).await;
    let policy = Policy::trusted()
        .web_socket("criticalEvents: [agent_completed]")
        .spec("mode: Audit");
    let stage = SocketStage::start(policy, server.port()).await;
    drop(stage.open("alice").await);
    wait::until("a socket that has ended", || async {
        stage.sidecar.metric("bulkhead_websocket_closes_total", &[]) > 0.0
    })
    .await;
    // The application is to be there as long as the sidecar is.
    std::mem::forget(server);
    stage
}

/// Carries whoever asks the pod's admin port to a sidecar's that runs here.
async fn stands_in_for_the_pod(admin: u16) {
    let listener = TcpListener::bind((POD, ADMIN)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", admin)).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
}

/// A pod that the webhook injects, and whose address is the stand-in's.
async fn injected(cluster: &ControlPlane, namespace: &str) {
    wait::until_within(PATIENT, "a pod with the sidecar", || async {
        let arguments = [
            "delete",
            "pod",
            "chat",
            "-n",
            namespace,
            "--ignore-not-found",
            "--force",
        ];
        cluster.kubectl(&arguments).await.check();
        apply(cluster, namespace, &pod("chat")).await;
        let read = ["get", "pod", "chat", "-n", namespace, "-o", "json"];
        let text = cluster.kubectl(&read).await.well();
        let pod: Value = serde_json::from_str(&text).unwrap();
        pod["spec"]["initContainers"][0]["name"] == "bulkhead"
    })
    .await;
    let status = json!({"status": {"phase": "Running", "podIP": POD, "podIPs": [{"ip": POD}], "initContainerStatuses": [{
        "name": "bulkhead", "image": "i", "imageID": "i", "ready": true, "restartCount": 0, "started": true,
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}});
    let patch = [
        "patch",
        "pod",
        "chat",
        "-n",
        namespace,
        "--subresource=status",
        "--type=merge",
        "-p",
    ];
    let mut arguments = patch.to_vec();
    let status = status.to_string();
    arguments.push(&status);
    cluster.kubectl(&arguments).await.check();
}

#[tokio::test]
async fn every_query_of_every_dashboard_has_data() {
    let group = MemoryGroup::new();
    group.limit(256 << 20);
    let database = database(&group).await;
    let sockets = sockets().await;
    let _work = Storm::of(&database.config(), &users(3), "SELECT 1");
    let cluster = older_control_plane().await;
    let operator = Operator::start(&cluster).await;
    operator.until_installed().await;
    let namespace = enabled(&cluster).await;
    apply(&cluster, &namespace, &policy()).await;
    stands_in_for_the_pod(database.sidecar.admin()).await;
    injected(&cluster, &namespace).await;
    let prometheus = Prometheus::start(&[
        Target::sidecar(database.sidecar.admin(), "chat-staging", "chat-1"),
        Target::sidecar(sockets.sidecar.admin(), "chat-staging", "chat-2"),
        Target::operator(operator.admin()),
    ])
    .await;

    let mut asked = queries();
    assert!(asked.len() > 60, "{}", asked.len());
    let start = Instant::now();
    loop {
        asked.retain(|(_, query)| prometheus.query(query).is_empty());
        if asked.is_empty() {
            break;
        }
        assert!(start.elapsed() < PATIENT, "without data: {asked:#?}");
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
}
