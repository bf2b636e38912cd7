use bulkhead_crds::kinds::OptOut;
use serde_json::{Value, json};

use super::*;

const SERVING_ALL: Serves = Serves {
    web_sockets: true,
    protocols: &[Protocol::PostgreSQL, Protocol::Redis, Protocol::ClickHouse],
};

fn image() -> SidecarImage {
    SidecarImage {
        image: "registry.example/bulkhead-sidecar:1".to_owned(),
        pull_policy: None,
        run_as_user: Some(65532),
        run_as_group: Some(65532),
        cluster_domain: "cluster.local".to_owned(),
    }
}

/// A policy `chat` of namespace `staging` with this below `spec`.
fn policy(spec: &str) -> IsolationPolicy {
    let text = format!(
        "apiVersion: bulkhead.dev/v1alpha1\nkind: IsolationPolicy\nmetadata: {{name: chat, namespace: staging, labels: {{team: a}}}}\nspec:\n  \
         selector: {{matchLabels: {{app: chat}}}}\n{spec}\n"
    );
    bulkhead_crds::load(&text).unwrap()
}

struct Case {
    policy: IsolationPolicy,
    image: SidecarImage,
    serves: Serves,
    previous: Option<InjectionTemplate>,
    excluding: Vec<Selector>,
}

impl Case {
    fn of(spec: &str) -> Self {
        Self {
            policy: policy(spec),
            image: image(),
            serves: Serves::THIS_RELEASE,
            previous: None,
            excluding: Vec::new(),
        }
    }

    fn render(&self) -> InjectionTemplate {
        let effective = bulkhead_crds::resolve(&self.policy, "staging").unwrap();
        template(&Rendering {
            policy: &self.policy,
            effective: &effective,
            excluding: &self.excluding,
            previous: self.previous.as_ref(),
            sidecar: &self.image,
            serves: self.serves,
        })
    }
}

const TRUSTED: &str = "  identity: {source: Trusted}";

/// A policy of one database.
fn database(listen: &str, upstream: &str) -> String {
    format!(
        "{TRUSTED}\n  databases:\n  - {{name: main, protocol: PostgreSQL, listen: {{auth: {{mode: Trust}}{listen}}}, upstream: {{{upstream}}}}}"
    )
}

fn json_of(template: &InjectionTemplate) -> Value {
    serde_json::to_value(template).unwrap()
}

#[test]
fn the_template_is_the_policy_s_by_name_and_ours_by_label() {
    let case = Case {
        excluding: vec![Selector::default()],
        ..Case::of(TRUSTED)
    };
    let template = json_of(&case.render());
    assert_eq!(
        template["metadata"],
        json!({"name": "chat", "namespace": "staging",
            "labels": {"bulkhead.dev/owned": "true"}, "annotations": {"bulkhead.dev/policy": "chat"}})
    );
    let spec = &template["spec"];
    assert_eq!(spec["selector"], json!({"matchLabels": {"app": "chat"}}));
    assert_eq!(spec["excluding"], json!([{}]));
    assert_eq!(
        (&spec["enforce"], &spec["optOut"]),
        (&json!(true), &json!("Denied"))
    );
    for absent in ["hostAliases", "env", "mounts", "takePorts"] {
        assert_eq!(spec.get(absent), None, "{absent}");
    }
}

#[test]
fn an_audit_refuses_nobody_and_lets_pods_opt_out() {
    let template = Case::of("  identity: {source: Trusted}\n  mode: Audit").render();
    assert!(!template.spec.enforce);
    assert_eq!(template.spec.opt_out, OptOut::Allowed);
}

