//! Where the programs of a cluster are. `tests/cluster/build` alone decides, so that tests and people use the same ones.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The path of a program (`etcd`, `kube-apiserver`, `kubectl`, `helm` …).
///
/// # Panics
/// When it has not been built and is nowhere else; the message says which command builds it.
#[must_use]
pub fn program(name: &str) -> PathBuf {
    static FOUND: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let found = found.get_or_insert_default();
    if !found.contains_key(name) {
        // All of the control plane at once: looking costs a process, and who needs one needs the others.
        let group = if CONTROL_PLANE.contains(&name) {
            "control-plane"
        } else {
            name
        };
        found.extend(look(group));
    }
    found[name].clone()
}

const CONTROL_PLANE: [&str; 4] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kubectl",
];

fn look(group: &str) -> Vec<(String, PathBuf)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/build");
    let output = Command::new(&script)
        .args(["--no-build", "--list", group])
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, path)| (name.to_owned(), PathBuf::from(path)))
        .collect()
}
