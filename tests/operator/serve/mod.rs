//! What `bulkhead-operator run` does beside reconciling: leading, serving reviews, installing, ending.

mod admission;
mod certificates;
mod drain;
mod http;
mod inject;
mod install;
mod leadership;
mod metrics;
mod uninstall;

use bulkhead_tests::cluster::ControlPlane;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;

use bulkhead_tests::operator::NAMESPACE;

/// Who holds the operator's lease; empty where nobody does.
async fn holder(cluster: &ControlPlane) -> String {
    let leases: Api<Lease> = Api::namespaced(cluster.client(), NAMESPACE);
    let lease = leases.get_opt("bulkhead-operator").await.unwrap();
    lease
        .and_then(|lease| lease.spec)
        .and_then(|spec| spec.holder_identity)
        .unwrap_or_default()
}

/// A policy that says nothing unwise.
const POLICY: &str = "
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: chat, namespace: default}
spec:
  selector: {matchLabels: {app: chat}}
  identity: {source: Trusted}
  databases:
  - name: main
    protocol: PostgreSQL
    listen: {port: 5432, auth: {mode: Trust}}
    upstream: {host: db.internal, port: 5432, database: chat, credentialsSecretRef: {name: db}}
";
