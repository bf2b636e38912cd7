//! Pods that were missed while the operator was away, and what becomes of them when it is back: the controllers that make pods anew, and
//! the disruption budgets that protect them, are Kubernetes' own.

use std::path::PathBuf;

use bulkhead_crds::kinds::{Advice, IsolationPolicy};
use bulkhead_crds::names::objects::{ENABLED, INJECTION};
use bulkhead_tests::cluster::{ControlPlane, Options};
use bulkhead_tests::operator::{Launch, NAMESPACE, Operator, READY, control_plane_with};
use bulkhead_tests::wait;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::events::v1::Event;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt as _};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use super::world::{PATIENCE, spec};

/// The operator's service account.
const ACCOUNT: &str = "bulkhead-operator";
/// The least time between two evictions.
const INTERVAL: &str = "5s";

/// One control plane in which pods were missed, a namespace for each test, and an operator that has come since.
struct Absence {
    cluster: ControlPlane,
    operator: Operator,
    polite: String,
    reported: String,
    guarded: String,
    in_vain: String,
}

async fn absence() -> &'static Absence {
    static ABSENCE: OnceCell<Absence> = OnceCell::const_new();
    ABSENCE
        .get_or_init(|| async {
            let cluster = control_plane_with(Options::default()).await;
            let polite = missed(&cluster, "Evict", 2).await;
            let reported = missed(&cluster, "Report", 1).await;
            let guarded = missed(&cluster, "Evict", 1).await;
            let in_vain = missed(&cluster, "Evict", 2).await;
            let alone = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "alone", "labels": {"app": "web"}},
                "spec": {"containers": [{"name": "app", "image": "example.test/app:1"}]}});
            apply(&cluster, &polite, alone).await;
            protect(&cluster, &guarded, 1).await;
            let web = pods(&cluster, &guarded).await.remove(0);
            runs(&cluster, &guarded, &web).await;
            // From here on its pods have a container of the sidecar's name, which keeps the sidecar out.
            let mut set = replica_set(2);
            let name_taken = json!([{"name": "bulkhead", "image": "example.test/theirs:1"}]);
            set["spec"]["template"]["spec"]["containers"] = name_taken;
            apply(&cluster, &in_vain, set).await;
            let launch = launch(rights_of_the_chart(&cluster).await);
            let operator = Operator::start_with(&cluster, &launch).await;
            operator.until_installed().await;
            Absence {
                cluster,
                operator,
                polite,
                reported,
                guarded,
                in_vain,
            }
        })
        .await
}

fn launch(kubeconfig: PathBuf) -> Launch {
    Launch {
        arguments: vec!["--eviction-interval".to_owned(), INTERVAL.to_owned()],
        kubeconfig: Some(kubeconfig),
    }
}

/// A kubeconfig of the operator's service account, with the rights that the chart gives it and no other.
async fn rights_of_the_chart(cluster: &ControlPlane) -> PathBuf {
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/bulkhead");
    let mut arguments = vec!["template", "bulkhead", chart, "--namespace", NAMESPACE];
    for file in ["templates/rbac/cluster.yaml", "templates/rbac/own.yaml"] {
        arguments.extend(["--show-only", file]);
    }
    let roles = cluster.helm(&arguments).await.well();
    cluster
        .kubectl_with(&["apply", "--server-side", "-f", "-"], &roles)
        .await
        .check();
    cluster.service_account(NAMESPACE, ACCOUNT).await
}

/// A namespace with a policy in Audit, and so many pods of a ReplicaSet that nobody was there to inject.
async fn missed(cluster: &ControlPlane, what: &str, replicas: usize) -> String {
    let namespace = cluster.namespace(&[(INJECTION, ENABLED)]).await;
    apply(cluster, &namespace, policy(what)).await;
    apply(cluster, &namespace, replica_set(replicas)).await;
    wait::until_within(READY, "the ReplicaSet's pods", || async {
        pods(cluster, &namespace).await.len() == replicas
    })
    .await;
    namespace
}

fn policy(what: &str) -> Value {
    let mut spec = spec(json!({}));
    spec["mode"] = json!("Audit");
    spec["injection"] = json!({"missed": what});
    json!({"apiVersion": "bulkhead.dev/v1alpha1", "kind": "IsolationPolicy", "metadata": {"name": "chat"}, "spec": spec})
}

fn replica_set(replicas: usize) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "web"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": {"set": "web"}}, "template": {
            "metadata": {"labels": {"app": "web", "set": "web"}},
            "spec": {"containers": [{"name": "app", "image": "example.test/app:1"}]}}},
    })
}

async fn protect(cluster: &ControlPlane, namespace: &str, least: usize) {
    let budget = json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "web"},
        "spec": {"minAvailable": least, "selector": {"matchLabels": {"app": "web"}}}});
    apply(cluster, namespace, budget).await;
}