#[test]
fn the_container_is_a_native_sidecar_that_passes_pod_security_restricted() {
    let sidecar = json_of(&Case::of(TRUSTED).render())["spec"]["sidecar"].take();
    let expected = json!({
        "name": "bulkhead",
        "image": "registry.example/bulkhead-sidecar:1",
        "restartPolicy": "Always",
        "args": ["run", "--snapshot", "/etc/bulkhead/policy", "--accepted", "/run/bulkhead/accepted", "--secrets", "/etc/bulkhead/secrets",
            "--admin", ":9432", "--control", "/run/bulkhead/control.sock"],
        "env": [{"name": "BULKHEAD_CONTROL", "value": "/run/bulkhead/control.sock"}],
        "ports": [{"name": "bh-admin", "containerPort": 9432, "protocol": "TCP"}],
        "volumeMounts": [
            {"name": "bulkhead-policy", "mountPath": "/etc/bulkhead/policy", "readOnly": true},
            {"name": "bulkhead-secrets", "mountPath": "/etc/bulkhead/secrets", "readOnly": true},
            {"name": "bulkhead-run", "mountPath": "/run/bulkhead"},
            {"name": "bulkhead-no-token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true},
        ],
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true,
            "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "resources": {"requests": {"cpu": "10m", "memory": "40Mi"}, "limits": {"memory": "88Mi"}},
        "startupProbe": {"httpGet": {"path": "/readyz", "port": 9432}, "periodSeconds": 1, "failureThreshold": 60},
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": 9432}, "periodSeconds": 2, "failureThreshold": 2},
        "lifecycle": {"preStop": {"exec": {"command": ["/bulkhead-sidecar", "drain"]}}},
    });
    assert_eq!(sidecar, expected);
}

#[test]
fn where_the_platform_assigns_ids_the_sidecar_names_none() {
    let case = Case {
        image: SidecarImage {
            run_as_user: None,
            run_as_group: None,
            pull_policy: Some("Never".to_owned()),
            ..image()
        },
        ..Case::of(TRUSTED)
    };
    let sidecar = json_of(&case.render())["spec"]["sidecar"].take();
    assert_eq!(sidecar["imagePullPolicy"], "Never");
    assert_eq!(sidecar["securityContext"].get("runAsUser"), None);
    assert_eq!(sidecar["securityContext"].get("runAsGroup"), None);
    assert_eq!(sidecar["securityContext"]["runAsNonRoot"], true);
}

#[test]
fn memory_follows_how_many_users_there_may_be() {
    for (users, request, limit) in [(1, "30Mi", "49Mi"), (1_000_000, "1006Mi", "3955Mi")] {
        let resources = Case::of(&format!("{TRUSTED}\n  limits: {{maxUsers: {users}}}"))
            .render()
            .spec
            .sidecar
            .resources;
        assert_eq!(resources.requests.memory.as_deref(), Some(request));
        assert_eq!(resources.limits.memory.as_deref(), Some(limit));
    }
}

#[test]
fn memory_holds_what_is_kept_for_resumes() {
    let limit = |sockets: &str| {
        let case = Case::of(&format!(
            "{TRUSTED}\n  limits: {{maxUsers: 1}}\n  webSockets: {sockets}"
        ));
        case.render().spec.sidecar.resources.limits.memory
    };
    for (sockets, expected) in [
        ("[{name: a, upstream: {port: 80}}]", "113Mi"),
        (
            "[{name: a, upstream: {port: 80}, resume: {totalBytes: 1500Ki}}]",
            "51Mi",
        ),
        (
            "[{name: a, upstream: {port: 80}, resume: {window: 0s}}]",
            "49Mi",
        ),
        (
            "[{name: a, upstream: {port: 80}, resume: {buffer: 0}}]",
            "49Mi",
        ),
        (
            "[{name: a, upstream: {port: 80}}, {name: b, listen: {port: 81}, upstream: {port: 82}}]",
            "113Mi",
        ),
    ] {
        assert_eq!(limit(sockets).as_deref(), Some(expected), "{sockets}");
    }
}

#[test]
fn every_spelling_of_a_service_is_aliased() {
    let long = |name: &str, of: &str| {
        vec![
            format!("{name}.{of}"),
            format!("{name}.{of}.svc"),
            format!("{name}.{of}.svc.cluster.local"),
        ]
    };
    let own = [vec!["db".to_owned()], long("db", "staging")].concat();
    for (host, expected) in [
        ("db", own.clone()),
        ("DB.", own.clone()),
        ("db.staging", own.clone()),
        ("db.staging.svc", own.clone()),
        ("db.staging.svc.cluster.local", own),
        ("db.data", long("db", "data")),
        ("db.data.svc", long("db", "data")),
        (
            "main.abc.rds.example.com",
            vec!["main.abc.rds.example.com".to_owned()],
        ),
        ("my_db.example.com", vec![]),
        ("10.0.0.7", vec![]),
        ("fd00::1", vec![]),
        ("/run/postgresql", vec![]),
    ] {
        assert_eq!(
            aliases::spellings(host, "staging", "cluster.local"),
            expected,
            "{host}"
        );
    }
}

#[test]
fn a_name_is_led_to_the_listener_s_address() {
    for (listen, upstream, expected) in [
        (
            "",
            "host: db.example.org",
            json!([{"ip": "127.0.0.1", "hostnames": ["db.example.org"]}]),
        ),
        (
            ", address: 127.0.0.2",
            "host: db.example.org",
            json!([{"ip": "127.0.0.2", "hostnames": ["db.example.org"]}]),
        ),
        (
            ", address: \"::1\"",
            "host: db.example.org",
            json!([{"ip": "::1", "hostnames": ["db.example.org"]}]),
        ),
        ("", "host: 10.0.0.7", Value::Null),
        (
            "",
            "host: /run/postgresql, tls: {mode: Disable}",
            Value::Null,
        ),
    ] {
        let spec = json_of(&Case::of(&database(listen, upstream)).render())["spec"].take();
        assert_eq!(spec["hostAliases"], expected, "{listen} {upstream}");
    }
}

#[test]
fn every_host_of_a_list_leads_to_the_one_listener() {
    let spec = database(
        "",
        "hosts: [{host: db-0.example.org}, {host: db-1.example.org}, {host: 10.0.0.7}]",
    );
    let aliases = Case::of(&spec).render().spec.host_aliases.unwrap();
    assert_eq!(aliases.len(), 1);
    assert_eq!(aliases[0].ip, "127.0.0.1");
    assert_eq!(
        aliases[0].hostnames,
        ["db-0.example.org", "db-1.example.org"]
    );
}

#[test]
fn a_listener_that_a_variable_leads_to_has_no_alias() {
    let env = |value: &str| format!("\n  inject: {{env: {{PGHOST: \"{value}\"}}}}");
    for (listen, value, aliased) in [
        ("", "127.0.0.1", false),
        ("", "postgres://127.0.0.1:5432/chat", false),
        ("", "127.0.0.11", true),
        ("", "elsewhere", true),
        (", socket: /run/pg", "/run/pg", false),
    ] {
        let spec = database(listen, "host: db.example.org") + &env(value);
        let template = Case::of(&spec).render();
        assert_eq!(template.spec.host_aliases.is_some(), aliased, "{value}");
        assert_eq!(template.spec.env.unwrap()[0].value, value);
    }
}

#[test]
fn an_address_of_two_listeners_needs_its_port_to_mean_one() {
    let two = |value: &str| {
        let spec = format!(
            "{TRUSTED}\n  databases:\n  - {{name: a, protocol: PostgreSQL, listen: {{auth: {{mode: Trust}}}}, upstream: {{host: a.example.org}}}}\n  \
             - {{name: b, protocol: PostgreSQL, listen: {{port: 5433, auth: {{mode: Trust}}}}, upstream: {{host: b.example.org}}}}\n  \
             inject: {{env: {{PGHOST: \"{value}\"}}}}"
        );
        let aliases = Case::of(&spec).render().spec.host_aliases.unwrap();
        aliases[0].hostnames.join(" ")
    };
    assert_eq!(two("127.0.0.1"), "a.example.org b.example.org");
    assert_eq!(two("127.0.0.1:5433"), "a.example.org");
}

#[test]
fn a_socket_is_a_folder_that_application_and_sidecar_share() {
    let spec = Case::of(&database(", socket: /run/pg", "host: db.example.org"))
        .render()
        .spec;
    let mounts = spec.mounts.unwrap();
    assert_eq!(
        json!(mounts),
        json!([{"name": "bulkhead-socket-1", "mountPath": "/run/pg"}])
    );
    assert!(spec.sidecar.volume_mounts.contains(&mounts[0]));
    assert!(
        spec.volumes
            .iter()
            .any(|volume| volume.name == "bulkhead-socket-1" && volume.empty_dir.is_some())
    );
}

#[test]
fn an_audit_trail_is_on_a_volume_of_the_sidecar_s_own() {
    let of = |trail: &str| {
        let template = Case::of(&format!("{TRUSTED}\n  auditTrail: {trail}")).render();
        let mounts = template.spec.mounts.iter().flatten();
        assert!(mounts.map(|it| &it.name).all(|it| it != "bulkhead-audit"));
        let json = json_of(&template)["spec"].take();
        let named = |list: &Value| {
            let all = list.as_array().unwrap().iter();
            all.filter(|it| it["name"] == "bulkhead-audit")
                .cloned()
                .collect::<Vec<_>>()
        };
        (
            named(&json["volumes"]),
            named(&json["sidecar"]["volumeMounts"]),
        )
    };
    let mount = json!({"name": "bulkhead-audit", "mountPath": "/var/lib/bulkhead/audit"});
    assert_eq!(of("{}"), (vec![], vec![]));
    let own = json!({"name": "bulkhead-audit", "emptyDir": {}});
    assert_eq!(of("{destination: File}"), (vec![own], vec![mount.clone()]));
    let claimed =
        json!({"name": "bulkhead-audit", "persistentVolumeClaim": {"claimName": "chat-audit"}});
    assert_eq!(
        of("{destination: File, file: {claimName: chat-audit}}"),
        (vec![claimed], vec![mount])
    );
}

#[test]
fn an_issued_certificate_brings_its_authority_to_the_application() {
    let spec = Case::of(&database(", tls: Issued", "host: db.example.org"))
        .render()
        .spec;
    assert_eq!(
        json!(spec.env),
        json!([{"name": "PGSSLROOTCERT", "value": "/etc/bulkhead/ca/ca.crt"}])
    );
    assert_eq!(
        json!(spec.mounts),
        json!([{"name": "bulkhead-ca", "mountPath": "/etc/bulkhead/ca", "readOnly": true}])
    );
    let ca = spec.volumes.iter().find(|it| it.name == "bulkhead-ca");
    assert_eq!(
        json!(ca)["secret"],
        json!({"secretName": "bulkhead-issued-certificates", "defaultMode": 0o444, "items": [{"key": "chat.ca.crt", "path": "ca.crt"}]})
    );
}

/// The `secret` of every source of the volume of Secrets.
fn sources(template: &InjectionTemplate) -> Vec<Value> {
    let volumes = &json_of(template)["spec"]["volumes"];
    let volume = volumes
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["name"] == "bulkhead-secrets")
        .unwrap();
    assert_eq!(volume["projected"]["defaultMode"], 0o444);
    let sources = volume["projected"]["sources"].as_array().unwrap();
    sources
        .iter()
        .map(|source| source["secret"].clone())
        .collect()
}

