//! Whether anything under the secrets directory has changed, told from the files' metadata; their content is never read here.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// `DIR/<name>/<key>` is two deep.
const DEPTH: usize = 2;

/// Entries that are looked at; a directory with more is no secrets directory.
const MOST_ENTRIES: usize = 4096;

/// What a file looked like. A Secret volume swaps a symbolic link, so the inode behind the path changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What all files looked like at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SecretMarks(BTreeMap<PathBuf, Mark>);

/// A secrets directory, and how it looked at one time.
#[derive(Clone, Debug, Default)]
pub struct NotedSecrets {
    pub(super) directory: Option<PathBuf>,
    pub(super) marks: SecretMarks,
}

impl NotedSecrets {
    /// Takes note of how the directory looks now: before the secrets are first read, so that no change is missed.
    #[must_use]
    pub fn of(directory: Option<PathBuf>) -> Self {
        Self {
            marks: SecretMarks::of(directory.as_deref()),
            directory,
        }
    }
}

impl SecretMarks {
    /// Looks at every file. What cannot be read is as if it were not there.
    pub(super) fn of(directory: Option<&Path>) -> Self {
        let mut marks = Self::default();
        if let Some(directory) = directory {
            marks.walk(directory, DEPTH);
        }
        marks
    }

    fn walk(&mut self, directory: &Path, depth: usize) {
        let Ok(entries) = fs::read_dir(directory) else {
            return;
        };
        for entry in entries.flatten() {
            // A volume's own machinery (`..data`, `..2026_01_01`); its keys are seen through their links.
            if entry.file_name().as_encoded_bytes().starts_with(b"..") {
                continue;
            }
            if self.0.len() >= MOST_ENTRIES {
                return;
            }
            let path = entry.path();
            match fs::metadata(&path) {
                Ok(of) if of.is_dir() && depth > 1 => self.walk(&path, depth - 1),
                Ok(of) if of.is_file() => {
                    let mark = Mark {
                        device: of.dev(),
                        inode: of.ino(),
                        size: of.len(),
                        modified: (of.mtime(), of.mtime_nsec()),
                        changed: (of.ctime(), of.ctime_nsec()),
                    };
                    self.0.insert(path, mark);
                }
                _ => {}
            }
        }
    }
}
