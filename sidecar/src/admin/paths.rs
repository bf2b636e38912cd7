//! Where the control socket lies when nobody says, and how it gets there safely.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use super::AdminError;

/// The default: `$XDG_RUNTIME_DIR/bulkhead/control.sock`; without that variable `/run/bulkhead/control.sock` for root and
/// `/tmp/bulkhead-UID/control.sock` for everybody else.
#[must_use]
pub fn default_control_path() -> PathBuf {
    control_path(std::env::var_os("XDG_RUNTIME_DIR"), own_uid())
}

fn control_path(runtime: Option<OsString>, uid: Option<u32>) -> PathBuf {
    let directory = match (runtime.filter(|dir| !dir.is_empty()), uid) {
        (Some(runtime), _) => PathBuf::from(runtime).join("bulkhead"),
        (None, Some(0) | None) => PathBuf::from("/run/bulkhead"),
        (None, Some(uid)) => PathBuf::from(format!("/tmp/bulkhead-{uid}")),
    };
    directory.join("control.sock")
}

/// The user id of this process; `None` where `/proc` is not mounted.
pub(super) fn own_uid() -> Option<u32> {
    fs::metadata("/proc/self").ok().map(|of| of.uid())
}

/// Binds a Unix socket at `path` that only this user can open. A socket that nobody answers on is replaced.
///
/// # Errors
///
/// A live sidecar on it, a file that is no socket, a directory of another user, or what the system says.
pub(super) fn bind(flag: &'static str, path: &Path) -> Result<UnixListener, AdminError> {
    let failed = |what| {
        move |source| AdminError::Control {
            flag,
            path: path.to_owned(),
            what,
            source,
        }
    };
    make_directory(flag, path)?;
    refuse_what_lives(flag, path)?;
    // Bound under another name and renamed, so that the path never shows a socket with wider permissions, and a stale
    // one is replaced in one step.
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    remove_if_there(&fresh).map_err(failed("remove its predecessor"))?;
    let listener = UnixListener::bind(&fresh).map_err(failed("listen"))?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600))
        .map_err(failed("restrict its permissions"))?;
    fs::rename(&fresh, path).map_err(failed("put it in place"))?;
    listener
        .set_nonblocking(true)
        .map_err(failed("set it non-blocking"))?;
    Ok(listener)
}

/// Creates the socket's directory for this user alone; not those above it, because a path of which they are missing is most
/// likely mistyped. One that exists is used as it is, unless it belongs to somebody other than this user and root: they could
/// put a socket of theirs in the place of ours.
fn make_directory(flag: &'static str, path: &Path) -> Result<(), AdminError> {
    let Some(directory) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) else {
        return Ok(());
    };
    let failed = |source| AdminError::Control {
        flag,
        path: path.to_owned(),
        what: "create its directory",
        source,
    };
    match DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => {
            tracing::info!(directory = %directory.display(), "created for a private socket")
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(AdminError::NoDirectory {
                flag,
                path: path.to_owned(),
            });
        }
        Err(error) => return Err(failed(error)),
    }
    let owner = fs::metadata(directory).map_err(failed)?.uid();
    if owner != 0 && own_uid().is_some_and(|uid| uid != owner && uid != 0) {
        return Err(AdminError::ForeignDirectory {
            flag,
            path: path.to_owned(),
            directory: directory.to_owned(),
        });
    }
    Ok(())
}

fn refuse_what_lives(flag: &'static str, path: &Path) -> Result<(), AdminError> {
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(AdminError::Control {
                flag,
                path: path.to_owned(),
                what: "look at it",
                source,
            });
        }
    };
    if !there.file_type().is_socket() {
        return Err(AdminError::NotASocket {
            flag,
            path: path.to_owned(),
        });
    }
    if UnixStream::connect(path).is_ok() {
        return Err(AdminError::ControlInUse {
            flag,
            path: path.to_owned(),
        });
    }
    Ok(())
}

/// Removes a file; one that is not there is as good as removed.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_follows_the_session_then_the_user() {
        let session = || Some(OsString::from("/run/user/7"));
        let path = |runtime, uid| control_path(runtime, uid).display().to_string();
        assert_eq!(
            path(session(), Some(7)),
            "/run/user/7/bulkhead/control.sock"
        );
        assert_eq!(
            path(Some(OsString::new()), Some(0)),
            "/run/bulkhead/control.sock"
        );
        assert_eq!(path(None, Some(1000)), "/tmp/bulkhead-1000/control.sock");
        assert_eq!(path(None, None), "/run/bulkhead/control.sock");
    }
}