#[test]
fn the_sidecar_mounts_the_keys_that_the_policy_names_and_no_other() {
    let spec = "  identity: {source: Jwt, jwt: {jwks: {secretRef: {name: idp, key: keys}}}, signedContext: {}}\n  databases:\n  \
                - {name: main, protocol: PostgreSQL, listen: {tls: Secret, tlsSecretRef: {name: cert}, auth: {mode: Scram, secretRef: {name: app}}}, \
                session: {rowLevelSecurity: Signed, signingKeySecretRef: {name: signing}}, \
                upstream: {host: db, credentialsSecretRef: {name: db}, tls: {caSecretRef: {name: db}}}}";
    let keys = |name: &str, keys: &[&str]| {
        let item = |key: &&str| json!({"key": key, "path": format!("{name}/{key}")});
        json!({"name": name, "items": keys.iter().map(item).collect::<Vec<_>>()})
    };
    let mut context = keys("bulkhead-context-keys", &["jwks.json"]);
    context["optional"] = true.into();
    let all = [
        keys("app", &["password"]),
        context,
        keys("cert", &["tls.crt", "tls.key"]),
        keys("db", &["ca.crt", "password", "username"]),
        keys("idp", &["keys"]),
        keys("signing", &["signing-keys"]),
    ];
    assert_eq!(sources(&Case::of(spec).render()), all);
    // What sidecars of the namespace sign is accepted beside the provider's tokens, asked for or not.
    let unasked = spec.replace(", signedContext: {}", "");
    assert_eq!(sources(&Case::of(&unasked).render()), all);
    assert!(sources(&Case::of(TRUSTED).render()).is_empty());
}

