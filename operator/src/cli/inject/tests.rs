use serde_json::Value;

use super::document::{Documents, all};
use super::sources::{Circumstances, Sources};
use crate::build::SidecarImage;
use crate::cli::manifests::{Manifest, Problem, parse};

const POLICY: &str = "\
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: chat}
spec:
  selector: {matchLabels: {app: chat}}
  identity: {source: Trusted}
  databases:
  - {name: main, protocol: PostgreSQL, listen: {auth: {mode: Trust}}, upstream: {host: db.internal}}
  environments:
  - {name: audited, mode: Audit}
";

const DEPLOYMENT: &str = "\
# Source: chat/templates/deployment.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: chat, namespace: prod}
spec:
  selector: {matchLabels: {app: chat}}
  template:
    metadata: {labels: {app: chat}}
    spec:
      terminationGracePeriodSeconds: 60
      containers:
      - name: web
        image: example.test/chat:1
        env: [{name: DEBUG, value: \"on\"}]
";

fn read(file: &str, text: &str) -> Vec<Manifest> {
    let (mut manifests, mut problems) = (Vec::new(), Vec::new());
    parse(&file.into(), text, &mut manifests, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    manifests
}

fn sidecar(image: &str) -> SidecarImage {
    SidecarImage {
        image: image.to_owned(),
        pull_policy: None,
        run_as_user: Some(65532),
        run_as_group: Some(65532),
        cluster_domain: "cluster.local".to_owned(),
    }
}

fn outcome(
    printed: &str,
    beside: &str,
    environment: Option<&str>,
) -> Result<Documents, Vec<Problem>> {
    let (printed, beside) = (read("app.yaml", printed), read("policy.yaml", beside));
    let circumstances = Circumstances {
        environment: environment.map(str::to_owned),
        default_environment: "production".to_owned(),
        sidecar: sidecar("example.test/sidecar:1"),
    };
    let sources = Sources::read(&printed, &beside, circumstances)?;
    all(&printed, &sources, "default")
}

fn injected(printed: &str, beside: &str) -> Documents {
    outcome(printed, beside, None).unwrap_or_else(|problems| panic!("{problems:?}"))
}

fn objects(text: &str) -> Vec<Value> {
    read("printed", text)
        .into_iter()
        .map(|it| it.object)
        .collect()
}

fn first_init(object: &Value, spec: &str) -> Value {
    object.pointer(spec).unwrap()["initContainers"][0]["name"].clone()
}

#[test]
fn a_selected_workload_is_injected_and_keeps_the_order_of_its_fields() {
    let made = injected(DEPLOYMENT, POLICY);
    assert!(
        made.text.starts_with("# Source: chat/templates/deployment.yaml\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: chat\n"),
        "{}",
        made.text
    );
    let object = &objects(&made.text)[0];
    let template = &object["spec"]["template"];
    assert_eq!(first_init(object, "/spec/template/spec"), "bulkhead");
    let mark = template["metadata"]["annotations"]["bulkhead.dev/injected"]
        .as_str()
        .unwrap();
    assert!(mark.starts_with("chat@"), "{mark}");
    assert!(object["metadata"].get("annotations").is_none());
    // A reader of an older YAML takes a bare `on` for a boolean, and refuses the variable.
    assert!(made.text.contains("value: \"on\""), "{}", made.text);
    assert_eq!(
        made.told,
        ["app.yaml:2: Deployment prod/chat: injected by policy chat, environment production"]
    );
}

#[test]
fn what_nobody_selects_is_printed_as_it_came() {
    let other = DEPLOYMENT.replace("labels: {app: chat}", "labels: {app: other}");
    let service =
        "# a comment\napiVersion: v1\nkind: Service   # another\nmetadata: {name: chat}\n";
    let made = injected(&format!("{other}---\n{service}"), POLICY);
    assert_eq!(made.text, format!("{other}---\n{service}"));
    assert_eq!(made.told.len(), 1);
    assert!(
        made.told[0].ends_with("no policy selects its pods"),
        "{:?}",
        made.told
    );
}

#[test]
fn every_built_in_kind_with_pods_is_injected() {
    let template = "metadata: {labels: {app: chat}}, spec: {containers: [{name: web, image: i}]}";
    let of_template = format!("spec: {{template: {{{template}}}}}");
    for (version, kind, body, spec) in [
        (
            "v1",
            "Pod",
            template.replace("metadata: {", "metadata: {name: x, "),
            "/spec",
        ),
        (
            "apps/v1",
            "Deployment",
            of_template.clone(),
            "/spec/template/spec",
        ),
        (
            "apps/v1",
            "StatefulSet",
            of_template.clone(),
            "/spec/template/spec",
        ),
        (
            "apps/v1",
            "DaemonSet",
            of_template.clone(),
            "/spec/template/spec",
        ),
        (
            "apps/v1",
            "ReplicaSet",
            of_template.clone(),
            "/spec/template/spec",
        ),
        (
            "v1",
            "ReplicationController",
            of_template.clone(),
            "/spec/template/spec",
        ),
        (
            "batch/v1",
            "Job",
            of_template.clone(),
            "/spec/template/spec",
        ),
        (
            "batch/v1",
            "CronJob",
            format!("spec: {{jobTemplate: {{{of_template}}}}}"),
            "/spec/jobTemplate/spec/template/spec",
        ),
        (
            "v1",
            "PodTemplate",
            format!("template: {{{template}}}"),
            "/template/spec",
        ),
    ] {
        let made = injected(
            &format!("{{apiVersion: {version}, kind: {kind}, {body}}}"),
            POLICY,
        );
        let object = &objects(&made.text)[0];
        assert_eq!(first_init(object, spec), "bulkhead", "{kind}");
    }
}

#[test]
fn a_list_stays_one_and_its_other_items_as_they_are() {
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: p, labels: {app: chat}}, spec: {containers: [{name: web, image: i}]}}";
    let service = "{apiVersion: v1, kind: Service, metadata: {name: s}}";
    let made = injected(
        &format!("apiVersion: v1\nkind: List\nitems: [{service}, {pod}]\n"),
        POLICY,
    );
    let whole: Value = serde_yaml::from_str(&made.text).unwrap();
    assert_eq!(whole["kind"], "List");
    let kinds: Vec<_> = objects(&made.text)
        .iter()
        .map(|it| it["kind"].clone())
        .collect();
    assert_eq!(kinds, ["Service", "Pod"]);
    assert_eq!(first_init(&whole["items"][1], "/spec"), "bulkhead");
}

#[test]
fn injecting_twice_is_injecting_once() {
    let once = injected(DEPLOYMENT, POLICY).text;
    let twice = injected(&once, POLICY);
    assert_eq!(once, twice.text);
    assert!(
        twice.told[0].ends_with("injected by policy chat already"),
        "{:?}",
        twice.told
    );
}

#[test]
fn the_environment_is_that_of_the_command_line_or_of_the_namespace() {
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: prod\n  labels: {bulkhead.dev/injection: enabled, bulkhead.dev/environment: audited}\n";
    let told =
        |text: &str, environment| outcome(text, POLICY, environment).unwrap().told[0].clone();
    let both = format!("{namespace}---\n{DEPLOYMENT}");
    assert!(told(&both, None).ends_with("environment audited"));
    assert!(told(&both, Some("staging")).ends_with("environment staging"));
}

#[test]
fn where_the_namespace_is_not_labelled_nothing_is_injected_for_nothing_would_configure_it() {
    for label in ["", "labels: {bulkhead.dev/injection: disabled}"] {
        let namespace =
            format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: prod, {label}}}\n");
        let made = injected(&format!("{namespace}---\n{DEPLOYMENT}"), POLICY);
        assert!(made.text.ends_with(DEPLOYMENT), "{}", made.text);
        assert!(
            made.told[0].contains("namespace prod is not labelled"),
            "{:?}",
            made.told
        );
    }
}

