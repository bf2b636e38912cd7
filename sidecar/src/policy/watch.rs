//! Sees to it that a changed policy file is taken over, and that a changed secret is known.
//!
//! Events of the kernel only say "look again": what has changed is found by looking, so an event that is lost, doubled or
//! early does no harm, and a slow poll finds what no event told (network file systems, an inotify limit).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};

use super::diagnostic::Diagnostic;
use super::secret_marks::SecretMarks;
use super::source::{PolicySource, Reading};
use super::store::{Accepted, PolicyStore, Rejection, TakeOver, Trial};
use crate::telemetry::Metrics;

/// How patient a watch is.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Silence after an event before the file is read: an editor writes in several steps.
    pub quiet: Duration,
    /// How long events may put the reading off.
    pub at_most: Duration,
    /// Between looks without an event.
    pub poll: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            quiet: Duration::from_millis(100),
            at_most: Duration::from_secs(1),
            poll: Duration::from_secs(15),
        }
    }
}

/// Watches one policy file and one secrets directory.
pub struct PolicyWatch {
    source: PolicySource,
    secrets: Option<PathBuf>,
    store: Arc<PolicyStore>,
    metrics: Arc<Metrics>,
    timing: Timing,
    trial: Box<Trial>,
    /// What the last reading was of.
    seen: Option<String>,
    marks: SecretMarks,
}

impl PolicyWatch {
    /// Takes note of how the secrets look now; make it before they are first read. Shows the revision in force in the
    /// metrics.
    #[must_use]
    pub fn new(
        source: PolicySource,
        secrets: Option<PathBuf>,
        store: Arc<PolicyStore>,
        metrics: Arc<Metrics>,
        timing: Timing,
    ) -> Self {
        metrics.policy_revision(&store.current().id);
        Self {
            marks: SecretMarks::of(secrets.as_deref()),
            trial: Box::new(|_| Ok(())),
            seen: None,
            source,
            secrets,
            store,
            metrics,
            timing,
        }
    }

    /// Lets each new revision be tried before it is in force; the reason of a refusal is shown like any other. A refused one
    /// is tried again when the secrets change.
    #[must_use]
    pub fn with_trial(self, trial: Box<Trial>) -> Self {
        Self { trial, ..self }
    }

    /// Watches until it is dropped; never returns by itself.
    pub async fn run(mut self) {
        let nudge = Arc::new(Notify::new());
        let mut events = Events::new(&nudge);
        loop {
            events.attach(
                &directory_of(&self.source.path),
                RecursiveMode::NonRecursive,
            );
            if let Some(secrets) = &self.secrets {
                events.attach(secrets, RecursiveMode::Recursive);
            }
            self.look().await;
            if timeout(self.timing.poll, nudge.notified()).await.is_ok() {
                self.settle(&nudge).await;
            }
        }
    }

    /// Waits until the events have ceased for a moment.
    async fn settle(&self, nudge: &Notify) {
        let end = Instant::now() + self.timing.at_most;
        let quiet = || timeout(self.timing.quiet, nudge.notified());
        let _ = timeout_at(end, async { while quiet().await.is_ok() {} }).await;
    }

    async fn look(&mut self) {
        let (source, secrets) = (self.source.clone(), self.secrets.clone());
        let looked = spawn_blocking(move || (source.read(), SecretMarks::of(secrets.as_deref())));
        let (reading, marks) = match looked.await {
            Ok(looked) => looked,
            Err(error) => {
                tracing::error!(%error, "the policy could not be read");
                return;
            }
        };
        // First, so that a policy that names a new secret finds it.
        let secrets_changed = marks != self.marks;
        if secrets_changed {
            self.marks = marks;
            tracing::info!("secrets have changed");
            self.store.secrets_changed();
        }
        self.consider(reading, secrets_changed);
    }

    fn consider(&mut self, reading: Reading, secrets_changed: bool) {
        let is_new = self.seen.as_ref() != Some(&reading.mark);
        // What was refused for want of a secret may be good now.
        let try_again = secrets_changed && self.store.standing().rejection.is_some();
        self.seen = Some(reading.mark);
        match reading.outcome {
            Ok(accepted) if is_new || try_again => self.take_over(accepted),
            Err(diagnostics) if is_new => self.reject(diagnostics),
            _ => {}
        }
    }

