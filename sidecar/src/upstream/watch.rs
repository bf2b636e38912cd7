//! Looking at names again, so that connections to addresses that have left them are retired.
//!
//! A name is asked for again when its last answer is no longer valid, while connections lead to its addresses. May not live
//! here: what an answer means (`names`), and who closes connections.

use std::collections::HashMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::connect::{Connector, Inner};
use super::names::Name;
use crate::telemetry::RetirementReason;

/// Between two questions for one name, at the least; and after one that was not answered.
const PAUSE: Duration = Duration::from_secs(1);

/// What is known of an upstream's names.
#[derive(Debug, Default)]
pub(super) struct Watch {
    names: HashMap<Arc<str>, Watched>,
    /// Whether somebody is asking.
    asking: bool,
}

#[derive(Debug, Default)]
struct Watched {
    name: Name,
    /// When to ask again.
    due: Option<Instant>,
}

impl Connector {
    /// The names that are to be looked at again now, if nobody is doing so; the caller is to do it by
    /// [`Connector::look_at_names`].
    #[must_use]
    pub fn names_due(&self, now: Instant) -> Vec<Arc<str>> {
        let inner = self.inner();
        let mut watch = inner.watch();
        if watch.asking {
            return Vec::new();
        }
        let hosts = inner.hosts.iter().map(|host| &host.name);
        let asked = hosts.filter(|name| inner.resolver.asks_for(name));
        let due = |name: &&Arc<str>| {
            let known = watch.names.get(*name).and_then(|known| known.due);
            known.is_none_or(|due| due <= now) && !inner.sites.in_use(name).is_empty()
        };
        let due: Vec<Arc<str>> = asked.filter(due).cloned().collect();
        watch.asking = !due.is_empty();
        due
    }

    /// Asks DNS for these names, and retires the connections to addresses that are gone. A name that is not answered for
    /// keeps its connections.
    pub async fn look_at_names(&self, names: Vec<Arc<str>>) {
        let inner = self.inner();
        for name in names {
            let answer = inner.resolver.ask(&name).await;
            let now = Instant::now();
            let mut watch = inner.watch();
            let known = watch.names.entry(Arc::clone(&name)).or_default();
            let soonest = now + PAUSE;
            known.due = Some(
                answer
                    .as_ref()
                    .map_or(soonest, |(_, until)| soonest.max(*until)),
            );
            let Ok((addresses, _)) = answer else {
                continue;
            };
            let used = inner.sites.in_use(&name);
            let gone = known.name.answered(&addresses, &used, now);
            drop(watch);
            if !gone.is_empty() {
                tracing::info!(host = &*name, ?gone, now = ?addresses, "addresses have left an upstream's name");
                inner.sites.retire(&name, &gone, RetirementReason::Dns);
            }
        }
        inner.watch().asking = false;
    }
}

impl Inner {
    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
