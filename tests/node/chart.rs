//! The life of a release of the chart: installed, tested, upgraded, rolled back, uninstalled with policies left behind, installed again
//! over them, and uninstalled with the operator dead. What its service account was seen to do is held against its rights.

use std::collections::BTreeSet;
use std::time::Duration;

use bulkhead_tests::cluster::{Asked, Home, Node};
use bulkhead_tests::wait;
use serde_json::{Value, json};

use super::{anywhere, edit};

const NAMESPACE: &str = "bulkhead-system";
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/bulkhead");
const ACCOUNT: &str = "system:serviceaccount:bulkhead-system:bulkhead-operator";
/// The longest that the operator may take to notice something.
const NOTICE: Duration = Duration::from_secs(60);

/// Kinds of objects that the operator installs for the whole cluster.
const INSTALLED: [&str; 6] = [
    "mutatingadmissionpolicies",
    "mutatingadmissionpolicybindings",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
    "mutatingwebhookconfigurations",
    "validatingwebhookconfigurations",
];

struct Release {
    node: Node,
    users: String,
}

impl Release {
    /// A node with the images and a namespace of users; nothing is installed yet.
    async fn begin() -> Self {
        let node = Node::start(Home::OfThisProcess).await;
        node.load("operator").await;
        let system = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE,
            "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}});
        node.kubectl_with(&["apply", "-f", "-"], &system.to_string())
            .await
            .check();
        let users = node
            .namespace(&[
                ("bulkhead.dev/injection", "enabled"),
                ("bulkhead.dev/environment", "staging"),
            ])
            .await;
        Self { node, users }
    }

    /// Runs helm for this release.
    async fn helm(&self, verb: &str, more: &[&str]) {
        let mut arguments = vec![verb, "bulkhead"];
        if matches!(verb, "install" | "upgrade") {
            arguments.push(CHART);
            for value in [
                "image.repository=bulkhead.test/operator",
                "image.tag=1",
                "image.pullPolicy=Never",
                "sidecar.image.repository=bulkhead.test/sidecar",
                "sidecar.image.tag=1",
                "sidecar.image.pullPolicy=Never",
            ] {
                arguments.extend(["--set-string", value]);
            }
        }
        if verb != "test" {
            arguments.push("--wait");
        }
        arguments.extend(["--namespace", NAMESPACE, "--timeout", "150s"]);
        arguments.extend(more);
        self.node.helm(&arguments).await.check();
    }

    /// Applies a policy of the users' namespace; the answer is for the caller to judge.
    async fn apply(&self, name: &str, connect: &str) -> (bool, String) {
        let policy = json!({"apiVersion": "bulkhead.dev/v1alpha1", "kind": "IsolationPolicy",
            "metadata": {"name": name, "namespace": self.users},
            "spec": {"selector": {"matchLabels": {"app": name}}, "identity": {"source": "SignedContext"},
                "databases": [{"name": "main", "protocol": "PostgreSQL", "upstream": {"host": "db.internal"},
                    "timeouts": {"connect": connect, "idle": "2h", "lifetime": "1h", "statement": "30s", "transaction": "10s"}}]}});
        let said = self
            .node
            .kubectl_with(&["apply", "--server-side", "-f", "-"], &policy.to_string())
            .await;
        (said.success, said.errors)
    }

    /// A policy is taken, and one with a mistake is refused by the webhook with its field.
    async fn policies_are_judged(&self, name: &str) {
        wait::until_within(NOTICE, "the webhook to warn", || async {
            let (taken, errors) = self.apply(name, "10s").await;
            taken && errors.contains("spec.databases[main].timeouts")
        })
        .await;
        let conflict = json!({"apiVersion": "bulkhead.dev/v1alpha1", "kind": "IsolationPolicy",
            "metadata": {"name": "broken", "namespace": self.users},
            "spec": {"selector": {"matchLabels": {"app": "broken"}}, "identity": {"source": "SignedContext"},
                "databases": [
                    {"name": "one", "protocol": "PostgreSQL", "upstream": {"host": "a.internal"}},
                    {"name": "two", "protocol": "PostgreSQL", "upstream": {"host": "b.internal"}}]}});
        let said = self
            .node
            .kubectl_with(&["apply", "-f", "-"], &conflict.to_string())
            .await;
        assert!(
            !said.success && said.errors.contains("spec.databases[two].listen"),
            "{said:?}"
        );
    }

    /// A policy is in force: the operator has judged it, and says so.
    async fn is_accepted(&self, name: &str) {
        let policy = format!("ipol/{name}");
        let wait = [
            "wait",
            &policy,
            "-n",
            &self.users,
            "--for=condition=Accepted",
            "--timeout=60s",
        ];
        self.node.kubectl(&wait).await.check();
    }

