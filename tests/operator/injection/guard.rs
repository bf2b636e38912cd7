//! A pod that a policy in Enforce selects runs with its sidecar, or not at all, whoever was to inject it.

use bulkhead_crds::kinds::InjectionTemplate;
use bulkhead_operator::admission::inject::{Outcome, inject};
use bulkhead_tests::cluster::{ControlPlane, Options};
use bulkhead_tests::operator::READY;
use bulkhead_tests::wait;
use kube::Client;
use serde_json::{Value, json};

use super::scene::{create, dry_run, enabled, in_force, install_guards, operator, replace, shared};
use super::templates::{enforced, full, pod, push};

/// A namespace with a policy in Enforce called `chat`, and a client.
async fn guarded() -> (&'static ControlPlane, Client, String) {
    let cluster = shared().await;
    let namespace = enabled(cluster, &[]).await;
    in_force(cluster, &namespace, &[enforced("chat")], &pod("chat")).await;
    (cluster, cluster.client(), namespace)
}

/// A pod as its owner could write it who has seen the stored one.
fn written(mut stored: Value) -> Value {
    let metadata = &stored["metadata"];
    stored["metadata"] = json!({
        "name": "copy", "labels": metadata["labels"], "annotations": metadata["annotations"],
    });
    stored.as_object_mut().unwrap().remove("status");
    stored
}

/// The element of a list that is called `name`.
fn named<'a>(list: &'a mut Value, name: &str) -> &'a mut Value {
    let list = list.as_array_mut().unwrap();
    list.iter_mut()
        .find(|element| element["name"] == name)
        .unwrap()
}

/// Something that somebody does to a pod, and what the refusal says.
type Attempt = (&'static str, fn(&mut Value), &'static str);

const ANOTHER: &str = "its container bulkhead is not the sidecar that the policy has";
const VOLUME: &str = "its volume bulkhead-policy, bulkhead-secrets or bulkhead-audit is not the one that the policy has";
const MOUNT: &str = "mounts a volume that is the sidecar's alone";

