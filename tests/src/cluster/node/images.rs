//! The images that a node runs: built from their Containerfiles, and brought into containerd without a registry.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::{Node, containerd};
use crate::cluster::launch::Launcher;
use crate::cluster::program;
use crate::tools::run_within;

/// The longest that an import may take.
const IMPORT: std::time::Duration = std::time::Duration::from_secs(120);

/// The archive of an image that this tree builds (`sidecar`, `operator`, `chat`, `postgres`, `busybox`, `pause`), built if it is not.
///
/// # Panics
/// When it cannot be built.
pub(super) fn archive(name: &str) -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("cluster/image");
    let output = std::process::Command::new(&script)
        .arg(name)
        .stderr(Stdio::inherit())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    assert!(
        output.status.success(),
        "{} {name} failed",
        script.display()
    );
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

impl Node {
    /// Builds the image `name` from its Containerfile, if it is not built, and brings it in. Pods use it as `bulkhead.test/NAME:1`
    /// with `imagePullPolicy: Never`.
    ///
    /// # Panics
    /// When it cannot be built.
    pub async fn load(&self, name: &str) {
        self.load_archive(&archive(name)).await;
    }

    /// Brings in the images of an OCI archive.
    ///
    /// # Panics
    /// When it is none.
    pub async fn load_archive(&self, archive: &Path) {
        import(&self.launcher, archive).await;
    }
}

/// Brings the images of an OCI archive into the containerd where `launcher` starts parts.
pub(super) async fn import(launcher: &Launcher, archive: &Path) {
    let mut command = launcher.command(&program("ctr"));
    command
        .args(["--address", containerd::SOCKET, "--namespace", "k8s.io"])
        .args(["images", "import"])
        .arg(archive);
    run_within(Command::from(command), "", IMPORT).await.check();
}
