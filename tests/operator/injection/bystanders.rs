//! Whoever has nothing to do with a policy notices nothing of it, whatever breaks.

use bulkhead_tests::cluster::{ControlPlane, Options};
use bulkhead_tests::operator::READY;
use bulkhead_tests::wait;
use kube::Client;
use serde_json::json;

use super::scene::{create, dry_run, enabled, in_force, install};
use super::templates::{enforced, pod};

/// How many pods are created in a row where each must pass.
const POD_COUNT: usize = 20;

#[tokio::test]
async fn no_pod_of_an_unlabelled_namespace_is_refused_while_the_server_restarts_or_the_definition_is_deleted()
 {
    let cluster = ControlPlane::start_with(Options {
        controller_manager: false,
        ..Options::default()
    })
    .await;
    install(&cluster).await;
    let labelled = enabled(&cluster, &[]).await;
    // Labels of others, and a word against it: neither is the label that lets policies have an effect.
    let elsewhere = [
        cluster.namespace(&[]).await,
        cluster
            .namespace(&[("bulkhead.dev/injection", "disabled")])
            .await,
    ];
    in_force(&cluster, &labelled, &[enforced("chat")], &pod("chat")).await;

    each_is_admitted(&cluster.client(), &elsewhere).await;
    for _ in 0..2 {
        cluster.restart_api_server().await;
        // From the first moment on, when it knows no parameters yet.
        each_is_admitted(&cluster.client(), &elsewhere).await;
    }
    let client = cluster.client();
    wait::until_within(READY, "the policies to be warm again", || async {
        let made = dry_run(&client, &labelled, "pods", &pod("chat")).await;
        made.is_ok_and(|pod| pod.to_string().contains("chat@h1"))
    })
    .await;

    cluster
        .kubectl(&["delete", "crd", "injectiontemplates.bulkhead.dev"])
        .await
        .check();
    each_is_admitted(&client, &elsewhere).await;
    cluster.restart_api_server().await;
    each_is_admitted(&cluster.client(), &elsewhere).await;
}

/// Pods that a policy would select, were they where it is.
async fn each_is_admitted(client: &Client, namespaces: &[String]) {
    for namespace in namespaces {
        for _ in 0..POD_COUNT {
            let mut pod = pod("chat");
            pod["metadata"] = json!({"generateName": "pod-", "labels": {"app": "chat"}});
            create(client, namespace, "pods", &pod).await.unwrap();
        }
    }
}

#[tokio::test]
async fn no_pod_of_a_labelled_namespace_is_touched_that_no_policy_selects() {
    let cluster = super::scene::shared().await;
    let namespace = enabled(cluster, &[]).await;
    let client = cluster.client();
    // Without a template, and with one for others.
    let before = dry_run(&client, &namespace, "pods", &pod("other"))
        .await
        .unwrap();
    in_force(cluster, &namespace, &[enforced("chat")], &pod("chat")).await;
    let after = dry_run(&client, &namespace, "pods", &pod("other"))
        .await
        .unwrap();
    for stored in [before, after] {
        assert_eq!(stored["metadata"]["annotations"], json!(null));
        assert_eq!(stored["spec"]["initContainers"], json!(null));
    }
}