const ATTEMPTS: &[Attempt] = &[
    (
        "another image",
        |pod| sidecar(pod)["image"] = json!("evil:1"),
        ANOTHER,
    ),
    (
        "another snapshot",
        |pod| sidecar(pod)["args"][2] = json!("/elsewhere"),
        ANOTHER,
    ),
    (
        "one more argument",
        |pod| push(&mut sidecar(pod)["args"], json!("--log=off")),
        ANOTHER,
    ),
    (
        "an argument twice",
        |pod| push(&mut sidecar(pod)["args"], json!("run")),
        ANOTHER,
    ),
    (
        "an argument less",
        |pod| drop(sidecar(pod)["args"].as_array_mut().unwrap().remove(4)),
        ANOTHER,
    ),
    (
        "a command",
        |pod| sidecar(pod)["command"] = json!(["/bin/sh"]),
        ANOTHER,
    ),
    (
        "a variable",
        |pod| push(&mut sidecar(pod)["env"], json!({"name": "X", "value": "y"})),
        ANOTHER,
    ),
    (
        "variables from elsewhere",
        |pod| sidecar(pod)["envFrom"] = json!([{"configMapRef": {"name": "x"}}]),
        ANOTHER,
    ),
    (
        "a mount over the snapshot",
        |pod| {
            named(&mut sidecar(pod)["volumeMounts"], "bulkhead-policy")["mountPath"] = json!("/x")
        },
        ANOTHER,
    ),
    (
        "a root that can be written",
        |pod| rights(pod)["readOnlyRootFilesystem"] = json!(false),
        ANOTHER,
    ),
    (
        "the user root",
        |pod| rights(pod)["runAsUser"] = json!(0),
        ANOTHER,
    ),
    (
        "a capability",
        |pod| rights(pod)["capabilities"]["add"] = json!(["SYS_PTRACE"]),
        ANOTHER,
    ),
    (
        "no word about rights",
        |pod| sidecar(pod)["securityContext"] = json!({}),
        ANOTHER,
    ),
    (
        "another snapshot's ConfigMap",
        |pod| {
            named(&mut pod["spec"]["volumes"], "bulkhead-policy")["configMap"]["name"] =
                json!("mine")
        },
        VOLUME,
    ),
    (
        "a snapshot of one's own in the right place",
        |pod| {
            named(&mut pod["spec"]["volumes"], "bulkhead-policy")["configMap"]["items"] =
                json!([{"key": "mine", "path": "v1.json"}]);
        },
        VOLUME,
    ),
    (
        "a Secret more",
        |pod| {
            push(secrets(pod), json!({"secret": {"name": "mine"}}));
        },
        VOLUME,
    ),
    (
        "another Secret in the place of one",
        |pod| secrets(pod)[0]["secret"]["name"] = json!("mine"),
        VOLUME,
    ),
    (
        "another key in the place of one",
        |pod| secrets(pod)[0]["secret"]["items"][1]["key"] = json!("mine"),
        VOLUME,
    ),
    (
        "all keys of a Secret",
        |pod| secrets(pod)[0]["secret"]["items"] = json!([]),
        VOLUME,
    ),
    (
        "Secrets from a volume of another kind",
        |pod| {
            *named(&mut pod["spec"]["volumes"], "bulkhead-secrets") =
                json!({"name": "bulkhead-secrets", "secret": {"secretName": "mine"}});
        },
        VOLUME,
    ),
    (
        "another claim for the audit trail",
        |pod| {
            named(&mut pod["spec"]["volumes"], "bulkhead-audit")["persistentVolumeClaim"]["claimName"] =
                json!("mine");
        },
        VOLUME,
    ),
    (
        "the node's own disk for the audit trail",
        |pod| {
            *named(&mut pod["spec"]["volumes"], "bulkhead-audit") =
                json!({"name": "bulkhead-audit", "emptyDir": {}});
        },
        VOLUME,
    ),
    (
        "the application writes the audit trail",
        |pod| {
            let mount = json!({"name": "bulkhead-audit", "mountPath": "/x"});
            push(&mut pod["spec"]["containers"][0]["volumeMounts"], mount);
        },
        MOUNT,
    ),
    (
        "the application reads the sidecar's Secrets",
        |pod| {
            let mount = json!({"name": "bulkhead-secrets", "mountPath": "/x"});
            push(&mut pod["spec"]["containers"][0]["volumeMounts"], mount);
        },
        MOUNT,
    ),
    (
        "the node's network",
        |pod| pod["spec"]["hostNetwork"] = json!(true),
        "it uses its node's network",
    ),
];

/// What the sidecar's Secrets are made of.
fn secrets(pod: &mut Value) -> &mut Value {
    &mut named(&mut pod["spec"]["volumes"], "bulkhead-secrets")["projected"]["sources"]
}

fn sidecar(pod: &mut Value) -> &mut Value {
    named(&mut pod["spec"]["initContainers"], "bulkhead")
}

fn rights(pod: &mut Value) -> &mut Value {
    &mut sidecar(pod)["securityContext"]
}

#[tokio::test]
async fn a_sidecar_that_is_another_is_refused_with_a_reason() {
    let (_cluster, client, namespace) = guarded().await;
    let good = written(
        dry_run(&client, &namespace, "pods", &pod("chat"))
            .await
            .unwrap(),
    );

    for (about, change, why) in ATTEMPTS {
        let mut bad = good.clone();
        change(&mut bad);
        let refused = dry_run(&client, &namespace, "pods", &bad).await;
        let said = refused.expect_err(about);
        assert!(said.contains(why), "{about}: {said}");
        let of = format!("IsolationPolicy {namespace}/chat (mode Enforce) refuses this pod");
        assert!(said.contains(&of), "{about}: {said}");
    }
}

#[tokio::test]
async fn what_was_injected_once_is_let_through_again() {
    let (_cluster, client, namespace) = guarded().await;
    let good = written(
        dry_run(&client, &namespace, "pods", &pod("chat"))
            .await
            .unwrap(),
    );
    dry_run(&client, &namespace, "pods", &good).await.unwrap();

    // Others set these: LimitRanger, the vertical autoscaler, a platform that assigns users.
    let mut others = good.clone();
    sidecar(&mut others)["resources"] =
        json!({"requests": {"cpu": "2"}, "limits": {"memory": "1Gi"}});
    sidecar(&mut others)["imagePullPolicy"] = json!("Always");
    rights(&mut others)["seLinuxOptions"] = json!({"level": "s0:c1,c2"});
    push(
        &mut sidecar(&mut others)["args"],
        json!("--resolve=db=10.0.0.1"),
    );
    dry_run(&client, &namespace, "pods", &others).await.unwrap();

    // A pod rendered before the policy had its second Secret, and the second key of its first.
    let mut fewer = good;
    secrets(&mut fewer).as_array_mut().unwrap().pop();
    let keys = &mut secrets(&mut fewer)[0]["secret"]["items"];
    keys.as_array_mut().unwrap().pop();
    dry_run(&client, &namespace, "pods", &fewer).await.unwrap();
}

