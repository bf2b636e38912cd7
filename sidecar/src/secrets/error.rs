//! Why a secret could not be read.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// The largest secret that is read, in bytes: what Kubernetes allows for a whole Secret.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// The longest name or key, in bytes, as Kubernetes has it.
pub const MAX_NAME: usize = 253;

/// Why a secret could not be read. The text names the reference and the file, never the content.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The policy refers to a secret, and the process was given no directory.
    #[error(
        "secret {name}/{key} cannot be read: start the sidecar with --secrets DIR, and put it at DIR/{name}/{key}"
    )]
    NoDirectory {
        /// The Secret's name.
        name: String,
        /// The key in it.
        key: String,
    },
    /// A name or key that could leave the directory, or that Kubernetes would refuse.
    #[error(
        "secret reference: {what} is not a valid name: use 1 to {MAX_NAME} letters, digits, '-', '_' or '.', not starting with '..'"
    )]
    BadName {
        /// Which part it is, and its text where that is short enough to show.
        what: String,
    },
    /// No such file.
    #[error("secret {name}/{key} is missing: there is no file {path}; create it, or mend the reference in the policy", path = path.display())]
    Missing {
        /// The Secret's name.
        name: String,
        /// The key in it.
        key: String,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// More than [`MAX_BYTES`].
    #[error("secret {name}/{key} is too large: {path} has more than {MAX_BYTES} bytes", path = path.display())]
    TooLarge {
        /// The Secret's name.
        name: String,
        /// The key in it.
        key: String,
        /// The file.
        path: PathBuf,
    },
    /// Text was asked for, and the file is not UTF-8.
    #[error("secret {name}/{key} is not text: {path} is not UTF-8", path = path.display())]
    NotText {
        /// The Secret's name.
        name: String,
        /// The key in it.
        key: String,
        /// The file.
        path: PathBuf,
    },
    /// The file is there and cannot be read.
    #[error("secret {name}/{key} cannot be read from {path}: {source}; check that it is a file and that this user may read it", path = path.display())]
    Unreadable {
        /// The Secret's name.
        name: String,
        /// The key in it.
        key: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl SecretError {
    /// Whether the secret is simply not there (as against there and unusable).
    #[must_use]
    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::NoDirectory { .. } | Self::Missing { .. })
    }
}
