//! Templates as the operator renders them, with all that one can have in it, and a pod that they select.

use serde_json::{Value, json};

fn security_context() -> Value {
    json!({
        "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true,
        "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"},
    })
}

fn mounts() -> Value {
    json!([
        {"name": "bulkhead-policy", "mountPath": "/etc/bulkhead/policy", "readOnly": true},
        {"name": "bulkhead-secrets", "mountPath": "/etc/bulkhead/secrets", "readOnly": true},
        {"name": "bulkhead-run", "mountPath": "/run/bulkhead"},
        {"name": "bulkhead-no-token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true},
        {"name": "bulkhead-audit", "mountPath": "/var/lib/bulkhead/audit"},
    ])
}

fn volumes(policy: &str) -> Value {
    json!([
        {"name": "bulkhead-policy", "configMap": {"name": format!("bulkhead-{policy}"), "defaultMode": 292}},
        {"name": "bulkhead-secrets", "projected": {"defaultMode": 292, "sources": [
            {"secret": {"name": "db", "items": [
                {"key": "username", "path": "db/username"}, {"key": "password", "path": "db/password"},
            ]}},
            {"secret": {"name": "bulkhead-context-keys", "optional": true, "items": [
                {"key": "jwks.json", "path": "bulkhead-context-keys/jwks.json"},
            ]}},
        ]}},
        {"name": "bulkhead-run", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
        {"name": "bulkhead-no-token", "emptyDir": {}},
        {"name": "bulkhead-audit", "persistentVolumeClaim": {"claimName": "audit"}},
    ])
}

/// What the label of a pod says whose ports the full template takes over.
pub const MARK: &str = "0123456789ab";

/// The template of a policy that selects the pods of the application of the same name. It takes nothing over and changes no container.
pub fn bare(policy: &str) -> Value {
    let (args, image) = (
        json!([
            "run",
            "--snapshot",
            "/etc/bulkhead/policy",
            "--admin",
            ":9432"
        ]),
        "bulkhead.test/sidecar:1",
    );
    let env = json!([
        {"name": "BULKHEAD_CONTROL", "value": "/run/bulkhead/control.sock"},
        {"name": "BULKHEAD_POD_ADDRESS", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}},
    ]);
    json!({
        "apiVersion": "bulkhead.dev/v1alpha1",
        "kind": "InjectionTemplate",
        "metadata": {"name": policy, "labels": {"bulkhead.dev/owned": "true"}},
        "spec": {
            "policy": policy, "hash": "h1", "enforce": false, "optOut": "Allowed",
            "selector": {"matchLabels": {"app": policy}},
            "sidecar": {
                "name": "bulkhead", "image": image, "restartPolicy": "Always", "args": args, "env": env,
                "ports": [{"name": "bh-admin", "containerPort": 9432, "protocol": "TCP"}],
                "volumeMounts": mounts(), "securityContext": security_context(),
                "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "1", "memory": "128Mi"}},
                "startupProbe": {"httpGet": {"path": "/readyz", "port": 9432}, "periodSeconds": 1, "failureThreshold": 60},
                "readinessProbe": {"httpGet": {"path": "/readyz", "port": 9432}, "periodSeconds": 5, "failureThreshold": 3},
                "lifecycle": {"preStop": {"exec": {"command": ["/bulkhead-sidecar", "drain"]}}},
            },
            "accepted": [{
                "image": image, "args": args, "env": env, "volumeMounts": mounts(), "securityContext": security_context(),
            }],
            "volumes": volumes(policy),
        },
    })
}

/// The template of a policy that takes ports over, aliases databases, and gives its application a certificate and a socket.
pub fn full(policy: &str) -> Value {
    let mut template = bare(policy);
    let spec = &mut template["spec"];
    spec["takePorts"] =
        json!([{"name": "http", "renamed": "bh-app-http"}, {"name": "ws", "renamed": "bh-app-ws"}]);
    spec["takenOver"] = json!(MARK);
    spec["hostAliases"] = json!([
        {"ip": "127.0.0.1", "hostnames": ["db.internal", "db"]},
        {"ip": "127.0.0.2", "hostnames": ["cache.internal"]},
    ]);
    spec["env"] = json!([
        {"name": "PGSSLROOTCERT", "value": "/etc/bulkhead/ca/ca.crt"},
        {"name": "PGHOST", "value": "/run/postgresql"},
    ]);
    spec["mounts"] = json!([
        {"name": "bulkhead-ca", "mountPath": "/etc/bulkhead/ca", "readOnly": true},
        {"name": "bulkhead-socket-0", "mountPath": "/run/postgresql"},
    ]);
    push(
        &mut spec["volumes"],
        json!({
            "name": "bulkhead-ca",
            "secret": {"secretName": format!("bulkhead-{policy}-tls"), "defaultMode": 292, "items": [{"key": "ca.crt", "path": "ca.crt"}]},
        }),
    );
    push(
        &mut spec["volumes"],
        json!({"name": "bulkhead-socket-0", "emptyDir": {}}),
    );
    for (name, number) in [("http", 8080), ("ws", 8081)] {
        let port = json!({"name": name, "containerPort": number, "protocol": "TCP"});
        push(&mut spec["sidecar"]["ports"], port);
    }
    template
}

/// The same, of a policy in Enforce.
pub fn enforced(policy: &str) -> Value {
    let mut template = full(policy);
    template["spec"]["enforce"] = json!(true);
    template["spec"]["optOut"] = json!("Denied");
    template
}

/// A pod of an application, which Pod Security `restricted` admits.
pub fn pod(app: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "pod", "labels": {"app": app}},
        "spec": {
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container("app")],
        },
    })
}

/// A container of an application, with a port that is taken over where that is asked for.
pub fn container(name: &str) -> Value {
    json!({
        "name": name, "image": "bulkhead.test/app:1",
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        "ports": [{"name": "metrics", "containerPort": 9090}, {"name": "http", "containerPort": 8000}],
    })
}

/// Appends to an array.
pub fn push(array: &mut Value, element: Value) {
    array.as_array_mut().unwrap().push(element);
}
