//! One replica leads; when it is gone, another does; one that was only thought gone cannot write any more.

use std::time::Duration;

use bulkhead_tests::operator::{Launch, NAMESPACE, Operator, READY, control_plane};
use bulkhead_tests::wait;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::Api;
use kube::api::DeleteParams;
use rustix::process::Signal;

use super::holder;

fn named(name: &str) -> Launch {
    Launch {
        arguments: vec!["--identity".to_owned(), name.to_owned()],
        ..Launch::default()
    }
}

#[tokio::test]
async fn when_the_leader_is_killed_another_replica_leads_and_repairs() {
    let cluster = control_plane().await;
    let mut first = Operator::start_with(&cluster, &named("first")).await;
    first.until_installed().await;
    // Ready although it does not lead: every replica answers reviews.
    let second = Operator::start_with(&cluster, &named("second")).await;
    assert!(first.leads() && !second.leads());

    first.signal(Signal::KILL);
    wait::until_within(READY, "the second to lead", || async { second.leads() }).await;
    assert!(holder(&cluster).await.starts_with("second_"));

    second.until_installed().await;
    let webhooks: Api<ValidatingWebhookConfiguration> = Api::all(cluster.client());
    webhooks
        .delete("bulkhead-validate", &DeleteParams::default())
        .await
        .unwrap();
    wait::until("the webhook to be back", || async {
        webhooks
            .get_opt("bulkhead-validate")
            .await
            .unwrap()
            .is_some()
    })
    .await;
}

#[tokio::test]
async fn a_leader_that_was_suspended_writes_nothing_once_another_leads() {
    let cluster = control_plane().await;
    let kubeconfig = |user: &str| cluster.kubeconfig_as(user, &["system:masters"]);
    let launch = |user: &str| Launch {
        kubeconfig: Some(kubeconfig(user)),
        ..named(user)
    };
    let mut first = Operator::start_with(&cluster, &launch("first")).await;
    first.until_installed().await;
    let second = Operator::start_with(&cluster, &launch("second")).await;

    first.signal(Signal::STOP);
    wait::until_within(READY, "the second to lead", || async { second.leads() }).await;
    second.until_installed().await;
    let before = cluster.audit_events().len();
    first.signal(Signal::CONT);
    wait::until_within(READY, "the first to know", || async {
        !first.log.told("not leading any more").is_empty()
    })
    .await;
    first.log.until_told("another replica leads", 1).await;

    let written: Vec<_> = cluster.audit_events()[before..]
        .iter()
        .filter(|asked| {
            asked.user == "first" && !["get", "list", "watch"].contains(&asked.verb.as_str())
        })
        // Its attempt at the lease itself is refused by the API server, and is how it learns.
        .filter(|asked| asked.status < 300)
        .map(|asked| format!("{} {} {}", asked.verb, asked.resource, asked.name))
        .collect();
    assert_eq!(written, [""; 0]);
    assert!(second.leads() && !first.leads());
}

#[tokio::test]
async fn told_to_end_the_leader_gives_the_lease_back() {
    let cluster = control_plane().await;
    // A lease so long that nobody could have waited it out.
    let long = |name: &str| {
        let mut launch = named(name);
        launch
            .arguments
            .extend(["--lease-duration".to_owned(), "10m".to_owned()]);
        launch
    };
    let mut first = Operator::start_with(&cluster, &long("first")).await;
    first.until_installed().await;
    let namespace = NAMESPACE;
    first.signal(Signal::TERM);
    wait::until("the first to be not ready", || async { !first.is_ready() }).await;
    assert!(first.wait(Duration::from_secs(10)).success());
    assert_eq!(
        holder(&cluster).await,
        "",
        "the lease in {namespace} is free"
    );

    let second = Operator::start_with(&cluster, &long("second")).await;
    wait::until_within(READY, "the second to lead", || async { second.leads() }).await;
}