#[tokio::test]
async fn the_sidecars_of_the_last_few_templates_are_accepted_and_no_older() {
    let cluster = shared().await;
    let (client, namespace) = (cluster.client(), enabled(cluster, &[]).await);
    let mut template = enforced("chat");
    let mut previous = template["spec"]["accepted"][0].clone();
    previous["image"] = json!("bulkhead.test/sidecar:0");
    push(&mut template["spec"]["accepted"], previous);
    in_force(cluster, &namespace, &[template], &pod("chat")).await;

    // As a pod comes that was rendered into Git, with the annotation that keeps it from being injected anew.
    let mut rendered = written(
        dry_run(&client, &namespace, "pods", &pod("chat"))
            .await
            .unwrap(),
    );
    sidecar(&mut rendered)["image"] = json!("bulkhead.test/sidecar:0");
    dry_run(&client, &namespace, "pods", &rendered)
        .await
        .unwrap();
    sidecar(&mut rendered)["image"] = json!("bulkhead.test/sidecar:00");
    let refused = dry_run(&client, &namespace, "pods", &rendered)
        .await
        .unwrap_err();
    assert!(refused.contains(ANOTHER), "{refused}");
}

#[tokio::test]
async fn a_platform_may_assign_the_user_that_a_template_does_not_name() {
    let cluster = shared().await;
    let (client, namespace) = (cluster.client(), enabled(cluster, &[]).await);
    let mut template = enforced("chat");
    let spec = &mut template["spec"];
    for rights in ["/sidecar/securityContext", "/accepted/0/securityContext"] {
        let rights = spec.pointer_mut(rights).unwrap().as_object_mut().unwrap();
        rights.remove("runAsUser");
        rights.remove("runAsGroup");
    }
    in_force(cluster, &namespace, &[template], &pod("chat")).await;

    let injected = dry_run(&client, &namespace, "pods", &pod("chat")).await;
    let mut assigned = written(injected.unwrap());
    rights(&mut assigned)["runAsUser"] = json!(1_000_700_000);
    dry_run(&client, &namespace, "pods", &assigned)
        .await
        .unwrap();
    rights(&mut assigned)["runAsNonRoot"] = json!(false);
    let refused = dry_run(&client, &namespace, "pods", &assigned).await;
    assert!(refused.unwrap_err().contains(ANOTHER));
}

