//! What the sidecar wrote to its log, and what must never stand there.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::wait;

/// The log of one sidecar: a file, so that nobody has to read a pipe.
#[derive(Clone, Debug)]
pub struct Log {
    path: PathBuf,
    secrets: Vec<String>,
}

impl Log {
    /// The log in the file `path`, in which none of `secrets` may stand.
    #[must_use]
    pub fn new(path: PathBuf, secrets: Vec<String>) -> Self {
        Self { path, secrets }
    }

    /// Adds a secret to those that may not stand in the log.
    pub fn must_not_show(&mut self, secret: &str) {
        self.secrets.push(secret.to_owned());
    }

    /// Its file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of it.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes = std::fs::read(&self.path).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Its lines, each of which must be JSON.
    ///
    /// # Panics
    /// When a line is not.
    #[must_use]
    pub fn events(&self) -> Vec<Value> {
        self.text()
            .lines()
            .map(|line| {
                serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON in the log: {line}"))
            })
            .collect()
    }

    /// The events with this message.
    #[must_use]
    pub fn told(&self, message: &str) -> Vec<Value> {
        let mut events = self.events();
        events.retain(|event| event["message"] == message);
        events
    }

    /// Waits until the log has at least `count` events with this message, and gives them.
    pub async fn until_told(&self, message: &str, count: usize) -> Vec<Value> {
        wait::until(&format!("{count} of {message:?} in the log"), || async {
            self.told(message).len() >= count
        })
        .await;
        self.told(message)
    }

    /// Holds the log to what every log must be: no panic, no secret.
    ///
    /// # Panics
    /// When it is not.
    pub fn check(&self) {
        let text = self.text();
        assert!(
            !text.contains("panicked at"),
            "the sidecar panicked:\n{text}"
        );
        for secret in &self.secrets {
            assert!(
                !text.contains(secret.as_str()),
                "the log shows {secret:?}:\n{text}"
            );
        }
    }
}
