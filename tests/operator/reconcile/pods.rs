//! What the status says of pods, with the real sidecar answering where a pod's would.

use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

use bulkhead_tests::processes::{Running, folder};
use bulkhead_tests::volume::Volume;
use bulkhead_tests::{programs, wait};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::world::{PATIENCE, Scene, holds, spec};

/// A database whose listener takes any port, for several sidecars on one machine.
pub(super) fn any_port() -> Value {
    json!({"listen": {"port": 0}, "pool": {"maxConnections": 20, "perUser": {"max": 4}}})
}

/// The sidecar of a pod: a process with the command line of the container, on an address of its own.
pub(super) struct Sidecar {
    pub(super) address: String,
    volume: Volume,
    _process: Running,
}

impl Sidecar {
    /// Starts it with the snapshot that is published now.
    pub(super) async fn start(scene: &Scene, policy: &str) -> Self {
        static NEXT: AtomicU8 = AtomicU8::new(1);
        let process = (std::process::id() % 250) + 1;
        let address = format!("127.{process}.9.{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let home = folder("sidecar");
        let volume = Volume::at(home.join("policy"));
        publish(scene, policy, &volume).await;
        let mut command = Command::new(programs::sidecar());
        command
            .arg("run")
            .arg("--snapshot")
            .arg(volume.path())
            .arg("--admin")
            .arg(format!("{address}:9432"))
            .arg("--control")
            .arg(home.join("control.sock"));
        Self {
            _process: Running::start("the sidecar", &mut command),
            address,
            volume,
        }
    }

    /// What the kubelet does when it is poked.
    pub(super) async fn renew(&self, scene: &Scene, policy: &str) {
        publish(scene, policy, &self.volume).await;
    }
}

async fn publish(scene: &Scene, policy: &str, volume: &Volume) {
    let map = scene
        .maps()
        .get(&format!("bulkhead-{policy}"))
        .await
        .unwrap();
    let data = map.data.unwrap();
    volume.publish(data.iter().map(|(key, text)| (key.as_str(), text.as_str())));
}

pub(super) fn deployment(name: &str, hash: &str) -> (Value, Value) {
    (
        json!({"app": "web", "pod-template-hash": hash}),
        json!({"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": format!("{name}-{hash}"),
            "uid": "00000000-0000-0000-0000-000000000001", "controller": true}),
    )
}

#[tokio::test]
async fn a_pod_is_in_sync_when_its_sidecar_says_so_and_is_poked_for_what_is_new() {
    let scene = Scene::enabled().await;
    scene.apply("chat", spec(any_port())).await;
    scene.until("chat", "Accepted", "Accepted").await;
    scene.pod("web", json!({"app": "web"}), None).await;
    scene.until("chat", "Programmed", "Syncing").await;
    // With one pod the share is that of two: one more may be there in a rollout.
    let first = scene
        .snapshot("chat", |found| {
            found.policy().databases[0].pool.max_connections == 20
        })
        .await;
    let sidecar = Sidecar::start(&scene, "chat").await;
    scene.runs("web", &sidecar.address, true).await;
    let halved = scene
        .snapshot("chat", |found| {
            found.policy().databases[0].pool.max_connections == 10
        })
        .await;
    assert_ne!(first.revision(), halved.revision());
    let mark = poked(&scene, "web", halved.revision()).await;
    assert!(mark.starts_with(halved.revision()), "{mark}");
    sidecar.renew(&scene, "chat").await;
    let programmed = scene.until("chat", "Programmed", "Programmed").await;
    assert!(holds(&programmed));
    let pods = scene
        .policies()
        .get("chat")
        .await
        .unwrap()
        .status
        .unwrap()
        .pods
        .unwrap();
    assert_eq!((pods.eligible, pods.injected, pods.in_sync), (1, 1, 1));

    let mut edited = any_port();
    super::world::merge(&mut edited, json!({"timeouts": {"statement": "7s"}}));
    let start = Instant::now();
    scene.apply("chat", spec(edited)).await;
    let newest = scene
        .snapshot("chat", |found| {
            found.policy().databases[0].timeouts.statement
                == Some(std::time::Duration::from_secs(7))
        })
        .await;
    poked(&scene, "web", newest.revision()).await;
    wait::no_longer_than(std::time::Duration::from_secs(2), start);
    sidecar.renew(&scene, "chat").await;
    scene.until("chat", "Programmed", "Programmed").await;
}

/// The mark of the poke for a revision, once there is one.
async fn poked(scene: &Scene, pod: &str, revision: &str) -> String {
    let pods = scene.pods();
    let read = || async {
        let pod = pods.get(pod).await.unwrap();
        pod.annotations()
            .get("bulkhead.dev/revision")
            .cloned()
            .unwrap_or_default()
    };
    wait::until_within(PATIENCE, "the poke", || async {
        read().await.starts_with(revision)
    })
    .await;
    read().await
}

#[tokio::test]
async fn pods_that_are_older_than_the_policy_wait_for_a_rollout_that_is_spelt_out() {
    let scene = Scene::enabled().await;
    let (labels, owner) = deployment("web", "5d4f");
    scene.pod("web-5d4f-1", labels, Some(owner)).await;
    scene.runs("web-5d4f-1", "192.0.2.1", true).await;
    // Ages are told apart by the second.
    let created = scene
        .pods()
        .get("web-5d4f-1")
        .await
        .unwrap()
        .creation_timestamp()
        .unwrap();
    wait::until("the next second", || async {
        k8s_openapi::jiff::Timestamp::now().as_second() > created.0.as_second()
    })
    .await;
    scene.apply("chat", spec(json!({}))).await;
    let waits = scene.until("chat", "Programmed", "RolloutPending").await;
    assert!(!holds(&waits));
    let command = format!(
        "kubectl rollout restart deployment/web -n {}",
        scene.namespace
    );
    assert!(waits.message.contains(&command), "{}", waits.message);
    let degraded = scene.until("chat", "Degraded", "UninjectedPods").await;
    assert!(holds(&degraded));
    let pods = scene
        .policies()
        .get("chat")
        .await
        .unwrap()
        .status
        .unwrap()
        .pods
        .unwrap();
    let skipped = pods.skipped.unwrap();
    assert_eq!(
        (skipped[0].reason.as_str(), skipped[0].count),
        ("OlderThanPolicy", 1)
    );
}

#[tokio::test]
async fn a_sidecar_that_cannot_be_asked_is_unknown_and_not_in_sync() {
    let scene = Scene::enabled().await;
    scene.apply("chat", spec(json!({}))).await;
    scene.until("chat", "Accepted", "Accepted").await;
    scene.pod("web", json!({"app": "web"}), None).await;
    // Nobody listens there.
    scene.runs("web", "127.255.255.254", true).await;
    let unknown = scene
        .until("chat", "Programmed", "SidecarsUnreachable")
        .await;
    assert!(unknown.message.contains("9432"), "{}", unknown.message);
    let pods = scene
        .policies()
        .get("chat")
        .await
        .unwrap()
        .status
        .unwrap()
        .pods
        .unwrap();
    assert_eq!((pods.injected, pods.in_sync), (1, 0));
}

#[tokio::test]
async fn every_pod_of_a_policy_has_its_share_of_the_upstreams_connections() {
    let scene = Scene::enabled().await;
    scene.apply("chat", spec(any_port())).await;
    scene.until("chat", "Accepted", "Accepted").await;
    for number in 1..=4 {
        let name = format!("web-{number}");
        scene.pod(&name, json!({"app": "web"}), None).await;
        scene.runs(&name, &format!("192.0.2.{number}"), true).await;
    }
    // Four and a surge of one.
    let share = scene
        .snapshot("chat", |found| {
            found.policy().databases[0].pool.max_connections == 4
        })
        .await;
    let origin = share
        .policy()
        .origins
        .of("databases[main].pool.maxConnections");
    assert_eq!(origin.to_string(), "20 shared by 5 pods");
}