#[test]
fn an_opted_out_pod_is_left_alone_and_the_reason_told() {
    let out = DEPLOYMENT.replace(
        "labels: {app: chat}}\n    spec",
        "labels: {app: chat}, annotations: {bulkhead.dev/inject: \"false\"}}\n    spec",
    );
    let made = outcome(&out, POLICY, Some("audited")).unwrap();
    assert_eq!(made.text, out);
    assert!(made.told[0].contains("opts out"), "{:?}", made.told);
    // In Enforce the annotation does not count.
    assert_ne!(injected(&out, POLICY).text, out);
}

#[test]
fn the_first_policy_by_age_and_name_has_the_pods() {
    let younger = POLICY.replace(
        "name: chat}",
        "name: another, creationTimestamp: \"2026-02-02T00:00:00Z\"}",
    );
    let older = POLICY.replace(
        "name: chat}",
        "name: chat, creationTimestamp: \"2026-01-01T00:00:00Z\"}",
    );
    for (first, second, winner) in [
        (&*younger, &*older, "chat"),
        (
            POLICY,
            &*POLICY.replace("name: chat}", "name: another}"),
            "another",
        ),
    ] {
        let made = injected(DEPLOYMENT, &format!("{first}---\n{second}"));
        assert!(
            made.told[0].contains(&format!("policy {winner},")),
            "{:?}",
            made.told
        );
    }
}

#[test]
fn a_clusters_template_goes_before_the_policy_and_is_not_printed() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p, labels: {app: chat}}\nspec: {containers: [{name: web, image: i}]}\n";
    let policy: bulkhead_crds::kinds::IsolationPolicy = bulkhead_crds::load(POLICY).unwrap();
    let effective = bulkhead_crds::resolve(&policy, "production").unwrap();
    let mut template = crate::build::template(&crate::build::Rendering {
        policy: &policy,
        effective: &effective,
        excluding: &[],
        previous: None,
        sidecar: &sidecar("example.test/sidecar:other"),
        serves: crate::build::Serves::THIS_RELEASE,
    });
    template.metadata.namespace = Some("default".to_owned());
    let template = serde_json::to_string(&template).unwrap();
    for (printed, beside) in [
        (format!("{template}\n---\n{pod}"), POLICY.to_owned()),
        (pod.to_owned(), format!("{POLICY}---\n{template}\n")),
    ] {
        let made = injected(&printed, &beside);
        let printed = objects(&made.text);
        assert_eq!(printed.len(), 1);
        assert_eq!(
            printed[0]["spec"]["initContainers"][0]["image"],
            "example.test/sidecar:other"
        );
    }
}

#[test]
fn what_is_wrong_is_told_with_file_line_and_field() {
    let wrong = DEPLOYMENT.replace(
        "image: example.test/chat:1",
        "ports: [{containerPort: http}]",
    );
    let policy = POLICY.replace("identity: {source: Trusted}", "identity: {source: Jwt}");
    for (printed, beside, begins) in [
        (
            wrong.as_str(),
            POLICY,
            "app.yaml:13: Deployment chat: spec.template.spec.containers[0].ports[0].containerPort: ",
        ),
        (
            DEPLOYMENT,
            policy.as_str(),
            "policy.yaml:6: IsolationPolicy chat: spec.identity",
        ),
        (
            DEPLOYMENT,
            &POLICY.replace("selector", "selectors"),
            "policy.yaml:5: IsolationPolicy chat: ",
        ),
    ] {
        let problems = outcome(printed, beside, None).err().unwrap();
        let told = super::told(problems).to_string();
        assert!(told.starts_with(begins), "{told}");
    }
}
