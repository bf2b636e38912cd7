//! Who is cut off: the revocations in force, and whether a context is one of theirs.
//!
//! ```text
//!   policy/revocations ── put_in_force ──▶ Revocations ◀── Verifier: every context, from the cache or not
//!                                              ▲  ▲────── a session that enters a worker's list
//!                                              └───────── a transaction that begins
//! ```
//!
//! Lives here: the question, and the one place that has the answer. May not live here: files, and what becomes of a session.
//!
//! A list is in force before the workers are told of it. So whoever is verified under the list before is reached: they are in a
//! worker's list when it is told, or ask here when they enter it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use bulkhead_crds::revocations::{Revocation, RevocationList};
use foldhash::quality::RandomState;
use tokio::sync::watch;

use super::rejection::{Rejection, RejectionReason};
use super::user::{UserContext, UserId};

/// The revocations in force, shared by everybody who verifies or serves. Never without a list, which may be empty.
#[derive(Debug)]
pub struct Revocations {
    current: ArcSwap<InForce>,
    changes: watch::Sender<u64>,
}

/// One list, ready to be asked.
#[derive(Debug, Default)]
pub struct InForce {
    list: RevocationList,
    /// Where each user's revocations are in the list.
    by_user: HashMap<Box<str>, Vec<usize>, RandomState>,
}

impl InForce {
    /// Makes a list ready to be asked.
    #[must_use]
    pub fn of(list: RevocationList) -> Self {
        let mut by_user = HashMap::<Box<str>, Vec<usize>, RandomState>::default();
        for (at, one) in list.revocations().iter().enumerate() {
            by_user
                .entry(one.user.as_str().into())
                .or_default()
                .push(at);
        }
        Self { list, by_user }
    }

    /// The list.
    #[must_use]
    pub const fn list(&self) -> &RevocationList {
        &self.list
    }

    /// The revocation that refuses a context of `user` which was issued at this moment, where there is one. A context of which nobody knows
    /// when it was issued is refused by every one of them.
    #[must_use]
    pub fn refuses(
        &self,
        user: &UserId,
        issued: Option<SystemTime>,
        now: SystemTime,
    ) -> Option<&Revocation> {
        let mine = self.by_user.get(user.as_str())?;
        let mut mine = mine
            .iter()
            .filter_map(|at| self.list.revocations().get(*at));
        mine.find(|one| {
            let lasts = one.expires_at.is_none_or(|end| now < end.get());
            // A token counts whole seconds, so one of that very second may be older.
            lasts && issued.is_none_or(|issued| issued <= one.not_before.get())
        })
    }

    /// Revocations that have not ended at `now`.
    #[must_use]
    pub fn lasting(&self, now: SystemTime) -> usize {
        let all = self.list.revocations().iter();
        all.filter(|one| one.expires_at.is_none_or(|end| now < end.get()))
            .count()
    }
}

impl Default for Revocations {
    fn default() -> Self {
        Self {
            current: ArcSwap::default(),
            changes: watch::Sender::new(0),
        }
    }
}

impl Revocations {
    /// The list in force. Without a lock.
    #[must_use]
    pub fn current(&self) -> Arc<InForce> {
        self.current.load_full()
    }

    /// Changes value after another list has come into force.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Puts a list in force. Whoever is being served under the one before is told by the caller.
    pub fn put_in_force(&self, list: RevocationList) {
        self.current.store(Arc::new(InForce::of(list)));
        self.changes
            .send_modify(|generation| *generation = generation.wrapping_add(1));
    }

    /// Why a context is refused, if it is.
    #[must_use]
    pub fn refusal_of(&self, context: &UserContext) -> Option<Rejection> {
        self.refusal(context.user_id(), context.issued_at())
    }

    /// Why a context of `user` that was issued at this moment is refused, if it is.
    #[must_use]
    pub fn refusal(&self, user: &UserId, issued: Option<SystemTime>) -> Option<Rejection> {
        let current = self.current.load();
        // Nearly always.
        if current.by_user.is_empty() {
            return None;
        }
        let one = current.refuses(user, issued, SystemTime::now())?;
        Some(Rejection {
            user: Some(user.clone()),
            ..rejection(one)
        })
    }
}

