//! The list of revocations: from the operator's snapshot folder, or from a file of `UserRevocation`s, to a list that may be put in force.
//! Blocking.
//!
//! A list that cannot be used leaves the last good one in force, as with policies. Unlike a policy it is small, changes often and must be
//! in force at once, so it is read by itself and waits for no policy to be good.

mod follow;

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use aws_lc_rs::digest::{SHA256, digest};
use bulkhead_crds::kinds::UserRevocation;
use bulkhead_crds::load::{self, LARGEST_FILE};
use bulkhead_crds::names::Timestamp;
use bulkhead_crds::names::objects::{REVOCATIONS_KEY, snapshot_key};
use bulkhead_crds::revocations::{self, Fate, LARGEST_LIST, RevocationList};
use bulkhead_crds::wire::VERSION;

use super::accepted::write_privately;
use super::diagnostic::{Diagnostic, Severity};
use super::source::{hex, of_finding, of_load, read_capped};
pub use follow::{RevocationFollower, RevocationStanding};

/// Where the list comes from.
#[derive(Clone, Debug)]
pub enum RevocationSource {
    /// A file with one `UserRevocation` a document.
    File(PathBuf),
    /// The folder with the operator's snapshots, in which it lies beside the policy.
    Snapshot(PathBuf),
}

/// A list that was read and judged good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedList {
    /// The list.
    pub list: RevocationList,
    /// What is legal but unwise.
    pub warnings: Vec<Diagnostic>,
}

/// What reading the list gave.
#[derive(Clone, Debug)]
pub(crate) struct ListReading {
    /// Differs when the outcome may differ.
    pub(crate) mark: String,
    pub(crate) outcome: Result<AcceptedList, Vec<Diagnostic>>,
}

impl RevocationSource {
    /// Reads and judges.
    ///
    /// # Errors
    /// What is wrong, at least one error among it.
    pub fn load(&self) -> Result<AcceptedList, Vec<Diagnostic>> {
        self.read().outcome
    }

    pub(crate) fn read(&self) -> ListReading {
        match self {
            Self::File(path) => match read_capped(path, LARGEST_FILE) {
                Ok(text) => ListReading::of(&text, judge(&text, SystemTime::now())),
                Err(error) => ListReading::unreadable(path, &error),
            },
            Self::Snapshot(folder) => of_folder(folder),
        }
    }

    /// The directory whose events tell of a change.
    pub(super) fn directory(&self) -> PathBuf {
        match self {
            Self::Snapshot(folder) => folder.clone(),
            Self::File(path) => match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
                _ => PathBuf::from("."),
            },
        }
    }
}

/// An operator that knows of no revocations writes no list; a folder without anything in it says nothing at all.
fn of_folder(folder: &Path) -> ListReading {
    let path = folder.join(REVOCATIONS_KEY);
    match read_capped(&path, LARGEST_LIST) {
        Ok(text) => ListReading::of(&text, of_json(&text)),
        Err(error)
            if error.kind() == io::ErrorKind::NotFound
                && folder.join(snapshot_key(VERSION)).exists() =>
        {
            ListReading::of("", Ok(AcceptedList::of(RevocationList::default())))
        }
        Err(error) => ListReading::unreadable(&path, &error),
    }
}

fn of_json(text: &str) -> Result<AcceptedList, Vec<Diagnostic>> {
    RevocationList::from_json(text)
        .map(AcceptedList::of)
        .map_err(|error| vec![Diagnostic::of_file("Malformed", error.to_string())])
}

/// Judges the text of a file of revocations. Pure.
///
/// # Errors
/// What is wrong, at least one error among it: a file is taken whole or not at all.
pub fn judge(text: &str, now: SystemTime) -> Result<AcceptedList, Vec<Diagnostic>> {
    let objects = load::revocations(text).map_err(|error| of_load(&error))?;
    let now = Timestamp::try_from(now)
        .map_err(|error| vec![Diagnostic::of_file("Clock", error.to_string())])?;
    let mut found: Vec<Diagnostic> = twice(&objects).into_iter().collect();
    for object in &objects {
        let findings = revocations::judge(object, now).into_iter();
        found.extend(findings.map(of_finding).map(|one| about(object, one)));
    }
    let listing = revocations::list(&objects, now);
    if listing.fates.values().any(|fate| *fate == Fate::Full) {
        let message =
            "the revocations do not fit into a list: take out those that have expired".to_owned();
        found.push(Diagnostic::of_file("ListFull", message));
    }
    if found.iter().any(|one| one.severity == Severity::Error) {
        return Err(found);
    }
    Ok(AcceptedList {
        list: listing.list,
        warnings: found,
    })
}

/// The first name that two of them have: the log and the hints speak of a revocation by its name.
fn twice(objects: &[UserRevocation]) -> Option<Diagnostic> {
    let mut names = std::collections::BTreeSet::new();
    let name = |object: &UserRevocation| object.metadata.name.clone().unwrap_or_default();
    let twice = objects
        .iter()
        .map(name)
        .find(|name| !names.insert(name.clone()))?;
    let message = format!("two revocations are called {twice}: give each a name of its own");
    Some(Diagnostic::of_file("DuplicateName", message))
}

fn about(object: &UserRevocation, found: Diagnostic) -> Diagnostic {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    Diagnostic {
        path: format!("{name}: {}", found.path),
        ..found
    }
}

impl AcceptedList {
    const fn of(list: RevocationList) -> Self {
        Self {
            list,
            warnings: Vec::new(),
        }
    }
}

