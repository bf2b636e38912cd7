//! What admission costs, and what the operator costs at rest: on a real API server, with the release build of the operator.
//!
//! ```text
//! load       requests at a steady rate, and how long each took
//! pods       pods for the API server: dry-run, or to stay
//! scene      namespaces, Secrets and policies
//! webhook    the operator asked directly, as the API server would
//! process    what a process has used
//! ```
//!
//! Prints Markdown. Arguments choose among the sections `pods`, `webhook` and `size`; all without. `QUICK=1` is a tenth of the time and of the objects. The API server, etcd and the one who asks share this machine, so
//! compare the rows with each other rather than with another machine's.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "a benchmark prints, and ends where its world is broken"
)]

mod load;
mod pods;
mod process;
mod scene;
mod webhook;

use std::time::{Duration, Instant};

use bulkhead_tests::cluster::{ControlPlane, Options};
use bulkhead_tests::operator::{Launch, Operator, READY, control_plane_with};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, Client};
use rustix::process::Signal;

use load::{Figures, at_rate};
use webhook::Webhook;

/// How much is measured.
#[derive(Clone, Copy, Debug)]
struct Extent {
    length: Duration,
    namespaces: usize,
    policies: usize,
    pods: usize,
    edits: usize,
}

const FULL: Extent = Extent {
    length: Duration::from_secs(20),
    namespaces: 20,
    policies: 10,
    pods: 10,
    edits: 20,
};

const QUICK: Extent = Extent {
    length: Duration::from_secs(4),
    namespaces: 4,
    policies: 5,
    pods: 10,
    edits: 5,
};

/// Pod creations a second.
const RATES: [u32; 2] = [100, 500];

#[tokio::main]
async fn main() {
    let quick = std::env::var_os("QUICK").is_some_and(|quick| !quick.is_empty());
    let extent = if quick { QUICK } else { FULL };
    let plane = control_plane_with(Options {
        // A pod creation is what is measured, not the queue in front of the API server.
        api_server: vec![
            "--max-mutating-requests-inflight=2000".into(),
            "--max-requests-inflight=2000".into(),
        ],
        controller_manager: false,
        ..Options::default()
    })
    .await;
    if is_wanted("pods") {
        pods(&plane, extent).await;
    }
    if is_wanted("webhook") {
        webhook_alone(&plane, extent).await;
    }
    if is_wanted("size") {
        size(&plane, extent).await;
    }
}

/// Whether a section was asked for, or none was named. cargo adds flags of its own.
fn is_wanted(section: &str) -> bool {
    let mut named = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .peekable();
    named.peek().is_none() || named.any(|argument| argument == section)
}

/// Creating a pod, with each engine and without any.
async fn pods(plane: &ControlPlane, extent: Extent) {
    println!("| a pod is created (server-side dry-run) | rate | p50 ms | p99 ms | failed |");
    println!("|---|---:|---:|---:|---:|");
    let plain = plane.namespace(&[]).await;
    rows("no injection", plane, &plain, "plain", extent).await;

    let operator = start(plane, "policy").await;
    let guarded = scene::namespace(plane).await;
    scene::policy(plane, &guarded, "chat", "chat").await;
    scene::until_injected(&plane.client(), &guarded, "chat").await;
    rows("by policy, elsewhere", plane, &plain, "plain", extent).await;
    rows("by policy, not selected", plane, &guarded, "plain", extent).await;
    rows("by policy, injected", plane, &guarded, "chat", extent).await;
    stop(operator);

    let operator = start(plane, "webhook").await;
    scene::until_webhooks_inject(&plane.client(), &guarded, "chat").await;
    rows("by webhook, elsewhere", plane, &plain, "plain", extent).await;
    rows("by webhook, injected", plane, &guarded, "chat", extent).await;
    stop(operator);
    scene::remove_namespace(plane, &guarded).await;
}

