//! A Prometheus of one test's own: it scrapes what the test names twice a second, and says what fires.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bulkhead_tests::processes::{Running, folder, free_port};
use bulkhead_tests::{PATIENCE, programs, wait};
use serde_json::{Value, json};

use crate::rules::scaled_rules;

/// The longest that an alert may take to fire or to end: half a minute of `for` and as much of a window, on a busy machine.
pub(crate) const PATIENT: Duration = Duration::from_secs(150);

/// The pause between two questions.
const LOOK: Duration = Duration::from_millis(200);

/// A process to scrape.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    job: &'static str,
    port: u16,
    labels: Value,
}

impl Target {
    /// A sidecar, with the labels that a cluster would give it.
    pub(crate) fn sidecar(port: u16, namespace: &str, pod: &str) -> Self {
        Self {
            job: "sidecars",
            port,
            labels: json!({"namespace": namespace, "pod": pod}),
        }
    }

    /// An operator, with those of the chart's ServiceMonitor.
    pub(crate) fn operator(port: u16) -> Self {
        Self {
            job: "operator",
            port,
            labels: json!({"namespace": "bulkhead-system", "pod": "bulkhead-operator-1"}),
        }
    }
}

/// A Prometheus that runs.
#[derive(Debug)]
pub(crate) struct Prometheus {
    _process: Running,
    port: u16,
    home: PathBuf,
}

/// An alert that is pending or fires.
#[derive(Clone, Debug)]
pub(crate) struct Alert {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) annotations: BTreeMap<String, String>,
    state: String,
}

impl Alert {
    fn read(value: &Value) -> Self {
        let texts = |key: &str| -> BTreeMap<String, String> {
            serde_json::from_value(value[key].clone()).unwrap()
        };
        Self {
            labels: texts("labels"),
            annotations: texts("annotations"),
            state: value["state"].as_str().unwrap().to_owned(),
        }
    }

    fn is(&self, name: &str, labels: &[(&str, &str)]) -> bool {
        let has = |key: &str, value: &str| self.labels.get(key).is_some_and(|it| it == value);
        self.state == "firing"
            && has("alertname", name)
            && labels.iter().all(|(key, value)| has(key, value))
    }
}

impl Prometheus {
    /// Starts one that scrapes these.
    pub(crate) async fn start(targets: &[Target]) -> Self {
        Self::start_with(targets, None).await
    }

    /// Starts one that scrapes these, and sends what fires to the Alertmanager at this port.
    pub(crate) async fn start_with(targets: &[Target], alertmanager: Option<u16>) -> Self {
        let home = folder("prometheus");
        std::fs::write(home.join("rules.yaml"), scaled_rules()).unwrap();
        let config = config(alertmanager).to_string();
        std::fs::write(home.join("prometheus.yaml"), config).unwrap();
        write_targets(&home, targets);
        for _ in 0..5 {
            let port = free_port();
            let mut process = launch(&home, port);
            let up = wait::blocking(2 * PATIENCE, || {
                if process.exited().is_some() {
                    return Some(false);
                }
                (get(port, "/-/ready").is_some_and(|(status, _)| status == 200)).then_some(true)
            });
            if up == Some(true) {
                return Self {
                    _process: process,
                    port,
                    home,
                };
            }
            let log = std::fs::read_to_string(home.join("log")).unwrap();
            assert!(
                log.contains("in use"),
                "Prometheus does not come up:\n{log}"
            );
        }
        panic!("Prometheus finds no free port");
    }

    /// Scrapes these from now on, and no others.
    pub(crate) fn scrape(&self, targets: &[Target]) {
        write_targets(&self.home, targets);
    }

    /// What a query is answered: the values of its series, or its one number.
    pub(crate) fn query(&self, query: &str) -> Vec<f64> {
        let data = self.ask(&format!("/api/v1/query?query={}", encoded(query)));
        if data["resultType"] == "scalar" {
            return vec![number(&data["result"][1])];
        }
        let rows = data["result"].as_array().unwrap().iter();
        rows.map(|row| number(&row["value"][1])).collect()
    }

    /// What is pending or fires.
    pub(crate) fn alerts(&self) -> Vec<Alert> {
        let data = self.ask("/api/v1/alerts");
        let alerts = data["alerts"].as_array().unwrap();
        alerts.iter().map(Alert::read).collect()
    }