    /// A user who is revoked is refused by every pod that has a sidecar, and the object says so.
    async fn revokes(&self, user: &str) {
        let revocation = json!({"apiVersion": "bulkhead.dev/v1alpha1", "kind": "UserRevocation",
            "metadata": {"name": user, "namespace": self.users},
            "spec": {"user": user, "reason": "AccountClosed"}});
        let start = std::time::Instant::now();
        self.node
            .kubectl_with(&["apply", "-f", "-"], &revocation.to_string())
            .await
            .check();
        let wait = [
            "wait",
            &format!("urev/{user}"),
            "-n",
            &self.users,
            "--for=condition=Enforced",
            "--timeout=60s",
        ];
        self.node.kubectl(&wait).await.check();
        println!("the revocation says Enforced after {:?}", start.elapsed());
    }

    /// A policy that is deleted takes along what the operator has made of it.
    async fn is_withdrawn(&self, name: &str) {
        let policy = format!("ipol/{name}");
        self.node
            .kubectl(&["delete", &policy, "-n", &self.users])
            .await
            .check();
        wait::until_within(NOTICE, "its template and its snapshot to go", || async {
            let left = [
                "get",
                "injectiontemplates,configmaps",
                "-n",
                &self.users,
                "-o",
                "name",
            ];
            let left = self.node.kubectl(&left).await.well();
            !left.lines().any(|line| {
                line.ends_with(&format!("/{name}")) || line.ends_with(&format!("/bulkhead-{name}"))
            })
        })
        .await;
    }

    /// What is in the cluster of the kinds that the operator installs, by kind and name.
    async fn installed(&self) -> Vec<String> {
        let kinds = INSTALLED.join(",");
        let all = self
            .node
            .kubectl(&["get", &kinds, "-o", "name"])
            .await
            .well();
        all.lines()
            .filter(|name| name.contains("/bulkhead-"))
            .map(str::to_owned)
            .collect()
    }

    async fn definitions(&self) -> usize {
        let all = self
            .node
            .kubectl(&["get", "crd", "-o", "name"])
            .await
            .well();
        all.lines()
            .filter(|name| name.ends_with(".bulkhead.dev"))
            .count()
    }

    async fn policy_count(&self) -> usize {
        let all = self
            .node
            .kubectl(&["get", "ipol", "-A", "-o", "name"])
            .await
            .well();
        all.lines().count()
    }

    async fn replicas(&self) -> String {
        let path = "jsonpath={.status.readyReplicas}";
        self.node
            .kubectl(&[
                "get",
                "deployment/bulkhead-operator",
                "-n",
                NAMESPACE,
                "-o",
                path,
            ])
            .await
            .well()
    }
}

#[tokio::test]
async fn a_release_lives_from_its_installation_to_its_end_and_again() {
    let release = Release::begin().await;
    let node = &release.node;

    release.helm("install", &[]).await;
    assert_eq!(release.replicas().await, "2");
    assert_eq!(release.definitions().await, 3);
    release.policies_are_judged("first").await;
    release.is_accepted("first").await;
    edit::reaches_its_pods(node, &release.users).await;
    anywhere::clients_come_back(node, &release.users).await;
    release.revokes("mallory").await;
    wait::until_within(NOTICE, "everything to be installed", || async {
        !release.installed().await.is_empty()
    })
    .await;
    release.helm("test", &["--logs"]).await;

    // A definition that somebody has changed is what the chart says again after an upgrade.
    let column = r#"[{"op": "remove", "path": "/spec/versions/0/additionalPrinterColumns/0"}]"#;
    node.kubectl(&[
        "patch",
        "crd",
        "isolationpolicies.bulkhead.dev",
        "--type=json",
        "-p",
        column,
    ])
    .await
    .check();
    release
        .helm(
            "upgrade",
            &["--set", "log.level=debug", "--force-conflicts"],
        )
        .await;
    let columns = "jsonpath={.spec.versions[0].additionalPrinterColumns[*].name}";
    let shown = node
        .kubectl(&[
            "get",
            "crd",
            "isolationpolicies.bulkhead.dev",
            "-o",
            columns,
        ])
        .await
        .well();
    assert!(shown.starts_with("Mode "), "{shown}");
    assert_eq!(release.policy_count().await, 1);
    release.policies_are_judged("second").await;

    release.helm("rollback", &["1", "--force-conflicts"]).await;
    let arguments = "jsonpath={.spec.template.spec.containers[0].args}";
    let running = node
        .kubectl(&[
            "get",
            "deployment/bulkhead-operator",
            "-n",
            NAMESPACE,
            "-o",
            arguments,
        ])
        .await
        .well();
    assert!(running.contains("--log=info"), "{running}");
    release.policies_are_judged("third").await;
    release.is_accepted("third").await;
    release.is_withdrawn("third").await;
    rights_are_used(&node.audit_events(), &role(&release).await);

    // Uninstalled with policies left behind: nothing stands in anybody's way, and nobody's policies are lost.
    release.helm("uninstall", &[]).await;
    assert_eq!(release.installed().await, Vec::<String>::new());
    assert_eq!(
        (release.definitions().await, release.policy_count().await),
        (3, 2)
    );
    assert!(release.apply("fourth", "10s").await.0);

    // Installed again, over what was left.
    release.helm("install", &[]).await;
    release.policies_are_judged("fifth").await;
    release.is_accepted("fourth").await;

    // The operator dead first.
    node.kubectl(&[
        "scale",
        "deployment/bulkhead-operator",
        "-n",
        NAMESPACE,
        "--replicas=0",
    ])
    .await
    .check();
    let selector = "app.kubernetes.io/name=bulkhead-operator";
    node.kubectl(&[
        "wait",
        "pod",
        "-n",
        NAMESPACE,
        "-l",
        selector,
        "--for=delete",
        "--timeout=60s",
    ])
    .await
    .check();
    release.helm("uninstall", &[]).await;
    assert_eq!(release.installed().await, Vec::<String>::new());

    // And at the very end, the definitions, with all policies.
    node.kubectl(&[
        "delete",
        "crd",
        "isolationpolicies.bulkhead.dev",
        "injectiontemplates.bulkhead.dev",
        "userrevocations.bulkhead.dev",
    ])
    .await
    .check();
    node.kubectl(&[
        "delete",
        "namespace",
        &release.users,
        NAMESPACE,
        "--timeout=60s",
    ])
    .await
    .check();
}

