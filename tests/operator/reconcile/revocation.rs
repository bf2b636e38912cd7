//! Users who are cut off: in force in every pod, told in the status, and refused where it makes no sense. The kubelet's part is this suite's;
//! the sidecars are real.

use std::time::{Duration, Instant, UNIX_EPOCH};

use bulkhead_crds::kinds::UserRevocation;
use bulkhead_crds::names::Timestamp;
use bulkhead_crds::names::objects::REVOCATIONS_KEY;
use bulkhead_crds::revocations::RevocationList;
use bulkhead_tests::tokens::seconds_from_now;
use bulkhead_tests::tools::Said;
use bulkhead_tests::wait;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use super::pods::{Sidecar, any_port};
use super::world::{PATIENCE, Scene, spec};

fn revocation(name: &str, spec: &Value) -> String {
    json!({
        "apiVersion": "bulkhead.dev/v1alpha1", "kind": "UserRevocation", "metadata": {"name": name}, "spec": spec,
    })
    .to_string()
}

/// A moment so many seconds from now.
fn moment(seconds: i64) -> String {
    let at = u64::try_from(seconds_from_now(seconds)).unwrap();
    let moment = Timestamp::try_from(UNIX_EPOCH + Duration::from_secs(at));
    moment.unwrap().to_string()
}

impl Scene {
    async fn kubectl(&self, arguments: &[&str], input: &str) -> Said {
        let mut all = vec!["-n", self.namespace.as_str()];
        all.extend(arguments);
        self.world.cluster.kubectl_with(&all, input).await
    }

    /// Applies a revocation, as a person does.
    async fn revoke(&self, name: &str, spec: &Value) -> Said {
        self.kubectl(&["apply", "-f", "-"], &revocation(name, spec))
            .await
    }

    fn revocations(&self) -> Api<UserRevocation> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Waits until the condition of a revocation has this reason; gives `status.enforced`.
    async fn until_revoked(&self, name: &str, reason: &str) -> Option<String> {
        let read = || async {
            let status = self.revocations().get(name).await.unwrap().status?;
            let condition = status.conditions?.into_iter().next()?;
            (condition.reason == reason).then_some(status.enforced)
        };
        let what = format!("{name} to be {reason}");
        wait::until_within(PATIENCE, &what, || async { read().await.is_some() }).await;
        read().await.flatten()
    }

    /// The list beside a policy's snapshot.
    async fn list(&self, policy: &str) -> Option<RevocationList> {
        let map = self
            .maps()
            .get(&format!("bulkhead-{policy}"))
            .await
            .unwrap();
        let text = map.data?.remove(REVOCATIONS_KEY)?;
        Some(RevocationList::from_json(&text).unwrap())
    }

    async fn until_list(&self, policy: &str, users: &[&str]) -> String {
        let read = || async {
            let list = self.list(policy).await.unwrap_or_default();
            let found: Vec<_> = list
                .revocations()
                .iter()
                .map(|one| one.user.clone())
                .collect();
            (found == users).then(|| list.revision().to_owned())
        };
        let what = format!("the list of {users:?}");
        wait::until_within(PATIENCE, &what, || async { read().await.is_some() }).await;
        read().await.unwrap()
    }

    async fn mark(&self, pod: &str) -> String {
        let pod = self.pods().get(pod).await.unwrap();
        let mark = pod.annotations().get("bulkhead.dev/revision");
        mark.cloned().unwrap_or_default()
    }
}

/// A namespace with a policy and pods whose sidecars run and are in sync.
async fn scene(pods: &[&str]) -> (Scene, Vec<Sidecar>) {
    let scene = Scene::enabled().await;
    scene.apply("chat", spec(any_port())).await;
    scene.until("chat", "Accepted", "Accepted").await;
    let mut sidecars = Vec::new();
    for name in pods {
        scene.pod(name, json!({"app": "web"}), None).await;
        let sidecar = Sidecar::start(&scene, "chat").await;
        scene.runs(name, &sidecar.address, true).await;
        sidecars.push(sidecar);
    }
    wait::until_within(PATIENCE, "the policy in every pod", || async {
        for sidecar in &sidecars {
            sidecar.renew(&scene, "chat").await;
        }
        let found = scene.condition("chat", "Programmed").await;
        found.is_some_and(|found| found.reason == "Programmed")
    })
    .await;
    (scene, sidecars)
}

