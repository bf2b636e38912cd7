//! The cluster that a subcommand asks, as kubectl would find it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::Error;

/// A person waits: an API server that says nothing for that long says nothing.
const PATIENCE: Duration = Duration::from_secs(15);

/// The flags that say which cluster.
#[derive(Args, Clone, Debug)]
pub struct Cluster {
    /// The kubeconfig; without it, as kubectl finds one
    #[arg(long, env = "KUBECONFIG", value_name = "FILE", hide_env_values = true)]
    kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
}

impl Cluster {
    /// Connects; the second is the namespace of the context.
    ///
    /// # Errors
    /// A kubeconfig that cannot be read or used.
    pub async fn connect(&self) -> Result<(Client, String), Error> {
        let mut config = self.config().await?;
        config.connect_timeout = Some(PATIENCE);
        config.read_timeout = Some(PATIENCE);
        let namespace = config.default_namespace.clone();
        Ok((Client::try_from(config)?, namespace))
    }

    async fn config(&self) -> Result<Config, Error> {
        let options = KubeConfigOptions {
            context: self.context.clone(),
            ..KubeConfigOptions::default()
        };
        let told = |error: kube::config::KubeconfigError| Error::Cluster(error.to_string());
        match &self.kubeconfig {
            Some(file) => {
                let kubeconfig = Kubeconfig::read_from(file).map_err(told)?;
                Config::from_custom_kubeconfig(kubeconfig, &options)
                    .await
                    .map_err(told)
            }
            None if self.context.is_some() => Config::from_kubeconfig(&options).await.map_err(told),
            None => Config::infer()
                .await
                .map_err(|error| Error::Cluster(error.to_string())),
        }
    }
}

/// Runs `work` to its end on this thread.
///
/// # Errors
/// Those of `work`, and of the system where it gives no runtime.
pub fn block_on<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(work)
}
