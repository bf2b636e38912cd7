//! What the leader installs: after the definitions and a pod on trial, by the engine that the server has, and not once more than needed.

use bulkhead_tests::cluster::{ControlPlane, Options};
use bulkhead_tests::operator::{
    Launch, NAMESPACE, Operator, READY, control_plane, control_plane_with,
};
use bulkhead_tests::wait;

fn by(engine: &str) -> Launch {
    Launch {
        arguments: vec!["--injection-engine".to_owned(), engine.to_owned()],
        ..Launch::default()
    }
}

/// The names of what is installed of one kind.
async fn names(cluster: &ControlPlane, kind: &str) -> Vec<String> {
    let said = cluster.kubectl(&["get", kind, "-o", "name"]).await;
    let names = said.output.lines().filter_map(|line| line.split_once('/'));
    let mut names: Vec<String> = names.map(|(_, name)| name.to_owned()).collect();
    names.retain(|name| name.starts_with("bulkhead"));
    names
}

#[tokio::test]
async fn once_all_is_installed_nothing_is_written_but_the_lease() {
    let cluster = control_plane().await;
    let launch = Launch {
        kubeconfig: Some(cluster.kubeconfig_as("robot", &["system:masters"])),
        ..Launch::default()
    };
    let operator = Operator::start_with(&cluster, &launch).await;
    operator.until_installed().await;

    let before = cluster.audit_events().len();
    let since = || {
        let mut asked = cluster.audit_events().split_off(before);
        asked.retain(|asked| asked.user == "robot");
        asked
    };
    wait::until_within(READY, "five more looks at everything", || async {
        let looks = since();
        looks
            .iter()
            .filter(|asked| asked.name == "bulkhead-guard" && asked.verb == "get")
            .count()
            >= 10
    })
    .await;
    let written: Vec<String> = since()
        .iter()
        .filter(|asked| !["get", "list", "watch"].contains(&asked.verb.as_str()))
        .filter(|asked| asked.resource != "leases")
        .map(|asked| format!("{} {} {}", asked.verb, asked.resource, asked.name))
        .collect();
    assert_eq!(written, [""; 0]);
}

#[tokio::test]
async fn another_engine_takes_the_place_of_the_one_before() {
    let cluster = control_plane().await;
    let mut first = Operator::start(&cluster).await;
    first.until_installed().await;
    assert_eq!(
        names(&cluster, "mutatingadmissionpolicies").await,
        ["bulkhead-inject"]
    );
    assert_eq!(
        names(&cluster, "mutatingwebhookconfigurations").await,
        [""; 0]
    );
    first.signal(rustix::process::Signal::TERM);
    assert!(first.wait(READY).success());

    let second = Operator::start_with(&cluster, &by("webhook")).await;
    second.until_installed().await;
    assert_eq!(
        names(&cluster, "mutatingwebhookconfigurations").await,
        ["bulkhead-inject"]
    );
    assert_eq!(names(&cluster, "mutatingadmissionpolicies").await, [""; 0]);
    assert_eq!(
        names(&cluster, "mutatingadmissionpolicybindings").await,
        [""; 0]
    );
    assert_eq!(
        names(&cluster, "validatingadmissionpolicybindings").await,
        ["bulkhead-guard", "bulkhead-owned"]
    );
}

#[tokio::test]
async fn a_server_without_mutating_policies_gets_the_webhook() {
    let older = control_plane_with(Options {
        emulated: Some("1.35"),
        controller_manager: false,
        ..Options::default()
    })
    .await;
    let operator = Operator::start(&older).await;
    operator.until_installed().await;
    assert_eq!(
        names(&older, "mutatingwebhookconfigurations").await,
        ["bulkhead-inject"]
    );
    assert_eq!(
        names(&older, "validatingadmissionpolicybindings").await,
        ["bulkhead-guard", "bulkhead-owned"]
    );
}

#[tokio::test]
async fn without_the_definitions_nothing_is_put_in_force_and_it_says_which_is_missing() {
    let cluster = ControlPlane::start_with(Options {
        controller_manager: false,
        ..Options::default()
    })
    .await;
    let _made = cluster
        .kubectl(&["create", "namespace", NAMESPACE])
        .await
        .well();
    let _account = cluster
        .kubectl(&["create", "serviceaccount", "default", "-n", NAMESPACE])
        .await;
    let operator = Operator::start(&cluster).await;
    let told = operator
        .log
        .until_told("admission is not installed as it should be", 1)
        .await;
    assert!(
        told[0]["error"]
            .as_str()
            .unwrap()
            .contains("isolationpolicies.bulkhead.dev is not established"),
        "{told:?}"
    );
    assert_eq!(
        names(&cluster, "validatingadmissionpolicies").await,
        [""; 0]
    );

    bulkhead_tests::operator::prepare(&cluster).await;
    operator.until_installed().await;
}

#[tokio::test]
async fn while_a_pod_on_trial_is_refused_the_guard_is_not_put_in_force() {
    let cluster = control_plane().await;
    let obstacle = "
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata: {name: obstacle}
spec:
  matchConstraints:
    resourceRules: [{apiGroups: [''], apiVersions: [v1], operations: [CREATE], resources: [pods]}]
  validations: [{expression: 'false', message: no pod today}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata: {name: obstacle}
spec: {policyName: obstacle, validationActions: [Deny]}
";
    let _obstacle = cluster
        .kubectl_with(&["apply", "-f", "-"], obstacle)
        .await
        .well();
    let operator = Operator::start(&cluster).await;
    let told = operator
        .log
        .until_told("admission is not installed as it should be", 1)
        .await;
    let error = told[0]["error"].as_str().unwrap();
    assert!(
        error.contains("a pod on trial was refused") && error.contains("no pod today"),
        "{error}"
    );
    assert_eq!(
        names(&cluster, "validatingadmissionpolicybindings").await,
        [""; 0]
    );

    let removed = ["delete", "validatingadmissionpolicybinding", "obstacle"];
    let _removed = cluster.kubectl(&removed).await.well();
    operator.until_installed().await;
    assert_eq!(
        names(&cluster, "validatingadmissionpolicybindings").await,
        ["bulkhead-guard", "bulkhead-owned"]
    );
    assert_eq!(
        names(&cluster, "validatingadmissionpolicies").await,
        ["bulkhead-guard", "bulkhead-owned"]
    );
}
