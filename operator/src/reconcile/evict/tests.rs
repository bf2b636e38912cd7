use bulkhead_crds::kinds::{OptOut, Selector};

use super::*;
use crate::index::Workload;
use crate::index::facts::InjectedFrom;
use crate::reconcile::programmed::Force;

const SECOND: Duration = Duration::from_secs(1);
const SELECTOR: Selector = Selector {
    match_labels: None,
    match_expressions: None,
};
/// When the policy was made, and the pods of the tests after it, in seconds since the epoch.
const CREATED: i64 = 1000;

fn force() -> Force<'static> {
    Force {
        policy: "chat",
        namespace: "prod",
        selector: &SELECTOR,
        excluding: &[],
        created: CREATED,
        opt_out: OptOut::Allowed,
        template: "t",
        revision: "r",
    }
}

/// So many seconds after the first look, when everything has stood for long.
fn moment(seconds: u32) -> Moment {
    Moment {
        now: SECOND * seconds,
        today: CREATED + 1000 + i64::from(seconds),
        standing: Some(SECOND * 1000),
        interval: SECOND * 30,
    }
}

/// A ready pod that was missed, of a Deployment.
fn missed(name: &str) -> PodFacts {
    PodFacts {
        name: name.to_owned(),
        uid: format!("uid-{name}"),
        created: CREATED + 1,
        is_living: true,
        is_ready: true,
        workload: of("Deployment", "web"),
        ..PodFacts::default()
    }
}

fn injected(name: &str) -> PodFacts {
    PodFacts {
        has_container: true,
        injected: InjectedFrom::read("chat@t"),
        ..missed(name)
    }
}

fn of(kind: &str, name: &str) -> Option<Workload> {
    Some(Workload {
        kind: kind.to_owned(),
        name: name.to_owned(),
    })
}

/// Evictions that know of a template since the beginning.
fn settled() -> Evictions {
    let mut evictions = Evictions::default();
    evictions.published(Some("t"), Duration::ZERO);
    evictions
}

/// What is done about these pods, by name.
fn step(pods: &[PodFacts], evictions: &Evictions, moment: &Moment) -> String {
    let pods: Vec<&PodFacts> = pods.iter().collect();
    match plan::next(&force(), &pods, evictions, moment) {
        Step::Rest => "rest".to_owned(),
        Step::Wait(until) => format!("wait until {}", until.as_secs()),
        Step::Blocked(pods) => format!("blocked by {}", pods.join(" ")),
        Step::Evict(pod) => format!("evict {}", pod.name),
    }
}

fn reasons(evictions: &mut Evictions, pods: &[PodFacts], moment: &Moment) -> Vec<String> {
    let pods: Vec<&PodFacts> = pods.iter().collect();
    let step = plan::next(&force(), &pods, evictions, moment);
    evictions.note(&force(), &pods, &step, moment);
    let advice = evictions.advice().iter();
    advice.map(|advice| advice.reason.clone()).collect()
}

fn look(evictions: &mut Evictions, pods: &[PodFacts], moment: &Moment) -> Option<String> {
    let pods: Vec<&PodFacts> = pods.iter().collect();
    evictions.look("chat", &pods, moment)
}

fn evict(evictions: &mut Evictions, pods: &[PodFacts], moment: &Moment) {
    let pods: Vec<&PodFacts> = pods.iter().collect();
    evictions.evicted(pods[0], &pods, moment);
}

