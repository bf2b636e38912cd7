//! The cgroup of a node's pods. It is the one thing that does not go with the node's namespaces.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{PATIENCE, processes, wait};

/// The cgroup in which a node's pods live, in whichever hierarchies there are. This makes it, the
/// kubelet and runc fill it, and this removes it.
#[derive(Debug)]
pub(super) struct Cgroup {
    path: String,
}

impl Cgroup {
    /// The cgroup of the node `number`.
    pub(super) fn new(number: u8) -> Self {
        let path = path(number);
        let name = path.trim_start_matches('/');
        for root in roots() {
            pass_controllers_on(&root);
            std::fs::create_dir_all(root.join(name)).unwrap();
        }
        processes::cgroup_ends_with_us(name);
        Self { path }
    }

    /// Its path, from the root.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Leaves it to whoever ends the node.
    pub(super) fn leave(self) {
        processes::cgroup_stays(self.path.trim_start_matches('/'));
        std::mem::forget(self);
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove(&self.path);
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

/// Where the cgroup is.
fn hierarchies(name: &str) -> Vec<PathBuf> {
    let paths = roots().into_iter().map(|root| root.join(name));
    paths.filter(|path| path.is_dir()).collect()
}

/// The roots of all hierarchies: version 2 has one, version 1 one for each controller.
fn roots() -> Vec<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    mounts
        .lines()
        .filter_map(|mount| {
            let mut fields = mount.split(' ').skip(1);
            let (path, kind) = (fields.next()?, fields.next()?);
            kind.starts_with("cgroup").then(|| PathBuf::from(path))
        })
        .collect()
}

/// In version 2, a cgroup has the controllers that its parent passes on, and the kubelet wants all that there are.
fn pass_controllers_on(root: &Path) {
    let Ok(controllers) = std::fs::read_to_string(root.join("cgroup.controllers")) else {
        return;
    };
    for controller in controllers.split_whitespace() {
        // One that cannot be passed on is missed by the kubelet, which says so.
        let _ = std::fs::write(
            root.join("cgroup.subtree_control"),
            format!("+{controller}"),
        );
    }
}