    fn take_over(&self, accepted: Accepted) {
        let was_refused = self.store.standing().rejection.is_some();
        let warnings = accepted.warnings.clone();
        match self.store.take_over(accepted, &self.trial) {
            TakeOver::Refused(reason) => {
                let why = vec![Diagnostic::of_file("CannotApply", reason)];
                let known = self.store.standing().rejection;
                if known.is_none_or(|known| known.diagnostics != why) {
                    self.reject(why);
                }
            }
            TakeOver::Changed(revision) => {
                self.metrics.policy_revision(&revision.id);
                tracing::info!(
                    revision = %revision.id,
                    number = revision.number,
                    environment = revision.policy.environment,
                    "policy taken over"
                );
                warnings.iter().for_each(Diagnostic::log);
                for pending in self.store.standing().pending_restart {
                    tracing::warn!(
                        path = pending.path,
                        running = pending.running,
                        wanted = pending.wanted,
                        "policy change waits for a restart"
                    );
                }
            }
            TakeOver::Unchanged if was_refused => {
                tracing::info!("the policy file is good again and says what is in force");
            }
            TakeOver::Unchanged => {}
        }
    }

    fn reject(&self, diagnostics: Vec<Diagnostic>) {
        self.metrics.policy_rejections.inc();
        tracing::error!(
            revision = %self.store.current().id,
            "policy refused; the last good revision stays in force"
        );
        diagnostics.iter().for_each(Diagnostic::log);
        self.store.reject(Rejection {
            at: SystemTime::now(),
            diagnostics,
        });
    }
}

/// The directory to watch: renames over the file, and the swap of `..data` in a ConfigMap volume, are events of it.
fn directory_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The kernel's events, as nudges.
struct Events {
    watcher: Option<RecommendedWatcher>,
    attached: Vec<PathBuf>,
    complained: bool,
}

