//! Debian's Alertmanager, and the webhook at the end of its way.

use std::fs::File;
use std::process::Command;
use std::sync::{Arc, Mutex};

use bulkhead_tests::processes::{Running, folder, free_port};
use bulkhead_tests::{PATIENCE, programs, wait};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::prometheus::{PATIENT, get};

/// What is told to whoever has the duty.
#[derive(Clone, Debug, Default)]
pub(crate) struct Webhook(Arc<Mutex<Vec<Value>>>);

/// An Alertmanager that runs, and calls a webhook.
#[derive(Debug)]
pub(crate) struct Alertmanager {
    _process: Running,
    pub(crate) port: u16,
    pub(crate) webhook: Webhook,
}

impl Webhook {
    async fn listen() -> (Self, u16) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let webhook = Self::default();
        let told = webhook.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let told = told.clone();
                tokio::spawn(async move { told.serve(stream).await });
            }
        });
        (webhook, port)
    }

    /// Takes one message. Whatever goes wrong, Alertmanager sends it again.
    async fn serve(self, mut stream: TcpStream) -> Option<()> {
        let mut got = Vec::new();
        let (body, length) = loop {
            let mut piece = [0; 4096];
            let read = stream
                .read(&mut piece)
                .await
                .ok()
                .filter(|read| *read > 0)?;
            got.extend_from_slice(&piece[..read]);
            if let Some(found) = request(&got) {
                break found;
            }
        };
        while got.len() < body + length {
            let mut piece = [0; 4096];
            let read = stream
                .read(&mut piece)
                .await
                .ok()
                .filter(|read| *read > 0)?;
            got.extend_from_slice(&piece[..read]);
        }
        let message = serde_json::from_slice(&got[body..body + length]).ok()?;
        self.0.lock().unwrap().push(message);
        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        stream.write_all(answer).await.ok()
    }

    /// The alert of this name and in this state (`firing`, `resolved`), once it has come.
    pub(crate) async fn came(&self, name: &str, state: &str) -> Value {
        let found = || {
            let messages = self.0.lock().unwrap();
            let alerts = messages
                .iter()
                .flat_map(|it| it["alerts"].as_array().unwrap().clone());
            let mut ours =
                alerts.filter(|it| it["labels"]["alertname"] == name && it["status"] == state);
            ours.next()
        };
        wait::until_within(PATIENT, &format!("{name} {state} at the webhook"), || {
            let there = found().is_some();
            async move { there }
        })
        .await;
        found().unwrap()
    }
}

/// Where a request's body begins and how long it is, once the headers are there.
fn request(got: &[u8]) -> Option<(usize, usize)> {
    let head = got.windows(4).position(|it| it == b"\r\n\r\n")?;
    let headers = String::from_utf8_lossy(&got[..head]).to_lowercase();
    let length = headers
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))?;
    Some((head + 4, length.trim().parse().ok()?))
}

impl Alertmanager {
    /// Starts one, with a webhook of its own.
    pub(crate) async fn start() -> Self {
        let (webhook, door) = Webhook::listen().await;
        let home = folder("alertmanager");
        let config = json!({
            "route": {"receiver": "duty", "group_by": ["alertname"], "group_wait": "0s", "group_interval": "1s"},
            "receivers": [{"name": "duty", "webhook_configs": [{"url": format!("http://127.0.0.1:{door}/"), "send_resolved": true}]}],
        });
        std::fs::write(home.join("alertmanager.yaml"), config.to_string()).unwrap();
        for _ in 0..5 {
            let port = free_port();
            let log = File::create(home.join("log")).unwrap();
            let mut command = Command::new(programs::alertmanager("prometheus-alertmanager"));
            command
                .current_dir(&home)
                .args(["--config.file=alertmanager.yaml", "--storage.path=data"])
                .arg(format!("--web.listen-address=127.0.0.1:{port}"))
                // It has no peers.
                .arg("--cluster.listen-address=")
                .stdout(log.try_clone().unwrap())
                .stderr(log);
            let mut process = Running::start("Alertmanager", &mut command);
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
                    webhook,
                };
            }
            let log = std::fs::read_to_string(home.join("log")).unwrap();
            assert!(
                log.contains("in use"),
                "Alertmanager does not come up:\n{log}"
            );
        }
        panic!("Alertmanager finds no free port");
    }

    /// What `amtool alert query` lists for an alert.
    pub(crate) fn amtool(&self, name: &str) -> String {
        let output = Command::new(programs::alertmanager("amtool"))
            .arg(format!("--alertmanager.url=http://127.0.0.1:{}", self.port))
            .args([
                "--output=simple",
                "alert",
                "query",
                &format!("alertname={name}"),
            ])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{output:?}");
        said
    }
}
