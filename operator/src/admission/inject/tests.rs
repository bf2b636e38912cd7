use super::*;

/// A template of policy `chat` that does everything that a template can; `change` has the last word.
fn template(change: impl FnOnce(&mut Value)) -> InjectionTemplate {
    let mut spec = json!({
        "policy": "chat",
        "hash": "0123456789ab",
        "enforce": true,
        "optOut": "Denied",
        "selector": {"matchLabels": {"app": "chat"}},
        "sidecar": {
            "name": "bulkhead",
            "image": "sidecar:2",
            "restartPolicy": "Always",
            "args": ["run"],
            "env": [],
            "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
            "volumeMounts": [{"name": "bulkhead-run", "mountPath": "/run/bulkhead"}],
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": true,
                "runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
            "resources": {"requests": {"cpu": "10m"}, "limits": {"memory": "88Mi"}},
            "startupProbe": {"httpGet": {"path": "/readyz", "port": 9432}, "periodSeconds": 1, "failureThreshold": 60},
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": 9432}, "periodSeconds": 2, "failureThreshold": 2},
            "lifecycle": {"preStop": {"exec": {"command": ["/bulkhead-sidecar", "drain"]}}},
        },
        "accepted": [],
        "volumes": [{"name": "bulkhead-run", "emptyDir": {"medium": "Memory"}}],
        "hostAliases": [{"ip": "127.0.0.1", "hostnames": ["db", "db.shop"]}],
        "env": [{"name": "PGHOST", "value": "127.0.0.1"}],
        "mounts": [{"name": "bulkhead-socket-1", "mountPath": "/run/pg"}],
        "takePorts": [{"name": "http", "renamed": "bh-app-http"}],
    });
    change(&mut spec);
    InjectionTemplate::new("chat", serde_json::from_value(spec).unwrap())
}

/// A template that adds the sidecar and nothing else.
fn plain() -> InjectionTemplate {
    template(|spec| {
        for field in ["hostAliases", "env", "mounts", "takePorts"] {
            spec.as_object_mut().unwrap().remove(field);
        }
    })
}

fn pod(change: impl FnOnce(&mut Value)) -> Value {
    let mut pod = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "one", "labels": {"app": "chat"}},
        "spec": {"containers": [{"name": "app", "image": "app:1"}]},
    });
    change(&mut pod);
    pod
}

fn now(pod: &Value, template: &InjectionTemplate) -> Value {
    match inject(pod, std::slice::from_ref(template)) {
        Outcome::Injected { pod, policy } => {
            assert_eq!(policy, "chat");
            pod
        }
        other => panic!("{other:?}"),
    }
}

fn names(list: &Value) -> Vec<&str> {
    elements(list)
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect()
}

#[test]
fn a_pod_gets_the_sidecar_its_volumes_and_the_mark_and_keeps_all_else() {
    let before = pod(|_| {});
    let after = now(&before, &plain());
    assert_eq!(names(&after["spec"]["initContainers"]), ["bulkhead"]);
    let mut sidecar = json!(plain().spec.sidecar);
    sidecar["args"] = json!(["run", "--grace=25s"]);
    assert_eq!(after["spec"]["initContainers"][0], sidecar);
    assert_eq!(after["spec"]["volumes"], json!(plain().spec.volumes));
    assert_eq!(
        after["metadata"]["annotations"],
        json!({"bulkhead.dev/injected": "chat@0123456789ab"})
    );

    let mut rest = after.clone();
    rest["metadata"]
        .as_object_mut()
        .unwrap()
        .remove("annotations");
    for field in ["initContainers", "volumes"] {
        rest["spec"].as_object_mut().unwrap().remove(field);
    }
    assert_eq!(rest, before);
}