#[test]
fn only_a_missed_pod_that_something_replaces_is_evicted() {
    let with = |change: fn(&mut PodFacts)| {
        let mut pod = missed("a");
        change(&mut pod);
        pod
    };
    let kind = |kind: &str| PodFacts {
        workload: of(kind, "web"),
        ..missed("a")
    };
    let theirs = PodFacts {
        injected: InjectedFrom::read("another@t"),
        ..injected("a")
    };
    let table = [
        (missed("a"), "evict a"),
        (injected("a"), "rest"),
        (theirs, "rest"),
        (kind("ReplicaSet"), "evict a"),
        (kind("StatefulSet"), "evict a"),
        (kind("DaemonSet"), "evict a"),
        (kind("ReplicationController"), "evict a"),
        (kind("Job"), "rest"),
        (kind("Workflow"), "rest"),
        (with(|pod| pod.workload = None), "rest"),
        (with(|pod| pod.created = CREATED - 1), "rest"),
        (with(|pod| pod.opts_out = true), "rest"),
        (with(|pod| pod.host_network = true), "rest"),
        (with(|pod| pod.is_mirror = true), "rest"),
        (with(|pod| pod.has_container = true), "rest"),
        (with(|pod| pod.is_deleting = true), "rest"),
        (with(|pod| pod.is_living = false), "rest"),
        // Serving nobody is no reason to stay.
        (with(|pod| pod.is_ready = false), "evict a"),
        // Made a moment ago: it may be one of a rollout that is still under way.
        (with(|pod| pod.created = CREATED + 1071), "wait until 130"),
        (with(|pod| pod.created = CREATED + 1070), "evict a"),
    ];
    for (pod, expected) in table {
        let found = step(std::slice::from_ref(&pod), &settled(), &moment(100));
        assert_eq!(found, expected, "{pod:?}");
    }
}

#[test]
fn a_pod_of_an_older_policy_is_not_this_ones_to_evict() {
    let pod = missed("a");
    let everything = [SELECTOR];
    let force = Force {
        excluding: &everything,
        ..force()
    };
    let found = plan::next(&force, &[&pod], &settled(), &moment(100));
    assert_eq!(found, Step::Rest);
}

#[test]
fn nothing_is_evicted_before_its_successor_is_sure_to_be_injected() {
    let pods = [missed("a")];
    let standing = |seconds: Option<u32>| Moment {
        standing: seconds.map(|seconds| SECOND * seconds),
        ..moment(100)
    };
    // Nobody knows, or something was found wanting: look again after a while.
    assert_eq!(step(&pods, &settled(), &standing(None)), "wait until 130");
    assert_eq!(
        step(&pods, &settled(), &standing(Some(29))),
        "wait until 101"
    );
    assert_eq!(step(&pods, &settled(), &standing(Some(30))), "evict a");
    // The template is not published, was published a moment ago, has changed a moment ago.
    let mut evictions = Evictions::default();
    assert_eq!(step(&pods, &evictions, &moment(100)), "wait until 130");
    evictions.published(Some("t"), SECOND * 90);
    assert_eq!(step(&pods, &evictions, &moment(100)), "wait until 120");
    assert_eq!(step(&pods, &evictions, &moment(120)), "evict a");
    evictions.published(Some("t2"), SECOND * 119);
    assert_eq!(step(&pods, &evictions, &moment(120)), "wait until 149");
    evictions.published(None, SECOND * 150);
    assert_eq!(step(&pods, &evictions, &moment(150)), "wait until 180");
}

#[test]
fn who_serves_nobody_goes_first_and_then_the_oldest() {
    let unready = PodFacts {
        created: CREATED + 9,
        is_ready: false,
        ..missed("c")
    };
    let younger = PodFacts {
        created: CREATED + 5,
        ..missed("a")
    };
    let mut pods = vec![younger, missed("b"), unready];
    for expected in ["c", "b", "a"] {
        let found = step(&pods, &settled(), &moment(100));
        assert_eq!(found, format!("evict {expected}"));
        pods.retain(|pod| pod.name != expected);
    }
}

