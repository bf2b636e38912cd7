//! Secret references, read from files: `{name: X}` and a key K are the file `DIR/X/K`, which is how a Secret volume looks.
//!
//! Lives here: finding, bounding and reading the file, and wrapper types that never print what they hold. May not live
//! here: what a secret means. Nothing is cached; who reads again sees what the file says now.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// The largest secret that is read, in bytes: what Kubernetes allows for a whole Secret.
pub const MAX_BYTES: u64 = 1024 * 1024;

/// The longest name or key, in bytes, as Kubernetes has it.
pub const MAX_NAME: usize = 253;

/// Where secret references are looked up.
#[derive(Clone, Debug)]
pub struct Secrets {
    dir: Option<PathBuf>,
}

/// The bytes of one secret. `Debug` shows nothing of them.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretBytes(Vec<u8>);

/// A secret that is text. `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

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

impl Secrets {
    /// Secrets under `dir`; `None` where the command line names no directory, so that every read says so.
    #[must_use]
    pub const fn new(dir: Option<PathBuf>) -> Self {
        Self { dir }
    }

    /// The directory, for whoever watches it for changes.
    #[must_use]
    pub fn dir(&self) -> Option<&Path> {
        self.dir.as_deref()
    }

    /// Reads the bytes of key `key` of the secret `name`, at most [`MAX_BYTES`] of them.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub fn read(&self, name: &str, key: &str) -> Result<SecretBytes, SecretError> {
        let path = self.path(name, key)?;
        match read_capped(&path) {
            Ok(Some(bytes)) => Ok(SecretBytes(bytes)),
            Ok(None) => Err(SecretError::TooLarge {
                name: name.into(),
                key: key.into(),
                path,
            }),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Err(SecretError::Missing {
                name: name.into(),
                key: key.into(),
                path,
            }),
            Err(source) => Err(SecretError::Unreadable {
                name: name.into(),
                key: key.into(),
                path,
                source,
            }),
        }
    }

    /// Reads a secret that is text, without the one line end that editors and `echo` leave behind.
    ///
    /// # Errors
    /// See [`SecretError`].
    pub fn read_text(&self, name: &str, key: &str) -> Result<SecretText, SecretError> {
        let bytes = self.read(name, key)?;
        let Ok(mut text) = String::from_utf8(bytes.0) else {
            let path = self.path(name, key)?;
            return Err(SecretError::NotText {
                name: name.into(),
                key: key.into(),
                path,
            });
        };
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Ok(SecretText(text))
    }

    fn path(&self, name: &str, key: &str) -> Result<PathBuf, SecretError> {
        check_name("name", name)?;
        check_name("key", key)?;
        match &self.dir {
            Some(dir) => Ok(dir.join(name).join(key)),
            None => Err(SecretError::NoDirectory {
                name: name.into(),
                key: key.into(),
            }),
        }
    }
}

/// One path component, in the alphabet that Kubernetes allows for a Secret's keys (which covers its names).
fn check_name(part: &str, text: &str) -> Result<(), SecretError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let length = (1..=MAX_NAME).contains(&text.len());
    if length && text.bytes().all(allowed) && text != "." && !text.starts_with("..") {
        return Ok(());
    }
    let what = if length {
        format!("{part} {text:?}")
    } else {
        format!("a {part} of {} bytes", text.len())
    };
    Err(SecretError::BadName { what })
}

/// The file's bytes, or `None` where there are more than [`MAX_BYTES`].
fn read_capped(path: &Path) -> io::Result<Option<Vec<u8>>> {
    // Asked before opening: opening a FIFO would wait for a writer.
    let metadata = std::fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "not a regular file",
        ));
    }
    if metadata.len() > MAX_BYTES {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= MAX_BYTES).then_some(bytes))
}

impl SecretBytes {
    /// The bytes, for the moment of use.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl SecretText {
    /// The text, for the moment of use.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<Vec<u8>> for SecretBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl From<String> for SecretText {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(redacted)")
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A directory of its own for one test, removed at the end.
    struct Dir(PathBuf);

    impl Dir {
        fn new(test: &str) -> Self {
            let path = std::env::temp_dir()
                .join(format!("bulkhead-secrets-{test}-{}", std::process::id()));
            fs::create_dir_all(path.join("db")).unwrap();
            Self(path)
        }

        fn put(&self, key: &str, bytes: &[u8]) -> Secrets {
            fs::write(self.0.join("db").join(key), bytes).unwrap();
            self.secrets()
        }

        fn secrets(&self) -> Secrets {
            Secrets::new(Some(self.0.clone()))
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_secret_is_read_whole_and_again_after_it_changed() {
        let dir = Dir::new("read");
        let secrets = dir.put("password", b"one\n");
        assert_eq!(secrets.read("db", "password").unwrap().expose(), b"one\n");
        assert_eq!(secrets.read_text("db", "password").unwrap().expose(), "one");

        dir.put("password", b"two\r\n");
        assert_eq!(secrets.read_text("db", "password").unwrap().expose(), "two");
        dir.put("password", b"two\n\n");
        assert_eq!(
            secrets.read_text("db", "password").unwrap().expose(),
            "two\n",
            "only one line end is the editor's"
        );
    }

    #[test]
    fn no_name_leaves_the_directory() {
        let dir = Dir::new("names");
        let secrets = dir.put("password", b"x");
        let long = "a".repeat(MAX_NAME + 1);
        for bad in [
            "", ".", "..", "..data", "a/b", "/etc", "a\0b", "a b", "ü", &long,
        ] {
            for error in [
                secrets.read(bad, "password").unwrap_err(),
                secrets.read("db", bad).unwrap_err(),
            ] {
                assert!(
                    matches!(error, SecretError::BadName { .. }),
                    "{bad:?}: {error}"
                );
                assert!(error.to_string().len() < 400);
            }
        }
    }

    #[test]
    fn an_error_names_the_reference_the_file_and_what_to_do() {
        let dir = Dir::new("errors");
        let missing = dir.secrets().read("db", "password").unwrap_err();
        assert!(missing.is_missing());
        let text = missing.to_string();
        assert!(
            text.contains("db/password") && text.contains("create it"),
            "{text}"
        );
        assert!(text.contains(dir.0.to_str().unwrap()), "{text}");

        let nowhere = Secrets::new(None).read("db", "password").unwrap_err();
        assert!(nowhere.is_missing() && nowhere.to_string().contains("--secrets DIR"));

        fs::create_dir(dir.0.join("db").join("folder")).unwrap();
        let folder = dir.secrets().read("db", "folder").unwrap_err();
        assert!(
            !folder.is_missing() && folder.to_string().contains("not a regular file"),
            "{folder}"
        );

        let binary = dir
            .put("binary", &[0xff, 0xfe])
            .read_text("db", "binary")
            .unwrap_err();
        assert!(matches!(binary, SecretError::NotText { .. }));
    }

    #[test]
    fn a_secret_above_the_cap_is_refused() {
        let dir = Dir::new("cap");
        let full = vec![b'x'; MAX_BYTES as usize];
        assert!(dir.put("full", &full).read("db", "full").is_ok());
        let over = vec![b'x'; MAX_BYTES as usize + 1];
        assert!(matches!(
            dir.put("over", &over).read("db", "over").unwrap_err(),
            SecretError::TooLarge { .. }
        ));
    }

    #[test]
    fn debug_shows_nothing() {
        let dir = Dir::new("debug");
        let secrets = dir.put("password", b"hunter2");
        let shown = format!(
            "{:?} {:?}",
            secrets.read("db", "password").unwrap(),
            secrets.read_text("db", "password").unwrap()
        );
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
