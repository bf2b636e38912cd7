//! A copy of the last policy that was accepted, for a start that finds none or a bad one. Blocking.
//!
//! In a pod it lies in a volume of memory that outlives the container and not the pod.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use bulkhead_crds::wire::{LARGEST_SNAPSHOT, Snapshot};

use super::diagnostic::Diagnostic;
use super::snapshot;
use super::source::{Reading, read_capped};
use super::store::Accepted;

/// Where the copy is kept: a snapshot, whatever the policy was read from.
#[derive(Clone, Debug)]
pub struct AcceptedCopy {
    path: PathBuf,
}

impl AcceptedCopy {
    /// The copy at `path`.
    #[must_use]
    pub const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Keeps a policy, in one step and for this user alone. What is in force does not depend on it, so that a failure is only
    /// told.
    pub fn keep(&self, accepted: &Accepted) {
        let snapshot = Snapshot::of(accepted.policy.clone());
        let text = snapshot.to_json().map_err(io::Error::other);
        if let Err(error) = text.and_then(|text| write_privately(&self.path, &text)) {
            let path = self.path.display();
            tracing::warn!(%error, %path, "the accepted policy cannot be kept for the next start");
        }
    }

    /// The policy that was kept; `None` where none was.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn load(&self) -> Option<Result<Accepted, Vec<Diagnostic>>> {
        match read_capped(&self.path, LARGEST_SNAPSHOT) {
            Ok(text) => Some(snapshot::judge(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => Some(Reading::unreadable(&self.path, &error).outcome),
        }
    }
}

/// Writes a file in one step, for this user alone.
pub(super) fn write_privately(path: &Path, text: &str) -> io::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    // A predecessor that was killed may have left one, and its mode would stay.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(text.as_bytes())?;
    fs::rename(&fresh, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::policy::fixtures::{database, policy};

    fn accepted(port: u16) -> Accepted {
        let policy = policy(vec![database("main", port)]);
        Accepted {
            id: bulkhead_crds::wire::revision(&policy).into(),
            policy,
            warnings: Vec::new(),
        }
    }

    #[test]
    fn what_was_kept_last_is_what_is_loaded_and_nobody_else_may_read_it() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("accepted");
        let copy = AcceptedCopy::at(path.clone());
        assert!(copy.load().is_none());
        // Given what a killed predecessor left behind, open to everybody
        fs::write(folder.path().join("accepted.new"), "half").expect("written");

        copy.keep(&accepted(5432));
        copy.keep(&accepted(5433));

        let loaded = copy.load().expect("there").expect("good");
        assert_eq!(loaded.id, accepted(5433).id);
        assert_eq!(loaded.policy, accepted(5433).policy);
        let mode = fs::metadata(&path).expect("there").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let left: Vec<_> = fs::read_dir(folder.path()).expect("a folder").collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn a_copy_that_was_cut_short_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("accepted");
        let copy = AcceptedCopy::at(path.clone());
        copy.keep(&accepted(5432));
        let text = fs::read_to_string(&path).expect("there");
        fs::write(&path, &text[..text.len() / 2]).expect("written");
        assert_eq!(
            copy.load().expect("there").expect_err("half")[0].reason,
            "Malformed"
        );
    }

    #[test]
    fn a_place_that_cannot_be_written_breaks_nothing() {
        AcceptedCopy::at("/nonexistent/accepted".into()).keep(&accepted(5432));
    }
}
