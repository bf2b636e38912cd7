//! Which version the server has, for clients that ask before they have a server connection.

use std::rc::Rc;

use bulkhead_crds::effective::EffectiveDatabase;
use tokio::time::Instant;

use super::admission::serving_role;
use super::failure::checkout_line;
use crate::factory::checkout::Checkout;
use crate::factory::key::{FactoryKey, Owner};
use crate::factory::parking::park;
use crate::worker::{Entry, Worker};

/// What a server is taken for that does not tell its version: one before HELLO was made.
pub(super) const UNKNOWN: &str = "5.0.0";

/// The version as a connection has been told it; where none has been opened yet, one is, in the factory `bootstrap`.
///
/// # Errors
/// The error line for the client, where none can be opened.
pub(super) async fn of(worker: &Rc<Worker>, entry: &Rc<Entry>) -> Result<Rc<str>, String> {
    if let Some(known) = entry.version() {
        return Ok(known);
    }
    let force = entry.force();
    let key = FactoryKey {
        policy: force.policy_key.clone(),
        upstream: force.name.clone(),
        database: database_of(&force).into(),
        role: serving_role(&force).into(),
        owner: Owner::Bootstrap,
    };
    let factory = worker.factory(entry, key);
    let checkout = Checkout {
        worker,
        entry,
        factory: &factory,
        wanted: None,
    };
    let outcome = checkout.wait().await;
    let version = match outcome {
        Ok(owned) => {
            park(entry, &factory, owned, Instant::now());
            Ok(entry.version().unwrap_or_else(|| UNKNOWN.into()))
        }
        Err(error) => Err(checkout_line(&error)),
    };
    worker.release_factory(entry, &factory);
    version
}

/// The logical database that connections are opened in.
pub(super) fn database_of(force: &crate::force::DatabaseForce) -> String {
    opened_in(&force.settings).to_owned()
}

/// The same by an entry's settings alone.
pub(super) fn opened_in(settings: &EffectiveDatabase) -> &str {
    settings.upstream.database.as_deref().unwrap_or("0")
}
