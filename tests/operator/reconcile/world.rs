//! One control plane with one operator for all tests of this suite, a namespace for each.

use std::time::Duration;

use bulkhead_crds::kinds::{Condition, ConditionStatus, InjectionTemplate, IsolationPolicy};
use bulkhead_crds::names::objects::{ENABLED, ENVIRONMENT, INJECTION};
use bulkhead_crds::wire::Snapshot;
use bulkhead_tests::cluster::ControlPlane;
use bulkhead_tests::operator::{Launch, Operator, control_plane};
use bulkhead_tests::wait;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// The longest that anything here may take: the operator looks at Secrets again after 5 s.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// What the operator calls the cluster.
pub const CLUSTER: &str = "eu-1";

/// The control plane and its operator.
pub struct World {
    pub cluster: ControlPlane,
    pub operator: Operator,
}

/// A namespace of one test's own.
pub struct Scene {
    pub world: &'static World,
    pub client: Client,
    pub namespace: String,
}

static WORLD: OnceCell<World> = OnceCell::const_new();

async fn world() -> &'static World {
    WORLD
        .get_or_init(|| async {
            let cluster = control_plane().await;
            let launch = Launch {
                arguments: vec![format!("--cluster-name={CLUSTER}")],
                ..Launch::default()
            };
            let operator = Operator::start_with(&cluster, &launch).await;
            operator.until_installed().await;
            World { cluster, operator }
        })
        .await
}

impl Scene {
    /// A namespace that is enabled, in environment staging.
    pub async fn enabled() -> Self {
        Self::labelled(&[(INJECTION, ENABLED), (ENVIRONMENT, "staging")]).await
    }

    /// A namespace with these labels.
    pub async fn labelled(labels: &[(&str, &str)]) -> Self {
        let world = world().await;
        Self {
            namespace: world.cluster.namespace(labels).await,
            client: world.cluster.client(),
            world,
        }
    }

    pub fn policies(&self) -> Api<IsolationPolicy> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn templates(&self) -> Api<InjectionTemplate> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn maps(&self) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    pub fn pods(&self) -> Api<Pod> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Applies a policy with this spec.
    pub async fn apply(&self, name: &str, spec: Value) {
        let policy = json!({
            "apiVersion": "bulkhead.dev/v1alpha1", "kind": "IsolationPolicy",
            "metadata": {"name": name}, "spec": spec,
        });
        self.policies()
            .patch(
                name,
                &PatchParams::apply("a-person").force(),
                &Patch::Apply(&policy),
            )
            .await
            .unwrap();
    }

    pub async fn delete(&self, name: &str) {
        self.policies()
            .delete(name, &DeleteParams::default())
            .await
            .unwrap();
    }

    pub async fn label(&self, label: &str, value: Option<&str>) {
        let patch = json!({"metadata": {"labels": {label: value}}});
        Api::<k8s_openapi::api::core::v1::Namespace>::all(self.client.clone())
            .patch(
                &self.namespace,
                &PatchParams::default(),
                &Patch::Merge(&patch),
            )
            .await
            .unwrap();
    }

    /// Waits until a condition of a policy has this reason; gives it.
    pub async fn until(&self, policy: &str, condition: &str, reason: &str) -> Condition {
        let what = format!("{condition} of {policy} with reason {reason}");
        wait::until_within(PATIENCE, &what, || async {
            let found = self.condition(policy, condition).await;
            found.is_some_and(|found| found.reason == reason)
        })
        .await;
        self.condition(policy, condition).await.unwrap()
    }

    pub async fn condition(&self, policy: &str, condition: &str) -> Option<Condition> {
        let status = self.policies().get(policy).await.unwrap().status?;
        let mut conditions = status.conditions?.into_iter();
        conditions.find(|found| found.r#type == condition)
    }

    /// The snapshot of a policy, once there is one that `is_it`.
    pub async fn snapshot(&self, policy: &str, is_it: impl Fn(&Snapshot) -> bool) -> Snapshot {
        let name = format!("bulkhead-{policy}");
        let maps = self.maps();
        let read = || async {
            let map = maps.get_opt(&name).await.unwrap()?;
            Snapshot::from_json(&map.data?["v1.json"]).ok()
        };
        wait::until_within(PATIENCE, "the snapshot", || async {
            read().await.is_some_and(|found| is_it(&found))
        })
        .await;
        read().await.unwrap()
    }

    /// Creates a pod with these labels, ready to be called running.
    pub async fn pod(&self, name: &str, labels: Value, owner: Option<Value>) -> Pod {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": labels},
            "spec": {"containers": [{"name": "app", "image": "example.test/app:1"}]},
        });
        if let Some(owner) = owner {
            pod["metadata"]["ownerReferences"] = json!([owner]);
        }
        let pod: Pod = serde_json::from_value(pod).unwrap();
        self.pods()
            .create(&PostParams::default(), &pod)
            .await
            .unwrap()
    }

    /// Says of a pod what a kubelet would.
    pub async fn runs(&self, name: &str, address: &str, ready: bool) {
        let status = json!({"status": {
            "phase": "Running", "podIP": address, "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}],
            "initContainerStatuses": [{"name": "bulkhead", "started": true, "ready": true, "image": "i", "imageID": "i",
                "restartCount": 0, "state": {"running": {}}}],
        }});
        self.pods()
            .patch_status(name, &PatchParams::default(), &Patch::Merge(&status))
            .await
            .unwrap();
    }

    /// Deletes a pod without waiting for a kubelet, for there is none.
    pub async fn remove_pod(&self, name: &str) {
        self.pods()
            .delete(name, &DeleteParams::default().grace_period(0))
            .await
            .unwrap();
    }
}

/// A policy of pods with label `app: web`, with one database.
pub fn spec(database: Value) -> Value {
    let mut entry = json!({
        "name": "main", "protocol": "PostgreSQL",
        "listen": {"port": 5432, "auth": {"mode": "Trust"}},
        "upstream": {"host": "db.internal", "tls": {"mode": "Disable"}},
    });
    merge(&mut entry, database);
    json!({
        "selector": {"matchLabels": {"app": "web"}},
        "identity": {"source": "Trusted"},
        "databases": [entry],
    })
}

pub fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

pub fn holds(condition: &Condition) -> bool {
    condition.status == ConditionStatus::True
}
