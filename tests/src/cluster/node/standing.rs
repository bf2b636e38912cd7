//! The one node of a machine that stays up after the process that started it.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use super::{Home, Node, cgroups, images, world};
use crate::cluster::launch::Launcher;
use crate::{PATIENCE, wait};

/// A cluster that somebody started, and that runs.
#[derive(Debug)]
pub struct Standing {
    folder: PathBuf,
    state: State,
}

/// What must be known to reach it and to end it.
#[derive(Debug, Deserialize, Serialize)]
struct State {
    /// The process that made its namespaces.
    maker: u32,
    /// When that process started, in the kernel's ticks: an id is given again.
    started: String,
    /// The first process in the namespaces.
    init: u32,
    /// The node's number.
    number: u8,
}

impl Standing {
    /// Where the machine's one cluster has its files, if no other folder is named.
    #[must_use]
    pub fn usual_folder() -> PathBuf {
        crate::programs::cache().join("cluster/standing")
    }

    /// The cluster in `folder` that runs, if one does.
    #[must_use]
    pub fn find(folder: &Path) -> Option<Self> {
        let state: State =
            serde_json::from_str(&std::fs::read_to_string(folder.join("state.json")).ok()?).ok()?;
        (start_of(state.maker)? == state.started).then(|| Self {
            folder: folder.to_path_buf(),
            state,
        })
    }

    /// Starts a cluster that stays, with its files in `folder`.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn up(folder: &Path) -> Self {
        // What a machine that was switched off has left behind.
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder).unwrap();
        let node = Node::start(Home::At(folder.to_path_buf())).await;
        let state = State {
            maker: node.world.id(),
            started: start_of(node.world.id()).expect("it runs"),
            init: node.world.init(),
            number: node.addresses.number,
        };
        std::fs::write(
            folder.join("state.json"),
            serde_json::to_string(&state).unwrap(),
        )
        .unwrap();
        node.leave();
        Self {
            folder: folder.to_path_buf(),
            state,
        }
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    /// Builds the image `name` from its Containerfile, if it is not built, and brings it in as `bulkhead.test/NAME:1`.
    ///
    /// # Panics
    /// When it cannot be built.
    pub async fn load(&self, name: &str) {
        self.load_archive(&images::archive(name)).await;
    }

    /// Brings in the images of an OCI archive.
    ///
    /// # Panics
    /// When it is none.
    pub async fn load_archive(&self, archive: &Path) {
        let launcher: Launcher = world::launcher(self.state.init, &self.folder);
        images::import(&launcher, archive).await;
    }

    /// Ends it, and removes all that it has made.
    ///
    /// # Panics
    /// When a file cannot be removed.
    pub fn down(self) {
        if let Some(pid) = i32::try_from(self.state.maker).ok().and_then(Pid::from_raw) {
            // Its first process is killed with it, and by that everything in there.
            let _ = kill_process(pid, Signal::KILL);
        }
        let init = PathBuf::from(format!("/proc/{}", self.state.init));
        wait::blocking(PATIENCE, || (!init.exists()).then_some(()));
        cgroups::remove(&cgroups::path(self.state.number));
        std::fs::remove_dir_all(&self.folder).unwrap();
    }
}

/// When a process started, which together with its id names it; none if there is no such process.
fn start_of(id: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in parentheses, may hold anything; what follows are 20 fields up to the start.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19).map(str::to_owned)
}
