//! What the operator renders, as the API server takes it: whole, applied to a pod, and past its own guard.

use bulkhead_crds::kinds::{InjectionTemplate, Protocol};
use bulkhead_operator::admission::inject::{Outcome, inject};
use bulkhead_operator::build::{Rendering, Serves, SidecarImage, template};
use serde_json::{Value, json};

use super::scene::{self, create, dry_run, enabled, in_force};
use super::templates::pod;

/// A sidecar that has everything in front of it that a policy can ask for.
const EVERYTHING: Serves = Serves {
    web_sockets: true,
    protocols: &[Protocol::PostgreSQL, Protocol::Redis, Protocol::ClickHouse],
};

/// A release that serves PostgreSQL alone, of databases.
const POSTGRESQL: Serves = Serves {
    protocols: &[Protocol::PostgreSQL],
    ..EVERYTHING
};

/// A policy that asks for nothing.
const BARE: &str = "  identity: {source: Trusted}";

/// One that asks for all that changes a pod.
const FULL: &str =
    "  identity: {source: Jwt, jwt: {jwks: {secretRef: {name: idp}}}, signedContext: {}}
  limits: {maxUsers: 1000000}
  inject: {env: {APP_MODE: isolated}}
  databases:
  - name: main
    protocol: PostgreSQL
    listen: {tls: Issued, socket: /run/postgresql, auth: {mode: Scram, secretRef: {name: app}}}
    upstream: {host: db, credentialsSecretRef: {name: db}, tls: {caSecretRef: {name: db}}}
  - name: cache
    protocol: Redis
    listen: {address: 127.0.0.2, tls: Secret, tlsSecretRef: {name: cert}}
    upstream: {host: cache.example.org}
  webSockets:
  - {name: chat, listen: {port: 8080, takesOver: http}, upstream: {port: 8000}}";

/// One of which this release serves the first database alone.
const HALF_SERVED: &str = "  identity: {source: Trusted}
  databases:
  - name: main
    protocol: PostgreSQL
    listen: {auth: {mode: Trust}}
    upstream: {host: db.example.org, credentialsSecretRef: {name: db}}
  - name: cache
    protocol: Redis
    listen: {address: 127.0.0.2, auth: {mode: Trust}}
    upstream: {host: cache.example.org, credentialsSecretRef: {name: cache}}";

fn rendered(spec: &str, namespace: &str, serves: Serves) -> InjectionTemplate {
    let text = format!(
        "apiVersion: bulkhead.dev/v1alpha1\nkind: IsolationPolicy\nmetadata: {{name: chat, namespace: {namespace}}}\nspec:\n  \
         selector: {{matchLabels: {{app: chat}}}}\n{spec}\n"
    );
    let policy = bulkhead_crds::load(&text).unwrap();
    let effective = bulkhead_crds::resolve(&policy, "production").unwrap();
    template(&Rendering {
        policy: &policy,
        effective: &effective,
        excluding: &[],
        previous: None,
        sidecar: &SidecarImage {
            image: "bulkhead.test/sidecar:1".to_owned(),
            pull_policy: Some("Never".to_owned()),
            run_as_user: Some(65532),
            run_as_group: Some(65532),
            cluster_domain: "cluster.local".to_owned(),
        },
        serves,
    })
}

/// A pod without a token of its own, whose volume would have another name each time.
fn sent() -> Value {
    let mut pod = pod("chat");
    pod["spec"]["automountServiceAccountToken"] = false.into();
    pod
}

