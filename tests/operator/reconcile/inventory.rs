//! The inventory of a migration in the status and on the command line, from a real sidecar that serves a real PostgreSQL where a pod's would.

use bulkhead_crds::kinds::{IsolationPolicyStatus, Mode};
use bulkhead_tests::policy::Policy;
use bulkhead_tests::session::connect;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::{programs, wait};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;

use super::pods::{any_port, deployment};
use super::world::{PATIENCE, Scene, spec};

/// The admin port of a sidecar in a pod.
const ADMIN: u16 = 9432;

/// A name that a spreadsheet would take for a formula.
const FORMULA: &str = "=HYPERLINK(\"http://x\")";

/// Carries whoever asks a pod's admin port to the sidecar's that runs here.
async fn stands_in_for_the_pod(address: &str, admin: u16) {
    let listener = TcpListener::bind((address, ADMIN)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut server = TcpStream::connect(("127.0.0.1", admin)).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
}

/// A sidecar in mode Audit that has served a claim, a placeholder, nobody, somebody, and somebody who means harm.
async fn served() -> Stage {
    let stage = Stage::start(Policy::trusted().spec("mode: Audit")).await;
    let mut config = stage.config();
    let web = connect(config.application_name("web")).await.unwrap();
    web.run("SELECT 1 /*bulkhead_user='alice'*/").await;
    web.run("SELECT 1 /*bulkhead_user='null'*/").await;
    web.run("SELECT 1").await;
    let formula = connect(config.application_name(FORMULA)).await.unwrap();
    formula.run("SELECT 1").await;
    let mut config = stage.config();
    config.options("-c bulkhead.user=alice");
    let ready = connect(config.application_name("ready")).await.unwrap();
    ready.run("SELECT 1").await;
    stage
}

fn audit(mode: &str) -> Value {
    let mut spec = spec(any_port());
    spec["mode"] = json!(mode);
    spec
}

async fn status(scene: &Scene) -> IsolationPolicyStatus {
    let policy = scene.policies().get("chat").await.unwrap();
    policy.status.unwrap_or_default()
}

async fn said(scene: &Scene, arguments: &[&str]) -> (bool, String, String) {
    let output = Command::new(programs::operator())
        .arg("inventory")
        .args(arguments)
        .args(["-n", &scene.namespace])
        .arg("--kubeconfig")
        .arg(scene.world.cluster.kubeconfig())
        .output()
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.success(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[tokio::test]
async fn who_names_nobody_is_in_the_status_and_on_the_command_line_until_the_policy_enforces() {
    let scene = Scene::enabled().await;
    scene.apply("chat", audit("Audit")).await;
    scene.until("chat", "Accepted", "Accepted").await;
    let (labels, owner) = deployment("web", "5d4f");
    scene.pod("web-5d4f-1", labels, Some(owner)).await;
    let stage = served().await;
    let address = format!("127.{}.11.1", std::process::id() % 250 + 1);
    stands_in_for_the_pod(&address, stage.sidecar.admin()).await;
    scene.runs("web-5d4f-1", &address, true).await;

    wait::until_within(PATIENCE, "the inventory", || async {
        let inventory = status(&scene).await.inventory;
        inventory.is_some_and(|it| it.rows.len() == 3)
    })
    .await;
    let found = status(&scene).await;
    let inventory = found.inventory.clone().unwrap();
    let web = &inventory.rows[0];
    assert_eq!(
        (
            web.workload.as_str(),
            web.protocol.as_str(),
            web.application.as_str()
        ),
        ("deployment/web", "postgresql", "web")
    );
    let queries = web.queries;
    assert_eq!(
        (queries.claimed, queries.placeholder, queries.unattributed),
        (1, 1, 1)
    );
    assert_eq!(
        (inventory.rows[2].application.as_str(), inventory.truncated),
        ("ready", 0)
    );
    let compliance = found.compliance.unwrap();
    let of_queries = compliance.queries.unwrap();
    assert_eq!(
        (of_queries.total, of_queries.ratio.as_deref()),
        (5, Some("20.0%"))
    );
    assert_eq!((compliance.attributed, compliance.total), (1, 3));
    let steps = compliance.history.unwrap();
    assert_eq!(
        (steps.len(), steps[0].mode, steps[0].environment.as_str()),
        (1, Mode::Audit, "staging")
    );
    assert_eq!(steps[0].ratio.as_deref(), Some("33.3%"));

    as_a_table(&scene).await;
    as_json(&scene).await;
    as_csv(&scene).await;
    let (well, _, errors) = said(&scene, &["--policy", "nowhere"]).await;
    assert!(
        !well && errors.contains("there is no policy nowhere"),
        "{errors}"
    );

    scene.apply("chat", audit("Enforce")).await;
    wait::until_within(PATIENCE, "the step of the mode", || async {
        let steps = status(&scene).await.compliance.and_then(|it| it.history);
        steps.is_some_and(|steps| {
            steps
                .iter()
                .map(|it| it.mode)
                .eq([Mode::Audit, Mode::Enforce])
        })
    })
    .await;
    let enforced = status(&scene).await;
    assert_eq!(enforced.inventory, None, "none is taken any more");
    assert_eq!(enforced.compliance.unwrap().queries, None);
    let (well, table, _) = said(&scene, &[]).await;
    assert!(
        well && table.contains("mode Enforce") && table.contains("no inventory"),
        "{table}"
    );

    scene.remove_pod("web-5d4f-1").await;
    scene.until("chat", "Programmed", "NoPods").await;
    let compliance = status(&scene).await.compliance.unwrap();
    assert_eq!(compliance.ratio, None);
    assert_eq!(
        compliance.history.unwrap().len(),
        2,
        "what was is true still"
    );
}

async fn as_a_table(scene: &Scene) {
    let (well, table, errors) = said(scene, &["--policy", "chat"]).await;
    assert!(well, "{errors}");
    assert!(table.contains("20.0% of queries"), "{table}");
    let web = table.lines().find(|line| line.contains("  web  ")).unwrap();
    assert!(
        web.contains("deployment/web") && web.contains("placeholder where a user should be"),
        "{web}"
    );
    assert!(table.contains("ready for mode Enforce"), "{table}");
    let (_, left, _) = said(scene, &["--unattributed"]).await;
    assert!(
        left.contains("  web  ") && !left.contains("ready for mode Enforce"),
        "{left}"
    );
}

async fn as_json(scene: &Scene) {
    let (_, text, _) = said(scene, &["-o", "json"]).await;
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        told["policies"][0]["compliance"]["history"][0]["mode"],
        "Audit"
    );
    let rows = told["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0]["queries"]["claimed"], 1);
    let formula = rows
        .iter()
        .find(|row| row["application"] == FORMULA)
        .unwrap();
    assert!(formula["next"].as_str().unwrap().contains("bulkhead_user"));
    let (_, text, _) = said(scene, &["-o", "json", "--unattributed"]).await;
    let told: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(told["rows"].as_array().unwrap().len(), 2);
}

/// Read by a parser of somebody else's.
const READ_CSV: &str = "
import csv, json, sys
print(json.dumps(list(csv.DictReader(sys.stdin.buffer.read().decode().splitlines(keepends=True), strict=True))))
";

async fn as_csv(scene: &Scene) {
    let (_, text, _) = said(scene, &["-o", "csv"]).await;
    assert!(
        text.ends_with("\r\n") && text.matches("\r\n").count() == 4,
        "{text:?}"
    );
    let mut command = Command::new("python3");
    command.args(["-c", READ_CSV]);
    let read = bulkhead_tests::tools::run(command, &text).await.well();
    let rows: Vec<Value> = serde_json::from_str(&read).unwrap();
    assert_eq!(rows.len(), 3);
    assert_eq!(
        (&rows[0]["application"], &rows[0]["queries_placeholder"]),
        (&json!("web"), &json!("1"))
    );
    let armed = format!("'{FORMULA}");
    assert!(
        rows.iter().any(|row| row["application"] == armed.as_str()),
        "{text}"
    );
    assert!(
        rows.iter()
            .all(|row| !row["next"].as_str().unwrap().is_empty())
    );
}