/// The rules of the operator's ClusterRole and of the Role of its own namespace.
async fn role(release: &Release) -> Vec<Value> {
    let mut rules = Vec::new();
    for kind in ["clusterrole", "role"] {
        let text = release
            .node
            .kubectl(&[
                "get",
                kind,
                "bulkhead-operator",
                "-n",
                NAMESPACE,
                "-o",
                "json",
            ])
            .await
            .well();
        let role: Value = serde_json::from_str(&text).unwrap();
        rules.extend(role["rules"].as_array().unwrap().clone());
    }
    rules
}

/// Rights that this journey does not need, each with the one that does.
const ELSEWHERE: &[(&str, &str)] = &[
    // The end of a release, which is after the last look at the audit log.
    ("delete", "mutatingadmissionpolicies"),
    ("delete", "mutatingadmissionpolicybindings"),
    ("delete", "validatingadmissionpolicies"),
    ("delete", "validatingwebhookconfigurations"),
    // Servers that do not inject by themselves, where the webhook does.
    ("create", "mutatingwebhookconfigurations"),
    ("delete", "mutatingwebhookconfigurations"),
    ("get", "mutatingwebhookconfigurations"),
    ("patch", "mutatingwebhookconfigurations"),
    // Never asked for: the API server holds it against whoever binds an admission policy to parameters.
    ("get", "injectiontemplates"),
    // An event that is told again, and pods that run, or were missed: the suites of reconciling and of injection.
    ("patch", "events"),
    ("patch", "pods/status"),
    ("create", "pods/eviction"),
    // Policies that take ports over: the suite of reconciling.
    ("create", "networkpolicies"),
    ("patch", "networkpolicies"),
    ("delete", "networkpolicies"),
    ("get", "secrets"),
    ("create", "secrets"),
    ("patch", "secrets"),
    ("delete", "secrets"),
];

/// What the API server saw the operator do: nothing that it may not, and everything that it may, but for [`ELSEWHERE`].
fn rights_are_used(events: &[Asked], rules: &[Value]) {
    let own: Vec<&Asked> = events
        .iter()
        .filter(|asked| asked.user == ACCOUNT)
        .collect();
    assert!(!own.is_empty(), "the audit log has nothing of {ACCOUNT}");
    let refused: BTreeSet<String> = own
        .iter()
        .filter(|asked| asked.status == 403)
        .map(|asked| {
            format!(
                "{} {}/{} {}",
                asked.verb, asked.group, asked.resource, asked.name
            )
        })
        .collect();
    assert!(refused.is_empty(), "refused: {refused:?}");

    let mut used: BTreeSet<(String, String)> = BTreeSet::new();
    for asked in &own {
        used.insert((asked.verb.clone(), asked.resource.clone()));
        // Server-side apply is a patch, and asks for `create` too where the object was not there.
        if asked.verb == "patch" && asked.status == 201 {
            used.insert(("create".to_owned(), asked.resource.clone()));
        }
    }
    let mut idle = BTreeSet::new();
    for rule in rules {
        for verb in rule["verbs"].as_array().unwrap() {
            for resource in rule["resources"].as_array().unwrap() {
                let right = (
                    verb.as_str().unwrap().to_owned(),
                    resource.as_str().unwrap().to_owned(),
                );
                let elsewhere = ELSEWHERE
                    .iter()
                    .any(|(verb, resource)| right.0 == *verb && right.1 == *resource);
                if !used.contains(&right) && !elsewhere {
                    idle.insert(right);
                }
            }
        }
    }
    assert!(idle.is_empty(), "nobody was seen to use {idle:?}");
}