/// Given a rendered template in a restricted namespace, the API server keeps all of it, makes the same pod of it as the engine, and guards
/// by it.
async fn holds(spec: &str, serves: Serves) -> Value {
    let cluster = scene::shared().await;
    let labels = [
        ("pod-security.kubernetes.io/enforce", "restricted"),
        ("pod-security.kubernetes.io/enforce-version", "latest"),
    ];
    let namespace = enabled(cluster, &labels).await;
    let template = rendered(spec, &namespace, serves);
    in_force(cluster, &namespace, &[json!(template)], &sent()).await;

    let client = cluster.client();
    let api = kube::Api::<InjectionTemplate>::namespaced(client.clone(), &namespace);
    let kept = api.get("chat").await.unwrap();
    assert_eq!(
        json!(kept.spec),
        json!(template.spec),
        "the schema drops what is rendered"
    );

    let Outcome::Injected { pod, .. } = inject(&sent(), &[template]) else {
        panic!("the engine does not inject");
    };
    let by_engine = dry_run(&client, &namespace, "pods", &pod).await.unwrap();
    let by_server = create(&client, &namespace, "pods", &sent()).await.unwrap();
    assert_eq!(by_server["spec"], by_engine["spec"]);
    for field in ["labels", "annotations"] {
        let (server, engine) = (&by_server["metadata"], &by_engine["metadata"]);
        assert_eq!(server[field], engine[field]);
    }
    by_server
}

#[tokio::test]
async fn a_policy_that_asks_for_nothing_still_brings_its_sidecar() {
    let pod = holds(BARE, Serves::THIS_RELEASE).await;
    let sidecar = &pod["spec"]["initContainers"][0];
    assert_eq!(sidecar["name"], "bulkhead");
    assert_eq!(sidecar["args"][11], "--grace=25s");
    assert_eq!(pod["spec"]["hostAliases"], Value::Null);
}

#[tokio::test]
async fn a_policy_that_asks_for_everything_has_all_of_it_in_the_pod() {
    let pod = holds(FULL, EVERYTHING).await;
    let spec = &pod["spec"];
    assert_eq!(spec["hostAliases"][1]["hostnames"][0], "cache.example.org");
    let application = &spec["containers"][0];
    assert_eq!(application["ports"][1]["name"], "bh-app-http");
    let label = &pod["metadata"]["labels"]["bulkhead.dev/taken-over"];
    assert!(label.is_string(), "{label}");
    let env: Vec<_> = application["env"].as_array().unwrap().iter().collect();
    assert_eq!(env[1]["name"], "PGSSLROOTCERT", "{env:?}");
    let mounts = application["volumeMounts"].as_array().unwrap();
    let paths: Vec<_> = mounts.iter().map(|mount| &mount["mountPath"]).collect();
    assert_eq!(paths, ["/run/postgresql", "/etc/bulkhead/ca"]);
}

/// The names of the Secrets that a pod's sidecar mounts.
fn mounted(pod: &Value) -> Vec<&str> {
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    let secrets = volumes.iter().find(|it| it["name"] == "bulkhead-secrets");
    let sources = secrets.unwrap()["projected"]["sources"].as_array().unwrap();
    sources
        .iter()
        .map(|it| it["secret"]["name"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn pods_pass_the_guard_of_a_release_that_serves_more_databases_or_fewer() {
    // Given pods that were injected by a release that mounts the Secrets of one database, and by one that mounts those of both.
    let cluster = scene::shared().await;
    let client = cluster.client();
    let injected = |template: &InjectionTemplate| {
        let Outcome::Injected { pod, .. } = inject(&sent(), std::slice::from_ref(template)) else {
            panic!("the engine does not inject");
        };
        pod
    };
    for (before, after, secrets) in [
        (POSTGRESQL, EVERYTHING, vec!["cache", "db"]),
        (EVERYTHING, POSTGRESQL, vec!["db"]),
    ] {
        let namespace = enabled(cluster, &[]).await;
        let old = injected(&rendered(HALF_SERVED, &namespace, before));
        let template = rendered(HALF_SERVED, &namespace, after);
        in_force(cluster, &namespace, &[json!(template)], &sent()).await;

        // When the operator is of the other release, then such a pod is made anew, and is as that release makes it.
        let pod = dry_run(&client, &namespace, "pods", &old).await.unwrap();
        assert_eq!(mounted(&pod), secrets);

        // And one with fewer Secrets than the template has passes as it is.
        if before == POSTGRESQL {
            let mut kept = old;
            let annotation = &injected(&template)["metadata"]["annotations"];
            kept["metadata"]["annotations"] = annotation.clone();
            let pod = dry_run(&client, &namespace, "pods", &kept).await.unwrap();
            assert_eq!(mounted(&pod), ["db"]);
        }
    }
}
