//! Puts in force what the store says, and whatever changes under it: a new revision, a changed secret, keys that are due.

use std::sync::Arc;

use tokio::signal::unix::Signal;
use tokio::sync::Notify;

use crate::force::Force;
use crate::policy::PolicyStore;
use crate::process::Process;
use crate::secrets::Secrets;
use crate::upstream::Resolver;

/// SIGHUP means "read again", as it does for PostgreSQL.
pub(super) async fn look_again(mut reload: Signal, nudge: Arc<Notify>) {
    while reload.recv().await.is_some() {
        tracing::info!("SIGHUP: looking at the policy and the secrets again");
        nudge.notify_one();
    }
}

/// Puts each new revision in force, and each change of a secret. A revision that cannot be built leaves the last one.
pub(super) async fn follow(
    store: Arc<PolicyStore>,
    process: Arc<Process>,
    mut force: Arc<Force>,
    secrets: Arc<Secrets>,
    resolver: Resolver,
) {
    let (mut changes, mut secret_changes) = (store.changes(), store.secret_changes());
    let mut refresher = keep_keys_fresh(&force);
    loop {
        let changed = tokio::select! {
            changed = changes.changed() => changed,
            changed = secret_changes.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
        let revision = store.current();
        let id = Arc::clone(&revision.id);
        match Force::build(id, &revision.policy, &secrets, &resolver, Some(&force)) {
            Ok(built) => {
                let built = Arc::new(built);
                inherit_keys(&built, &force);
                force = built;
                process.put_in_force(&force);
                refresher.abort();
                refresher = keep_keys_fresh(&force);
                tracing::info!(revision = %force.revision, "a revision is in force");
            }
            Err(error) => {
                if store.cannot_apply(error.to_string()) {
                    process.metrics.policy_rejections.inc();
                    tracing::error!(%error, revision = %revision.id, "a secret cannot be used; what is in force stays");
                }
            }
        }
    }
}

/// Keys that were fetched stay, so that a policy change while the identity provider is away refuses nobody.
fn inherit_keys(new: &Force, old: &Force) {
    new.verifier.take_over(&old.verifier);
}

/// Fetches key sets that live at an address, now and whenever they are due.
fn keep_keys_fresh(force: &Force) -> tokio::task::JoinHandle<()> {
    let verifier = Arc::clone(&force.verifier);
    tokio::spawn(async move {
        if let Some(refresher) = verifier.refresher() {
            refresher.await;
        }
    })
}
