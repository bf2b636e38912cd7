//! The connection to the API server.

use std::path::Path;
use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig that was named.
    #[error("{path}: {source}")]
    Kubeconfig {
        /// Its path.
        path: String,
        /// What is wrong with it.
        source: Box<KubeconfigError>,
    },
    /// There is neither a kubeconfig nor a service account.
    #[error("no way to the API server is configured: {0}; name a kubeconfig by --kubeconfig")]
    Infer(#[from] kube::config::InferConfigError),
    /// What is configured cannot be used.
    #[error("cannot connect to the API server: {0}")]
    Client(#[from] Box<kube::Error>),
}

/// A client by this kubeconfig, or else by the pod's service account, or else by what kubectl would take. Nothing is sent yet.
///
/// # Errors
/// [`ConnectError`].
pub(super) async fn connect(kubeconfig: Option<&Path>) -> Result<Client, ConnectError> {
    let mut config = match kubeconfig {
        Some(path) => named(path)
            .await
            .map_err(|source| ConnectError::Kubeconfig {
                path: path.display().to_string(),
                source: Box::new(source),
            })?,
        None => match Config::incluster() {
            Ok(config) => config,
            Err(_) => Config::infer().await?,
        },
    };
    // Every caller here knows better when to try again: a write that is repeated by itself would outlive its lease.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT);
    Client::try_from(config).map_err(|error| ConnectError::Client(Box::new(error)))
}

async fn named(path: &Path) -> Result<Config, KubeconfigError> {
    let kubeconfig = Kubeconfig::read_from(path)?;
    Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await
}