async fn apply(cluster: &ControlPlane, namespace: &str, object: Value) {
    let arguments = ["apply", "--server-side", "-n", namespace, "-f", "-"];
    cluster
        .kubectl_with(&arguments, &object.to_string())
        .await
        .check();
}

fn api(cluster: &ControlPlane, namespace: &str) -> Api<Pod> {
    Api::namespaced(cluster.client(), namespace)
}

/// The pods of a namespace that are not on their way out.
async fn pods(cluster: &ControlPlane, namespace: &str) -> Vec<Pod> {
    let api = api(cluster, namespace);
    let mut all = api.list(&ListParams::default()).await.unwrap().items;
    all.retain(|pod| pod.metadata.deletion_timestamp.is_none());
    all
}

fn is_injected(pod: &Pod) -> bool {
    pod.annotations().contains_key("bulkhead.dev/injected")
}

fn is_ready(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    status.is_some_and(|status| status.phase.as_deref() == Some("Running"))
}

/// Says of a pod what a kubelet would.
async fn runs(cluster: &ControlPlane, namespace: &str, pod: &Pod) {
    let status = json!({"status": {"phase": "Running", "podIP": "192.0.2.1", "podIPs": [{"ip": "192.0.2.1"}],
        "conditions": [{"type": "Ready", "status": "True"}]}});
    let patch = Patch::Merge(&status);
    // It may have been evicted since.
    let _ = api(cluster, namespace)
        .patch_status(&pod.name_any(), &PatchParams::default(), &patch)
        .await;
}

/// The operator's successful and refused evictions in a namespace.
fn evictions(cluster: &ControlPlane, namespace: &str) -> (usize, usize) {
    let operator = format!("system:serviceaccount:{NAMESPACE}:{ACCOUNT}");
    let mut asked = cluster.audit_events();
    asked.retain(|asked| asked.user == operator && asked.resource == "pods/eviction");
    asked.retain(|asked| asked.namespace == namespace);
    let of = |status: u64| asked.iter().filter(|asked| asked.status == status).count();
    assert_eq!(of(201) + of(429), asked.len(), "{asked:?}");
    (of(201), of(429))
}

async fn advice(cluster: &ControlPlane, namespace: &str) -> Vec<Advice> {
    let policies = Api::<IsolationPolicy>::namespaced(cluster.client(), namespace);
    let status = policies.get("chat").await.unwrap().status;
    status.and_then(|status| status.advice).unwrap_or_default()
}

async fn until_advised(cluster: &ControlPlane, namespace: &str, reason: &str) -> Advice {
    let found = || async {
        let mut all = advice(cluster, namespace).await.into_iter();
        all.find(|advice| advice.reason == reason)
    };
    wait::until_within(READY, reason, || async { found().await.is_some() }).await;
    found().await.unwrap()
}

/// Waits until the operator has looked at what it installed so many times more, which is every half a second.
async fn looks(cluster: &ControlPlane, count: usize) {
    let seen = || {
        let mut asked = cluster.audit_events();
        asked.retain(|asked| asked.name == "bulkhead-guard" && asked.verb == "get");
        asked.len()
    };
    let before = seen();
    wait::until_within(READY, "more looks of the operator", || async {
        seen() >= before + count
    })
    .await;
}

#[tokio::test]
async fn missed_pods_are_evicted_one_by_one_and_come_back_with_the_sidecar() {
    let absence = absence().await;
    let (cluster, namespace) = (&absence.cluster, &absence.polite);
    wait::until_within(
        READY,
        "all pods of the ReplicaSet to be injected",
        || async {
            let all = pods(cluster, namespace).await;
            let between = all.iter().filter(|pod| is_injected(pod) && !is_ready(pod));
            let between: Vec<_> = between.collect();
            assert!(
                between.len() <= 1,
                "the next goes when the one before is back"
            );
            for pod in between {
                runs(cluster, namespace, pod).await;
            }
            all.iter().filter(|pod| is_injected(pod)).count() == 2
        },
    )
    .await;
    assert_eq!(evictions(cluster, namespace), (2, 0));
    // Nothing would bring this one back.
    let alone = api(cluster, namespace).get("alone").await.unwrap();
    assert!(!is_injected(&alone));
    let spared = until_advised(cluster, namespace, "EvictionSpares").await;
    assert!(spared.message.contains("alone"), "{}", spared.message);

    let events = Api::<Event>::namespaced(cluster.client(), namespace);
    wait::until_within(PATIENCE, "an event that tells of it", || async {
        let all = events.list(&ListParams::default()).await.unwrap();
        let mut told = all
            .iter()
            .filter(|event| event.reason.as_deref() == Some("PodEvicted"));
        told.any(|event| event.regarding.as_ref().and_then(|of| of.name.as_deref()) == Some("chat"))
    })
    .await;
    let counted = &[("outcome", "evicted")];
    let total = absence
        .operator
        .metric("bulkhead_operator_evictions_total", counted);
    assert!(total >= 2.0, "{total}");
}

