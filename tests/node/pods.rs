//! The node that the other suites stand on: pods as injection makes them come up, are reached, and see what changes.

use std::time::{Duration, Instant};

use bulkhead_tests::cluster::Node;
use bulkhead_tests::wait;

/// A pod with a native sidecar, under what Pod Security calls restricted, and a Service for it. The sidecar shows the ConfigMap that
/// it mounts.
pub(crate) const POD: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: greeting}
data: {text: first}
---
apiVersion: v1
kind: Service
metadata: {name: greeter}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
---
apiVersion: v1
kind: Pod
metadata: {name: web, labels: {app: web}}
spec:
  terminationGracePeriodSeconds: 1
  securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
  initContainers:
  - name: sidecar
    image: bulkhead.test/busybox:1
    imagePullPolicy: Never
    restartPolicy: Always
    command: [httpd, -f, -p, '8080', -h, /content]
    ports: [{name: http, containerPort: 8080}]
    startupProbe: {httpGet: {path: /text, port: http}, periodSeconds: 1, failureThreshold: 60}
    securityContext: &restricted {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
    volumeMounts: [{name: content, mountPath: /content, readOnly: true}]
  containers:
  - name: application
    image: bulkhead.test/busybox:1
    imagePullPolicy: Never
    command: [sleep, '1000000']
    securityContext: *restricted
  volumes:
  - {name: content, configMap: {name: greeting}}
";

#[tokio::test]
async fn a_pod_with_a_sidecar_is_reached_and_sees_a_change_within_two_seconds() {
    let node = Node::shared().await;
    node.load("busybox").await;
    let namespace = node
        .namespace(&[("pod-security.kubernetes.io/enforce", "restricted")])
        .await;
    let kubectl = async |arguments: &[&str]| {
        let mut whole = vec!["--namespace", &namespace];
        whole.extend(arguments);
        node.kubectl(&whole).await
    };

    node.kubectl_with(&["apply", "-n", &namespace, "-f", "-"], POD)
        .await
        .check();
    kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "pod/web"])
        .await
        .check();

    // By exec, by the Service's address from the machine, and by the Service's name from a pod.
    let seen = kubectl(&["exec", "web", "-c", "sidecar", "--", "cat", "/content/text"]).await;
    assert_eq!(seen.well(), "first");
    let by_name = [
        "exec",
        "web",
        "-c",
        "application",
        "--",
        "wget",
        "-qO-",
        "http://greeter/text",
    ];
    wait::until("the Service to have an address and the name", || async {
        kubectl(&by_name).await.output == "first"
    })
    .await;
    let address = kubectl(&[
        "get",
        "service",
        "greeter",
        "-o",
        "jsonpath={.spec.clusterIP}",
    ])
    .await
    .well();
    tokio::net::TcpStream::connect((address.as_str(), 80))
        .await
        .unwrap();

    // A change, and the poke that makes the kubelet look.
    let start = Instant::now();
    kubectl(&[
        "patch",
        "configmap",
        "greeting",
        "-p",
        r#"{"data": {"text": "second"}}"#,
    ])
    .await
    .check();
    kubectl(&["annotate", "pod", "web", "poke=1"]).await.check();
    wait::until("the change in the pod", || async {
        kubectl(&["exec", "web", "-c", "sidecar", "--", "cat", "/content/text"])
            .await
            .output
            == "second"
    })
    .await;
    wait::no_longer_than(Duration::from_secs(2), start);

    kubectl(&["delete", "pod", "web", "--wait", "--timeout=30s"])
        .await
        .check();
}
