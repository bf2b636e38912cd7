//! A pod that a policy in Enforce selects runs with its sidecar, or not at all, whoever was to inject it.

use bulkhead_tests::operator::{Operator, control_plane};
use serde_json::{Value, json};

use super::{create, created, enabled, in_force, pod, template};

#[tokio::test]
async fn what_would_run_unprotected_is_refused_with_a_reason() {
    let cluster = control_plane().await;
    let operator = Operator::start(&cluster).await;
    operator.until_installed().await;
    let namespace = enabled(&cluster).await;
    in_force(&cluster, &namespace, &template(&namespace)).await;

    let mut good = created(&cluster, &namespace, &pod("good")).await;
    good["metadata"] = json!({"name": "copy", "labels": good["metadata"]["labels"], "annotations": good["metadata"]["annotations"]});
    good.as_object_mut().unwrap().remove("status");
    // Rendered into Git, restored from a backup: what was injected once is let through.
    assert!(create(&cluster, &namespace, &good).await.success);

    let with = |change: fn(&mut Value)| {
        let mut changed = good.clone();
        change(&mut changed);
        changed["metadata"]["name"] = json!("bad");
        changed
    };
    for (bad, why) in [
        (
            with(|pod| pod["spec"]["initContainers"][0]["image"] = json!("evil:1")),
            "has not the sidecar",
        ),
        (
            with(|pod| {
                pod["spec"]["initContainers"][0]["args"] =
                    json!(["run", "--snapshot", "/elsewhere"])
            }),
            "has not the sidecar",
        ),
        (
            with(|pod| {
                pod["spec"]["initContainers"][0]["args"]
                    .as_array_mut()
                    .unwrap()
                    .push(json!("--log=off"))
            }),
            "has not the sidecar",
        ),
        (
            with(|pod| pod["spec"]["initContainers"][0]["command"] = json!(["/bin/sh"])),
            "has not the sidecar",
        ),
        (
            with(|pod| {
                pod["spec"]["initContainers"][0]["env"] =
                    json!([{"name": "LD_PRELOAD", "value": "x"}])
            }),
            "has not the sidecar",
        ),
        (
            with(|pod| {
                pod["spec"]["containers"][0]["volumeMounts"] =
                    json!([{"name": "bulkhead-run", "mountPath": "/x"}])
            }),
            "is the sidecar's alone",
        ),
    ] {
        let refused = create(&cluster, &namespace, &bad).await;
        assert!(
            !refused.success && refused.errors.contains(why),
            "{why}: {refused:?}"
        );
        assert!(
            refused
                .errors
                .contains(&format!("policy {namespace}/chat in mode Enforce")),
            "{refused:?}"
        );
    }
    let mut taken = pod("taken");
    taken["spec"]["containers"][0]["name"] = json!("bulkhead");
    assert!(
        create(&cluster, &namespace, &taken)
            .await
            .errors
            .contains("has not the sidecar")
    );
}

#[tokio::test]
async fn only_the_operator_writes_what_it_owns() {
    let cluster = control_plane().await;
    let kubeconfig = cluster.kubeconfig_as("robot", &["system:masters"]);
    let launch = bulkhead_tests::operator::Launch {
        kubeconfig: Some(kubeconfig.clone()),
        ..Default::default()
    };
    let operator = Operator::start_with(&cluster, &launch).await;
    operator.until_installed().await;
    let namespace = enabled(&cluster).await;
    let template = template(&namespace);

    let refused = create(&cluster, &namespace, &template).await;
    assert!(
        refused.errors.contains("only robot may write it"),
        "{refused:?}"
    );
    let snapshot = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"v1.json": "{}"},
        "metadata": {"name": "bulkhead-chat", "namespace": namespace, "labels": {"bulkhead.dev/owned": "true"}},
    });
    let by_robot = |object: Value| {
        let (cluster, kubeconfig, namespace) = (&cluster, &kubeconfig, &namespace);
        async move {
            cluster
                .kubectl_by(
                    kubeconfig,
                    &["create", "-n", namespace, "-f", "-"],
                    &object.to_string(),
                )
                .await
        }
    };
    let _made = by_robot(template).await.well();
    let _made = by_robot(snapshot).await.well();
    for verb in [
        vec![
            "patch",
            "cm",
            "bulkhead-chat",
            "-p",
            r#"{"data":{"v1.json":"audit"}}"#,
        ],
        vec!["label", "cm", "bulkhead-chat", "bulkhead.dev/owned-"],
        vec!["delete", "cm", "bulkhead-chat"],
        vec!["delete", "injectiontemplate", "chat"],
        vec![
            "patch",
            "injectiontemplate",
            "chat",
            "--type=merge",
            "-p",
            r#"{"spec":{"enforce":false}}"#,
        ],
    ] {
        let mut arguments = vec!["-n", &namespace];
        arguments.extend(verb);
        let refused = cluster.kubectl(&arguments).await;
        assert!(
            refused.errors.contains("is the operator's"),
            "{arguments:?}: {refused:?}"
        );
    }
    // What is nobody's but theirs is no matter of the operator's.
    let mut arguments = vec!["-n", &namespace];
    arguments.extend(["create", "cm", "mine"]);
    assert!(cluster.kubectl(&arguments).await.success);
}
