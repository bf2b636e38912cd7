//! Leading, and waiting to lead.

use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::stop::{self, Stop};
use crate::install::{self, standing::Standing};
use crate::lease::fence::{Fence, fenced};
use crate::lease::{Attempt, Lease};
use crate::metrics::Metrics;
use crate::reconcile;
use crate::settings::Settings;

/// Whoever would lead.
pub(super) struct Campaign {
    pub(super) client: Client,
    pub(super) settings: Arc<Settings>,
    pub(super) metrics: Metrics,
}

/// Why a term ended.
#[derive(Debug)]
enum End {
    /// The process is to end.
    Stopped,
    /// The lease is not certain any more, or somebody else's.
    Lost,
    /// The operator has been uninstalled.
    Withdrawn,
    /// What a leader does has ended, which it should not.
    Gone,
}

impl Campaign {
    /// Leads whenever the lease can be had, until it is time to end. The lease has been given back then.
    pub(super) async fn run(self, mut stop: Stop) {
        let mut lease = Lease::new(
            self.client.clone(),
            &self.settings.namespace,
            &self.settings.identity,
            self.settings.lease_duration,
        );
        loop {
            // A term has a fence of its own: what lingers of the last term must not profit from this one.
            let fence = Fence::default();
            tokio::select! {
                () = acquire(&mut lease, &fence) => {}
                () = stop.stopped() => return,
            }
            tracing::info!("leading");
            self.metrics.leading(true);
            let end = self.term(&mut lease, &fence, &mut stop).await;
            self.metrics.leading(false);
            self.metrics.forget_all();
            tracing::info!(reason = ?end, "not leading any more");
            if !matches!(end, End::Lost)
                && let Err(error) = release(&mut lease, &fence).await
            {
                tracing::warn!(%error, "the lease was not given back and runs out by itself");
            }
            match end {
                End::Stopped => return,
                // Somebody else may do better.
                End::Gone => sleep(self.settings.lease_duration).await,
                End::Lost | End::Withdrawn => {}
            }
        }
    }

    /// One term, from the lease held to its end. Everything that wrote has ended, or cannot write any more.
    async fn term(&self, lease: &mut Lease, fence: &Fence, stop: &mut Stop) -> End {
        let (stopper, stopped) = stop::pair();
        let client = fenced(self.client.clone(), fence.clone());
        let mut duties = tokio::spawn(duties(
            client,
            Arc::clone(&self.settings),
            self.metrics.clone(),
            stopped,
        ));
        let end = tokio::select! {
            () = stop.stopped() => End::Stopped,
            end = keep(lease, fence) => end,
            ended = &mut duties => {
                if let Err(error) = ended {
                    tracing::error!(%error, "what the leader does has ended");
                }
                return End::Gone;
            }
        };
        stopper.stop();
        finish(duties, fence).await;
        end
    }
}

/// What a leader does, until it is told to stop.
async fn duties(client: Client, settings: Arc<Settings>, metrics: Metrics, stop: Stop) {
    let standing = Standing::default();
    let reconciling = async {
        let (client, settings) = (client.clone(), Arc::clone(&settings));
        let context =
            reconcile::Context::new(client, settings, metrics.clone(), standing.clone()).await;
        reconcile::run(context).await
    };
    let installing = install::keep(
        client.clone(),
        Arc::clone(&settings),
        metrics.clone(),
        standing.clone(),
        stop,
    );
    // Reconciling has no end of its own, and nothing to tidy up: it ends with the rest.
    tokio::select! {
        () = installing => {}
        never = reconciling => match never {},
    }
}

/// Waits for what the leader does to end by itself while it may still write, and ends it otherwise.
async fn finish(mut duties: JoinHandle<()>, fence: &Fence) {
    let patience = fence.left().unwrap_or_default();
    if timeout(patience, &mut duties).await.is_err() {
        duties.abort();
        // It ends at its next await; its fence is closed in any case.
        let _ = duties.await;
    }
    fence.close();
}

/// Returns once the lease is held.
async fn acquire(lease: &mut Lease, fence: &Fence) {
    let mut told = String::new();
    let mut withdrawn = false;
    loop {
        match attempt(lease, fence).await {
            Ok(Attempt::Held) => return,
            Ok(Attempt::Lost { holder }) => {
                if !holder.is_empty() && holder != told {
                    tracing::info!(holder, "another replica leads");
                    told = holder;
                }
            }
            Ok(Attempt::Withdrawn) => {
                if !withdrawn {
                    tracing::warn!("uninstalled: this process will not lead any more");
                }
                withdrawn = true;
            }
            Err(error) => tracing::warn!(%error, "the lease cannot be had"),
        }
        sleep(lease.retry()).await;
    }
}

/// Renews the lease for as long as it can be.
async fn keep(lease: &mut Lease, fence: &Fence) -> End {
    loop {
        sleep(lease.retry()).await;
        match attempt(lease, fence).await {
            Ok(Attempt::Held) => {}
            Ok(Attempt::Lost { holder }) if !holder.is_empty() => {
                tracing::warn!(holder, "another replica has taken the lease");
                return End::Lost;
            }
            Ok(Attempt::Withdrawn) => return End::Withdrawn,
            // Somebody has written to it: perhaps we have, in a request whose answer was lost. The next look will tell.
            Ok(Attempt::Lost { .. }) => {}
            Err(error) => tracing::warn!(%error, "the lease was not renewed"),
        }
        if fence.left().is_none() {
            return End::Lost;
        }
    }
}

/// One attempt, given up while there is time for another.
async fn attempt(lease: &mut Lease, fence: &Fence) -> Result<Attempt, String> {
    let patience = lease.certain() / 2;
    match timeout(patience, lease.attempt(fence)).await {
        Ok(Ok(attempt)) => Ok(attempt),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {patience:?}")),
    }
}

async fn release(lease: &mut Lease, fence: &Fence) -> Result<(), String> {
    let patience = Duration::from_secs(2);
    match timeout(patience, lease.release(fence)).await {
        Ok(released) => released.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {patience:?}")),
    }
}