#[test]
fn the_secrets_of_a_database_that_is_not_served_are_not_mounted() {
    let spec = "  identity: {source: Trusted}\n  databases:\n  \
                - {name: main, protocol: PostgreSQL, listen: {auth: {mode: Trust}}, upstream: {host: db, credentialsSecretRef: {name: db}}}\n  \
                - {name: cache, protocol: Redis, listen: {address: 127.0.0.2, tls: Secret, tlsSecretRef: {name: cert}, auth: {mode: Trust}}, \
                upstream: {host: cache, credentialsSecretRef: {name: cache}, tls: {caSecretRef: {name: cache-ca}}}}\n  \
                - {name: facts, protocol: ClickHouse, listen: {address: 127.0.0.3, tls: Issued, auth: {mode: Trust}}, upstream: {host: facts}}";
    let names = |serves: Serves| {
        let case = Case {
            serves,
            ..Case::of(spec)
        };
        let sources = sources(&case.render());
        let names = sources.iter().map(|it| it["name"].as_str().unwrap());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let postgresql = Serves {
        protocols: &[Protocol::PostgreSQL],
        ..SERVING_ALL
    };
    assert_eq!(names(postgresql), ["db"]);
    assert_eq!(
        names(SERVING_ALL),
        [
            "cache",
            "cache-ca",
            "cert",
            "db",
            "bulkhead-issued-certificates"
        ]
    );
}

const WEB_SOCKETS: &str = "  identity: {source: Trusted}\n  webSockets:\n  \
    - {name: a, listen: {port: 8080, takesOver: http}, upstream: {port: 8000}}\n  \
    - {name: b, listen: {port: 8081, takesOver: websocket-public}, upstream: {port: 8001}}\n  \
    - {name: c, listen: {port: 8082, takesOver: websocket-private}, upstream: {port: 8002}}\n  \
    - {name: d, listen: {port: 8083}, upstream: {port: 8003}}";

#[test]
fn a_taken_port_is_the_sidecar_s_by_name_and_each_renamed_one_is_another() {
    let spec = WEB_SOCKETS
        .replace("websocket-public", "websocket-open")
        .replace("websocket-private", "websocket-shut");
    let case = Case {
        serves: SERVING_ALL,
        ..Case::of(&spec)
    };
    let template = case.render();
    assert_eq!(
        json!(template.spec.take_ports),
        json!([
            {"name": "http", "renamed": "bh-app-http"},
            {"name": "websocket-open", "renamed": "bh-app-websocke"},
            {"name": "websocket-shut", "renamed": "bh-app-webso-2"},
        ])
    );
    let ports: Vec<_> = template.spec.sidecar.ports.iter().collect();
    let told: Vec<_> = ports
        .iter()
        .map(|port| (port.name.as_str(), port.container_port))
        .collect();
    assert_eq!(
        told,
        [
            ("bh-admin", 9432),
            ("bh-peers", 9433),
            ("http", 8080),
            ("websocket-open", 8081),
            ("websocket-shut", 8082)
        ]
    );
    assert_eq!(
        sources(&template)[0]["items"],
        json!([
            {"key": "jwks.json", "path": "bulkhead-context-keys/jwks.json"},
            {"key": "resume.json", "path": "bulkhead-context-keys/resume.json"},
            {"key": "signing.json", "path": "bulkhead-context-keys/signing.json"},
        ])
    );
}

#[test]
fn pods_reach_each_other_where_sessions_may_be_resumed_and_nowhere_else() {
    let of = |window: &str, serves| {
        let spec = format!(
            "{TRUSTED}\n  webSockets:\n  - {{name: main, listen: {{port: 8080}}, upstream: {{port: 8000}}{window}}}"
        );
        let case = Case {
            serves,
            ..Case::of(&spec)
        };
        case.render()
    };
    let silent = Serves {
        web_sockets: false,
        ..SERVING_ALL
    };
    for (window, serves, expected) in [
        ("", SERVING_ALL, true),
        (", resume: {window: 5s}", SERVING_ALL, true),
        (", resume: {window: 0s}", SERVING_ALL, false),
        ("", silent, false),
    ] {
        let template = of(window, serves);
        let sidecar = &template.spec.sidecar;
        let flag = sidecar
            .args
            .windows(2)
            .any(|it| it == ["--peer-port", "9433"]);
        let port = sidecar.ports.iter().any(|it| it.name == "bh-peers");
        let address = json!({"name": "BULKHEAD_POD_ADDRESS", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "status.podIP"}}});
        let is_told = json!(sidecar.env).as_array().unwrap().contains(&address);
        assert_eq!(template.spec.accepted[0].env, sidecar.env);
        let peers = json!({"name": "bulkhead-peers", "optional": true, "items": [
            {"key": "ca.crt", "path": "bulkhead-peers/ca.crt"},
            {"key": "tls.crt", "path": "bulkhead-peers/tls.crt"},
            {"key": "tls.key", "path": "bulkhead-peers/tls.key"},
        ]});
        let shows = sources(&template).contains(&peers);
        assert_eq!(
            [flag, port, is_told, shows],
            [expected; 4],
            "{window} {serves:?}"
        );
    }
}

