//! The control plane that the other suites stand on: it answers, it knows who asks, it survives a crash of its API server.

use bulkhead_tests::cluster::{ControlPlane, Options};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{ListParams, PostParams};
use kube::{Api, ResourceExt as _};

#[tokio::test]
async fn a_namespace_is_made_and_kubectl_sees_it() {
    let cluster = ControlPlane::shared().await;
    let name = cluster
        .namespace(&[("bulkhead.dev/injection", "enabled")])
        .await;

    let seen = cluster
        .kubectl(&[
            "get",
            "namespaces",
            "-l",
            "bulkhead.dev/injection=enabled",
            "-o",
            "name",
        ])
        .await
        .well();
    assert!(seen.contains(&format!("namespace/{name}")), "{seen}");
}

#[tokio::test]
async fn an_editor_has_an_editors_rights_and_no_more() {
    let cluster = ControlPlane::shared().await;
    let namespace = cluster.namespace(&[]).await;
    cluster
        .kubectl(&[
            "create",
            "rolebinding",
            "e",
            "-n",
            &namespace,
            "--clusterrole=edit",
            "--user=eve",
        ])
        .await
        .check();

    let eve = cluster.client_as("eve", &[]);
    let mut map = ConfigMap::default();
    map.metadata.name = Some("hers".to_owned());
    Api::namespaced(eve.clone(), &namespace)
        .create(&PostParams::default(), &map)
        .await
        .unwrap();
    let refused = Api::<Namespace>::all(eve)
        .list(&ListParams::default())
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, kube::Error::Api(status) if status.is_forbidden()),
        "{refused}"
    );

    let asked = cluster.audit_events();
    assert!(
        asked.iter().any(|asked| asked.user == "eve"
            && asked.verb == "create"
            && asked.resource == "configmaps"
            && asked.namespace == namespace
            && asked.status == 201),
        "the audit log tells what eve did"
    );
}

#[tokio::test]
async fn a_service_account_is_known_by_its_token() {
    let cluster = ControlPlane::shared().await;
    let namespace = cluster.namespace(&[]).await;
    let kubeconfig = cluster.service_account(&namespace, "robot").await;

    let who = cluster
        .kubectl_by(
            &kubeconfig,
            &[
                "auth",
                "whoami",
                "-o",
                "jsonpath={.status.userInfo.username}",
            ],
            "",
        )
        .await
        .well();
    assert_eq!(who, format!("system:serviceaccount:{namespace}:robot"));
}

#[tokio::test]
async fn what_was_written_is_there_after_a_crash_of_the_api_server() {
    let cluster = ControlPlane::start_with(Options {
        controller_manager: false,
        ..Options::default()
    })
    .await;
    let name = cluster.namespace(&[]).await;
    let client = cluster.client();

    cluster.stop_api_server();
    let namespaces: Api<Namespace> = Api::all(client);
    namespaces.get(&name).await.expect_err("nobody answers");
    cluster.start_api_server().await;

    assert_eq!(namespaces.get(&name).await.unwrap().name_any(), name);
}

#[tokio::test]
async fn an_older_server_has_no_mutating_admission_policies() {
    let older = ControlPlane::start_with(Options {
        emulated: Some("1.35"),
        controller_manager: false,
        ..Options::default()
    })
    .await;
    let kinds = older
        .kubectl(&[
            "api-resources",
            "--api-group=admissionregistration.k8s.io",
            "-o",
            "name",
        ])
        .await
        .well();
    assert!(!kinds.contains("mutatingadmissionpolicies"), "{kinds}");
    assert!(kinds.contains("validatingadmissionpolicies"), "{kinds}");

    let newest = ControlPlane::shared().await;
    let kinds = newest
        .kubectl(&[
            "api-resources",
            "--api-group=admissionregistration.k8s.io",
            "-o",
            "name",
        ])
        .await
        .well();
    assert!(kinds.contains("mutatingadmissionpolicies"), "{kinds}");
    Api::<CustomResourceDefinition>::all(newest.client())
        .list(&ListParams::default())
        .await
        .unwrap();
}
