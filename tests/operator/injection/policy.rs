//! The API server injects by itself, in CEL.

use bulkhead_tests::operator::{Operator, control_plane};
use serde_json::json;

use super::{created, enabled, in_force, pod, template};

#[tokio::test]
async fn a_selected_pod_comes_up_with_the_sidecar_before_everything_else() {
    let cluster = control_plane().await;
    let operator = Operator::start(&cluster).await;
    operator.until_installed().await;
    let namespace = enabled(&cluster).await;
    in_force(&cluster, &namespace, &template(&namespace)).await;

    let mut pod = pod("one");
    pod["spec"]["terminationGracePeriodSeconds"] = json!(40);
    pod["spec"]["hostAliases"] = json!([{"ip": "10.1.2.3", "hostnames": ["db.internal", "other"]}]);
    pod["spec"]["initContainers"] = json!([pod["spec"]["containers"][0].clone()]);
    pod["spec"]["initContainers"][0]["name"] = json!("migrate");
    pod["spec"]["initContainers"][0]
        .as_object_mut()
        .unwrap()
        .remove("readinessProbe");
    let got = created(&cluster, &namespace, &pod).await;
    let spec = &got["spec"];

    assert_eq!(
        got["metadata"]["annotations"]["bulkhead.dev/injected"],
        "chat@h1"
    );
    let (sidecar, migrate, app) = (
        &spec["initContainers"][0],
        &spec["initContainers"][1],
        &spec["containers"][0],
    );
    assert_eq!(
        (&sidecar["name"], &sidecar["restartPolicy"]),
        (&json!("bulkhead"), &json!("Always"))
    );
    let args = json!([
        "run",
        "--snapshot",
        "/etc/bulkhead/policy",
        "--resolve=db.internal=10.1.2.3",
        "--grace=30s"
    ]);
    assert_eq!(sidecar["args"], args);
    assert_eq!(
        spec["hostAliases"],
        json!([{"ip": "10.1.2.3", "hostnames": ["other"]}, {"ip": "127.0.0.1", "hostnames": ["db.internal", "db"]}])
    );
    for application in [migrate, app] {
        assert_eq!(
            application["ports"][1]["name"], "bh-app-http",
            "{application}"
        );
        assert_eq!(
            application["env"],
            json!([{"name": "PGSSLROOTCERT", "value": "/etc/bulkhead/ca/ca.crt"}])
        );
        assert!(
            application["volumeMounts"]
                .to_string()
                .contains("bulkhead-ca"),
            "{application}"
        );
    }
    assert_eq!(app["readinessProbe"]["httpGet"]["port"], 8000);
    let mounts = sidecar["volumeMounts"].as_array().unwrap();
    assert_eq!(mounts.len(), 3, "no token of a service account: {mounts:?}");
}
