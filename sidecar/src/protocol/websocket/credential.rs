//! What a socket lives by: the end of its user context, which a fresh token of the same user and the same login puts off.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::SystemTime;

use thiserror::Error;

use crate::identity::{UserContext, UserId};

/// The credential of one open socket. Everything else of its context is as it was verified.
#[derive(Debug)]
pub struct Credential {
    user: UserId,
    /// The login at the identity provider (claim `sid`), where its token names one.
    login: RefCell<Option<Arc<str>>>,
    ends: Cell<Option<SystemTime>>,
}

/// Why a token does not renew a socket's credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotTheirs {
    /// It is another user's.
    #[error("the token is another user's")]
    User,
    /// It is the same user's by another login, which may outlive this one: a device that was logged out must not live by another.
    #[error("the token is of another login (claim sid)")]
    Login,
}

impl Credential {
    /// The credential that a socket opens with.
    #[must_use]
    pub fn of(context: &UserContext) -> Self {
        Self {
            user: context.user_id().clone(),
            login: RefCell::new(context.login().cloned()),
            ends: Cell::new(context.expires_at()),
        }
    }

    /// When the socket's context ends, the policy's leeway included and its grace not; none: never.
    #[must_use]
    pub fn ends(&self) -> Option<SystemTime> {
        self.ends.get()
    }

    /// The client has come back by a connection that it opened with this context of the same user, which counts from now on.
    pub fn replace(&self, context: &UserContext) {
        *self.login.borrow_mut() = context.login().cloned();
        self.ends.set(context.expires_at());
    }

    /// Puts the end off to that of a verified context, and says which end holds now. A token that ends sooner changes nothing.
    ///
    /// # Errors
    /// See [`NotTheirs`]; nothing has changed then.
    pub fn renew(&self, fresh: &UserContext) -> Result<Option<SystemTime>, NotTheirs> {
        if *fresh.user_id() != self.user {
            return Err(NotTheirs::User);
        }
        let login = self.login.borrow();
        if login.is_some() && login.as_ref() != fresh.login() {
            return Err(NotTheirs::Login);
        }
        let later = match (self.ends.get(), fresh.expires_at()) {
            (Some(now), Some(fresh)) => Some(now.max(fresh)),
            _ => None,
        };
        self.ends.set(later);
        Ok(later)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    fn at(seconds: u64) -> Option<SystemTime> {
        Some(UNIX_EPOCH + Duration::from_secs(seconds))
    }

    fn context(user: &str, login: Option<&str>, ends: Option<SystemTime>) -> UserContext {
        UserContext::fixture(user, login, ends)
    }

    #[test]
    fn only_a_later_end_counts() {
        let credential = Credential::of(&context("alice", None, at(100)));
        for (fresh, holds) in [
            (at(50), at(100)),
            (at(200), at(200)),
            (at(150), at(200)),
            (None, None),
            (at(300), None),
        ] {
            let renewed = credential.renew(&context("alice", None, fresh));
            assert_eq!(renewed, Ok(holds));
            assert_eq!(credential.ends(), holds);
        }
    }

    #[test]
    fn a_token_of_somebody_else_or_of_another_login_changes_nothing() {
        for (mine, user, login, renewed) in [
            (None, "bob", None, Err(NotTheirs::User)),
            (Some("a"), "bob", Some("a"), Err(NotTheirs::User)),
            (Some("a"), "alice", Some("b"), Err(NotTheirs::Login)),
            (Some("a"), "alice", None, Err(NotTheirs::Login)),
            (Some("a"), "alice", Some("a"), Ok(at(200))),
            (None, "alice", Some("b"), Ok(at(200))),
        ] {
            let credential = Credential::of(&context("alice", mine, at(100)));
            assert_eq!(
                credential.renew(&context(user, login, at(200))),
                renewed,
                "{mine:?}, {user}, {login:?}"
            );
            let ends = if renewed.is_ok() { at(200) } else { at(100) };
            assert_eq!(credential.ends(), ends);
        }
    }
}
