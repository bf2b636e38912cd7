//! The upstream's user name and password: two keys of the Secret that `upstream.credentialsSecretRef` names.
//!
//! Lives here: reading them afresh for each connection, so that a rotated password is used at once. May not live here: what
//! is done with them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bulkhead_crds::kinds::SecretRef;

use crate::secrets::{SecretError, SecretText, Secrets};

/// How old a user name may be that [`Credentials::username`] answers.
const USERNAME_AGE: Duration = Duration::from_secs(1);

const USERNAME: &str = "username";
const PASSWORD: &str = "password";

/// Where one upstream's credentials are read from.
#[derive(Debug)]
pub(super) struct Credentials {
    secrets: Arc<Secrets>,
    reference: Option<SecretRef>,
    /// In the place of a Secret.
    given: Option<SecretText>,
    username: Mutex<Option<(Instant, Option<String>)>>,
}

impl Credentials {
    pub(super) const fn new(secrets: Arc<Secrets>, reference: Option<SecretRef>) -> Self {
        Self {
            secrets,
            reference,
            given: None,
            username: Mutex::new(None),
        }
    }

    /// The same with a password that is known already.
    pub(super) fn with_password(mut self, password: SecretText) -> Self {
        self.given = Some(password);
        self
    }

    /// The user name, at most a second old; `None` where the policy names no Secret, or the Secret has no such key.
    pub(super) fn username(&self) -> Option<String> {
        let mut known = self.username.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((read, name)) = known.as_ref()
            && read.elapsed() < USERNAME_AGE
        {
            return name.clone();
        }
        let name = self
            .read(USERNAME)
            .ok()
            .flatten()
            .map(|text| text.expose().to_owned());
        *known = Some((Instant::now(), name.clone()));
        name
    }

    /// The password as the file has it now; `None` where the policy names no Secret.
    ///
    /// # Errors
    /// The key is missing or unusable; the text names secret, key and file.
    pub(super) fn password(&self) -> Result<Option<SecretText>, SecretError> {
        match &self.given {
            Some(password) => Ok(Some(password.clone())),
            None => self.read(PASSWORD),
        }
    }

    /// Whether both keys can be read now, where the policy names a Secret.
    ///
    /// # Errors
    /// The first that cannot; the text names secret, key and file.
    pub(super) fn check(&self) -> Result<(), SecretError> {
        self.read(USERNAME)?;
        self.read(PASSWORD).map(drop)
    }

    fn read(&self, key: &str) -> Result<Option<SecretText>, SecretError> {
        self.reference
            .as_ref()
            .map(|reference| self.secrets.read_text(&reference.name, key))
            .transpose()
    }
}