#[tokio::test]
async fn where_the_policy_asks_for_a_report_a_missed_pod_stays() {
    let absence = absence().await;
    let (cluster, namespace) = (&absence.cluster, &absence.reported);
    // By then another policy's pods have gone.
    until_advised(cluster, &absence.in_vain, "EvictionInVain").await;
    assert_eq!(evictions(cluster, namespace), (0, 0));
    let all = pods(cluster, namespace).await;
    assert!(!is_injected(&all[0]));
    let policies = Api::<IsolationPolicy>::namespaced(cluster.client(), namespace);
    let status = policies.get("chat").await.unwrap().status.unwrap();
    let skipped = status.pods.unwrap().skipped.unwrap();
    assert_eq!(
        (skipped[0].reason.as_str(), skipped[0].count),
        ("Missed", 1)
    );
}

#[tokio::test]
async fn a_disruption_budget_is_waited_for() {
    let absence = absence().await;
    let (cluster, namespace) = (&absence.cluster, &absence.guarded);
    let refused = until_advised(cluster, namespace, "EvictionRefused").await;
    assert!(
        refused.message.contains("disruption budget"),
        "{}",
        refused.message
    );
    assert_eq!(evictions(cluster, namespace).0, 0);
    assert!(!is_injected(&pods(cluster, namespace).await[0]));

    protect(cluster, namespace, 0).await;
    wait::until_within(READY, "the pod to be made anew", || async {
        let all = pods(cluster, namespace).await;
        all.len() == 1 && is_injected(&all[0])
    })
    .await;
    let (evicted, refused) = evictions(cluster, namespace);
    assert!(evicted == 1 && refused >= 1, "{evicted} and {refused}");
    wait::until_within(PATIENCE, "the advice to go", || async {
        advice(cluster, namespace).await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn where_a_new_pod_has_no_sidecar_either_no_other_is_evicted() {
    let absence = absence().await;
    let (cluster, namespace) = (&absence.cluster, &absence.in_vain);
    let told = until_advised(cluster, namespace, "EvictionInVain").await;
    assert!(told.message.contains("replicaset/web"), "{}", told.message);
    // Three times the interval.
    looks(cluster, 30).await;
    assert_eq!(evictions(cluster, namespace), (1, 0));
    let all = pods(cluster, namespace).await;
    assert_eq!(all.len(), 2);
    assert!(!all.iter().any(is_injected));
    let counted = &[("outcome", "in_vain")];
    let total = absence
        .operator
        .metric("bulkhead_operator_evictions_total", counted);
    assert_eq!(total, 1.0);
}

#[tokio::test]
async fn what_the_webhook_missed_while_the_operator_was_away_is_made_anew_under_its_name() {
    // Given a server on which the webhook injects, and a policy in force.
    let cluster = control_plane_with(Options {
        emulated: Some("1.35"),
        ..Options::default()
    })
    .await;
    let launch = launch(rights_of_the_chart(&cluster).await);
    let namespace = cluster.namespace(&[(INJECTION, ENABLED)]).await;
    let mut first = Operator::start_with(&cluster, &launch).await;
    first.until_installed().await;
    apply(&cluster, &namespace, policy("Evict")).await;
    wait::until_within(READY, "the policy to be accepted", || async {
        let policies = Api::<IsolationPolicy>::namespaced(cluster.client(), &namespace);
        policies.get("chat").await.unwrap().status.is_some()
    })
    .await;

    // When the operator is away while a pod is made.
    first.signal(Signal::TERM);
    assert!(first.wait(READY).success());
    let mut set = replica_set(1);
    set["kind"] = json!("StatefulSet");
    set["spec"]["serviceName"] = json!("web");
    apply(&cluster, &namespace, set).await;
    wait::until_within(READY, "the StatefulSet's pod", || async {
        pods(&cluster, &namespace).await.len() == 1
    })
    .await;
    let before = pods(&cluster, &namespace).await.remove(0);
    assert!(!is_injected(&before), "nobody was there to inject it");

    // Then it is evicted by the next one, once, and has the sidecar when it is back.
    let second = Operator::start_with(&cluster, &launch).await;
    second.until_installed().await;
    wait::until_within(READY, "the pod to be made anew", || async {
        let all = pods(&cluster, &namespace).await;
        all.first().is_some_and(is_injected)
    })
    .await;
    let after = pods(&cluster, &namespace).await.remove(0);
    assert_eq!(before.name_any(), after.name_any());
    assert_ne!(before.uid(), after.uid());
    looks(&cluster, 20).await;
    assert_eq!(evictions(&cluster, &namespace), (1, 0));
}
