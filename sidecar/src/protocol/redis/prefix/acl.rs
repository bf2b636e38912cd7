//! The Redis user of an end user, where the policy asks for one: what the server itself holds a script to.

use super::super::commands::{self, Effect, Rule};
use super::KeyPrefix;

/// The rules of ACL SETUSER that hold a Redis user to one prefix, each an argument of its own; passwords are not among them.
///
/// It may call what a client may under this prefix where the server checks the keys itself, and what a connection needs. `known` says
/// whether the server has a command of this name: one that it does not know would be an error.
#[must_use]
pub fn acl_rules(prefix: &KeyPrefix, known: impl Fn(&str) -> bool) -> Vec<Vec<u8>> {
    let prefix = prefix.as_bytes();
    let mut rules: Vec<Vec<u8>> = vec![
        b"resetkeys".to_vec(),
        b"resetchannels".to_vec(),
        b"nocommands".to_vec(),
        [b"~", prefix, b"*"].concat(),
        [b"&", prefix, b"*"].concat(),
        [b"&__keyspace@*__:", prefix, b"*"].concat(),
    ];
    rules.extend(
        commands::all()
            .iter()
            .filter(|command| granted(command) && known(command.facts.name))
            .map(|command| format!("+{}", command.facts.name).into_bytes()),
    );
    rules
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

    #[test]
    fn a_user_is_held_to_keys_channels_and_commands() {
        let prefix = PrefixTemplate::parse("{user}:").unwrap().prefix("al*ce");
        let rules: Vec<String> = acl_rules(&prefix, |_| true)
            .into_iter()
            .map(|rule| String::from_utf8(rule).unwrap())
            .collect();
        for rule in [
            "~al%2Ace:*",
            "&al%2Ace:*",
            "+get",
            "+eval",
            "+object|encoding",
            "+client|setname",
        ] {
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
        ] {
            assert!(!rules.iter().any(|each| each == rule), "{rule}");
        }
    }
}
