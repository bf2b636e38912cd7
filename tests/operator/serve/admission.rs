//! Policies on their way in: every mistake at once with its field, what is unwise as a warning, and nothing believed that somebody else
//! sends.

use std::time::Duration;

use bulkhead_tests::cluster::ControlPlane;
use bulkhead_tests::operator::{Operator, control_plane};
use serde_json::{Value, json};

use super::{POLICY, http};

const ENTRY: &str = "  - name: main";

async fn apply(cluster: &ControlPlane, manifest: &str) -> bulkhead_tests::tools::Said {
    cluster.kubectl_with(&["apply", "-f", "-"], manifest).await
}

#[tokio::test]
async fn a_policy_with_three_mistakes_is_refused_with_all_three_fields() {
    let cluster = control_plane().await;
    let operator = Operator::start(&cluster).await;
    operator.until_installed().await;

    let accepted = apply(&cluster, POLICY).await;
    assert!(accepted.success, "{accepted:?}");

    // None of them is one that the schema's own rules can see.
    let wrong = POLICY.replace(", auth: {mode: Trust}", "").replace(
        ENTRY,
        &format!(
            "{ENTRY}\n    session: {{userParameter: bulkhead.user}}\n    timeouts: {{connect: 0s}}"
        ),
    );
    let refused = apply(&cluster, &wrong).await;
    assert!(!refused.success, "{refused:?}");
    for field in [
        "The IsolationPolicy \"chat\" is invalid",
        "spec.databases[main].listen.auth.mode:",
        "spec.databases[main].session.userParameter:",
        "spec.databases[main].timeouts.connect:",
    ] {
        assert!(refused.errors.contains(field), "{field} in {refused:?}");
    }
    // What was there before is there still.
    let stored = cluster
        .kubectl(&[
            "get",
            "ipol",
            "chat",
            "-o",
            "jsonpath={.spec.databases[0].session}",
        ])
        .await
        .well();
    assert_eq!(stored, "");
    assert!(
        operator.metric(
            "bulkhead_operator_admission_seconds_count",
            &[("webhook", "validate")]
        ) >= 2.0
    );
}

#[tokio::test]
async fn a_websocket_s_mistakes_are_told_by_the_schema_and_the_rest_by_the_webhook() {
    let cluster = control_plane().await;
    let operator = Operator::start(&cluster).await;
    operator.until_installed().await;
    let with = |listener: &str| {
        format!("{POLICY}  webSockets:\n  - {{name: chat, upstream: {{port: 8000}}, {listener}}}\n")
    };
    // The API server sees this one by itself, before anybody else is asked.
    let refused = apply(&cluster, &with("tokens: [{source: Cookie}]")).await;
    let rule = "spec.webSockets[0].tokens[0].key: Invalid value: Header, Cookie and Query need key";
    assert!(!refused.success, "{refused:?}");
    assert!(
        refused.errors.replace("\"object\": ", "").contains(rule),
        "{refused:?}"
    );
    let unheard = "allowedOrigins: ['https://chat.example/'], criticalEvents: [/kind], tokens: [{source: Query, key: token}]";
    let refused = apply(&cluster, &with(unheard)).await;
    for said in [
        "spec.webSockets[chat].allowedOrigins[0]: ",
        "write `https://chat.example`",
        "spec.webSockets[chat].criticalEvents[0]: ",
        "Warning: spec.webSockets[chat].tokens[0]: the query parameter token",
    ] {
        assert!(refused.errors.contains(said), "{said} in {refused:?}");
    }
}