    /// The alert of this name and with these labels, once it fires.
    pub(crate) async fn firing(&self, name: &str, labels: &[(&str, &str)]) -> Alert {
        let found = self.until(|alerts| alerts.iter().find(|it| it.is(name, labels)).cloned());
        let Some(alert) = found.await else {
            panic!("{name}{labels:?} does not fire: {:#?}", self.alerts());
        };
        for text in alert.annotations.values() {
            assert!(!text.contains("<no value>"), "{name}: {text}");
        }
        assert!(alert.annotations["runbook_url"].ends_with(&format!("/{name}.md")));
        alert
    }

    /// Waits until no alert of this name with these labels fires any more.
    pub(crate) async fn resolved(&self, name: &str, labels: &[(&str, &str)]) {
        let gone =
            self.until(|alerts| (!alerts.iter().any(|it| it.is(name, labels))).then_some(()));
        if gone.await.is_none() {
            panic!("{name}{labels:?} does not end: {:#?}", self.alerts());
        }
    }

    /// Whether an alert of this name fires.
    pub(crate) fn fires(&self, name: &str) -> bool {
        self.alerts().iter().any(|alert| alert.is(name, &[]))
    }

    /// Waits until a query has an answer that is more than zero.
    pub(crate) async fn positive(&self, query: &str) {
        let start = Instant::now();
        while !self.query(query).iter().any(|value| *value > 0.0) {
            assert!(start.elapsed() < PATIENT, "{query} is not positive");
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn until<T>(&self, mut look: impl FnMut(&[Alert]) -> Option<T>) -> Option<T> {
        let start = Instant::now();
        while start.elapsed() < PATIENT {
            if let Some(found) = look(&self.alerts()) {
                return Some(found);
            }
            tokio::time::sleep(LOOK).await;
        }
        None
    }

    fn ask(&self, path: &str) -> Value {
        let (status, body) = get(self.port, path).expect("Prometheus answers");
        assert_eq!(status, 200, "{path}: {body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["status"], "success", "{path}: {body}");
        answer["data"].clone()
    }
}

fn number(value: &Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

fn launch(home: &Path, port: u16) -> Running {
    let log = File::create(home.join("log")).unwrap();
    let mut command = Command::new(programs::prometheus());
    command
        .current_dir(home)
        .arg("--config.file=prometheus.yaml")
        .arg("--storage.tsdb.path=data")
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        // How long a sample counts after its series has ended: five minutes, divided like all durations.
        .arg("--query.lookback-delta=5s")
        .arg("--rules.alert.resend-delay=1s")
        .arg("--log.level=warn")
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    Running::start("Prometheus", &mut command)
}

/// The jobs, in the order of their files.
const JOBS: [&str; 2] = ["sidecars", "operator"];

/// Which targets a job has stands in a file that is watched.
fn write_targets(home: &Path, targets: &[Target]) {
    for job in JOBS {
        let ours = targets.iter().filter(|target| target.job == job);
        let groups: Vec<Value> = ours
            .map(|it| json!({"targets": [format!("127.0.0.1:{}", it.port)], "labels": it.labels}))
            .collect();
        let new = home.join("targets.new");
        std::fs::write(&new, Value::from(groups).to_string()).unwrap();
        std::fs::rename(new, home.join(format!("{job}.json"))).unwrap();
    }
}

/// JSON is YAML.
fn config(alertmanager: Option<u16>) -> Value {
    let job = |name: &str| {
        // As the chart's monitors have it: the namespace of a policy's ratio is the policy's.
        json!({"job_name": name, "honor_labels": name == "operator",
            "file_sd_configs": [{"files": [format!("{name}.json")], "refresh_interval": "1s"}]})
    };
    let managers: Vec<Value> = alertmanager
        .map(|port| json!({"static_configs": [{"targets": [format!("127.0.0.1:{port}")]}]}))
        .into_iter()
        .collect();
    json!({
        "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
        "rule_files": ["rules.yaml"],
        "alerting": {"alertmanagers": managers},
        "scrape_configs": JOBS.map(job),
    })
}

/// The status and body of a GET, by HTTP/1.0, of which answers come in one piece.
pub(crate) fn get(port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}

/// As a query of a URL.
fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