/// What the webhook takes of it: asked as the API server asks, over connections that stay open.
async fn webhook_alone(plane: &ControlPlane, extent: Extent) {
    let operator = start(plane, "webhook").await;
    let guarded = scene::namespace(plane).await;
    scene::policy(plane, &guarded, "chat", "chat").await;
    scene::until_webhooks_inject(&plane.client(), &guarded, "chat").await;
    println!("| the webhook alone | rate | p50 ms | p99 ms | failed | CPU, of a core |");
    println!("|---|---:|---:|---:|---:|---:|");
    let webhook = Webhook::of(plane, operator.webhook(), &guarded, "chat").await;
    for rate in RATES {
        let (before, start) = (process::cpu(operator.id()), Instant::now());
        let figures = at_rate(rate, extent.length, |_| webhook.ask()).await;
        let cpu = process::cpu(operator.id()) - before;
        println!(
            "| asked by one client | {:.0} of {rate} | {:.1} | {:.1} | {} | {:.1} % |",
            figures.rate,
            figures.quantile(0.5),
            figures.quantile(0.99),
            figures.failed,
            100.0 * cpu.as_secs_f64() / start.elapsed().as_secs_f64()
        );
        if let Some(failure) = &figures.failure {
            eprintln!("the first failure: {failure}");
        }
    }
    stop(operator);
    scene::remove_namespace(plane, &guarded).await;
}

/// Starts an operator that injects with this engine, and waits until it has installed what it has to.
async fn start(plane: &ControlPlane, engine: &str) -> Operator {
    let launch = Launch {
        arguments: vec!["--injection-engine".into(), engine.into()],
        ..Launch::default()
    };
    let operator = Operator::start_with(plane, &launch).await;
    operator.until_installed().await;
    operator
}

/// Ends it, as a rollout does.
fn stop(mut operator: Operator) {
    operator.signal(Signal::TERM);
    operator.wait(READY);
}

async fn rows(what: &str, plane: &ControlPlane, namespace: &str, app: &str, extent: Extent) {
    let pods: Api<Pod> = Api::namespaced(plane.client(), namespace);
    for rate in RATES {
        let figures = at_rate(rate, extent.length, |number| {
            let pods = pods.clone();
            let pod = pods::pod(&format!("pod-{number}"), app);
            async move { pods::create(&pods, &pod, true).await.map(drop) }
        })
        .await;
        row(what, rate, &figures);
    }
}

fn row(what: &str, rate: u32, figures: &Figures) {
    println!(
        "| {what} | {:.0} of {rate} | {:.1} | {:.1} | {} |",
        figures.rate,
        figures.quantile(0.5),
        figures.quantile(0.99),
        figures.failed
    );
    if let Some(failure) = &figures.failure {
        eprintln!("the first failure: {failure}");
    }
}

/// The operator with many policies and pods, at rest and when a policy is edited.
async fn size(plane: &ControlPlane, extent: Extent) {
    let operator = start(plane, "policy").await;
    let client = plane.client();
    let mut policies = Vec::new();
    for _ in 0..extent.namespaces {
        let namespace = scene::namespace(plane).await;
        for number in 0..extent.policies {
            let app = format!("app-{number}");
            scene::policy(plane, &namespace, &app, &app).await;
            policies.push((namespace.clone(), app));
        }
    }
    for (namespace, app) in &policies {
        scene::until_observed(&client, namespace, app).await;
        scene::until_injected(&client, namespace, app).await;
        fill(&client, namespace, app, extent.pods).await;
    }
    let busy = process::cpu(operator.id());
    let start = Instant::now();
    tokio::time::sleep(extent.length).await;
    let rest = process::cpu(operator.id()) - busy;
    let mut edits = Vec::new();
    for number in 0..extent.edits {
        let (namespace, app) = &policies[number * 7 % policies.len()];
        let start = Instant::now();
        scene::edit(&client, namespace, app, 10 + number).await;
        scene::until_observed(&client, namespace, app).await;
        edits.push(start.elapsed());
    }
    edits.sort_unstable();
    println!(
        "\n| the operator, {} policies and {} pods in {} namespaces | |",
        policies.len(),
        policies.len() * extent.pods,
        extent.namespaces
    );
    println!("|---|---:|");
    println!(
        "| resident memory | {:.1} MiB |",
        process::resident(operator.id())
    );
    println!(
        "| CPU, for all of them to come | {:.1} s |",
        busy.as_secs_f64()
    );
    println!(
        "| CPU, at rest | {:.2} % of a core |",
        100.0 * rest.as_secs_f64() / start.elapsed().as_secs_f64()
    );
    println!(
        "| from an edit to the status that has seen it, median / slowest of {} | {:.0} / {:.0} ms |",
        edits.len(),
        edits[edits.len() / 2].as_secs_f64() * 1000.0,
        edits[edits.len() - 1].as_secs_f64() * 1000.0
    );
    stop(operator);
}

async fn fill(client: &Client, namespace: &str, app: &str, count: usize) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    for number in 0..count {
        let pod = pods::pod(&format!("{app}-{number}"), app);
        pods::create(&pods, &pod, false).await.expect("a pod");
    }
}
