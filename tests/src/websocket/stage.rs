//! One test's world: an application, and a sidecar in front of it.

use std::collections::BTreeMap;

use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use super::client::{Answer, Asking};
use super::peer::Peer;
use crate::policy::Policy;
use crate::sidecar::{Launch, Sidecar};
use crate::tools::{Said, run_within};
use crate::{PATIENCE, programs, wait};

/// The sidecar, and ways to it.
#[derive(Debug)]
pub struct SocketStage {
    /// The sidecar.
    pub sidecar: Sidecar,
}

/// A stage in the making.
#[derive(Debug)]
pub struct Setting {
    policy: Policy,
    application: u16,
    secrets: BTreeMap<String, String>,
    workers: u32,
    grace: &'static str,
    arguments: Vec<String>,
}

impl SocketStage {
    /// A sidecar with `policy` before the application at this port.
    pub async fn start(policy: Policy, application: u16) -> Self {
        Self::with(policy, application).start().await
    }

    /// A stage that a test sets up further before it starts.
    #[must_use]
    pub fn with(policy: Policy, application: u16) -> Setting {
        Setting {
            policy,
            application,
            secrets: BTreeMap::new(),
            workers: 2,
            grace: "2s",
            arguments: Vec::new(),
        }
    }

    /// The sidecar's port for clients.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.sidecar.port()
    }

    /// What a request is answered.
    pub async fn ask(&self, asking: &Asking) -> Answer {
        asking.send(self.port()).await
    }

    /// A WebSocket of `user`, byte by byte.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn open(&self, user: &str) -> Peer {
        self.ask(&Asking::upgrade("/ws").bearer(user))
            .await
            .opened()
    }

    /// A WebSocket of `user`, of tokio-tungstenite's.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn tungstenite(&self, user: &str) -> WebSocketStream<tokio::net::TcpStream> {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", self.port()))
            .await
            .unwrap();
        let mut request = format!("ws://127.0.0.1:{}/ws", self.port())
            .into_client_request()
            .unwrap();
        let bearer = HeaderValue::from_str(&format!("Bearer {user}")).unwrap();
        request.headers_mut().insert("authorization", bearer);
        let opening = tokio_tungstenite::client_async(request, stream);
        wait::within("the handshake", opening).await.unwrap().0
    }

    /// Runs a client of the suite in Python as `user`.
    pub async fn python(&self, program: &str, user: &str) -> Said {
        let mut command = tokio::process::Command::new(programs::python_for_the_web());
        command.arg(programs::of_suite("websocket").join(program));
        self.run(command, user).await
    }

    /// Runs a client of the suite in Node as `user`.
    pub async fn node(&self, program: &str, user: &str) -> Said {
        let (node, modules) = programs::node();
        let mut command = tokio::process::Command::new(node);
        command
            .env("NODE_PATH", modules)
            .arg(programs::of_suite("websocket").join(program));
        self.run(command, user).await
    }

    async fn run(&self, mut command: tokio::process::Command, user: &str) -> Said {
        command
            .arg(format!("ws://127.0.0.1:{}/ws", self.port()))
            .arg(user);
        run_within(command, "", PATIENCE * 3).await
    }

    /// Waits until a metric has the value `value`.
    pub async fn until_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        wait::until(&format!("{name}{labels:?} = {value}"), || async {
            (self.sidecar.metric(name, labels) - value).abs() < 0.5
        })
        .await;
    }

    /// Waits until a socket has ended so often with this code, by this initiator.
    pub async fn until_closes(&self, code: &str, initiator: &str, count: f64) {
        let labels = [("code", code), ("initiator", initiator)];
        self.until_metric("bulkhead_websocket_closes_total", &labels, count)
            .await;
    }
}

impl Setting {
    /// Puts a file into the secrets folder.
    #[must_use]
    pub fn secret(mut self, name: &str, text: &str) -> Self {
        self.secrets.insert(name.to_owned(), text.to_owned());
        self
    }

    /// Worker threads; two by default, so that hand-overs between them happen.
    #[must_use]
    pub fn workers(mut self, workers: u32) -> Self {
        self.workers = workers;
        self
    }

    /// How long SIGTERM waits for sockets.
    #[must_use]
    pub fn grace(mut self, grace: &'static str) -> Self {
        self.grace = grace;
        self
    }

    /// Adds a flag of `run` with its value.
    #[must_use]
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.arguments.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Starts it.
    pub async fn start(self) -> SocketStage {
        let launch = Launch {
            secrets: self.secrets.into_iter().collect(),
            workers: self.workers,
            grace: self.grace,
            ready: true,
            arguments: self.arguments,
            variables: Vec::new(),
            group: None,
        };
        SocketStage {
            sidecar: Sidecar::start_aside(self.policy, self.application, "", launch).await,
        }
    }
}
