//! A Unix socket for this user and root: the kernel says who opens it (`SO_PEERCRED`), and its file goes with it.

use std::fmt;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;
use tokio::net::UnixStream;

use super::AdminError;
use super::paths;

/// A bound socket. Dropping it removes its file, unless a successor has replaced it.
#[derive(Debug)]
pub(super) struct PrivateSocket {
    listener: UnixListener,
    path: PathBuf,
    /// The socket's inode: after a successor has replaced it, the path is no longer ours to remove.
    inode: Option<u64>,
    uid: Option<u32>,
}

/// Who is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The user id.
    pub uid: u32,
    /// The process id, where the kernel knows it; of another pod's namespace it is 0.
    pub pid: Option<i32>,
}

impl PrivateSocket {
    /// Binds the socket that `flag` names, with permissions 0600, in the place of one that nobody answers on. Needs a tokio
    /// runtime around it.
    pub(super) fn bind(flag: &'static str, path: &Path) -> Result<Self, AdminError> {
        let listener = paths::bind(flag, path)?;
        let inode = inode(path);
        let listener = UnixListener::from_std(listener).map_err(|source| AdminError::Control {
            flag,
            path: path.to_owned(),
            what: "listen",
            source,
        })?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            inode,
            uid: paths::own_uid(),
        })
    }

    /// The next connection, and who has opened it: none where that is somebody who may not. Cancel safe.
    pub(super) async fn accept(&self) -> io::Result<(UnixStream, Option<Peer>)> {
        let (stream, _) = self.listener.accept().await?;
        let peer = stream.peer_cred().ok().map(|of| Peer {
            uid: of.uid(),
            pid: of.pid(),
        });
        let peer = peer.filter(|peer| is_allowed(peer.uid, self.uid));
        Ok((stream, peer))
    }
}

impl Drop for PrivateSocket {
    fn drop(&mut self) {
        if self.inode.is_some() && inode(&self.path) == self.inode {
            let _ = paths::remove_if_there(&self.path);
        }
    }
}

/// Root and this process's own user; where that is not known, root alone.
fn is_allowed(peer: u32, own: Option<u32>) -> bool {
    peer == 0 || Some(peer) == own
}

fn inode(path: &Path) -> Option<u64> {
    std::fs::symlink_metadata(path).ok().map(|of| of.ino())
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "uid={}", self.uid)?;
        self.pid.map_or(Ok(()), |pid| write!(f, " pid={pid}"))
    }
}

#[cfg(test)]
mod tests {
    use super::is_allowed;

    #[test]
    fn root_and_the_own_user_may_ask_and_nobody_else() {
        assert!(is_allowed(0, Some(7)) && is_allowed(7, Some(7)) && is_allowed(0, None));
        assert!(!is_allowed(8, Some(7)) && !is_allowed(7, None));
    }
}