/// In words that a user may read, and a hint for whoever runs the application.
fn rejection(revocation: &Revocation) -> Rejection {
    let Revocation {
        name,
        not_before,
        expires_at,
        reason,
        ..
    } = revocation;
    let why = reason.as_ref().map(|code| format!(" ({code})"));
    let until = expires_at.map(|end| format!(" until {end}"));
    Rejection {
        reason: RejectionReason::Revoked,
        user: None,
        message: format!("access of this user was revoked{}", why.unwrap_or_default()),
        hint: format!(
            "UserRevocation {name} refuses what was issued at {not_before} or before{}: the user logs in again for a newer token, or the revocation is deleted",
            until.unwrap_or_default()
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use bulkhead_crds::names::Timestamp;

    use super::*;

    const BEFORE: u64 = 1_700_000_000;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn moment(seconds: u64) -> Timestamp {
        Timestamp::try_from(at(seconds)).unwrap()
    }

    fn revoked(user: &str, not_before: u64, expires_at: Option<u64>) -> Revocation {
        Revocation {
            name: format!("out-{user}"),
            user: user.to_owned(),
            not_before: moment(not_before),
            expires_at: expires_at.map(moment),
            reason: Some("TokenLeaked".to_owned()),
        }
    }

    fn user(id: &str) -> UserId {
        UserId::parse(id).unwrap()
    }

    #[test]
    fn what_was_issued_up_to_the_moment_is_refused_as_long_as_the_revocation_lasts() {
        let list = InForce::of(RevocationList::of(vec![
            revoked("alice", BEFORE, None),
            revoked("bob", BEFORE, Some(BEFORE + 100)),
        ]));
        let now = at(BEFORE + 50);
        for (who, issued, now, refused) in [
            ("alice", Some(BEFORE - 1), now, true),
            ("alice", Some(BEFORE), now, true),
            ("alice", Some(BEFORE + 1), now, false),
            ("alice", None, now, true),
            ("alice", None, at(BEFORE + 1_000_000), true),
            ("bob", Some(BEFORE), now, true),
            ("bob", Some(BEFORE), at(BEFORE + 100), false),
            ("bob", None, at(BEFORE + 100), false),
            ("carol", None, now, false),
            ("Alice", None, now, false),
        ] {
            let found = list.refuses(&user(who), issued.map(at), now);
            assert_eq!(found.is_some(), refused, "{who} {issued:?}");
        }
        assert_eq!((list.lasting(now), list.lasting(at(BEFORE + 100))), (2, 1));
    }

    #[test]
    fn any_of_a_users_revocations_refuses() {
        let list = InForce::of(RevocationList::of(vec![
            revoked("alice", BEFORE - 100, None),
            revoked("alice", BEFORE, Some(BEFORE + 10)),
        ]));
        let issued = Some(at(BEFORE - 50));
        assert!(
            list.refuses(&user("alice"), issued, at(BEFORE + 5))
                .is_some()
        );
        assert!(
            list.refuses(&user("alice"), issued, at(BEFORE + 10))
                .is_none()
        );
    }

    #[test]
    fn a_client_is_told_the_code_and_not_who_was_revoked_by_which_object() {
        let told = rejection(&revoked("alice", BEFORE, Some(BEFORE + 100)));
        assert_eq!(
            told.message,
            "access of this user was revoked (TokenLeaked)"
        );
        assert!(
            told.hint.contains("UserRevocation out-alice"),
            "{}",
            told.hint
        );
        assert!(
            told.hint.contains("until 2023-11-14T22:15:00Z"),
            "{}",
            told.hint
        );
    }

    #[test]
    fn a_list_is_in_force_before_anybody_is_told() {
        let revocations = Revocations::default();
        let mut changes = revocations.changes();
        assert!(revocations.refusal(&user("alice"), None).is_none());
        revocations.put_in_force(RevocationList::of(vec![revoked("alice", BEFORE, None)]));
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        assert!(revocations.refusal(&user("alice"), None).is_some());
    }
}
