//! The engines beside the API server's own: in Rust, by the webhook, and offline. What each makes of a pod is the same.

use std::io::Write as _;
use std::process::{Command, Stdio};

use bulkhead_crds::kinds::InjectionTemplate;
use bulkhead_operator::admission::inject::{Outcome, inject};
use bulkhead_tests::cluster::Options;
use bulkhead_tests::operator::{Operator, control_plane_with};
use bulkhead_tests::processes::folder;
use bulkhead_tests::programs;
use serde::Deserialize as _;
use serde_json::Value;

use super::super::scene;
use super::{Row, Table, rows, templates};

fn typed() -> Vec<InjectionTemplate> {
    templates()
        .into_iter()
        .map(|template| serde_json::from_value(template).unwrap())
        .collect()
}

/// The pod of a row as the engine has it, injected or not.
fn by_the_engine(row: &Row, templates: &[InjectionTemplate]) -> Value {
    match (inject(&row.pod, templates), row.by) {
        (Outcome::Injected { policy, pod }, Some(by)) if policy == by => pod,
        (Outcome::Injected { policy, .. }, by) => {
            panic!("{}: injected by {policy}, and not by {by:?}", row.about)
        }
        (outcome, by) => {
            assert_eq!(by, None, "{}: {outcome:?}", row.about);
            row.pod.clone()
        }
    }
}

#[tokio::test]
async fn the_engine_makes_of_each_pod_what_the_api_server_makes() {
    let (table, templates) = (Table::laid().await, typed());
    for row in rows() {
        let pod = by_the_engine(&row, &templates);
        let by_the_engine = table.as_it_is(&row, &pod).await;
        let by_the_api_server = table.by_the_api_server(&row, &row.pod).await;
        assert_eq!(by_the_engine, by_the_api_server, "{}", row.about);
        if let Some(policy) = row.by {
            let again = Outcome::Unchanged {
                policy: policy.to_owned(),
            };
            assert_eq!(inject(&pod, &templates), again, "{}", row.about);
        }
    }
}

#[tokio::test]
async fn the_webhook_makes_of_each_pod_what_the_engine_makes() {
    let older = control_plane_with(Options {
        emulated: Some("1.35"),
        controller_manager: false,
        ..Options::default()
    })
    .await;
    let operator = Operator::start(&older).await;
    operator.until_installed().await;
    scene::left_alone(&older).await;
    // Started with the administrator's rights, it is the administrator.
    let table = Table::laid_by(&older, &older.client()).await;
    let templates = typed();
    for row in rows() {
        let by_the_webhook = table.by_the_api_server(&row, &row.pod).await;
        let pod = by_the_engine(&row, &templates);
        assert_eq!(
            by_the_webhook,
            table.as_it_is(&row, &pod).await,
            "{}",
            row.about
        );
    }
}

#[test]
fn offline_each_pod_becomes_what_the_engine_makes() {
    let templates = typed();
    let (rows, mut manifests) = (rows(), String::new());
    for row in &rows {
        manifests += "---\n";
        manifests += &serde_yaml::to_string(&row.pod).unwrap();
    }
    let printed = injected_offline(&manifests);
    let mut documents = serde_yaml::Deserializer::from_str(&printed)
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|document| !document.is_null());
    for row in &rows {
        let offline = documents.next().unwrap();
        assert_eq!(offline, by_the_engine(row, &templates), "{}", row.about);
    }
    assert_eq!(documents.next(), None);
}

/// What `inject` prints of manifests on its standard input.
fn injected_offline(manifests: &str) -> String {
    let file = folder("inject").join("templates.yaml");
    let templates: String = templates()
        .iter()
        .map(|template| format!("---\n{}", serde_yaml::to_string(template).unwrap()))
        .collect();
    std::fs::write(&file, templates).unwrap();
    let mut running = Command::new(programs::operator())
        .args(["inject", "-f", "-", "--policy"])
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = running.stdin.take().unwrap();
    let manifests = manifests.to_owned();
    let writer = std::thread::spawn(move || input.write_all(manifests.as_bytes()));
    let output = running.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