#[test]
fn who_is_injected() {
    let expressions =
        json!({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["jobs"]}]});
    for (labels, selector, excluding, is_for) in [
        (
            json!({"app": "chat"}),
            json!({"matchLabels": {"app": "chat"}}),
            json!([]),
            true,
        ),
        (
            json!({"app": "shop"}),
            json!({"matchLabels": {"app": "chat"}}),
            json!([]),
            false,
        ),
        (
            Value::Null,
            json!({"matchLabels": {"app": "chat"}}),
            json!([]),
            false,
        ),
        (Value::Null, json!({}), json!([]), true),
        (
            json!({"app": "chat"}),
            json!({}),
            json!([{"matchLabels": {"app": "chat"}}]),
            false,
        ),
        (
            json!({"app": "chat"}),
            json!({}),
            json!([{"matchLabels": {"app": "shop"}}]),
            true,
        ),
        (json!({"tier": "web"}), expressions.clone(), json!([]), true),
        (Value::Null, expressions.clone(), json!([]), true),
        (json!({"tier": "jobs"}), expressions, json!([]), false),
        (
            json!({"tier": "jobs"}),
            json!({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}),
            json!([]),
            true,
        ),
        (
            json!({"tier": "jobs"}),
            json!({}),
            json!([{"matchExpressions": [{"key": "tier", "operator": "In", "values": ["jobs", "cron"]}]}]),
            false,
        ),
    ] {
        let told = format!("{labels} {selector} {excluding}");
        let template = template(|spec| {
            spec["selector"] = selector;
            spec["excluding"] = excluding;
        });
        let pod = pod(|pod| pod["metadata"]["labels"] = labels);
        let outcome = inject(&pod, &[template]);
        assert_eq!(
            matches!(outcome, Outcome::Injected { .. }),
            is_for,
            "{told}"
        );
        assert_eq!(outcome == Outcome::NotSelected, !is_for, "{told}");
    }
}

#[test]
fn of_two_policies_the_one_that_excludes_nothing_has_the_pod() {
    let older = template(|spec| spec["hash"] = "older".into());
    let mut newer = template(|spec| {
        spec["selector"] = json!({});
        spec["excluding"] = json!([{"matchLabels": {"app": "chat"}}]);
    });
    newer.metadata.name = Some("a-newer-one".to_owned());
    for templates in [[older.clone(), newer.clone()], [newer, older]] {
        let Outcome::Injected { policy, pod } = inject(&pod(|_| {}), &templates) else {
            panic!("not injected");
        };
        assert_eq!(policy, "chat");
        assert_eq!(annotation(&pod, objects::INJECTED), "chat@older");
    }
}

#[test]
fn who_is_left_alone_and_why() {
    use SkippedReason::{HostNetwork, NameTaken, OptedOut, StaticPod};
    type Change = fn(&mut Value);
    let out: Change =
        |pod| pod["metadata"]["annotations"] = json!({"bulkhead.dev/inject": "false"});
    let cases: [(&str, &str, Change, Option<SkippedReason>); 10] = [
        ("opt-out allowed", "Allowed", out, Some(OptedOut)),
        ("opt-out denied", "Denied", out, None),
        (
            "an annotation that is not false",
            "Allowed",
            |pod| pod["metadata"]["annotations"] = json!({"bulkhead.dev/inject": "no"}),
            None,
        ),
        (
            "the node's network",
            "Denied",
            |pod| pod["spec"]["hostNetwork"] = true.into(),
            Some(HostNetwork),
        ),
        (
            "a network of its own",
            "Denied",
            |pod| pod["spec"]["hostNetwork"] = false.into(),
            None,
        ),
        (
            "a mirror on the node's network",
            "Denied",
            |pod| {
                pod["spec"]["hostNetwork"] = true.into();
                pod["metadata"]["annotations"] = json!({"kubernetes.io/config.mirror": "f"});
            },
            Some(StaticPod),
        ),
        (
            "an application called bulkhead",
            "Denied",
            |pod| pod["spec"]["containers"][0]["name"] = "bulkhead".into(),
            Some(NameTaken),
        ),
        (
            "an application called bulkhead, and a mark",
            "Denied",
            |pod| {
                pod["spec"]["containers"][0]["name"] = "bulkhead".into();
                pod["metadata"]["annotations"] = json!({"bulkhead.dev/injected": "chat@old"});
            },
            Some(NameTaken),
        ),
        (
            "somebody else's sidecar called bulkhead",
            "Denied",
            |pod| pod["spec"]["initContainers"] = json!([{"name": "bulkhead"}]),
            Some(NameTaken),
        ),
        (
            "a mark without a sidecar",
            "Denied",
            |pod| {
                pod["metadata"]["annotations"] =
                    json!({"bulkhead.dev/injected": "chat@0123456789ab"});
            },
            None,
        ),
    ];
    for (told, opt_out, change, expected) in cases {
        let template = template(|spec| spec["optOut"] = opt_out.into());
        let found = match inject(&pod(change), &[template]) {
            Outcome::Skipped { reason, .. } => Some(reason),
            Outcome::Injected { .. } => None,
            other => panic!("{told}: {other:?}"),
        };
        assert_eq!(found, expected, "{told}");
    }
}

