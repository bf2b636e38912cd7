//! Uninstalling: nothing of the operator is in anybody's way afterwards, whether it is alive or dead, and however often it is done.

use bulkhead_tests::cluster::ControlPlane;
use bulkhead_tests::operator::{NAMESPACE, Operator, READY, control_plane};
use bulkhead_tests::tools::{self, Said};
use bulkhead_tests::{programs, wait};
use rustix::process::Signal;
use tokio::process::Command;

use super::holder;

async fn uninstall(cluster: &ControlPlane) -> Said {
    let mut command = Command::new(programs::operator());
    command
        .args(["uninstall", "--namespace", NAMESPACE, "--kubeconfig"])
        .arg(cluster.kubeconfig());
    tools::run(command, "").await
}

/// Everything of the operator's that could be in anybody's way.
async fn installed(cluster: &ControlPlane) -> String {
    let kinds = "mutatingadmissionpolicies,mutatingadmissionpolicybindings,validatingadmissionpolicies,\
                 validatingadmissionpolicybindings,mutatingwebhookconfigurations,validatingwebhookconfigurations";
    let said = cluster.kubectl(&["get", kinds, "-o", "name"]).await.well();
    said.lines()
        .filter(|name| name.contains("bulkhead"))
        .map(|name| format!("{name}\n"))
        .collect()
}

#[tokio::test]
async fn while_the_operator_runs_it_steps_down_and_puts_nothing_back() {
    let cluster = control_plane().await;
    let operator = Operator::start(&cluster).await;
    operator.until_installed().await;
    assert!(installed(&cluster).await.contains("bulkhead-validate"));

    let said = uninstall(&cluster).await;
    assert!(said.success, "{said:?}");
    assert!(
        said.output
            .contains("removed ValidatingWebhookConfiguration/bulkhead-validate"),
        "{said:?}"
    );
    assert_eq!(installed(&cluster).await, "");
    operator
        .log
        .until_told("uninstalled: this process will not lead any more", 1)
        .await;
    // The lease is free, and the process that is still there does not take it.
    assert_eq!(holder(&cluster).await, "");
    assert!(!operator.leads());
    assert_eq!(installed(&cluster).await, "");

    let again = uninstall(&cluster).await;
    assert!(
        again.success && again.output.contains("nothing is installed"),
        "{again:?}"
    );

    // A process that begins later is a new installation.
    let new = Operator::start(&cluster).await;
    new.until_installed().await;
    assert!(installed(&cluster).await.contains("bulkhead-validate"));
}

#[tokio::test]
async fn when_the_operator_is_dead_it_works_all_the_same() {
    let cluster = control_plane().await;
    let mut operator = Operator::start(&cluster).await;
    operator.until_installed().await;
    operator.signal(Signal::KILL);
    wait::until_within(READY, "its end", || {
        let ended = !operator.runs();
        async move { ended }
    })
    .await;

    let said = uninstall(&cluster).await;
    assert!(said.success, "{said:?}");
    assert_eq!(installed(&cluster).await, "");
    let secrets = cluster
        .kubectl(&["get", "secrets", "-n", NAMESPACE, "-o", "name"])
        .await
        .well();
    assert_eq!(secrets, "");
}
