//! `keyPrefix` of the policy: text with `{user}` in it.

mod encode;

use thiserror::Error;

pub use encode::encode_user;
use encode::is_plain;

/// Where the user id goes.
const PLACEHOLDER: &str = "{user}";
/// The longest template, in bytes.
const MOST: usize = 128;

/// A template that keeps users apart: no user's prefix is the beginning of another's, nor of a key of another's.
///
/// That is so because an encoded user id has only letters, digits, `_`, `.` and `%`, and what stands right behind it is none of these: where two
/// prefixes, or a prefix and a key under another one, begin alike, their user ids end at the same place, and are the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrefixTemplate {
    before: String,
    after: String,
}

/// Why a template does not keep users apart, or would mean something else to the server. The text follows the field's name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// No `{user}`, or several.
    #[error("must hold {{user}} once, as in \"{{user}}:\"")]
    Placeholder,
    /// Nothing behind `{user}`, or something that a user id may hold.
    #[error(
        "must go on behind {{user}} with a character that no encoded user id holds, such as \":\", or one user's keys could begin with another user's prefix"
    )]
    Open,
    /// A character that means something in a pattern, a hash tag or an ACL rule.
    #[error(
        "must not hold {0:?}: beside letters and digits only _ . : / - # | = , ; + ~ $ ! & may stand in it, and braces right around {{user}} (a cluster's hash tag)"
    )]
    Character(char),
    /// Too long.
    #[error("must not have more than {MOST} bytes")]
    Length,
}

impl PrefixTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// One that would not keep users apart.
    pub fn parse(template: &str) -> Result<Self, TemplateError> {
        if template.len() > MOST {
            return Err(TemplateError::Length);
        }
        let (before, after) = template
            .split_once(PLACEHOLDER)
            .ok_or(TemplateError::Placeholder)?;
        if after.contains(PLACEHOLDER) {
            return Err(TemplateError::Placeholder);
        }
        // A hash tag: all keys of one user in one slot of a cluster.
        let (outer, inner) = match (before.strip_suffix('{'), after.strip_prefix('}')) {
            (Some(outer), Some(inner)) => (outer, inner),
            _ => (before, after),
        };
        for character in outer.chars().chain(inner.chars()) {
            if !may_stand(character) {
                return Err(TemplateError::Character(character));
            }
        }
        if after
            .bytes()
            .next()
            .is_none_or(|byte| is_plain(byte) || byte == b'%')
        {
            return Err(TemplateError::Open);
        }
        Ok(Self {
            before: before.to_owned(),
            after: after.to_owned(),
        })
    }

    /// The prefix of one user.
    #[must_use]
    pub fn prefix(&self, user: &str) -> KeyPrefix {
        let mut prefix = self.before.as_bytes().to_vec();
        encode_user(user, &mut prefix);
        prefix.extend_from_slice(self.after.as_bytes());
        KeyPrefix(prefix.into())
    }
}

const fn may_stand(character: char) -> bool {
    character.is_ascii_alphanumeric()
        || matches!(
            character,
            '_' | '.' | ':' | '/' | '-' | '#' | '|' | '=' | ',' | ';' | '+' | '~' | '$' | '!' | '&'
        )
}

/// What all keys and channels of one user begin with. It holds nothing that means something in a glob, so it may stand in one as it is, and no
/// `@`, so that no channel of a user's is one of the server's notifications.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyPrefix(Box<[u8]>);

impl KeyPrefix {
    /// Its bytes.
    #[inline]
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefix(template: &str, user: &str) -> String {
        let prefix = PrefixTemplate::parse(template).unwrap().prefix(user);
        String::from_utf8(prefix.as_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_template_is_filled_in() {
        assert_eq!(prefix("{user}:", "alice"), "alice:");
        assert_eq!(prefix("app:{user}:v1:", "a:b"), "app:a%3Ab:v1:");
        assert_eq!(prefix("{{user}}:", "a"), "{a}:");
        assert_eq!(prefix("t/{{user}}", "a"), "t/{a}");
    }

    #[test]
    fn a_template_that_does_not_keep_users_apart_is_refused() {
        for (template, want) in [
            ("", TemplateError::Placeholder),
            ("app:", TemplateError::Placeholder),
            ("{user}{user}:", TemplateError::Placeholder),
            ("{users}:", TemplateError::Placeholder),
            ("{user}", TemplateError::Open),
            ("{user}x:", TemplateError::Open),
            ("{user}_", TemplateError::Open),
            ("{user}.", TemplateError::Open),
            ("{user}%:", TemplateError::Character('%')),
            ("{user}:*", TemplateError::Character('*')),
            ("a?{user}:", TemplateError::Character('?')),
            ("[{user}]", TemplateError::Character('[')),
            ("{user}\\", TemplateError::Character('\\')),
            ("{{user}:", TemplateError::Character('{')),
            ("{user}}:", TemplateError::Character('}')),
            ("{tag}{user}:", TemplateError::Character('{')),
            ("{user} :", TemplateError::Character(' ')),
            ("é{user}:", TemplateError::Character('é')),
            // Or a user called `__keyspace` would have the server's notifications.
            ("{user}@0__:", TemplateError::Character('@')),
        ] {
            assert_eq!(PrefixTemplate::parse(template), Err(want), "{template}");
        }
        let long = format!("{}{{user}}:", "a".repeat(MOST));
        assert_eq!(PrefixTemplate::parse(&long), Err(TemplateError::Length));
    }

    #[test]
    fn the_error_says_what_to_write() {
        let error = PrefixTemplate::parse("{user}").unwrap_err().to_string();
        assert!(
            error.starts_with("must go on behind {user} with"),
            "{error}"
        );
        let error = PrefixTemplate::parse("app").unwrap_err().to_string();
        assert_eq!(error, "must hold {user} once, as in \"{user}:\"");
    }

    proptest! {
        #[test]
        fn no_prefix_begins_another_users_key(
            template in "[a-z:]{0,3}\\{user\\}[:/#-][a-z0-9:]{0,3}",
            one: String,
            other: String,
            key: Vec<u8>,
        ) {
            let template = PrefixTemplate::parse(&template).unwrap();
            let (mine, theirs) = (template.prefix(&one), template.prefix(&other));
            let their_key = [theirs.as_bytes(), &key].concat();
            prop_assert_eq!(their_key.starts_with(mine.as_bytes()), one == other);
        }

        #[test]
        fn likewise_where_ids_are_made_to_collide(one in "[a:%3]{0,4}", other in "[a:%3]{0,4}", key in "[a:%3]{0,8}") {
            for template in ["{user}:", "a:{user}:", "{{user}}", "{user}:a:"] {
                let template = PrefixTemplate::parse(template).unwrap();
                let (mine, theirs) = (template.prefix(&one), template.prefix(&other));
                let their_key = [theirs.as_bytes(), key.as_bytes()].concat();
                prop_assert_eq!(their_key.starts_with(mine.as_bytes()), one == other);
            }
        }

        #[test]
        fn a_prefix_means_nothing_in_a_glob(user: String) {
            let prefix = PrefixTemplate::parse("{user}:").unwrap().prefix(&user);
            prop_assert!(!prefix.as_bytes().iter().any(|byte| b"*?[]\\^".contains(byte) || byte.is_ascii_whitespace()));
        }
    }
}
