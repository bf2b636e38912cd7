//! A run of the operator, from the first connection to the last answer.
//!
//! ```text
//!   connect ─┬─ serve: health and metrics, webhooks       every replica
//!            └─ lead:  the Lease ── a term: certificates, install, reconcile       one replica, through a fenced client
//! ```
//!
//! SIGTERM: not ready, no more reconciling, the lease given back, requests finished, the end.

mod connect;
mod lead;
mod serve;
pub mod stop;

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::install::remove;
use crate::lease;
use crate::logs::{self, LogError};
use crate::metrics::Metrics;
use crate::settings::{Flags, SettingsError};

/// Why a run could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flag.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The connection to the API server.
    #[error(transparent)]
    Connect(#[from] connect::ConnectError),
    /// The system: threads, ports, signals.
    #[error("{0}")]
    System(#[from] io::Error),
    /// What was to be taken away.
    #[error("not all was removed: {0}")]
    Uninstall(#[from] crate::install::InstallError),
    /// The lease.
    #[error("Lease {name}: {0}", name = bulkhead_crds::names::objects::LEASE)]
    Lease(Box<kube::Error>),
    /// The registry of metrics.
    #[error("metrics: {0}")]
    Metrics(#[from] prometheus::Error),
}

/// Runs until the process is told to end.
///
/// # Errors
/// [`Error`]; while the API server is away, a run that has started goes on.
pub fn run(flags: &Flags) -> Result<(), Error> {
    let (filter, format) = flags.log();
    logs::start(filter, format)?;
    // Reviews are short and reconciling waits on the network: two threads keep one from delaying the other.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(operate(flags))
}

async fn operate(flags: &Flags) -> Result<(), Error> {
    let stop = stop::on_signals()?;
    let client = connect::connect(flags.kubeconfig()).await?;
    let settings = Arc::new(flags.settings(client.default_namespace())?);
    let metrics = Metrics::new()?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        namespace = settings.namespace,
        identity = settings.identity,
        "started"
    );
    let serving = serve::start(&client, &settings, &metrics).await?;
    let campaign = lead::Campaign {
        client,
        settings: Arc::clone(&settings),
        metrics,
    };
    let campaign = tokio::spawn(campaign.run(stop.clone()));
    stop.clone().stopped().await;
    tracing::info!("told to end: draining");
    let (_, led) = tokio::join!(serving.drain(settings.drain), campaign);
    if let Err(error) = led {
        tracing::error!(%error, "leading ended badly");
    }
    tracing::info!("ended");
    Ok(())
}

/// Takes away what the operator has installed, and returns what that was. A leader that still runs steps down first, and would put back
/// nothing.
///
/// # Errors
/// [`Error`]; what could be removed is removed all the same.
pub fn uninstall(kubeconfig: Option<&Path>, namespace: Option<&str>) -> Result<Vec<String>, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let client = connect::connect(kubeconfig).await?;
        let namespace = namespace.unwrap_or_else(|| client.default_namespace());
        lease::withdraw(&client, namespace)
            .await
            .map_err(|error| Error::Lease(Box::new(error)))?;
        Ok(remove::all(&client, namespace).await?)
    })
}
