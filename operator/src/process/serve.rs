//! What every replica serves, leader or not.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::task::{AbortHandle, JoinHandle};
use tokio::time::timeout;

use super::stop::{self, Stopper};
use crate::admission::mutate::Mutate;
use crate::admission::review::Webhooks;
use crate::admission::templates::Templates;
use crate::admission::validate::Validate;
use crate::certificates::follow::{self, Source};
use crate::certificates::shown::Shown;
use crate::health::{self, Readiness};
use crate::metrics::Metrics;
use crate::server;
use crate::settings::Settings;

/// What is being served; dropping it ends it.
pub(super) struct Serving {
    readiness: Readiness,
    background: Vec<AbortHandle>,
    webhooks: JoinHandle<()>,
    stopper: Stopper,
}

/// Opens the ports and serves.
///
/// # Errors
/// A port that cannot be had.
pub(super) async fn start(
    client: &Client,
    settings: &Arc<Settings>,
    metrics: &Metrics,
) -> Result<Serving, super::Error> {
    let readiness = Readiness::default();
    let admin = health::bind(settings.admin).await?;
    let webhook = health::bind(settings.webhooks.address).await?;
    tracing::info!(
        admin = %admin.local_addr()?,
        webhook = %webhook.local_addr()?,
        "serving health and metrics, and webhooks"
    );
    let shown = Shown::default();
    let tls = shown.server().map_err(io::Error::other)?;
    let (stopper, stop) = stop::pair();
    let webhooks = Arc::new(Webhooks {
        validate: Validate {
            client: client.clone(),
            settings: Arc::clone(settings),
        },
        mutate: Mutate {
            templates: Templates::watch(client, &settings.watch_namespaces),
            metrics: metrics.clone(),
        },
        metrics: metrics.clone(),
    });
    let serving = server::serve(webhook, tls, webhooks, stop, settings.drain);
    let follow = follow::follow(
        Source::of(settings, client),
        follow::interval(settings.webhooks.certificates()),
        shown,
        readiness.clone(),
        metrics.clone(),
    );
    let health = health::serve(admin, readiness.clone(), metrics.clone());
    Ok(Serving {
        readiness,
        background: vec![
            tokio::spawn(health).abort_handle(),
            tokio::spawn(follow).abort_handle(),
        ],
        webhooks: tokio::spawn(serving),
        stopper,
    })
}

impl Serving {
    /// Not ready from now on; returns when the reviews have been answered, or `patience` is over.
    pub(super) async fn drain(mut self, patience: Duration) {
        self.readiness.drain();
        self.stopper.stop();
        // The server keeps to the same time by itself; this is for when it does not.
        if timeout(patience * 2, &mut self.webhooks).await.is_err() {
            self.webhooks.abort();
        }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        for task in &self.background {
            task.abort();
        }
    }
}