impl Events {
    fn new(nudge: &Arc<Notify>) -> Self {
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
    fn attach(&mut self, directory: &Path, mode: RecursiveMode) {
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use tempfile::TempDir;
    use tokio::sync::watch;
    use tokio::task::JoinHandle;

    use super::*;
    use crate::policy::fixtures::POLICY;

    /// Far longer than any of these takes; a test that waits for it has failed.
    const DEADLINE: Duration = Duration::from_secs(30);

    /// Events alone: a look without one would come too late.
    const BY_EVENT: Timing = Timing {
        quiet: Duration::from_millis(10),
        at_most: Duration::from_millis(100),
        poll: Duration::from_secs(3600),
    };

    struct House {
        store: Arc<PolicyStore>,
        metrics: Arc<Metrics>,
        changes: watch::Receiver<u64>,
        running: JoinHandle<()>,
    }

    impl House {
        /// Loads `file` and watches it.
        fn of(file: &Path, secrets: Option<&Path>, timing: Timing) -> Self {
            Self::with_trial(file, secrets, timing, Box::new(|_| Ok(())))
        }

        fn with_trial(
            file: &Path,
            secrets: Option<&Path>,
            timing: Timing,
            trial: Box<Trial>,
        ) -> Self {
            let source = PolicySource {
                path: file.to_owned(),
                environment: "staging".to_owned(),
            };
            let store = PolicyStore::new(source.load().expect("a good policy"));
            let metrics = Metrics::new().expect("names are legal");
            let watch = PolicyWatch::new(
                source,
                secrets.map(Path::to_owned),
                Arc::clone(&store),
                Arc::clone(&metrics),
                timing,
            )
            .with_trial(trial);
            Self {
                changes: store.changes(),
                running: tokio::spawn(watch.run()),
                store,
                metrics,
            }
        }

        async fn next_revision(&mut self) -> u64 {
            let changed = timeout(DEADLINE, self.changes.changed()).await;
            changed
                .expect("a change is noticed")
                .expect("the store lives");
            *self.changes.borrow_and_update()
        }

        fn statement(&self) -> Option<Duration> {
            self.store.current().policy.databases[0].timeouts.statement
        }

        async fn until(&self, condition: impl Fn(&Self) -> bool) {
            let waiting = async {
                while !condition(self) {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
            };
            timeout(DEADLINE, waiting).await.expect("it comes about");
        }

        /// Once an event is answered the watch is attached; before that, a change might come too early to be one.
        async fn is_watching(&mut self, file: &Path) {
            let before = self.store.current().number;
            let mut seconds = 100;
            while self.store.current().number == before {
                seconds += 1;
                put(file, &with_statement(seconds));
                let _ = timeout(Duration::from_millis(200), self.changes.changed()).await;
            }
            put(file, POLICY);
            self.until(|house| house.statement() == Some(Duration::from_secs(20)))
                .await;
            self.changes.mark_unchanged();
        }
    }

    impl Drop for House {
        fn drop(&mut self) {
            self.running.abort();
        }
    }

    fn with_statement(seconds: u64) -> String {
        POLICY.replace("statement: 20s", &format!("statement: {seconds}s"))
    }

    /// Renames into place, so that no look meets half a file.
    fn put(file: &Path, text: &str) {
        let draft = file.with_extension("draft");
        fs::write(&draft, text).expect("written");
        fs::rename(&draft, file).expect("renamed");
    }

    fn directory_with_policy() -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("policy.yaml");
        fs::write(&file, POLICY).expect("written");
        (directory, file)
    }

    #[tokio::test]
    async fn a_file_renamed_over_the_policy_is_taken_over() {
        let (_directory, file) = directory_with_policy();
        let mut house = House::of(&file, None, BY_EVENT);
        house.is_watching(&file).await;

        put(&file, &with_statement(7));

        house.next_revision().await;
        assert_eq!(house.statement(), Some(Duration::from_secs(7)));
        let id = house.store.current().id.clone();
        house
            .until(|house| {
                let shown = house.metrics.render().expect("renders");
                shown.contains(&format!("bulkhead_policy_revision{{revision=\"{id}\"}} 1"))
            })
            .await;
    }

    #[tokio::test]
    async fn the_swap_of_a_config_map_volume_is_taken_over() {
        // Given a ConfigMap volume: policy.yaml -> ..data/policy.yaml, ..data -> ..1
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("..1")).expect("created");
        fs::write(at("..1/policy.yaml"), POLICY).expect("written");
        symlink("..1", at("..data")).expect("linked");
        symlink("..data/policy.yaml", at("policy.yaml")).expect("linked");
        let mut house = House::of(&at("policy.yaml"), None, BY_EVENT);

        // When the kubelet writes new data beside the old and swaps the link
        let mut version = 1;
        while house.store.current().number == 1 {
            version += 1;
            let new = format!("..{version}");
            fs::create_dir(at(&new)).expect("created");
            fs::write(at(&new).join("policy.yaml"), with_statement(9)).expect("written");
            symlink(&new, at("..data_tmp")).expect("linked");
            fs::rename(at("..data_tmp"), at("..data")).expect("swapped");
            let _ = timeout(Duration::from_millis(500), house.changes.changed()).await;
            assert!(version < 60, "the swap is not noticed");
        }

        // Then the new data is in force
        assert_eq!(house.statement(), Some(Duration::from_secs(9)));
    }

    #[tokio::test]
    async fn a_bad_file_leaves_the_last_good_one_in_force_until_a_good_one_comes() {
        let (_directory, file) = directory_with_policy();
        let mut house = House::of(&file, None, BY_EVENT);
        house.is_watching(&file).await;
        let good = house.store.current();
        let refused_before = house.metrics.policy_rejections.get();

        // When the file is broken
        put(&file, &POLICY.replace("statement:", "statment:"));
        house
            .until(|house| house.store.standing().rejection.is_some())
            .await;

        // Then the good one stays, and the refusal can be seen and is counted once
        assert_eq!(house.store.current().id, good.id);
        let rejection = house.store.standing().rejection.expect("refused");
        assert!(rejection.diagnostics[0].path.contains("statment"));
        assert_eq!(house.metrics.policy_rejections.get(), refused_before + 1);

        // And when it is mended, it is taken over and the refusal forgotten
        put(&file, &with_statement(11));
        house.next_revision().await;
        assert_eq!(house.statement(), Some(Duration::from_secs(11)));
        assert_eq!(house.store.standing().rejection, None);
    }

    #[tokio::test]
    async fn a_poll_finds_what_no_event_told_and_counts_a_refusal_once() {
        let (_directory, file) = directory_with_policy();
        let polling = Timing {
            poll: Duration::from_millis(5),
            ..BY_EVENT
        };
        // A link into another directory: writing there is no event here.
        let elsewhere = tempfile::tempdir().expect("a directory");
        let link = elsewhere.path().join("policy.yaml");
        symlink(&file, &link).expect("linked");
        let password = elsewhere.path().join("db/password");
        fs::create_dir(elsewhere.path().join("db")).expect("created");
        let mut house = House::of(&link, Some(elsewhere.path()), polling);
        let mut looked = house.store.secret_changes();

        put(&file, &with_statement(13));
        house.next_revision().await;
        assert_eq!(house.statement(), Some(Duration::from_secs(13)));

        fs::remove_file(&file).expect("removed");
        house
            .until(|house| house.store.standing().rejection.is_some())
            .await;
        // Every look that takes note of a secret has met the same trouble again.
        for secret in ["one", "two", "three"] {
            fs::write(&password, secret).expect("written");
            let noticed = timeout(DEADLINE, looked.changed()).await;
            noticed.expect("noticed").expect("the store lives");
        }
        assert_eq!(house.metrics.policy_rejections.get(), 1);
        assert_eq!(house.store.current().number, 2);
    }

    #[tokio::test]
    async fn a_policy_that_fails_its_trial_is_tried_again_when_the_secrets_change() {
        let (_directory, file) = directory_with_policy();
        let secrets = tempfile::tempdir().expect("a directory");
        fs::create_dir(secrets.path().join("db")).expect("created");
        let password = secrets.path().join("db/password");
        // A trial like the engine's: what the policy refers to must be there.
        let needed = password.clone();
        let trial: Box<Trial> = Box::new(move |_| match needed.exists() {
            true => Ok(()),
            false => Err("secret db/password is missing".to_owned()),
        });
        let polling = Timing {
            poll: Duration::from_millis(5),
            ..BY_EVENT
        };
        let mut house = House::with_trial(&file, Some(secrets.path()), polling, trial);

        // Given a policy that was refused
        put(&file, &with_statement(17));
        house
            .until(|house| house.store.standing().rejection.is_some())
            .await;
        let rejection = house.store.standing().rejection.expect("refused");
        assert_eq!(rejection.diagnostics[0].reason, "CannotApply");
        assert_eq!(house.store.current().number, 1);

        // When a secret changes that does not mend it, it is not counted again
        let mut told = house.store.secret_changes();
        fs::write(secrets.path().join("db/username"), "app").expect("written");
        let noticed = timeout(DEADLINE, told.changed()).await;
        noticed.expect("noticed").expect("the store lives");
        assert_eq!(house.metrics.policy_rejections.get(), 1);

        // Then the one that does puts it in force, though the policy file is as it was
        fs::write(&password, "secret").expect("written");
        house.next_revision().await;
        assert_eq!(house.statement(), Some(Duration::from_secs(17)));
        assert_eq!(house.metrics.policy_rejections.get(), 1);
        assert_eq!(house.store.standing().rejection, None);
    }

    #[tokio::test]
    async fn a_changed_secret_is_told_and_an_unchanged_one_is_not() {
        let (_directory, file) = directory_with_policy();
        let secrets = tempfile::tempdir().expect("a directory");
        let password = secrets.path().join("db/password");
        fs::create_dir(secrets.path().join("db")).expect("created");
        fs::write(&password, "one").expect("written");
        let mut house = House::of(&file, Some(secrets.path()), BY_EVENT);
        let mut told = house.store.secret_changes();
        house.is_watching(&file).await;
        assert!(
            !told.has_changed().expect("the store lives"),
            "only the policy has changed"
        );

        fs::write(&password, "two").expect("written");
        let noticed = timeout(DEADLINE, told.changed()).await;
        noticed.expect("noticed").expect("the store lives");
    }
}