#[tokio::test]
async fn a_revocation_is_in_force_in_every_pod_and_kubectl_shows_it() {
    let (scene, sidecars) = scene(&["one", "two"]).await;
    let start = Instant::now();
    let leaked = json!({"user": "alice", "reason": "TokenLeaked"});
    scene.revoke("out-alice", &leaked).await.check();
    let revision = scene.until_list("chat", &["alice"]).await;
    for pod in ["one", "two"] {
        wait::until("the poke", || async {
            scene.mark(pod).await.contains(&revision)
        })
        .await;
    }
    println!(
        "written and poked {:?} after kubectl apply",
        start.elapsed()
    );
    // While one of them has not read it yet, that is told.
    sidecars[0].renew(&scene, "chat").await;
    wait::until_within(PATIENCE, "one of two", || async {
        scene.until_revoked("out-alice", "Syncing").await.as_deref() == Some("1/2")
    })
    .await;
    sidecars[1].renew(&scene, "chat").await;
    let enforced = scene.until_revoked("out-alice", "Enforced").await;
    assert_eq!(enforced.as_deref(), Some("2/2"));
    let shown = scene.kubectl(&["get", "urev"], "").await.well();
    let mut lines = shown
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    let head = ["NAME", "USER", "NOTBEFORE", "ENFORCED", "REASON", "AGE"];
    assert_eq!(lines.next().unwrap(), head, "{shown}");
    let row = lines.next().unwrap();
    let created = scene
        .revocations()
        .get("out-alice")
        .await
        .unwrap()
        .creation_timestamp()
        .unwrap();
    let created = created.0.to_string();
    assert_eq!(
        row[..5],
        ["out-alice", "alice", &created, "2/2", "TokenLeaked"]
    );
    let waited = [
        "wait",
        "urev/out-alice",
        "--for=condition=Enforced",
        "--timeout=5s",
    ];
    scene.kubectl(&waited, "").await.check();
    // Its moment is the one of its creation.
    let created = scene
        .revocations()
        .get("out-alice")
        .await
        .unwrap()
        .creation_timestamp()
        .unwrap();
    let listed = scene.list("chat").await.unwrap().revocations()[0].not_before;
    assert_eq!(listed.milliseconds(), created.0.as_millisecond());
    let labels = [
        ("namespace", scene.namespace.as_str()),
        ("reason", "Enforced"),
    ];
    let count = || {
        scene
            .world
            .operator
            .metric("bulkhead_operator_revocations", &labels)
    };
    assert!((count() - 1.0).abs() < 0.1);

    // One more changes nothing for the first; and what is taken away is taken away everywhere.
    scene
        .revoke("out-bob", &json!({"user": "bob"}))
        .await
        .check();
    scene.until_list("chat", &["alice", "bob"]).await;
    assert_eq!(
        scene.until_revoked("out-bob", "Syncing").await.as_deref(),
        Some("0/2")
    );
    assert_eq!(
        scene
            .until_revoked("out-alice", "Enforced")
            .await
            .as_deref(),
        Some("2/2")
    );
    scene
        .kubectl(&["delete", "urev", "--all"], "")
        .await
        .check();
    scene.until_list("chat", &[]).await;
    for pod in ["one", "two"] {
        wait::until("the poke", || async {
            !scene.mark(pod).await.contains(&revision)
        })
        .await;
    }
    wait::until("nothing to count", || async { count() < 0.5 }).await;
    assert!(
        scene.list("chat").await.is_none(),
        "no list without revocations"
    );
    assert_eq!(
        scene.until("chat", "Programmed", "Programmed").await.reason,
        "Programmed"
    );
}

#[tokio::test]
async fn pods_of_a_policy_that_was_refused_or_has_gone_hear_of_it_too() {
    let (scene, sidecars) = scene(&["one"]).await;
    // Given an edit that is refused, and the last good policy in force,
    let mut broken = spec(any_port());
    broken["databases"][0]["upstream"]["credentialsSecretRef"] = json!({"name": "missing"});
    scene.apply("chat", broken).await;
    scene.until("chat", "Accepted", "SecretMissing").await;
    scene
        .revoke("out-alice", &json!({"user": "alice"}))
        .await
        .check();
    scene.until_list("chat", &["alice"]).await;
    sidecars[0].renew(&scene, "chat").await;
    assert_eq!(
        scene
            .until_revoked("out-alice", "Enforced")
            .await
            .as_deref(),
        Some("1/1")
    );
    // and then none at all, but its pod.
    scene.delete("chat").await;
    scene
        .revoke("out-bob", &json!({"user": "bob"}))
        .await
        .check();
    let revision = scene.until_list("chat", &["alice", "bob"]).await;
    wait::until("the poke", || async {
        scene.mark("one").await.contains(&revision)
    })
    .await;
    sidecars[0].renew(&scene, "chat").await;
    assert_eq!(
        scene.until_revoked("out-bob", "Enforced").await.as_deref(),
        Some("1/1")
    );
}

