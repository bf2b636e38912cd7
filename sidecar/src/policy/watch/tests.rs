//! Changes of files that are taken over, refused, or told of.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

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
    nudge: Arc<Notify>,
    running: JoinHandle<()>,
}

impl House {
    /// Loads `file` and watches it.
    fn of(file: &Path, secrets: Option<&Path>, timing: Timing) -> Self {
        Self::with_trial(file, secrets, timing, Box::new(|_| Ok(())))
    }

    fn with_trial(file: &Path, secrets: Option<&Path>, timing: Timing, trial: Box<Trial>) -> Self {
        let source = PolicySource::File {
            path: file.to_owned(),
            environment: "staging".to_owned(),
        };
        let store = PolicyStore::new(source.load().expect("a good policy"));
        let metrics = Metrics::new().expect("names are legal");
        let watch = PolicyWatch::new(
            source,
            NotedSecrets::of(secrets.map(Path::to_owned)),
            Arc::clone(&store),
            Arc::clone(&metrics),
            timing,
        )
        .with_trial(trial);
        Self {
            changes: store.changes(),
            nudge: watch.nudge(),
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

#[tokio::test]
async fn a_nudge_finds_what_no_event_told() {
    let (_directory, file) = directory_with_policy();
    // A link into another directory: writing there is no event here.
    let elsewhere = tempfile::tempdir().expect("a directory");
    let link = elsewhere.path().join("policy.yaml");
    symlink(&file, &link).expect("linked");
    let mut house = House::of(&link, None, BY_EVENT);
    put(&file, &with_statement(13));
    house.nudge.notify_one();
    house.next_revision().await;
    assert_eq!(house.statement(), Some(Duration::from_secs(13)));
}