#[test]
fn a_pod_is_injected_once_wherever_the_sidecar_stands_in_it() {
    let template = template(|_| {});
    let mut once = now(&pod(|_| {}), &template);
    let unchanged = Outcome::Unchanged {
        policy: "chat".to_owned(),
    };
    assert_eq!(inject(&once, std::slice::from_ref(&template)), unchanged);

    let list = once["spec"]["initContainers"].as_array_mut().unwrap();
    list.insert(0, json!({"name": "first"}));
    assert_eq!(inject(&once, &[template]), unchanged);
}

#[test]
fn the_sidecar_of_an_older_template_is_replaced() {
    let older = template(|spec| {
        spec["hash"] = "older".into();
        spec["sidecar"]["image"] = "sidecar:1".into();
        spec["volumes"][0]["emptyDir"] = json!({});
    });
    let newer = template(|_| {});
    let before = pod(|pod| {
        pod["spec"]["initContainers"] = json!([{"name": "setup"}]);
        pod["spec"]["volumes"] = json!([{"name": "data", "emptyDir": {}}]);
        pod["spec"]["hostAliases"] = json!([{"ip": "10.0.0.7", "hostnames": ["db", "other"]}]);
        pod["spec"]["containers"][0]["ports"] = json!([{"name": "http", "containerPort": 8000}]);
    });
    let twice = now(&now(&before, &older), &newer);
    assert_eq!(twice, now(&before, &newer));
}

#[test]
fn the_sidecar_comes_behind_the_mesh_and_before_everything_else() {
    for (before, after) in [
        ("", "bulkhead"),
        ("setup migrate", "bulkhead setup migrate"),
        (
            "istio-init istio-proxy setup",
            "istio-init istio-proxy bulkhead setup",
        ),
        (
            "linkerd-init linkerd-proxy",
            "linkerd-init linkerd-proxy bulkhead",
        ),
        (
            "linkerd-network-validator setup",
            "linkerd-network-validator bulkhead setup",
        ),
        (
            "setup istio-proxy other",
            "setup istio-proxy bulkhead other",
        ),
    ] {
        let list: Vec<_> = before
            .split_whitespace()
            .map(|name| json!({"name": name}))
            .collect();
        let pod = now(
            &pod(|pod| pod["spec"]["initContainers"] = list.into()),
            &plain(),
        );
        assert_eq!(names(&pod["spec"]["initContainers"]).join(" "), after);
    }
}

#[test]
fn the_sidecar_ends_a_little_before_its_pod() {
    for (seconds, grace) in [
        (Value::Null, "25s"),
        (0.into(), "1s"),
        (5.into(), "1s"),
        (7.into(), "2s"),
        (600.into(), "595s"),
    ] {
        let pod = now(
            &pod(|pod| pod["spec"]["terminationGracePeriodSeconds"] = seconds),
            &plain(),
        );
        assert_eq!(
            pod["spec"]["initContainers"][0]["args"],
            json!(["run", format!("--grace={grace}")])
        );
    }
}

#[test]
fn what_the_pod_aliased_itself_the_sidecar_dials() {
    let ours = json!({"ip": "127.0.0.1", "hostnames": ["db", "db.shop"]});
    for (aliases, after, resolves) in [
        (Value::Null, json!([ours]), vec![]),
        (
            json!([{"ip": "10.0.0.7", "hostnames": ["db", "cache"]}, {"ip": "10.0.0.8", "hostnames": ["db"]}]),
            json!([{"ip": "10.0.0.7", "hostnames": ["cache"]}, ours]),
            vec!["--resolve=db=10.0.0.7", "--resolve=db=10.0.0.8"],
        ),
        (
            json!([{"ip": "fd00::7", "hostnames": ["db.shop"]}]),
            json!([ours]),
            vec!["--resolve=db.shop=fd00::7"],
        ),
        (
            json!([{"ip": "127.0.0.9", "hostnames": ["db"]}, {"ip": "::1", "hostnames": ["db.shop", "me"]}]),
            json!([{"ip": "::1", "hostnames": ["me"]}, ours]),
            vec![],
        ),
    ] {
        let told = aliases.to_string();
        let pod = now(
            &pod(|pod| pod["spec"]["hostAliases"] = aliases),
            &template(|_| {}),
        );
        assert_eq!(pod["spec"]["hostAliases"], after, "{told}");
        let args = [vec!["run"], resolves, vec!["--grace=25s"]].concat();
        assert_eq!(
            pod["spec"]["initContainers"][0]["args"],
            json!(args),
            "{told}"
        );
    }
}

