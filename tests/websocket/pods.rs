//! Several pods of one policy, as the operator leaves them: each a sidecar and an application, all with the keys and the certificate that their
//! namespace shares.

use std::time::{Duration, SystemTime};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bulkhead_operator::certificates::stored::Stored;
use bulkhead_operator::reconcile::credentials::peers;
use bulkhead_operator::reconcile::credentials::ring::{PUBLISHED, Ring};
use bulkhead_tests::policy::{Policy, SOCKETS};
use bulkhead_tests::processes::free_port;
use bulkhead_tests::websocket::{Application, Asking, Frame, Peer, SocketStage};
use serde_json::Value;

/// When the keys were made, in seconds since the epoch.
const MADE: u64 = 1_000_000;

/// What the pods of a namespace share.
pub struct Shared {
    pub certificates: Stored,
    keys: String,
}

/// A pod: its sidecar, its application, and where other pods reach it.
pub struct Pod {
    pub stage: SocketStage,
    pub application: Application,
    pub peers: u16,
}

impl Shared {
    /// What the operator makes for the namespace of the tests' policies.
    pub fn of_operator() -> Self {
        Self {
            certificates: certificates("chat"),
            keys: Ring::default()
                .turned(MADE)
                .unwrap()
                .resume(MADE + PUBLISHED.as_secs()),
        }
    }

    /// The same keys, and a certificate of another authority.
    pub fn with_foreign_certificate(&self) -> Self {
        Self {
            certificates: certificates("chat"),
            keys: self.keys.clone(),
        }
    }

    /// A pod, on a port that was free a moment ago.
    pub async fn pod(&self) -> Pod {
        self.pod_at(free_port()).await
    }

    /// A pod that others reach at this port.
    pub async fn pod_at(&self, peers: u16) -> Pod {
        self.pod_with(peers, Policy::trusted().web_socket(""), "2s")
            .await
    }

    /// A pod with this policy and this grace period.
    pub async fn pod_with(&self, peers: u16, policy: Policy, grace: &'static str) -> Pod {
        let application = Application::listen().await;
        Pod {
            stage: self.stage(application.port(), peers, policy, grace).await,
            application,
            peers,
        }
    }

    /// A pod's sidecar before the application at this port.
    pub async fn stage(
        &self,
        application: u16,
        peers: u16,
        policy: Policy,
        grace: &'static str,
    ) -> SocketStage {
        let mut setting = SocketStage::with(policy, application)
            .grace(grace)
            .secret("bulkhead-context-keys/resume.json", &self.keys)
            .flag("--peer-port", &peers.to_string())
            .flag("--pod-address", "127.0.0.1");
        for (file, text) in self.certificates.data() {
            if file != "ca.key" {
                setting = setting.secret(&format!("bulkhead-peers/{file}"), &text);
            }
        }
        setting.start().await
    }

    /// A token of a session in the pod that others reach at `peers`, sealed as the documentation of the format says.
    pub fn token(&self, peers: u16) -> String {
        token(&self.key(), peers)
    }

    /// The key by which tokens of the tests' entry are sealed.
    pub fn key(&self) -> hmac::Key {
        let keys: Value = serde_json::from_str(&self.keys).unwrap();
        let root = URL_SAFE_NO_PAD
            .decode(keys["keys"][0]["k"].as_str().unwrap())
            .unwrap();
        derived(&root)
    }
}

impl Pod {
    /// Stands for a client of `user` that comes back to this pod with a session's token.
    pub fn returning(user: &str, token: &str) -> Asking {
        Asking::upgrade("/ws").bearer(user).header(
            "Sec-WebSocket-Protocol",
            &format!("bulkhead.resume.v1, bulkhead.v1, bulkhead.session.{token}.0"),
        )
    }

    /// How many clients this pod has passed on, with this outcome.
    pub fn relays(&self, outcome: &str) -> f64 {
        let name = "bulkhead_websocket_relays_total";
        self.stage.sidecar.metric(name, &[("outcome", outcome)])
    }

    /// Waits until it has passed on so many clients, with this outcome.
    pub async fn until_relays(&self, outcome: &str, count: f64) {
        let name = "bulkhead_websocket_relays_total";
        self.stage
            .until_metric(name, &[("outcome", outcome)], count)
            .await;
    }
}

/// The next frame that is the application's: those of a session's own business begin with a prefix.
pub async fn next_of_application(client: &mut Peer) -> Frame {
    loop {
        let frame = client.next().await;
        if !frame.payload.starts_with(b"\xF5bk1") {
            return frame;
        }
    }
}

fn certificates(namespace: &str) -> Stored {
    let an_hour_ago = SystemTime::now() - Duration::from_secs(3600);
    peers::renewed(None, namespace, an_hour_ago).unwrap()
}

/// The key of an entry, drawn from a shared one.
pub fn derived(root: &[u8]) -> hmac::Key {
    let purpose = format!("bulkhead session token 1\0chat/chat\0{SOCKETS}\0");
    let root = hmac::Key::new(hmac::HMAC_SHA256, root);
    hmac::Key::new(
        hmac::HMAC_SHA256,
        hmac::sign(&root, purpose.as_bytes()).as_ref(),
    )
}

/// A token of a session of the pod at 127.0.0.1 and this port.
pub fn token(key: &hmac::Key, peers: u16) -> String {
    let name = hmac::sign(key, b"name");
    let mut bytes = [
        &[1][..],
        &name.as_ref()[..4],
        &[0, 0],
        &[0, 0, 0, 1],
        &[7; 16],
        &[4, 127, 0, 0, 1],
        &peers.to_be_bytes(),
    ]
    .concat();
    let authenticator = hmac::sign(key, &bytes);
    bytes.extend(&authenticator.as_ref()[..16]);
    URL_SAFE_NO_PAD.encode(bytes)
}
