//! The subcommands that ask a cluster: `check` and `explain`, by a kubeconfig.

use bulkhead_tests::cluster::ControlPlane;
use bulkhead_tests::operator::{NAMESPACE, Operator, READY, control_plane};
use bulkhead_tests::postgres::{APP_ROLE, PASSWORD, Server};
use bulkhead_tests::{processes, programs, wait};
use serde_json::{Value, json};
use tokio::process::Command;

/// What the binary says: whether it went well, and its standard output and error.
async fn said(cluster: &ControlPlane, arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(programs::operator())
        .args(arguments)
        .arg("--kubeconfig")
        .arg(cluster.kubeconfig())
        .output()
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

/// The status of each check.
async fn checked(cluster: &ControlPlane) -> Vec<(String, String, String)> {
    let (_, out, err) = said(
        cluster,
        &["check", "-o", "json", "--operator-namespace", NAMESPACE],
    )
    .await;
    let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
    let text = |it: &Value, field: &str| it[field].as_str().unwrap().to_owned();
    let checks = report["checks"].as_array().unwrap().iter();
    checks
        .map(|it| (text(it, "check"), text(it, "status"), text(it, "message")))
        .collect()
}

fn status<'a>(checks: &'a [(String, String, String)], check: &str) -> &'a str {
    let found = checks.iter().find(|(name, _, _)| name == check);
    &found
        .unwrap_or_else(|| panic!("no check {check} in {checks:?}"))
        .1
}

#[tokio::test]
async fn check_tells_an_empty_cluster_from_one_in_which_the_operator_runs() {
    let empty = ControlPlane::shared().await;
    let checks = checked(empty).await;
    assert_eq!(status(&checks, "server"), "ok");
    for missing in [
        "definition isolationpolicies.bulkhead.dev",
        "policy bulkhead-owned",
        "webhook bulkhead-validate",
    ] {
        assert_eq!(status(&checks, missing), "fail", "{missing}");
    }

    let cluster = control_plane().await;
    let _operator = Operator::start(&cluster).await;
    let webhook = "webhook bulkhead-validate";
    wait::until_within(READY, "a webhook that is trusted", || async {
        status(&checked(&cluster).await, webhook) == "ok"
    })
    .await;
    let checks = checked(&cluster).await;
    assert_eq!(
        status(&checks, "definition isolationpolicies.bulkhead.dev"),
        "ok",
        "{checks:?}"
    );
    assert_eq!(
        status(&checks, &format!("lease {NAMESPACE}/bulkhead-operator")),
        "ok",
        "{checks:?}"
    );
    // It runs outside of the cluster, as nobody's account.
    assert_eq!(
        status(
            &checks,
            &format!("deployment {NAMESPACE}/bulkhead-operator")
        ),
        "fail"
    );
    assert_eq!(
        status(&checks, &format!("rights of {NAMESPACE}/bulkhead-operator")),
        "fail"
    );
    let (well, out, err) = said(&cluster, &["check"]).await;
    assert!(!well && err.contains("checks failed"), "{err}");
    assert!(
        out.lines()
            .any(|line| line.starts_with("FAIL") && line.contains("; helm install it")),
        "{out}"
    );
}