#[test]
fn without_aliases_of_ours_those_of_the_pod_stay() {
    let aliases = json!([{"ip": "10.0.0.7", "hostnames": ["db"]}]);
    let pod = now(
        &pod(|pod| pod["spec"]["hostAliases"] = aliases.clone()),
        &plain(),
    );
    assert_eq!(pod["spec"]["hostAliases"], aliases);
}

#[test]
fn a_taken_name_leaves_the_entry_and_what_used_it_gets_the_number() {
    let container = |name: &str| {
        json!({
            "name": name,
            "ports": [{"name": "metrics", "containerPort": 9090}, {"name": "http", "containerPort": 8000, "hostPort": 80}],
            "readinessProbe": {"httpGet": {"path": "/", "port": "http"}},
            "livenessProbe": {"tcpSocket": {"port": "http"}},
            "startupProbe": {"httpGet": {"path": "/", "port": "metrics"}},
            "lifecycle": {"postStart": {"httpGet": {"path": "/", "port": "http"}}, "preStop": {"httpGet": {"path": "/", "port": 8000}}},
        })
    };
    let changed = |name: &str| {
        let mut container = container(name);
        container["ports"][1]["name"] = "bh-app-http".into();
        for path in [
            "/readinessProbe/httpGet",
            "/livenessProbe/tcpSocket",
            "/lifecycle/postStart/httpGet",
        ] {
            container.pointer_mut(path).unwrap()["port"] = 8000.into();
        }
        container
    };
    let template = template(|spec| {
        for field in ["env", "mounts"] {
            spec.as_object_mut().unwrap().remove(field);
        }
    });
    let before = pod(|pod| {
        pod["spec"]["containers"] = json!([container("app"), container("second"), {"name": "third",
            "livenessProbe": {"grpc": {"port": 8000}}, "readinessProbe": {"httpGet": {"port": "http"}}}]);
        pod["spec"]["initContainers"] = json!([container("own-sidecar")]);
    });
    let after = now(&before, &template);
    assert_eq!(after["spec"]["containers"][0], changed("app"));
    assert_eq!(after["spec"]["containers"][1], changed("second"));
    assert_eq!(
        after["spec"]["containers"][2],
        before["spec"]["containers"][2]
    );
    assert_eq!(after["spec"]["initContainers"][1], changed("own-sidecar"));
}

#[test]
fn variables_and_mounts_are_added_where_the_container_has_none_of_its_own() {
    let before = pod(|pod| {
        pod["spec"]["containers"] = json!([
            {"name": "bare"},
            {"name": "own", "env": [{"name": "PGHOST", "value": "elsewhere"}], "volumeMounts": [{"name": "mine", "mountPath": "/run/pg"}]},
            {"name": "other", "env": [{"name": "PGPORT", "value": "1"}], "volumeMounts": [{"name": "mine", "mountPath": "/data"}]},
        ]);
        pod["spec"]["initContainers"] = json!([{"name": "migrate"}]);
    });
    let after = now(&before, &template(|_| {}));
    let (env, mount) = (
        json!({"name": "PGHOST", "value": "127.0.0.1"}),
        json!({"name": "bulkhead-socket-1", "mountPath": "/run/pg"}),
    );
    let containers = &after["spec"]["containers"];
    for bare in [&containers[0], &after["spec"]["initContainers"][1]] {
        assert_eq!(bare["env"], json!([env]));
        assert_eq!(bare["volumeMounts"], json!([mount]));
    }
    assert_eq!(containers[1], before["spec"]["containers"][1]);
    assert_eq!(names(&containers[2]["env"]), ["PGPORT", "PGHOST"]);
    assert_eq!(
        names(&containers[2]["volumeMounts"]),
        ["mine", "bulkhead-socket-1"]
    );
}

#[test]
fn what_is_no_pod_is_not_stumbled_over() {
    let template = template(|spec| spec["selector"] = json!({}));
    for odd in [
        json!({"metadata": {}, "spec": {}}),
        json!({"metadata": {"annotations": null}, "spec": {"containers": {}, "initContainers": null}}),
    ] {
        let pod = now(&odd, &template);
        assert_eq!(names(&pod["spec"]["initContainers"]), ["bulkhead"], "{odd}");
    }
}
