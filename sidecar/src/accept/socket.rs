//! A Unix socket for clients: how its file gets where they look for it, and how it goes again.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::listener::BACKLOG;

/// Whoever may enter the folder may connect, as PostgreSQL has it (`unix_socket_permissions`): in a pod the application runs
/// as another user than the sidecar, and the folder is a volume of the two.
const MODE: u32 = 0o777;

/// The file of a socket, removed when this is dropped, unless a successor has replaced it.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    inode: Option<u64>,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.inode.is_some() && inode(&self.path) == self.inode {
            // One that stays is replaced at the next start.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Binds a socket at `path`, in the place of one that nobody answers on.
///
/// # Errors
/// A server answers there (`AddrInUse`), a file that is no socket is in the way, or what the system says.
pub(super) fn bind(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    use socket2::{Domain, SockAddr, Socket, Type};
    refuse_what_lives(path)?;
    // Bound under another name and renamed, so that the path never shows a socket that is not open yet, and a stale one is
    // replaced in one step. A short name: a socket's path has some 100 bytes at most.
    let fresh = path.with_file_name(format!(".bh.{}", std::process::id()));
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    remove_if_there(&fresh)?;
    socket.bind(&SockAddr::unix(&fresh)?)?;
    let in_place = fs::set_permissions(&fresh, fs::Permissions::from_mode(MODE))
        .and_then(|()| socket.listen(BACKLOG))
        .and_then(|()| fs::rename(&fresh, path));
    if let Err(error) = in_place {
        remove_if_there(&fresh)?;
        return Err(error);
    }
    let file = SocketFile {
        path: path.to_owned(),
        inode: inode(path),
    };
    Ok((socket.into(), file))
}

/// What to do about a socket that cannot be opened.
pub(super) fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; a server answers there: change listen.socket or listen.port",
        io::ErrorKind::NotFound => "; the folder is not there: create it, or mount a volume there",
        io::ErrorKind::PermissionDenied => {
            "; this user may not write to the folder: change its owner or mode (in a pod, set fsGroup)"
        }
        io::ErrorKind::AlreadyExists => {
            "; a file that is no socket is in the way: remove it, or change listen.socket"
        }
        _ => "",
    }
}

fn refuse_what_lives(path: &Path) -> io::Result<()> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !there.file_type().is_socket() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    match UnixStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn inode(path: &Path) -> Option<u64> {
    fs::symlink_metadata(path).ok().map(|of| of.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path_in(folder: &tempfile::TempDir) -> PathBuf {
        folder.path().join(".s.PGSQL.5432")
    }

    #[test]
    fn everybody_who_may_enter_the_folder_may_connect_and_the_file_goes_with_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let path = path_in(&folder);
        let (_socket, file) = bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o777);
        UnixStream::connect(&path).unwrap();
        drop(file);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = path_in(&folder);
        drop(UnixListener::bind(&path).unwrap());
        let (socket, file) = bind(&path).unwrap();
        let refused = bind(&path).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
        assert!(advice(&refused).contains("answers"));

        // A file that a successor has put there is the successor's.
        drop(socket);
        let (_successor, _its_file) = bind(&path).unwrap();
        drop(file);
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn what_is_in_the_way_stays_and_what_is_missing_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = path_in(&folder);
        fs::write(&path, "precious").unwrap();
        let refused = bind(&path).unwrap_err();
        assert!(advice(&refused).contains("no socket"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");

        let refused = bind(&folder.path().join("nosuch/.s.PGSQL.5432")).unwrap_err();
        assert!(advice(&refused).contains("create it"));
    }
}
