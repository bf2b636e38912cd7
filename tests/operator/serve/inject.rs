//! The webhook injects where the API server cannot by itself.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bulkhead_tests::cluster::Options;
use bulkhead_tests::operator::{Operator, READY, control_plane_with};
use bulkhead_tests::wait;
use serde_json::{Value, json};

use super::http;
use crate::injection::scene::{create, dry_run, enabled, left_alone};
use crate::injection::templates::{enforced, pod};

#[tokio::test]
async fn an_older_server_injects_by_the_webhook_and_the_guard_refuses_when_it_is_gone() {
    let older = control_plane_with(Options {
        emulated: Some("1.35"),
        controller_manager: false,
        ..Options::default()
    })
    .await;
    let mut operator = Operator::start(&older).await;
    operator.until_installed().await;
    left_alone(&older).await;
    let (client, namespace) = (older.client(), enabled(&older, &[]).await);
    // The operator is the administrator here, who may write templates.
    create(&client, &namespace, "injectiontemplates", &enforced("chat"))
        .await
        .unwrap();
    let send = |pod: Value| {
        let (client, namespace) = (&client, &namespace);
        async move { dry_run(client, namespace, "pods", &pod).await }
    };
    wait::until_within(READY, "a pod to be injected", || async {
        send(pod("chat")).await.is_ok_and(|pod| {
            pod["metadata"]["annotations"]["bulkhead.dev/injected"] == "chat@h1"
                && pod["spec"]["initContainers"][0]["name"] == "bulkhead"
        })
    })
    .await;
    // Whoever asks gets the patch as the API documents it: as bytes, which JSON carries in base64.
    let asking = http::Client::of(&older, &operator).await;
    let review = json!({
        "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {
            "uid": "u-1", "operation": "CREATE", "userInfo": {}, "namespace": namespace, "object": pod("chat"),
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
        },
    });
    let (status, answer) = asking.post("/mutate", review.to_string().as_bytes()).await;
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    let patch = answer["response"]["patch"].as_str().expect("a text");
    let patch: Value = serde_json::from_slice(&BASE64_STANDARD.decode(patch).unwrap()).unwrap();
    assert!(patch.as_array().is_some_and(|steps| !steps.is_empty()));

    let mut other = pod("chat");
    other["metadata"]["labels"] = json!({"app": "other"});
    let other = send(other).await.unwrap();
    assert_eq!(other["spec"]["initContainers"], Value::Null, "{other}");
    let count = |outcome, reason| {
        let labels = [("outcome", outcome), ("reason", reason)];
        operator.metric("bulkhead_operator_injections_total", &labels)
    };
    assert!(count("injected", "Selected") >= 1.0);
    assert!(count("skipped", "NotSelected") >= 1.0);

    operator.signal(rustix::process::Signal::KILL);
    let refused = send(pod("chat")).await.unwrap_err();
    assert!(refused.contains("bulkhead-guard"), "{refused}");
}
