//! The injecting webhook, asked directly: what it takes by itself, without the API server around it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bulkhead_tests::cluster::ControlPlane;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::PostParams;
use kube::core::Request;
use kube::{Api, Client, Config};
use serde_json::{Value, json};

use crate::pods;

/// A client that asks as the API server would: over TLS, trusting the authority of the webhook's configuration, on kept connections.
#[derive(Clone)]
pub struct Webhook {
    client: Client,
    path: String,
    review: Vec<u8>,
}

impl Webhook {
    /// The injecting webhook at this port of loopback, to be asked about a pod of `app`.
    ///
    /// # Panics
    /// When there is no such webhook.
    pub async fn of(plane: &ControlPlane, port: u16, namespace: &str, app: &str) -> Self {
        let all: Api<MutatingWebhookConfiguration> = Api::all(plane.client());
        let configuration = all.get("bulkhead-inject").await.expect("the webhook");
        let webhook = configuration.webhooks.expect("webhooks").remove(0);
        let url = webhook.client_config.url.expect("a URL");
        let path = url.splitn(4, '/').nth(3).expect("a path").to_owned();
        let bundle = webhook.client_config.ca_bundle.expect("an authority").0;
        let mut config = Config::new(format!("https://127.0.0.1:{port}").parse().expect("a URL"));
        config.root_cert = Some(certificates(&bundle));
        let pod = serde_json::to_value(pods::pod("asked", app)).expect("a pod");
        Self {
            client: Client::try_from(config).expect("a client"),
            path: format!("/{path}"),
            review: review(namespace, pod).to_string().into_bytes(),
        }
    }

    /// Asks once; the answer must be a patch.
    ///
    /// # Errors
    /// Any other answer.
    pub fn ask(&self) -> impl Future<Output = Result<(), String>> + Send + 'static {
        let Self {
            client,
            path,
            review,
        } = self.clone();
        async move {
            let request = Request::new(path)
                .create(&PostParams::default(), review)
                .map_err(|error| error.to_string())?;
            let answer: Value = client
                .request(request)
                .await
                .map_err(|error| error.to_string())?;
            match answer["response"]["patch"] {
                Value::String(_) => Ok(()),
                _ => Err(format!("no patch: {answer}")),
            }
        }
    }
}

fn review(namespace: &str, mut pod: Value) -> Value {
    pod["metadata"]["namespace"] = json!(namespace);
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "requestKind": {"group": "", "version": "v1", "kind": "Pod"},
            "requestResource": {"group": "", "version": "v1", "resource": "pods"},
            "name": "asked",
            "namespace": namespace,
            "operation": "CREATE",
            "userInfo": {"username": "admin", "groups": ["system:masters", "system:authenticated"]},
            "object": pod,
            "dryRun": true,
            "options": {"apiVersion": "meta.k8s.io/v1", "kind": "CreateOptions", "dryRun": ["All"]},
        },
    })
}

/// The DER of each certificate of a PEM bundle.
fn certificates(bundle: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(bundle);
    text.split("-----BEGIN CERTIFICATE-----")
        .skip(1)
        .filter_map(|rest| rest.split("-----END").next())
        .map(|body| {
            let joined: String = body.split_whitespace().collect();
            STANDARD.decode(joined).expect("base64")
        })
        .collect()
}