#[test]
fn disruption_that_is_under_way_is_enough() {
    let starting = PodFacts {
        is_ready: false,
        ..injected("new")
    };
    let ending = PodFacts {
        is_deleting: true,
        ..injected("old")
    };
    let ended = PodFacts {
        is_living: false,
        ..ending.clone()
    };
    let others = PodFacts {
        labels: [("app".to_owned(), "other".to_owned())].into(),
        ..starting.clone()
    };
    let table = [
        (injected("new"), "evict a"),
        (starting, "blocked by new"),
        (ending, "blocked by old"),
        (ended, "evict a"),
    ];
    for (other, expected) in table {
        let pods = [missed("a"), other];
        assert_eq!(step(&pods, &settled(), &moment(100)), expected);
        let told = reasons(&mut settled(), &pods, &moment(100));
        let waits = expected.starts_with("blocked");
        assert_eq!(told, Vec::from_iter(waits.then_some("EvictionWaits")));
    }
    // Pods that an older policy has are not of this one.
    let theirs = Selector {
        match_labels: Some([("app".to_owned(), "other".to_owned())].into()),
        match_expressions: None,
    };
    let theirs = [theirs];
    let force = Force {
        excluding: &theirs,
        ..force()
    };
    let mine = missed("a");
    let found = plan::next(&force, &[&mine, &others], &settled(), &moment(100));
    assert_eq!(found, Step::Evict(&mine));
}

#[test]
fn the_next_one_goes_when_the_successor_is_ready_and_the_interval_is_over() {
    let mut evictions = settled();
    let before = [missed("a"), missed("b")];
    evict(&mut evictions, &before, &moment(100));
    assert_eq!(step(&before, &evictions, &moment(101)), "wait until 700");

    let starting = PodFacts {
        is_ready: false,
        ..injected("c")
    };
    let between = [missed("b"), starting];
    assert_eq!(look(&mut evictions, &between, &moment(102)), None);
    assert_eq!(step(&between, &evictions, &moment(102)), "wait until 700");

    let after = [missed("b"), injected("c")];
    assert_eq!(look(&mut evictions, &after, &moment(110)), None);
    assert_eq!(step(&after, &evictions, &moment(110)), "wait until 140");
    assert_eq!(step(&after, &evictions, &moment(140)), "evict b");
}

#[test]
fn a_successor_that_never_comes_holds_nobody_up_for_ever() {
    let mut evictions = settled();
    evict(&mut evictions, &[missed("a"), missed("b")], &moment(100));
    let left = [missed("b")];
    assert_eq!(look(&mut evictions, &left, &moment(699)), None);
    assert_eq!(step(&left, &evictions, &moment(699)), "wait until 700");
    assert_eq!(look(&mut evictions, &left, &moment(700)), None);
    assert_eq!(step(&left, &evictions, &moment(730)), "evict b");
}

#[test]
fn a_successor_without_a_sidecar_ends_it_for_that_workload() {
    let mut evictions = settled();
    let other = PodFacts {
        workload: of("StatefulSet", "jobs"),
        ..missed("z")
    };
    evict(
        &mut evictions,
        &[missed("a"), missed("b"), other.clone()],
        &moment(100),
    );
    let again = PodFacts {
        created: CREATED + 1101,
        ..missed("c")
    };
    let mut pods = vec![missed("b"), again, other];
    let news = look(&mut evictions, &pods, &moment(101));
    assert!(news.is_some_and(|news| news.contains("deployment/web")));
    // Once, and other workloads have their chance.
    assert_eq!(look(&mut evictions, &pods, &moment(200)), None);
    assert_eq!(step(&pods, &evictions, &moment(200)), "evict z");
    pods.pop();
    assert_eq!(step(&pods, &evictions, &moment(200)), "rest");
    let told = reasons(&mut evictions, &pods, &moment(200));
    assert_eq!(told, ["EvictionInVain"]);

    // A rollout shows that pods are injected after all.
    pods.push(injected("d"));
    assert_eq!(look(&mut evictions, &pods, &moment(300)), None);
    assert_eq!(step(&pods, &evictions, &moment(300)), "evict b");
    assert_eq!(reasons(&mut evictions, &pods, &moment(300)), [""; 0]);
}

#[test]
fn another_template_is_another_chance() {
    let mut evictions = settled();
    evict(&mut evictions, &[missed("a")], &moment(100));
    let pods = [missed("b")];
    assert!(look(&mut evictions, &pods, &moment(101)).is_some());
    assert_eq!(step(&pods, &evictions, &moment(500)), "rest");
    evictions.published(Some("t2"), SECOND * 500);
    assert_eq!(step(&pods, &evictions, &moment(530)), "evict b");
}

