//! The cgroup of a node's pods. It is the one thing that does not go with the node's namespaces.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{PATIENCE, processes, wait};

/// The cgroup in which a node's pods live, in whichever hierarchies there are. runc makes it; this removes it.
#[derive(Debug)]
pub(super) struct Cgroup {
    path: String,
    ours: bool,
}

impl Cgroup {
    /// The cgroup of the node `number`, removed with this value if it is `ours`.
    pub(super) fn new(number: u8, ours: bool) -> Self {
        let path = path(number);
        if ours {
            processes::cgroup_ends_with_us(path.trim_start_matches('/'));
        }
        Self { path, ours }
    }

    /// Its path, from the root.
    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        if self.ours {
            remove(&self.path);
        }
    }
}

/// The path, from the root, of the cgroup of the node `number`.
pub(super) fn path(number: u8) -> String {
    format!("/bulkhead-{number}")
}

/// Removes the cgroup `/name` and those in it, once what lived there is gone.
pub(super) fn remove(path: &str) {
    let name = path.trim_start_matches('/');
    let gone = wait::blocking(PATIENCE, || {
        let left = hierarchies(name);
        for cgroup in &left {
            // One that is not empty yet is tried again.
            let _ = Command::new("find")
                .arg(cgroup)
                .args(["-depth", "-type", "d", "-exec", "rmdir", "{}", "+"])
                .output();
        }
        hierarchies(name).is_empty().then_some(())
    });
    if gone.is_none() {
        eprintln!("the cgroup {path} is not empty, and stays");
    }
}

/// Where the cgroup is: version 2 has one tree, version 1 a tree for each controller.
fn hierarchies(name: &str) -> Vec<PathBuf> {
    let root = Path::new("/sys/fs/cgroup");
    std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join(name))
        .chain([root.join(name)])
        .filter(|path| path.is_dir())
        .collect()
}
