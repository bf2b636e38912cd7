//! The webhooks' certificates: they expire and are renewed, and nobody who asks notices.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bulkhead_tests::certificates::Authority;
use bulkhead_tests::cluster::ControlPlane;
use bulkhead_tests::operator::{Launch, Operator, READY, control_plane};
use bulkhead_tests::processes::folder;
use bulkhead_tests::wait;
use k8s_openapi::api::admissionregistration::v1::ValidatingWebhookConfiguration;
use kube::Api;
use serde_json::json;

use super::{POLICY, http};

const WEBHOOK: &str = "bulkhead-validate";

fn with(arguments: &[&str]) -> Launch {
    Launch {
        arguments: arguments.iter().map(|&it| it.to_owned()).collect(),
        ..Launch::default()
    }
}

/// The authorities that the API server trusts.
async fn announced(cluster: &ControlPlane) -> String {
    let webhooks: Api<ValidatingWebhookConfiguration> = Api::all(cluster.client());
    let found = webhooks
        .get(WEBHOOK)
        .await
        .unwrap()
        .webhooks
        .unwrap_or_default();
    let bundle = found[0].client_config.ca_bundle.clone().unwrap_or_default();
    String::from_utf8(bundle.0).unwrap()
}

/// The newest of the authorities.
fn first(bundle: &str) -> String {
    let mut each = bundle.split_inclusive("-----END CERTIFICATE-----");
    each.next().unwrap().to_owned()
}

#[tokio::test]
async fn certificates_that_live_for_seconds_are_rotated_and_no_policy_is_refused() {
    let cluster = control_plane().await;
    // A third of a certificate's life is left for its renewal: more than a busy machine keeps a process waiting.
    let lifetimes = [
        "--certificate-lifetime",
        "15s",
        "--authority-lifetime",
        "45s",
    ];
    let leader = Operator::start_with(&cluster, &with(&lifetimes)).await;
    leader.until_installed().await;

    let (mut authorities, start) = (Vec::new(), Instant::now());
    for asked in 0.. {
        let policy = POLICY.replace("name: chat", &format!("name: chat-{asked}"));
        let dry_run = ["apply", "--dry-run=server", "-f", "-"];
        let said = cluster.kubectl_with(&dry_run, &policy).await;
        assert!(
            said.success,
            "after {} authorities: {said:?}",
            authorities.len()
        );
        let newest = first(&announced(&cluster).await);
        if !authorities.contains(&newest) {
            authorities.push(newest);
        }
        if authorities.len() > 3 {
            break;
        }
        wait::no_longer_than(Duration::from_secs(240), start);
    }
    let shown = leader.log.told("showing a new certificate").len();
    assert!(shown >= 4, "{shown} certificates were shown");
}

#[tokio::test]
async fn a_bundle_that_somebody_reverts_is_repaired() {
    let cluster = control_plane().await;
    let operator = Operator::start(&cluster).await;
    operator.until_installed().await;
    let before = announced(&cluster).await;
    let repairs = || {
        operator.metric(
            "bulkhead_operator_repairs_total",
            &[("kind", "ValidatingWebhookConfiguration")],
        )
    };
    let written = repairs();

    // As Argo CD does: it applies what stands in Git, where there is no bundle.
    let other = BASE64_STANDARD.encode(Authority::new("somebody else").certificate());
    let revert =
        json!([{"op": "replace", "path": "/webhooks/0/clientConfig/caBundle", "value": other}]);
    let _reverted = cluster
        .kubectl(&[
            "patch",
            "validatingwebhookconfiguration",
            WEBHOOK,
            "--type=json",
            "-p",
            &revert.to_string(),
        ])
        .await
        .well();

    wait::until("the bundle to be repaired", || async {
        announced(&cluster).await == before
    })
    .await;
    let said = cluster.kubectl_with(&["apply", "-f", "-"], POLICY).await;
    assert!(said.success, "{said:?}");
    // Once mended it is left alone.
    assert_eq!(repairs(), written + 1.0);
}

#[tokio::test]
async fn certificates_of_a_folder_are_taken_up_when_they_change() {
    let cluster = control_plane().await;
    let folder = folder("certificates");
    let issue = || {
        let authority = Authority::new("cert-manager");
        let identity = authority.issue(&["127.0.0.1"]);
        std::fs::write(folder.join("ca.crt"), authority.certificate()).unwrap();
        std::fs::write(folder.join("tls.crt"), &identity.certificate).unwrap();
        std::fs::write(folder.join("tls.key"), &identity.key).unwrap();
        authority.certificate()
    };
    let first = issue();
    let launch = with(&["--certificates", folder.to_str().unwrap()]);
    let operator = Operator::start_with(&cluster, &launch).await;
    operator.until_installed().await;
    assert_eq!(announced(&cluster).await, first);
    assert!(
        http::Client::trusting(operator.webhook(), first.as_bytes())
            .connect()
            .await
            .is_ok()
    );

    let second = issue();
    let client = http::Client::trusting(operator.webhook(), second.as_bytes());
    wait::until_within(READY, "the new certificate", || async {
        client.connect().await.is_ok()
    })
    .await;
    wait::until_within(READY, "the new authority", || async {
        announced(&cluster).await == second
    })
    .await;
}
