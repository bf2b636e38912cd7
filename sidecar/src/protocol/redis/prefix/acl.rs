//! The Redis user of an end user, where the policy asks for one: what the server itself holds a script to.

use aws_lc_rs::digest::{SHA256, digest};

use super::super::commands::{self, Effect, Rule};
use super::KeyPrefix;

/// Bytes of a name that are shown as they are.
const LONGEST_NAME: usize = 128;

/// Databases whose notifications a user may listen to. As many as a server has unless its configuration says otherwise; a pattern for all of
/// them would also match channels that tell of others' keys.
const DATABASES: u32 = 16;

/// The name of the Redis user that is held to this prefix: `bulkhead:alice:`. No two prefixes have the same; a long one is shown by its hash, behind
/// `bulkhead#`.
///
/// It is the prefix and not the user that it names: two policies before one server may prefix the same user differently, and neither may
/// have the other's keys.
#[must_use]
pub fn acl_user(prefix: &KeyPrefix) -> String {
    let prefix = prefix.as_bytes();
    if prefix.len() <= LONGEST_NAME {
        return format!("bulkhead:{}", String::from_utf8_lossy(prefix));
    }
    let hash = digest(&SHA256, prefix);
    let hash: String = hash
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("bulkhead#{hash}")
}

/// The rules of ACL SETUSER that hold a Redis user to one prefix, each an argument of its own: keys, channels, and notifications of keys. To
/// begin with `reset`, a user has none of these.
#[must_use]
pub fn acl_reach(prefix: &KeyPrefix) -> Vec<Vec<u8>> {
    let prefix = prefix.as_bytes();
    let notifications = (0..DATABASES).map(|database| {
        [
            format!("&__keyspace@{database}__:").as_bytes(),
            prefix,
            b"*",
        ]
        .concat()
    });
    [b"~", b"&"]
        .into_iter()
        .map(|mark| [mark, prefix, b"*"].concat())
        .chain(notifications)
        .collect()
}

/// Those that grant what a client may call under a prefix where the server checks the keys itself, and what a connection needs. `known` says
/// whether the server has a command of this name: one that it does not know would be an error.
#[must_use]
pub fn acl_commands(known: impl Fn(&str) -> bool) -> Vec<Vec<u8>> {
    commands::all()
        .iter()
        .filter(|command| granted(command) && known(command.facts.name))
        .map(|command| format!("+{}", command.facts.name).into_bytes())
        .collect()
}

fn granted(command: &commands::Command) -> bool {
    let treatment = &command.treatment;
    if treatment.refused.is_some() || treatment.per_user.is_some() {
        return false;
    }
    // Anybody may call AUTH, HELLO, QUIT and RESET; the rest of what the sidecar keeps it may have to say itself.
    if matches!(treatment.effect, Effect::Kept(_)) {
        return true;
    }
    match treatment.prefixed {
        Rule::Passes => !command.is_container() || command.facts.takes(1),
        Rule::Keys | Rule::Form(_) | Rule::Script => true,
        Rule::Refused(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::PrefixTemplate;
    use super::*;

    fn prefix(user: &str) -> KeyPrefix {
        PrefixTemplate::parse("{user}:").unwrap().prefix(user)
    }

    fn text(rules: Vec<Vec<u8>>) -> Vec<String> {
        let text = |rule| String::from_utf8(rule).unwrap();
        rules.into_iter().map(text).collect()
    }

    #[test]
    fn a_user_is_held_to_keys_and_channels() {
        let rules = text(acl_reach(&prefix("al*ce")));
        assert_eq!(rules.first().unwrap(), "~al%2Ace:*");
        assert_eq!(rules.get(1).unwrap(), "&al%2Ace:*");
        assert_eq!(rules.get(2).unwrap(), "&__keyspace@0__:al%2Ace:*");
        assert_eq!(rules.last().unwrap(), "&__keyspace@15__:al%2Ace:*");
    }

    #[test]
    fn a_user_is_held_to_commands() {
        let rules = text(acl_commands(|name| name != "lolwut"));
        for rule in ["+get", "+eval", "+object|encoding", "+client|setname"] {
            assert!(rules.iter().any(|each| each == rule), "{rule}");
        }
        for rule in [
            "+scan",
            "+keys",
            "+client|list",
            "+client",
            "+flushall",
            "+restore",
            "+info",
            "+lolwut",
        ] {
            assert!(!rules.iter().any(|each| each == rule), "{rule}");
        }
    }

    #[test]
    fn a_name_is_of_one_prefix_and_bounded() {
        assert_eq!(acl_user(&prefix("alice")), "bulkhead:alice:");
        let (one, other) = ("u".repeat(256), "u".repeat(255));
        let (one, other) = (acl_user(&prefix(&one)), acl_user(&prefix(&other)));
        assert_ne!(one, other);
        assert_eq!(one.len(), "bulkhead#".len() + 64);
        assert!(!one.starts_with("bulkhead:"), "no prefix is shown so");
    }
}