#[tokio::test]
async fn explain_says_which_policy_has_a_pod_and_which_one_it_beat() {
    let cluster = control_plane().await;
    let namespace = cluster
        .namespace(&[
            ("bulkhead.dev/injection", "enabled"),
            ("bulkhead.dev/environment", "staging"),
        ])
        .await;
    let policy = |name: &str, selector: Value| {
        json!({"apiVersion": "bulkhead.dev/v1alpha1", "kind": "IsolationPolicy", "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": selector, "identity": {"source": "SignedContext"},
                "databases": [{"name": "main", "protocol": "PostgreSQL", "upstream": {"host": "db"}}],
                "environments": [{"name": "staging", "databases": [{"name": "main", "timeouts": {"connect": "35s"}}]}]}})
    };
    let apply = async |object: Value| {
        let _applied = cluster
            .kubectl_with(&["apply", "-f", "-"], &object.to_string())
            .await
            .well();
    };
    apply(policy("first", json!({"matchLabels": {"app": "chat"}}))).await;
    apply(policy("by-name-behind", json!({}))).await;
    apply(json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "chat", "namespace": namespace},
        "spec": {"selector": {"matchLabels": {"app": "chat"}}, "template": {"metadata": {"labels": {"app": "chat"}},
            "spec": {"containers": [{"name": "app", "image": "app"}]}}}}))
    .await;
    apply(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "lone", "namespace": namespace, "labels": {"app": "other"}},
        "spec": {"containers": [{"name": "app", "image": "app"}]}}))
    .await;

    let of = async |target: &str| {
        let (well, out, err) = said(
            &cluster,
            &["explain", target, "-n", &namespace, "-o", "json"],
        )
        .await;
        assert!(well, "{err}");
        serde_json::from_str::<Value>(&out).unwrap()
    };
    let deployment = of("deploy/chat").await;
    assert_eq!(deployment["environments"], json!(["staging"]));
    assert_eq!(deployment["alsoSelectedBy"].as_array().unwrap().len(), 1);
    let fields = deployment["fields"].as_array().unwrap();
    let connect = fields
        .iter()
        .find(|it| it["path"] == "databases[main].timeouts.connect")
        .unwrap();
    assert_eq!(
        connect["environments"]["staging"],
        json!({"value": "35s", "origin": "environment staging"})
    );
    let pod = of("pod/lone").await;
    assert_eq!(pod["policy"], "by-name-behind");
    assert!(
        pod["notes"].to_string().contains("no sidecar"),
        "{}",
        pod["notes"]
    );
    assert_eq!(of("ipol/first").await["policy"], "first");

    let (well, _, err) = said(&cluster, &["explain", "pod/none", "-n", &namespace]).await;
    assert!(!well && err.contains("not found"), "{err}");
}

/// A policy with one database, at `host:port`, verified by the Secret `ca`.
fn policy_of(host: &str, port: u16) -> Value {
    json!({"apiVersion": "bulkhead.dev/v1alpha1", "kind": "IsolationPolicy", "metadata": {"name": "chat"},
        "spec": {"selector": {"matchLabels": {"app": "chat"}}, "identity": {"source": "SignedContext"},
            "databases": [{"name": "main", "protocol": "PostgreSQL", "timeouts": {"connect": "5s"}, "listen": {"port": 6543},
                "upstream": {"host": host, "port": port, "database": "postgres",
                    "tls": {"mode": "VerifyFull", "caSecretRef": {"name": "ca"}}, "credentialsSecretRef": {"name": "db"}}}]}})
}

#[tokio::test]
async fn check_reaches_upstreams_as_the_policy_says_and_hints_at_what_is_wrong() {
    let server = Server::shared();
    let folder = processes::folder("check");
    let write = |path: &str, text: &str| {
        let path = folder.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("secrets/ca/ca.crt", Server::authority());
    write("secrets/db/username", APP_ROLE);
    write("secrets/db/password", &format!("{PASSWORD}\n"));
    let reach = async |host: &str, port: u16| {
        write("policy.json", &policy_of(host, port).to_string());
        let output = Command::new(programs::operator())
            .current_dir(&folder)
            .args([
                "check",
                "--upstreams-only",
                "--policy",
                "policy.json",
                "--environment",
                "staging",
                "--secrets",
                "secrets",
            ])
            .output()
            .await
            .unwrap();
        (
            output.status.success(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let port = server.place().port;
    let (well, said) = reach("localhost", port).await;
    assert!(
        well && said.starts_with("ok") && said.contains("is PostgreSQL"),
        "{said}"
    );
    assert!(!said.contains(PASSWORD));

    // The certificate is for no address.
    let (well, said) = reach("127.0.0.1", port).await;
    assert!(!well && said.contains("tls.mode"), "{said}");
    let (well, said) = reach("localhost", processes::free_port()).await;
    assert!(!well && said.contains("upstream.port"), "{said}");
    write("secrets/db/password", "wrong");
    let (well, said) = reach("localhost", port).await;
    assert!(!well && said.contains("credentialsSecretRef"), "{said}");
    std::fs::remove_file(folder.join("secrets/db/password")).unwrap();
    let (well, said) = reach("localhost", port).await;
    assert!(!well && said.contains("secrets/db/password"), "{said}");
}
