//! Who a connection works for: the user's id, and the verified context around it.
//!
//! Lives here: the two types and their bounds. May not live here: how a context is proven; only the verifier beside this
//! module can make one, and nothing can change it afterwards.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use thiserror::Error;

/// The longest id, in bytes.
const MAX_ID: usize = 256;

/// The id of one end user: 1 to `MAX_ID` bytes of UTF-8 without control characters, kept exactly as it came.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

/// Why a text cannot be an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IdError {
    /// No bytes at all.
    #[error("it is empty")]
    Empty,
    /// More than `MAX_ID` bytes.
    #[error("it has {0} bytes, more than the {MAX_ID} allowed")]
    TooLong(usize),
    /// A control character, NUL included.
    #[error("it has a control character at byte {0}")]
    Control(usize),
}

/// A verified user context. Cloning shares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserContext {
    user_id: UserId,
    /// None where there is nothing beside the id: most clients of an application that only says who its user is.
    labels: Option<Arc<Verified>>,
    /// Looked at for every transaction, and therefore not behind the pointer.
    expires_at: Option<SystemTime>,
}

/// What verification found out.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verified {
    pub(super) user_id: UserId,
    pub(super) thread_id: Option<Arc<str>>,
    pub(super) run_id: Option<Arc<str>>,
    pub(super) request_id: Option<Arc<str>>,
    pub(super) session_id: Option<Arc<str>>,
    pub(super) token_id: Option<Arc<str>>,
    pub(super) key_id: Option<Arc<str>>,
    pub(super) expires_at: Option<SystemTime>,
    /// When it was issued, as far back as that is known: a token that was made of another says when that one was.
    pub(super) issued_at: Option<SystemTime>,
    /// Whether a sidecar has signed the token, and says so of `session_id`.
    pub(super) of_house: bool,
}

/// Chosen once for a process, so that nobody outside can pick ids that all fall to one worker.
static WORKER_HASH: LazyLock<foldhash::quality::RandomState> = LazyLock::new(Default::default);

impl Verified {
    /// Whether it says anything beside who it is and until when.
    const fn has_labels(&self) -> bool {
        self.thread_id.is_some()
            || self.run_id.is_some()
            || self.request_id.is_some()
            || self.session_id.is_some()
            || self.token_id.is_some()
            || self.key_id.is_some()
            || self.issued_at.is_some()
            || self.of_house
    }

    /// An id and nothing else, without an end.
    pub(super) const fn of(user_id: UserId) -> Self {
        Self {
            user_id,
            thread_id: None,
            run_id: None,
            request_id: None,
            session_id: None,
            token_id: None,
            key_id: None,
            expires_at: None,
            issued_at: None,
            of_house: false,
        }
    }
}

impl UserId {
    /// Takes `text` as an id.
    ///
    /// # Errors
    /// See [`IdError`].
    pub fn parse(text: &str) -> Result<Self, IdError> {
        check_id(text)?;
        Ok(Self(Arc::from(text)))
    }

