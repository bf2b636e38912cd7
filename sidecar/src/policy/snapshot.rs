//! From a folder of the operator's snapshots to a policy that may be put in force. Blocking.
//!
//! The operator writes a file a wire version, `v1.json` and so on, so that sidecars of two releases can read one ConfigMap.

use std::io;
use std::path::Path;

use bulkhead_crds::names::objects::snapshot_key;
use bulkhead_crds::wire::{LARGEST_SNAPSHOT, Snapshot, VERSION, WireError};

use super::diagnostic::Diagnostic;
use super::source::{Reading, read_capped};
use super::store::Accepted;

/// The wire versions that this build reads, the highest first.
pub const READS: [u32; 1] = [VERSION];

/// Reads the highest version that this build knows. One that is there and cannot be used is refused: a lower one says the
/// same, less well. A link that points nowhere counts as not there as long as another version is: the kubelet removes the
/// link of a version that is no longer written only after it has swapped what the links point into.
pub(super) fn read(folder: &Path) -> Reading {
    for version in READS {
        let file = folder.join(snapshot_key(version));
        match read_capped(&file, LARGEST_SNAPSHOT) {
            Ok(text) => return Reading::of(&text, judge(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Reading::unreadable(&file, &error),
        }
    }
    for version in READS {
        let file = folder.join(snapshot_key(version));
        if let Ok(target) = std::fs::read_link(&file) {
            return Reading::refused("Unreadable", points_nowhere(&file, &target));
        }
    }
    match versions_in(folder) {
        Ok(there) => Reading::refused("NoSnapshot", none_of_ours(folder, &there)),
        Err(error) => Reading::unreadable(folder, &error),
    }
}

/// Judges the text of a snapshot: its form, that its content is what its revision was made of, and that this sidecar can do
/// what it says. Whether the policy makes sense, the operator has judged. Pure.
///
/// # Errors
///
/// What is wrong, at least one error among it.
pub(super) fn judge(text: &str) -> Result<Accepted, Vec<Diagnostic>> {
    let snapshot = Snapshot::from_json(text)
        .map_err(|error| vec![Diagnostic::of_file(reason(&error), error.to_string())])?;
    Ok(Accepted {
        id: snapshot.revision().into(),
        policy: snapshot.policy().clone(),
        warnings: Vec::new(),
    })
}

const fn reason(error: &WireError) -> &'static str {
    match error {
        WireError::TooLarge { .. } => "TooLarge",
        WireError::Malformed(_) => "Malformed",
        WireError::Version { .. } => "UnknownVersion",
        WireError::Revision { .. } => "RevisionMismatch",
    }
}

fn points_nowhere(file: &Path, target: &Path) -> String {
    format!(
        "{} is a link to {}, and no file is there: mount the operator's ConfigMap there, whole and without subPath",
        file.display(),
        target.display()
    )
}

fn none_of_ours(folder: &Path, there: &[u32]) -> String {
    let folder = folder.display();
    let wanted = READS.map(snapshot_key).join(", ");
    if there.is_empty() {
        return format!(
            "{folder} holds no snapshot ({wanted}): mount the operator's ConfigMap there, whole and without subPath"
        );
    }
    let there: Vec<String> = there.iter().map(|version| snapshot_key(*version)).collect();
    format!(
        "{folder} holds {}, and this build reads {wanted}: use an operator and a sidecar at most two minor releases apart",
        there.join(", ")
    )
}

/// The versions whose files are in a folder, ascending.
fn versions_in(folder: &Path) -> io::Result<Vec<u32>> {
    let mut versions: Vec<u32> = std::fs::read_dir(folder)?
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name();
            let number = name.to_str()?.strip_prefix('v')?.strip_suffix(".json")?;
            number.parse().ok()
        })
        .collect();
    versions.sort_unstable();
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::policy::fixtures::{database, policy};

    fn text() -> String {
        let snapshot = Snapshot::of(policy(vec![database("main", 5432)]));
        snapshot.to_json().expect("it has a JSON form")
    }

    fn folder(files: &[(&str, &str)]) -> TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("written");
        }
        folder
    }

    fn refusal(folder: &TempDir) -> Diagnostic {
        let refused = read(folder.path()).outcome.expect_err("it is refused");
        refused[0].clone()
    }

    #[test]
    fn the_snapshots_revision_is_the_one_in_force() {
        let folder = folder(&[("v1.json", &text()), ("v999.json", "{}")]);
        let accepted = read(folder.path()).outcome.expect("good");
        let written = Snapshot::from_json(&text()).expect("good");
        assert_eq!(&*accepted.id, written.revision());
        assert_eq!(&accepted.policy, written.policy());
    }

    #[test]
    fn a_snapshot_that_was_edited_is_refused() {
        let edited = text().replace("\"port\": 5432", "\"port\": 5433");
        assert_ne!(edited, text());
        let found = refusal(&folder(&[("v1.json", &edited)]));
        assert_eq!(found.reason, "RevisionMismatch");
    }

    #[test]
    fn what_is_there_instead_is_named() {
        let found = refusal(&folder(&[("v7.json", "{}"), ("v8.json", "{}")]));
        assert_eq!(found.reason, "NoSnapshot");
        assert!(found.message.contains("v7.json, v8.json"), "{found}");
        let found = refusal(&folder(&[("notes.txt", "")]));
        assert!(found.message.contains("ConfigMap"), "{found}");
        let gone = read(Path::new("/nonexistent")).outcome.expect_err("gone");
        assert_eq!(gone[0].reason, "Unreadable");
    }

    #[test]
    fn a_link_that_points_nowhere_is_said_to() {
        let folder = folder(&[("v7.json", "{}")]);
        std::os::unix::fs::symlink("..data/v1.json", folder.path().join("v1.json")).unwrap();
        let found = refusal(&folder);
        assert_eq!(found.reason, "Unreadable");
        assert!(
            found
                .message
                .contains("v1.json is a link to ..data/v1.json, and no file is there"),
            "{found}"
        );
        assert!(!found.message.contains("this build reads"), "{found}");
    }

    #[test]
    fn each_defect_has_a_reason_of_its_own() {
        let version = text().replace("\"version\": 1", "\"version\": 2");
        let cut = text()[..40].to_owned();
        let large = " ".repeat(LARGEST_SNAPSHOT + 1);
        for (text, reason) in [
            (version, "UnknownVersion"),
            (cut, "Malformed"),
            (large, "TooLarge"),
        ] {
            let folder = folder(&[("v1.json", &text)]);
            assert_eq!(refusal(&folder).reason, reason);
        }
    }
}