#[test]
fn what_this_release_does_not_serve_goes_where_it_went_before() {
    let spec = "  identity: {source: Trusted}\n  databases:\n  - {name: cache, protocol: Redis, listen: {auth: {mode: Trust}, socket: /run/redis}, \
                upstream: {host: cache.example.org}}";
    let ours = Case {
        serves: Serves {
            protocols: &[Protocol::PostgreSQL],
            ..SERVING_ALL
        },
        ..Case::of(spec)
    };
    let ours = ours.render().spec;
    assert_eq!((ours.host_aliases, ours.mounts), (None, None));

    let later = Case {
        serves: SERVING_ALL,
        ..Case::of(spec)
    };
    let later = later.render().spec;
    assert!(later.host_aliases.is_some() && later.mounts.is_some());
}

#[test]
fn the_hash_changes_with_what_is_injected_and_with_nothing_else() {
    let one = Case::of(&database("", "host: db.example.org"))
        .render()
        .spec;
    assert_eq!(one.hash.len(), 12);
    let enforced_otherwise =
        Case::of(&(database("", "host: db.example.org") + "\n  mode: Audit")).render();
    assert_eq!(enforced_otherwise.spec.hash, one.hash);
    let elsewhere = Case::of(&database("", "host: db2.example.org")).render();
    assert_ne!(elsewhere.spec.hash, one.hash);
}

#[test]
fn the_last_four_sidecars_before_this_one_are_accepted_still() {
    let mut case = Case::of(TRUSTED);
    let mut seen = Vec::new();
    for version in [1, 2, 3, 3, 4, 5, 6, 2] {
        case.image.image = format!("s:{version}");
        let template = case.render();
        let images = template.spec.accepted.iter().map(|it| it.image.as_str());
        seen.push(images.collect::<Vec<_>>().join(" "));
        case.previous = Some(template);
    }
    assert_eq!(
        seen,
        [
            "s:1",
            "s:2 s:1",
            "s:3 s:2 s:1",
            "s:3 s:2 s:1",
            "s:4 s:3 s:2 s:1",
            "s:5 s:4 s:3 s:2 s:1",
            "s:6 s:5 s:4 s:3 s:2",
            "s:2 s:6 s:5 s:4 s:3"
        ]
    );
}

#[test]
fn what_is_rendered_twice_is_the_same() {
    let mut case = Case::of(&database("", "host: db.example.org"));
    let first = case.render();
    case.previous = Some(first.clone());
    assert_eq!(case.render(), first);
}