    /// Whether `text` could be an id.
    #[must_use]
    pub fn is_valid(text: &str) -> bool {
        check_id(text).is_ok()
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The worker, of so many, on which the user lives.
    #[must_use]
    pub fn home(&self, workers: usize) -> usize {
        usize::try_from(self.hash64() % workers.max(1) as u64).unwrap_or(0)
    }

    /// A hash that is the same for the same id as long as the process lives: for choosing the user's worker. Never an
    /// identity: two users may share it.
    #[must_use]
    pub fn hash64(&self) -> u64 {
        WORKER_HASH.hash_one(&*self.0)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Checks the bounds that every id has, the user's and the others'.
pub(super) fn check_id(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > MAX_ID {
        return Err(IdError::TooLong(text.len()));
    }
    match text.char_indices().find(|(_, c)| c.is_control()) {
        Some((at, _)) => Err(IdError::Control(at)),
        None => Ok(()),
    }
}

impl UserContext {
    pub(super) fn new(verified: Verified) -> Self {
        Self {
            user_id: verified.user_id.clone(),
            expires_at: verified.expires_at,
            labels: verified.has_labels().then(|| Arc::new(verified)),
        }
    }

    fn label<'a>(
        &'a self,
        which: impl Fn(&'a Verified) -> &'a Option<Arc<str>>,
    ) -> Option<&'a Arc<str>> {
        which(self.labels.as_deref()?).as_ref()
    }

    fn is_of_house(&self) -> bool {
        self.labels.as_ref().is_some_and(|labels| labels.of_house)
    }

    /// What a verifier would have made, for the tests of those who go by it.
    #[cfg(test)]
    pub(crate) fn fixture(user: &str, login: Option<&str>, ends: Option<SystemTime>) -> Self {
        Self::new(Verified {
            session_id: login.map(Arc::from),
            expires_at: ends,
            ..Verified::of(UserId::parse(user).expect("an id"))
        })
    }

    /// The end user.
    #[must_use]
    pub fn user_id(&self) -> &UserId {
        &self.user_id
    }

    /// The conversation that the work belongs to.
    #[must_use]
    pub fn thread_id(&self) -> Option<&Arc<str>> {
        self.label(|labels| &labels.thread_id)
    }

    /// The agent run that the work belongs to.
    #[must_use]
    pub fn run_id(&self) -> Option<&Arc<str>> {
        self.label(|labels| &labels.run_id)
    }

    /// The request that the work belongs to.
    #[must_use]
    pub fn request_id(&self) -> Option<&Arc<str>> {
        self.label(|labels| &labels.request_id)
    }

    /// The live session (claim `sid`) that the token was made for.
    #[must_use]
    pub fn session_id(&self) -> Option<&Arc<str>> {
        self.label(|labels| &labels.session_id)
    }

    /// The socket that a sidecar has made the token for.
    #[must_use]
    pub fn socket_id(&self) -> Option<&Arc<str>> {
        self.session_id().filter(|_| self.is_of_house())
    }

    /// The login at the identity provider that the token belongs to: its live session, where that is no socket of a sidecar's.
    #[must_use]
    pub fn login(&self) -> Option<&Arc<str>> {
        self.session_id().filter(|_| !self.is_of_house())
    }

    /// The token's own id (claim `jti`).
    #[must_use]
    pub fn token_id(&self) -> Option<&Arc<str>> {
        self.label(|labels| &labels.token_id)
    }

    /// The key that signed the token, where it has a name.
    #[must_use]
    pub fn key_id(&self) -> Option<&Arc<str>> {
        self.label(|labels| &labels.key_id)
    }

    /// When the context ends: the token's `exp` plus the policy's leeway. `None` for a bare id, which never ends.
    #[must_use]
    pub fn expires_at(&self) -> Option<SystemTime> {
        self.expires_at
    }

    /// When it was issued: the token's `iat`, or that of the token which a sidecar has made this one of. `None` for a bare id, and for a token
    /// that does not say.
    #[must_use]
    pub fn issued_at(&self) -> Option<SystemTime> {
        self.labels.as_ref()?.issued_at
    }

    /// Whether no new transaction may start under this context.
    #[must_use]
    pub fn is_expired(&self, now: SystemTime) -> bool {
        self.expires_at.is_some_and(|end| now >= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn an_id_is_bounded_and_kept_as_it_came() {
        assert_eq!(
            UserId::parse("alice@example.com").unwrap().to_string(),
            "alice@example.com"
        );
        assert_eq!(UserId::parse(" Ülle ").unwrap().as_str(), " Ülle ");
        assert_eq!(UserId::parse(""), Err(IdError::Empty));
        assert!(UserId::parse(&"a".repeat(MAX_ID)).is_ok());
        assert_eq!(
            UserId::parse(&"a".repeat(MAX_ID + 1)),
            Err(IdError::TooLong(MAX_ID + 1))
        );
        for bad in ["al\0ice", "alice\n", "\u{7f}", "\u{85}"] {
            assert!(
                matches!(UserId::parse(bad), Err(IdError::Control(_))),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn an_expiry_is_the_first_moment_at_which_nothing_new_starts() {
        let end = UNIX_EPOCH + Duration::from_secs(1000);
        let verified = |expires_at| Verified {
            expires_at,
            ..Verified::of(UserId::parse("alice").unwrap())
        };
        let context = UserContext::new(verified(Some(end)));
        assert!(!context.is_expired(end - Duration::from_nanos(1)));
        assert!(context.is_expired(end));
        assert!(!UserContext::new(verified(None)).is_expired(end));
    }

    proptest! {
        #[test]
        fn the_worker_hash_follows_the_text(id in "[a-z0-9]{1,64}", other in "[a-z0-9]{1,64}") {
            let (first, again) = (UserId::parse(&id).unwrap(), UserId::parse(&id).unwrap());
            prop_assert_eq!(first.hash64(), again.hash64());
            if id != other {
                prop_assert_ne!(first.hash64(), UserId::parse(&other).unwrap().hash64());
            }
        }

        #[test]
        fn any_text_is_an_id_or_an_error(text in ".{0,300}") {
            prop_assert_eq!(UserId::parse(&text).is_ok(), check_id(&text).is_ok());
        }
    }
}