#[tokio::test]
async fn a_pod_that_cannot_be_injected_is_told_why() {
    let (_cluster, client, namespace) = guarded().await;
    let mut taken = pod("chat");
    taken["spec"]["containers"][0]["name"] = json!("bulkhead");
    let refused = dry_run(&client, &namespace, "pods", &taken)
        .await
        .unwrap_err();
    assert!(
        refused.contains("a container of its own is called bulkhead; give it another name"),
        "{refused}"
    );

    // The policy in Enforce denies it.
    let mut opted_out = pod("chat");
    opted_out["metadata"]["annotations"] = json!({"bulkhead.dev/inject": "false"});
    let injected = dry_run(&client, &namespace, "pods", &opted_out)
        .await
        .unwrap();
    assert_eq!(
        injected["metadata"]["annotations"]["bulkhead.dev/injected"],
        "chat@h1"
    );

    // Anybody can write the annotation of a mirror pod, and only a node makes one.
    let mut mirrored = pod("chat");
    mirrored["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "x"});
    mirrored["spec"]["nodeName"] = json!("node");
    let refused = dry_run(&client, &namespace, "pods", &mirrored)
        .await
        .unwrap_err();
    assert!(
        refused.contains("it has not the sidecar bulkhead"),
        "{refused}"
    );
}

#[tokio::test]
async fn whoever_may_opt_out_is_not_refused() {
    let cluster = shared().await;
    let (client, namespace) = (cluster.client(), enabled(cluster, &[]).await);
    let mut lenient = enforced("chat");
    lenient["spec"]["optOut"] = json!("Allowed");
    lenient["spec"]["excluding"] = json!([{"matchLabels": {"older": "yes"}}]);
    in_force(cluster, &namespace, &[lenient], &pod("chat")).await;

    let mut out = pod("chat");
    out["metadata"]["annotations"] = json!({"bulkhead.dev/inject": "false"});
    let mut excluded = pod("chat");
    excluded["metadata"]["labels"]["older"] = json!("yes");
    for pod in [out, excluded, pod("other")] {
        let stored = dry_run(&client, &namespace, "pods", &pod).await.unwrap();
        assert!(
            !stored.to_string().contains("bulkhead.dev/injected"),
            "{stored:#}"
        );
    }

    // Whoever has opted out and runs does not opt in again without the sidecar.
    let mut out = pod("chat");
    out["metadata"]["annotations"] = json!({"bulkhead.dev/inject": "false"});
    let mut stored = create(&client, &namespace, "pods", &out).await.unwrap();
    stored["metadata"]["annotations"]["a.test/b"] = json!("c");
    let mut stored = replace(&client, &namespace, "pods", "", &stored)
        .await
        .unwrap();
    stored["metadata"]["annotations"] = json!({});
    let refused = replace(&client, &namespace, "pods", "", &stored).await;
    let said = refused.unwrap_err();
    assert!(said.contains("it has not the sidecar bulkhead"), "{said}");
}

#[tokio::test]
async fn old_pods_can_be_changed_where_it_makes_no_difference() {
    let cluster = shared().await;
    let (client, namespace) = (cluster.client(), enabled(cluster, &[]).await);
    // Given a pod from before the policy, with a finalizer, and one that the policy is not for.
    let mut old = pod("chat");
    old["metadata"]["name"] = json!("old");
    old["metadata"]["finalizers"] = json!(["a.test/b"]);
    let mut old = create(&client, &namespace, "pods", &old).await.unwrap();
    let mut other = pod("other");
    other["metadata"]["name"] = json!("other");
    let mut other = create(&client, &namespace, "pods", &other).await.unwrap();
    in_force(cluster, &namespace, &[enforced("chat")], &pod("chat")).await;

    // When its finalizer goes, an annotation comes, or its application's image is another, nobody minds.
    old["metadata"]["annotations"] = json!({"a.test/b": "c"});
    old["spec"]["containers"][0]["image"] = json!("bulkhead.test/app:2");
    let mut old = replace(&client, &namespace, "pods", "", &old)
        .await
        .unwrap();
    old["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("finalizers");
    replace(&client, &namespace, "pods", "", &old)
        .await
        .unwrap();

    // But no pod without the sidecar becomes one of the policy's.
    other["metadata"]["labels"]["app"] = json!("chat");
    let refused = replace(&client, &namespace, "pods", "", &other)
        .await
        .unwrap_err();
    assert!(
        refused.contains("it has not the sidecar bulkhead"),
        "{refused}"
    );
}

#[tokio::test]
async fn the_sidecar_of_a_pod_that_runs_is_not_exchanged() {
    let (_cluster, client, namespace) = guarded().await;
    let mut stored = create(&client, &namespace, "pods", &pod("chat"))
        .await
        .unwrap();
    sidecar(&mut stored)["image"] = json!("evil:1");
    let refused = replace(&client, &namespace, "pods", "", &stored)
        .await
        .unwrap_err();
    assert!(refused.contains(ANOTHER), "{refused}");

    sidecar(&mut stored)["image"] = json!("bulkhead.test/sidecar:1");
    stored["metadata"]["labels"]["more"] = json!("labels");
    replace(&client, &namespace, "pods", "", &stored)
        .await
        .unwrap();
}

#[tokio::test]
async fn who_debugs_a_pod_stays_away_from_the_sidecar() {
    let cluster = shared().await;
    let (client, namespace) = (cluster.client(), enabled(cluster, &[]).await);
    let mut old = pod("chat");
    old["metadata"]["name"] = json!("old");
    let old = create(&client, &namespace, "pods", &old).await.unwrap();
    in_force(cluster, &namespace, &[enforced("chat")], &pod("chat")).await;
    let new = create(&client, &namespace, "pods", &pod("chat"))
        .await
        .unwrap();

    let debugged = |pod: &Value, fields: Value| {
        let mut pod = pod.clone();
        let mut container = json!({"name": "debug", "image": "a.test/shell:1"});
        container
            .as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        pod["spec"]["ephemeralContainers"] = json!([container]);
        pod
    };
    for fields in [
        json!({"volumeMounts": [{"name": "bulkhead-secrets", "mountPath": "/x"}]}),
        json!({"targetContainerName": "bulkhead"}),
    ] {
        let pod = debugged(&new, fields);
        let refused = replace(&client, &namespace, "pods", "/ephemeralcontainers", &pod).await;
        let said = refused.unwrap_err();
        assert!(
            said.contains("an ephemeral container mounts a volume"),
            "{said}"
        );
    }
    // A pod from before the policy can be debugged too, although it has no sidecar.
    for pod in [&new, &old] {
        let pod = debugged(pod, json!({"targetContainerName": "app"}));
        replace(&client, &namespace, "pods", "/ephemeralcontainers", &pod)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_policy_in_audit_refuses_nobody() {
    let cluster = shared().await;
    let (client, namespace) = (cluster.client(), enabled(cluster, &[]).await);
    in_force(cluster, &namespace, &[full("chat")], &pod("chat")).await;
    let good = written(
        dry_run(&client, &namespace, "pods", &pod("chat"))
            .await
            .unwrap(),
    );
    for (about, change, _) in ATTEMPTS {
        let mut pod = good.clone();
        change(&mut pod);
        let stored = dry_run(&client, &namespace, "pods", &pod).await;
        assert!(stored.is_ok(), "{about}: {stored:?}");
    }
    // And the operator changes its template without anybody's leave.
    let mut template = full("chat");
    template["metadata"]["resourceVersion"] = json!(null);
    let made = dry_run(
        &operator(cluster),
        &namespace,
        "injectiontemplates",
        &template,
    )
    .await;
    assert!(made.unwrap_err().contains("already exists"));
}

#[tokio::test]
async fn the_oldest_server_that_is_supported_guards_alike() {
    let oldest = ControlPlane::start_with(Options {
        emulated: Some("1.33"),
        controller_manager: false,
        ..Options::default()
    })
    .await;
    install_guards(&oldest).await;
    let (client, namespace) = (oldest.client(), enabled(&oldest, &[]).await);
    let template = enforced("chat");
    create(
        &operator(&oldest),
        &namespace,
        "injectiontemplates",
        &template,
    )
    .await
    .unwrap();
    wait::until_within(READY, "pods to be guarded", || async {
        let made = dry_run(&client, &namespace, "pods", &pod("chat")).await;
        made.is_err_and(|error| error.contains("it has not the sidecar bulkhead"))
    })
    .await;

    let template: InjectionTemplate = serde_json::from_value(template).unwrap();
    let Outcome::Injected { pod: good, .. } = inject(&pod("chat"), &[template]) else {
        panic!("the engine does not inject");
    };
    dry_run(&client, &namespace, "pods", &good).await.unwrap();
    for (about, change, why) in ATTEMPTS {
        let mut bad = good.clone();
        change(&mut bad);
        let refused = dry_run(&client, &namespace, "pods", &bad).await;
        let said = refused.expect_err(about);
        assert!(said.contains(why), "{about}: {said}");
    }
}

#[tokio::test]
async fn the_api_server_finds_no_mistake_in_the_types_of_the_policies() {
    let cluster = shared().await;
    for policy in ["bulkhead-guard", "bulkhead-owned"] {
        let get = ["get", "validatingadmissionpolicy", policy, "-o", "json"];
        // The controller manager looks at them in its own time.
        wait::until_within(READY, "the types to be checked", || async {
            let policy: Value = serde_json::from_str(&cluster.kubectl(&get).await.well()).unwrap();
            let checked = &policy["status"]["typeChecking"];
            assert!(checked.is_null() || *checked == json!({}), "{policy:#}");
            !checked.is_null()
        })
        .await;
    }
}