#[test]
fn a_refusal_is_told_once_and_tried_again_ever_later() {
    let mut evictions = settled();
    let pods = [missed("a")];
    let refuse = |evictions: &mut Evictions, at: u32, after: u64| {
        let after = Duration::from_secs(after);
        evictions.refused(&pods[0], "a budget", after, &moment(at))
    };
    let news = refuse(&mut evictions, 100, 0);
    assert!(news.is_some_and(|news| news.contains("a budget")));
    assert_eq!(step(&pods, &evictions, &moment(101)), "wait until 130");
    assert_eq!(refuse(&mut evictions, 130, 0), None, "that is known");
    assert_eq!(step(&pods, &evictions, &moment(160)), "wait until 190");
    // The server knows better how long it takes.
    refuse(&mut evictions, 190, 500);
    assert_eq!(step(&pods, &evictions, &moment(220)), "wait until 690");
    for at in [700, 1000, 2000, 3000] {
        refuse(&mut evictions, at, 0);
    }
    assert_eq!(step(&pods, &evictions, &moment(3030)), "wait until 3600");
    assert_eq!(
        reasons(&mut evictions, &pods, &moment(3001)),
        ["EvictionRefused"]
    );

    // Another workload need not wait for it.
    let other = PodFacts {
        workload: of("StatefulSet", "jobs"),
        ..missed("z")
    };
    let both = [missed("a"), other];
    assert_eq!(step(&both, &evictions, &moment(3030)), "evict z");

    // Somebody else has replaced it: there is nothing left to tell, and the next refusal is the first again.
    let replaced = [injected("b")];
    assert_eq!(reasons(&mut evictions, &replaced, &moment(3002)), [""; 0]);
    assert!(refuse(&mut evictions, 4000, 0).is_some());
    assert_eq!(step(&pods, &evictions, &moment(4001)), "wait until 4030");
}

#[test]
fn pods_that_nothing_would_make_anew_are_told() {
    let alone = PodFacts {
        workload: None,
        ..missed("a")
    };
    let mut evictions = settled();
    assert_eq!(
        reasons(&mut evictions, std::slice::from_ref(&alone), &moment(100)),
        ["EvictionSpares"]
    );
    let message = &evictions.advice()[0].message;
    assert!(message.contains(": a;"), "{message}");
    assert_eq!(evictions.again(), None);
}

#[test]
fn an_eviction_is_of_one_pod_and_not_of_its_name() {
    let sent = serde_json::to_value(eviction("prod", &missed("web-0"))).unwrap();
    assert_eq!(sent["metadata"]["name"], "web-0");
    // A field of another name is dropped by the API server without a word.
    assert_eq!(sent["deleteOptions"]["preconditions"]["uid"], "uid-web-0");
}

#[test]
fn the_api_servers_answers_are_told_apart() {
    let status = |code: u16, details: serde_json::Value| {
        let status = serde_json::json!({"kind": "Status", "status": "Failure", "code": code, "message": "no", "reason": "r",
            "details": details});
        Err(kube::Error::Api(Box::new(
            serde_json::from_value(status).unwrap(),
        )))
    };
    let cause = serde_json::json!({"retryAfterSeconds": 10, "causes": [
        {"reason": "DisruptionBudget", "message": "The disruption budget web needs 1 healthy pods and has 1 currently"}]});
    let says = "no The disruption budget web needs 1 healthy pods and has 1 currently".to_owned();
    assert_eq!(answer(Ok(())), Answer::Evicted);
    assert_eq!(answer(status(404, serde_json::json!({}))), Answer::Changed);
    assert_eq!(answer(status(409, serde_json::json!({}))), Answer::Changed);
    assert_eq!(
        answer(status(429, cause)),
        Answer::Later {
            says,
            after: SECOND * 10
        }
    );
    for code in [403, 500] {
        let failed = Answer::Failed {
            says: "no".to_owned(),
        };
        assert_eq!(answer(status(code, serde_json::json!({}))), failed);
    }
}
