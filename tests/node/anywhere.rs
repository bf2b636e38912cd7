//! Sessions that survive their connections, in pods behind a Service: a client that comes back lands in any of them.

use std::net::{IpAddr, SocketAddr};

use bulkhead_tests::admin;
use bulkhead_tests::cluster::Node;
use bulkhead_tests::metrics::Metrics;
use bulkhead_tests::websocket::resumer::Resumer;
use bulkhead_tests::websocket::{Frame, Front};
use serde_json::{Value, json};

/// How often the client loses its connection.
const LOSSES: u32 = 150;
/// Messages that it is ahead of what has come back.
const AHEAD: u32 = 8;

const APPLICATION: &str = "
apiVersion: v1
kind: Service
metadata: {name: room}
spec:
  selector: {app: room}
  ports: [{port: 80, targetPort: http}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: room}
spec:
  replicas: 3
  selector: {matchLabels: {app: room}}
  template:
    metadata: {labels: {app: room}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
      - name: room
        image: bulkhead.test/chat:1
        imagePullPolicy: Never
        # The room itself needs none.
        env: [{name: CHAT_DATABASE, value: host=nowhere dbname=chat user=chat}]
        ports: [{name: http, containerPort: 8000}]
        readinessProbe: {tcpSocket: {port: 8000}, periodSeconds: 1}
";

/// An operator is installed in `node`, and `users` is a namespace that is enabled.
pub(super) async fn clients_come_back(node: &Node, users: &str) {
    node.load("sidecar").await;
    node.load("chat").await;
    begin(node, users).await;
    let front = Front::of(vec![service(node, users).await]).await;

    talk(&front).await;

    // The Service chooses by chance: two of three have come to another pod.
    let name = "bulkhead_websocket_relays_total";
    let relayed = sum(node, users, name, &[("outcome", "relayed")]).await;
    assert!(relayed >= 50.0, "{relayed}");
    assert!((sum(node, users, name, &[]).await - relayed).abs() < 0.5);
    let resumed = [("outcome", "resumed")];
    let resumed = sum(node, users, "bulkhead_websocket_resumes_total", &resumed).await;
    assert!((resumed - f64::from(LOSSES)).abs() < 0.5, "{resumed}");

    let all = ["delete", "deployment/room", "service/room", "ipol/room"];
    let all = [
        &all[..],
        &["-n", users, "--cascade=foreground", "--timeout=60s"],
    ]
    .concat();
    node.kubectl(&all).await.check();
}

/// Talks with itself in the room of one pod, with lost connections on the way: each message is heard once, in order.
async fn talk(front: &Front) {
    let mut client = Resumer::open_at(front.port, "/room", "alice").await;
    let (mut sent, mut heard) = (0, 0);
    let expect = |message: &[u8], number: u32| {
        let message: Value = serde_json::from_slice(message).unwrap();
        assert_eq!(message["body"], number.to_string());
    };
    for losses in 0..LOSSES {
        for _ in 0..losses % 5 {
            while sent < heard + AHEAD {
                client.send(Frame::text(sent.to_string())).await;
                sent += 1;
            }
            expect(&client.message().await, heard);
            heard += 1;
        }
        client = client.come_back().await;
        assert_eq!(client.greeting.state, 1, "after {losses} losses");
    }
    while heard < sent {
        expect(&client.message().await, heard);
        heard += 1;
    }
    client.close().await;
}

async fn begin(node: &Node, users: &str) {
    let policy = json!({"apiVersion": "bulkhead.dev/v1alpha1", "kind": "IsolationPolicy",
        "metadata": {"name": "room", "namespace": users},
        "spec": {"selector": {"matchLabels": {"app": "room"}}, "identity": {"source": "Trusted"},
            "webSockets": [{"name": "room", "listen": {"port": 8080, "takesOver": "http"}, "upstream": {"port": 8000},
                "limits": {"messagesPerSecond": 100_000}}]}});
    node.kubectl_with(&["apply", "--server-side", "-f", "-"], &policy.to_string())
        .await
        .check();
    let accepted = [
        "wait",
        "ipol/room",
        "-n",
        users,
        "--for=condition=Accepted",
        "--timeout=60s",
    ];
    node.kubectl(&accepted).await.check();
    node.kubectl_with(&["apply", "-n", users, "-f", "-"], APPLICATION)
        .await
        .check();
    let rolled_out = [
        "rollout",
        "status",
        "deployment/room",
        "-n",
        users,
        "--timeout=120s",
    ];
    node.kubectl(&rolled_out).await.check();
}

async fn service(node: &Node, users: &str) -> SocketAddr {
    let path = "jsonpath={.spec.clusterIP}";
    let said = node
        .kubectl(&["get", "service/room", "-n", users, "-o", path])
        .await;
    SocketAddr::new(said.well().parse().unwrap(), 80)
}

/// The sum of a metric over the pods.
async fn sum(node: &Node, users: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let path = "jsonpath={.items[*].status.podIP}";
    let said = node
        .kubectl(&["get", "pods", "-n", users, "-l", "app=room", "-o", path])
        .await;
    let pods: Vec<IpAddr> = said
        .well()
        .split(' ')
        .map(|ip| ip.parse().unwrap())
        .collect();
    assert_eq!(pods.len(), 3);
    let of = |pod: IpAddr| {
        let (_, body) = admin::get_from(pod, 9432, "/metrics").expect("metrics");
        Metrics::read(body).sum(name, labels)
    };
    pods.into_iter().map(of).sum()
}