impl ListReading {
    fn of(text: &str, outcome: Result<AcceptedList, Vec<Diagnostic>>) -> Self {
        Self {
            mark: hex(digest(&SHA256, text.as_bytes()).as_ref()),
            outcome,
        }
    }

    fn unreadable(path: &Path, error: &io::Error) -> Self {
        let message = format!("{} cannot be read: {error}", path.display());
        Self {
            mark: message.clone(),
            outcome: Err(vec![Diagnostic::of_file("Unreadable", message)]),
        }
    }
}

/// A copy of the last list that was put in force, for a start that finds none or a bad one: a container that starts again must not let in
/// whom it refused before.
#[derive(Clone, Debug)]
pub struct KeptList(PathBuf);

impl KeptList {
    /// The copy beside the accepted policy at `path`.
    #[must_use]
    pub fn beside(path: &Path) -> Self {
        let mut name = path.as_os_str().to_owned();
        name.push(".revocations");
        Self(name.into())
    }

    /// Keeps a list. What is in force does not depend on it, so that a failure is only told.
    pub fn keep(&self, list: &RevocationList) {
        let text = list.to_json().map_err(io::Error::other);
        if let Err(error) = text.and_then(|text| write_privately(&self.0, &text)) {
            let path = self.0.display();
            tracing::warn!(%error, %path, "the list of revocations cannot be kept for the next start");
        }
    }

    /// The list that was kept; none where none was, or none that can be used.
    #[must_use]
    pub fn load(&self) -> Option<RevocationList> {
        let text = read_capped(&self.0, LARGEST_LIST).ok()?;
        RevocationList::from_json(&text).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    const ALICE: &str = "apiVersion: bulkhead.dev/v1alpha1\nkind: UserRevocation\nmetadata: {name: out-alice}\nspec: {user: alice, notBefore: \"2026-11-27T12:00:00Z\", reason: TokenLeaked}\n";

    fn now() -> SystemTime {
        // 2026-11-27T12:00:00Z
        UNIX_EPOCH + Duration::from_secs(1_795_780_800)
    }

    fn reasons(text: &str) -> Vec<String> {
        let found = judge(text, now()).expect_err("refused");
        found
            .iter()
            .map(|one| format!("{} {}", one.reason, one.path))
            .collect()
    }

    #[test]
    fn a_file_holds_a_revocation_a_document_or_none() {
        let bob = ALICE.replace("alice", "bob");
        let list = judge(&format!("# who is out\n---\n{ALICE}---\n{bob}"), now());
        let list = list.expect("good").list;
        let users: Vec<_> = list.revocations().iter().map(|one| &*one.user).collect();
        assert_eq!(users, ["alice", "bob"]);
        assert_eq!(
            judge("", now()).expect("nobody").list,
            RevocationList::default()
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_nothing_of_the_file_is_taken() {
        let bob = ALICE.replace("alice", "bob");
        for (text, told) in [
            (
                ALICE.replace("user:", "usr:"),
                "Malformed document 1: spec.usr",
            ),
            (
                format!(
                    "{bob}---\n{}",
                    ALICE.replace("2026-11-27T12:00:00Z", "yesterday")
                ),
                "Malformed document 2: spec.notBefore",
            ),
            (
                ALICE.replace(", notBefore: \"2026-11-27T12:00:00Z\"", ""),
                "NoMoment out-alice: spec.notBefore",
            ),
            (
                ALICE.replace("TokenLeaked", "token leaked"),
                "Malformed document 1: spec.reason",
            ),
            (format!("{ALICE}---\n{ALICE}"), "DuplicateName "),
            (
                ALICE.replace("UserRevocation", "IsolationPolicy"),
                "Malformed document 1: kind",
            ),
        ] {
            let found = reasons(&text);
            assert!(found.iter().any(|one| one == told), "{told}: {found:?}");
        }
    }

    #[test]
    fn a_moment_to_come_is_a_warning() {
        let text = ALICE.replace("12:00:00Z", "13:00:00Z");
        let accepted = judge(&text, now()).expect("legal");
        assert_eq!(accepted.warnings[0].reason, "StillToCome");
        assert!(accepted.warnings[0].path.starts_with("out-alice: "));
    }

    #[test]
    fn a_folder_with_a_policy_and_no_list_revokes_nobody_and_an_empty_one_says_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = RevocationSource::Snapshot(folder.path().to_owned());
        assert_eq!(
            source.load().expect_err("nothing there")[0].reason,
            "Unreadable"
        );
        fs::write(folder.path().join("v1.json"), "{}").expect("written");
        assert_eq!(
            source.load().expect("nobody").list,
            RevocationList::default()
        );
        let list = judge(ALICE, now()).expect("good").list;
        let json = list.to_json().expect("JSON");
        fs::write(folder.path().join(REVOCATIONS_KEY), &json).expect("written");
        assert_eq!(source.load().expect("alice").list, list);
        fs::write(folder.path().join(REVOCATIONS_KEY), &json[..30]).expect("written");
        assert_eq!(source.load().expect_err("half")[0].reason, "Malformed");
    }

    #[test]
    fn the_last_list_is_kept_for_the_next_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let kept = KeptList::beside(&folder.path().join("accepted"));
        assert_eq!(kept.load(), None);
        let list = judge(ALICE, now()).expect("good").list;
        kept.keep(&list);
        assert_eq!(kept.load(), Some(list));
    }
}