#[tokio::test]
async fn a_revocation_that_is_over_is_taken_out_of_the_list_by_itself() {
    let (scene, _sidecars) = scene(&["one"]).await;
    let soon = json!({"user": "alice", "notBefore": moment(-60), "expiresAt": moment(4)});
    scene.revoke("out-alice", &soon).await.check();
    scene.until_list("chat", &["alice"]).await;
    assert_eq!(scene.until_revoked("out-alice", "Expired").await, None);
    scene.until_list("chat", &[]).await;
}

#[tokio::test]
async fn a_namespace_without_pods_or_policies_takes_revocations_too() {
    let scene = Scene::enabled().await;
    scene
        .revoke("out-alice", &json!({"user": "alice"}))
        .await
        .check();
    assert_eq!(
        scene.until_revoked("out-alice", "NoPods").await.as_deref(),
        Some("0/0")
    );
    // A policy that comes later begins with the list.
    scene.apply("chat", spec(json!({}))).await;
    scene.until("chat", "Accepted", "Accepted").await;
    scene.until_list("chat", &["alice"]).await;
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_the_field_and_what_is_unwise_is_told() {
    let scene = Scene::enabled().await;
    for (name, spec, told) in [
        ("nobody", json!({"user": ""}), "spec.user"),
        ("control", json!({"user": "al\u{7}ice"}), "spec.user"),
        (
            "long",
            json!({"user": "ä".repeat(129)}),
            "spec.user: has 258 bytes",
        ),
        (
            "when",
            json!({"user": "a", "notBefore": "yesterday"}),
            "spec.notBefore",
        ),
        (
            "why",
            json!({"user": "a", "reason": "she left"}),
            "spec.reason",
        ),
        (
            "turned",
            json!({"user": "a", "notBefore": moment(0), "expiresAt": moment(-60)}),
            "a revocation cannot end before the moment that it is about",
        ),
        // Only the webhook knows that it is about its creation.
        (
            "past",
            json!({"user": "a", "expiresAt": moment(-60)}),
            "spec.expiresAt",
        ),
        (
            "field",
            json!({"user": "a", "notbefore": moment(0)}),
            "notbefore",
        ),
    ] {
        let said = scene.revoke(name, &spec).await;
        assert!(!said.success, "{name} is taken");
        assert!(said.errors.contains(told), "{name}: {}", said.errors);
    }
    let ahead = json!({"user": "a", "notBefore": moment(3600)});
    let said = scene.revoke("ahead", &ahead).await;
    assert!(
        said.success && said.errors.contains("still to come"),
        "{}",
        said.errors
    );
}

#[tokio::test]
async fn whose_and_from_when_never_changes_and_why_and_how_long_may() {
    let scene = Scene::enabled().await;
    let original = json!({"user": "alice", "notBefore": moment(-60)});
    scene.revoke("out", &original).await.check();
    for (changed, told) in [
        (
            json!({"user": "bob", "notBefore": original["notBefore"]}),
            "of one user for good",
        ),
        (
            json!({"user": "alice", "notBefore": moment(-30)}),
            "does not change",
        ),
    ] {
        let said = scene.revoke("out", &changed).await;
        assert!(
            !said.success && said.errors.contains(told),
            "{}",
            said.errors
        );
    }
    let patch = r#"[{"op": "remove", "path": "/spec/notBefore"}]"#;
    let said = scene
        .kubectl(&["patch", "urev", "out", "--type=json", "-p", patch], "")
        .await;
    assert!(
        !said.success && said.errors.contains("does not change"),
        "{}",
        said.errors
    );
    let mut edited = original.clone();
    edited["reason"] = json!("Suspended");
    edited["expiresAt"] = json!(moment(3600));
    scene.revoke("out", &edited).await.check();
    scene.until_revoked("out", "NoPods").await;
}
