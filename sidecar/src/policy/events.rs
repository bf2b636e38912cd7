//! The kernel's events, as nudges to look again. What has changed is not said here.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;

/// What the kernel is asked to tell of.
pub(super) struct Events {
    watcher: Option<RecommendedWatcher>,
    attached: Vec<PathBuf>,
    complained: bool,
}

impl Events {
    pub(super) fn new(nudge: &Arc<Notify>) -> Self {
        let nudge = Arc::clone(nudge);
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            // An error may mean lost events: look.
            if event.map_or(true, |event| is_change(event.kind)) {
                nudge.notify_one();
            }
        });
        let mut events = Self {
            watcher: None,
            attached: Vec::new(),
            complained: false,
        };
        match watcher {
            Ok(watcher) => events.watcher = Some(watcher),
            Err(error) => events.complain(&error),
        }
        events
    }

    /// Attaches to a directory unless that is done; one that cannot be watched is tried again at the next look.
    pub(super) fn attach(&mut self, directory: &Path, mode: RecursiveMode) {
        let Some(watcher) = &mut self.watcher else {
            return;
        };
        if self.attached.iter().any(|known| known == directory) {
            return;
        }
        match watcher.watch(directory, mode) {
            Ok(()) => self.attached.push(directory.to_owned()),
            Err(error) => self.complain(&error),
        }
    }

    fn complain(&mut self, error: &notify::Error) {
        if !self.complained {
            tracing::warn!(%error, "no events for the policy or its secrets; changes are found by polling");
            self.complained = true;
        }
    }
}

/// Reading is no change; without this our own look would be the next event.
const fn is_change(kind: EventKind) -> bool {
    matches!(
        kind,
        EventKind::Access(AccessKind::Close(AccessMode::Write))
    ) || !matches!(kind, EventKind::Access(_))
}
