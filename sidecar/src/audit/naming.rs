//! How a trail names users.

use bulkhead_crds::kinds::UserIds;
use serde::{Serialize, Serializer};

use super::chain::Key;
use crate::identity::UserId;

/// What stands before a hash, so that nobody takes it for an id.
const HASHED: &str = "hmac-sha256:";

/// How a trail names users. Only here does a user get a name that a record takes.
#[derive(Clone, Debug, Default)]
pub struct Naming(Option<Key>);

/// A user's name in a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named(Name);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Plain(UserId),
    /// What was never an id, or is one no more.
    Text(Box<str>),
}

impl Naming {
    /// As the policy says. A policy with hashes has a key: validation has seen to it, and without one nobody would be named.
    #[must_use]
    pub fn of(user_ids: UserIds, key: Option<&Key>) -> Self {
        match user_ids {
            UserIds::Plain => Self(None),
            UserIds::KeyedHash => Self(key.cloned()),
        }
    }

    /// A user's name.
    #[must_use]
    pub fn name(&self, user: &UserId) -> Named {
        match &self.0 {
            None => Named(Name::Plain(user.clone())),
            Some(key) => Named(Name::Text(hashed(key, user.as_str()))),
        }
    }

    /// The name of somebody whom an operator has written down, which need not be an id.
    #[must_use]
    pub fn name_text(&self, user: &str) -> Named {
        Named(Name::Text(match &self.0 {
            None => user.chars().take(256).collect(),
            Some(key) => hashed(key, user),
        }))
    }
}

/// A user's id under a key, as records with hashes have it.
#[must_use]
pub fn hashed(key: &Key, user: &str) -> Box<str> {
    format!("{HASHED}{}", key.name(user)).into()
}

impl Named {
    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Name::Plain(user) => user.as_str(),
            Name::Text(text) => text,
        }
    }
}

impl Serialize for Named {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_named_by_id_or_by_a_hash_that_the_id_cannot_be_read_from() {
        let (alice, key) = (UserId::parse("alice").unwrap(), Key::of(&[7; 32]));
        let plain = Naming::of(UserIds::Plain, Some(&key)).name(&alice);
        assert_eq!(plain.as_str(), "alice");
        let naming = Naming::of(UserIds::KeyedHash, Some(&key));
        let named = naming.name(&alice);
        let digits = named.as_str().strip_prefix(HASHED).unwrap();
        assert_eq!(digits.len(), 32);
        assert_eq!(naming.name_text("alice"), named);
        assert_ne!(naming.name_text("alicf"), named);
    }
}
