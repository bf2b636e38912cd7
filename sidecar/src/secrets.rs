//! Secret references, read from files: `{name: X}` and a key K are the file `DIR/X/K`, which is how a Secret volume looks.
//!
//! Lives here: finding, bounding and reading the file. May not live here: what a secret means. Nothing is cached; who reads
//! again sees what the file says now.

mod error;
mod value;

pub use error::{MAX_BYTES, MAX_NAME, SecretError};
pub use value::{SecretBytes, SecretText};

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Where secret references are looked up.
#[derive(Clone, Debug)]
pub struct Secrets {
    dir: Option<PathBuf>,
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
            Ok(Some(bytes)) => Ok(SecretBytes::from(bytes)),
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
        let Ok(mut text) = String::from_utf8(bytes.into_vec()) else {
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
        Ok(SecretText::from(text))
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