#[tokio::test]
async fn what_is_legal_and_unwise_is_warned_of() {
    let cluster = control_plane().await;
    let operator = Operator::start(&cluster).await;
    operator.until_installed().await;
    let unwise = POLICY.replace(
        ENTRY,
        &format!("{ENTRY}\n    timeouts: {{statement: 90s, transaction: 60s}}"),
    ) + "  environments: [{name: stagging, limits: {maxUsers: 10}}]\n";

    let said = apply(&cluster, &unwise).await;
    assert!(said.success, "{said:?}");
    for warning in [
        "Warning: spec.databases[main].timeouts.statement:",
        "Warning: the policy has no effect until namespace default is labelled bulkhead.dev/injection=enabled",
        "Warning: spec.environments: none is called production",
    ] {
        assert!(said.errors.contains(warning), "{warning} in {said:?}");
    }

    let labels = [
        "label",
        "namespace",
        "default",
        "bulkhead.dev/injection=enabled",
        "bulkhead.dev/environment=staging",
    ];
    let _labelled = cluster.kubectl(&labels).await.well();
    let said = apply(&cluster, &unwise.replace("maxUsers: 10}", "maxUsers: 11}")).await;
    assert!(said.errors.contains("is `stagging` meant?"), "{said:?}");
    assert!(!said.errors.contains("has no effect"), "{said:?}");

    let excluded = unwise.replace("namespace: default", "namespace: kube-system");
    let said = apply(&cluster, &excluded).await;
    assert!(
        said.errors
            .contains("no policy has an effect in namespace kube-system"),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_policy_that_a_stricter_release_would_refuse_can_still_be_labelled_and_removed() {
    let cluster = control_plane().await;
    // Stored while nobody looked.
    let wrong = POLICY.replace(ENTRY, &format!("{ENTRY}\n    timeouts: {{connect: 0s}}"));
    assert!(apply(&cluster, &wrong).await.success);
    let operator = Operator::start(&cluster).await;
    operator.until_installed().await;

    let _labelled = cluster
        .kubectl(&["label", "ipol", "chat", "team=a"])
        .await
        .well();
    let finalizer = r#"{"metadata":{"finalizers":["example.com/one"]}}"#;
    let merge = |patch: &'static str| ["patch", "ipol", "chat", "--type=merge", "-p", patch];
    let _held = cluster.kubectl(&merge(finalizer)).await.well();
    let _leaving = cluster
        .kubectl(&["delete", "ipol", "chat", "--wait=false"])
        .await
        .well();
    let _released = cluster
        .kubectl(&merge(r#"{"metadata":{"finalizers":null}}"#))
        .await
        .well();
    let gone = cluster.kubectl(&["get", "ipol", "-o", "name"]).await.well();
    assert_eq!(gone, "");
    let touched = apply(&cluster, &wrong).await;
    assert!(!touched.success, "{touched:?}");
}

#[tokio::test]
async fn whatever_is_sent_the_webhooks_answer_on() {
    let cluster = control_plane().await;
    let operator = Operator::start(&cluster).await;
    let client = http::Client::of(&cluster, &operator).await;
    let review = |object: Value| {
        json!({
            "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {
                "uid": "u-1", "operation": "CREATE", "userInfo": {}, "namespace": "default", "object": object,
                "kind": {"group": "bulkhead.dev", "version": "v1alpha1", "kind": "IsolationPolicy"},
                "resource": {"group": "bulkhead.dev", "version": "v1alpha1", "resource": "isolationpolicies"},
            },
        })
        .to_string()
    };
    let policy = |spec: Value| {
        review(
            json!({"apiVersion": "bulkhead.dev/v1alpha1", "kind": "IsolationPolicy", "metadata": {"name": "x"}, "spec": spec}),
        )
    };

    let mut deep = "[".repeat(100_000);
    deep.push_str(&"]".repeat(100_000));
    for body in [
        String::new(),
        "not json".to_owned(),
        "null".to_owned(),
        "{}".to_owned(),
        r#"{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}"#.to_owned(),
        r#"{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":null}"#
            .to_owned(),
        deep,
        "\u{0}".repeat(1000),
    ] {
        let (status, _) = client.post("/validate", body.as_bytes()).await;
        assert_eq!(status, 400, "{:.40}", body);
    }
    let large = vec![b' '; 4 * 1024 * 1024 + 1];
    assert_eq!(client.post("/validate", &large).await.0, 413);
    assert_eq!(client.post("/nowhere", b"{}").await.0, 404);
    assert_eq!(client.send("GET", "/validate", b"").await.0, 405);
    assert_eq!(
        client
            .send("POST", &format!("/{}", "x".repeat(64 * 1024)), b"")
            .await
            .0,
        431
    );

    // A review of nonsense is a review: answered, with the fields that are wrong.
    for spec in [
        json!(null),
        json!({}),
        json!({"databases": 7}),
        json!({"selector": {"matchLabels": {"a": 1}}}),
    ] {
        let (status, body) = client.post("/validate", policy(spec).as_bytes()).await;
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["response"]["uid"], "u-1");
        assert_eq!(answer["response"]["allowed"], false, "{answer}");
        assert_eq!(answer["response"]["status"]["code"], 422);
    }

    // Somebody who connects and says nothing keeps nobody out.
    let mut silent = Vec::new();
    for _ in 0..600 {
        silent.push(
            tokio::net::TcpStream::connect(("127.0.0.1", operator.webhook()))
                .await
                .unwrap(),
        );
    }
    let asked = policy(json!({}));
    let answered = tokio::time::timeout(
        Duration::from_secs(5),
        client.post("/validate", asked.as_bytes()),
    );
    assert_eq!(answered.await.unwrap().0, 200);
    drop(silent);
    assert!(operator.is_ready());
}
