//! A control group whose memory limit a test sets, as a container's is set: for who must run near it. It takes root.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::processes;

/// The group. It is removed when the test process has ended.
#[derive(Clone, Debug)]
pub struct MemoryGroup {
    folder: PathBuf,
    is_version_2: bool,
}

impl MemoryGroup {
    /// An empty group without a limit.
    ///
    /// # Panics
    /// When it cannot be made.
    #[must_use]
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("bulkhead-memory-{}-{number}", std::process::id());
        let (root, is_version_2) = hierarchy();
        if is_version_2 {
            // Where it has been passed on already, nothing is to be done.
            let _ = std::fs::write(root.join("cgroup.subtree_control"), "+memory");
        }
        let folder = root.join(&name);
        std::fs::create_dir_all(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}; run this as root", folder.display()));
        processes::cgroup_ends_with_us(&name);
        Self {
            folder,
            is_version_2,
        }
    }

    /// The file that takes a process in.
    #[must_use]
    pub fn door(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// Bytes in use.
    ///
    /// # Panics
    /// When the kernel does not say.
    #[must_use]
    pub fn used(&self) -> u64 {
        let file = self.file("memory.current", "memory.usage_in_bytes");
        let text = std::fs::read_to_string(file).unwrap();
        text.trim().parse().unwrap()
    }

    /// Sets the limit, in bytes.
    ///
    /// # Panics
    /// When the kernel refuses it.
    pub fn limit(&self, bytes: u64) {
        let file = self.file("memory.max", "memory.limit_in_bytes");
        std::fs::write(file, bytes.to_string()).unwrap();
    }

    fn file(&self, second: &str, first: &str) -> PathBuf {
        let name = if self.is_version_2 { second } else { first };
        self.folder.join(name)
    }
}

impl Default for MemoryGroup {
    fn default() -> Self {
        Self::new()
    }
}

/// Where memory is accounted for, and whether it is version 2: a machine that has a hierarchy of version 1 for it uses that.
fn hierarchy() -> (PathBuf, bool) {
    let first = Path::new("/sys/fs/cgroup/memory");
    if first.join("memory.limit_in_bytes").exists() {
        return (first.to_owned(), false);
    }
    (PathBuf::from("/sys/fs/cgroup"), true)
}
