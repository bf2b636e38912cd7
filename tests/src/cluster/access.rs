//! Kubeconfigs: files for programs, and the same as configurations of kube's client.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::{Value, json};

use super::credentials::write_private;
use crate::certificates::Identity;

/// How somebody proves to the API server who they are.
#[derive(Clone, Debug)]
pub(super) enum Proof {
    Certificate(Identity),
    Token(String),
}

/// A kubeconfig that has not been written.
#[derive(Clone, Debug)]
pub(super) struct Access {
    /// `https://…`
    pub(super) server: String,
    /// PEM.
    pub(super) authority: String,
    pub(super) proof: Proof,
    /// Whom to act as, and in which groups.
    pub(super) act_as: Option<(String, Vec<String>)>,
}

impl Access {
    /// The same cluster, for whom `identity` proves to be.
    pub(super) fn of(&self, identity: Identity) -> Self {
        Self {
            proof: Proof::Certificate(identity),
            act_as: None,
            ..self.clone()
        }
    }

    /// Writes it to `path`.
    pub(super) fn write(&self, path: &Path) -> PathBuf {
        write_private(path, &serde_yaml::to_string(&self.value()).unwrap());
        path.to_path_buf()
    }

    /// It as a configuration of kube's client.
    pub(super) async fn config(&self) -> kube::Config {
        let kubeconfig: Kubeconfig = serde_json::from_value(self.value()).unwrap();
        kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .unwrap()
    }

    fn value(&self) -> Value {
        let mut user = match &self.proof {
            Proof::Certificate(identity) => json!({
                "client-certificate-data": STANDARD.encode(&identity.certificate),
                "client-key-data": STANDARD.encode(&identity.key),
            }),
            Proof::Token(token) => json!({"token": token}),
        };
        if let Some((name, groups)) = &self.act_as {
            user["as"] = json!(name);
            user["as-groups"] = json!(groups);
        }
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "bulkhead", "cluster": {
                "server": self.server,
                "certificate-authority-data": STANDARD.encode(&self.authority),
            }}],
            "users": [{"name": "user", "user": user}],
            "contexts": [{"name": "bulkhead", "context": {"cluster": "bulkhead", "user": "user"}}],
            "current-context": "bulkhead",
        })
    }
}
