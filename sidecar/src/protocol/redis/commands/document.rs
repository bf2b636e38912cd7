//! The table as a page for people: docs/redis-commands.md.

use std::fmt::Write as _;

use super::effect::Effect;
use super::table::{Command, all};
use super::treatment::Rule;

const INTRODUCTION: &str = "\
# Redis and Valkey commands

What becomes of each command on its way through the sidecar. The page is written from the table that the sidecar works by
(`sidecar/src/protocol/redis/commands/`), which is held against the server's own `COMMAND`: a test fails when they differ, and another one
runs an example of every command as one user beside the keys of another.

- **Without prefix**: the database has no `keyPrefix`. Everything passes but what the sidecar cannot carry; what a client may do is up to
  the Redis user of the policy's credentials.
- **keyPrefix**: each user's keys and channels begin with a prefix of their own. *Rewritten* commands get it put before their keys, and
  lose it in their replies; *allowed* ones name no key; *refused* ones are answered with `NOPERM`, and never reach the server.
- **and acl: PerUser**: the same, where each end user has a Redis user too, which the server itself holds to the prefix. Scripts are
  allowed there, and what a script could call to look past the prefix is refused in its turn.
- **Connection**: *sidecar* commands are answered or kept by the sidecar; after *pins* ones the client keeps its server connection.

A command that is not on this page passes without a prefix (and pins the connection, as nobody knows what it leaves there), and is refused
under one. Subcommands that are not on it are treated alike. Under a prefix the number of arguments is checked by this table too, so that
no argument of a newer server's can be a key unseen.
";

/// Why scripts need a Redis user.
const SCRIPT: &str = "without acl: PerUser a script reaches keys that it does not declare; while one runs, the server serves nobody else";

/// The whole page.
#[must_use]
pub fn document() -> String {
    let mut page = INTRODUCTION.to_owned();
    let mut groups: Vec<&str> = Vec::new();
    for command in shown() {
        if !groups.contains(&command.facts.group) {
            groups.push(command.facts.group);
        }
    }
    groups.sort_unstable();
    for group in groups {
        let _ = write!(page, "\n## {}\n\n", title(group));
        page.push_str("| command | since | without prefix | keyPrefix | and acl: PerUser | connection | why |\n");
        page.push_str("|---|---|---|---|---|---|---|\n");
        let mut commands: Vec<&Command> = shown()
            .filter(|command| command.facts.group == group)
            .collect();
        commands.sort_by_key(|command| command.facts.name);
        for command in commands {
            page.push_str(&row(command));
        }
    }
    page
}

/// A command whose subcommands have rows has none of its own, unless it does something alone.
fn shown() -> impl Iterator<Item = &'static Command> {
    all()
        .iter()
        .filter(|command| !command.is_container() || command.facts.takes(1))
}

fn row(command: &Command) -> String {
    let treatment = &command.treatment;
    let (prefixed, per_user) = match treatment.prefixed {
        Rule::Passes => ("allowed", "allowed"),
        Rule::Keys | Rule::Form(_) => ("rewritten", "rewritten"),
        Rule::Script => (
            "refused",
            if scripts_have_keys(command) {
                "rewritten"
            } else {
                "allowed"
            },
        ),
        Rule::Refused(_) => ("refused", "refused"),
    };
    let per_user = treatment.per_user.map_or(per_user, |_| "refused");
    let bare = if treatment.refused.is_some() {
        "refused"
    } else {
        "allowed"
    };
    let (bare, prefixed, per_user) = match treatment.effect {
        Effect::Kept(_) => ("sidecar", "sidecar", "sidecar"),
        _ => (bare, prefixed, per_user),
    };
    let name = command.facts.name.replace('|', " ").to_uppercase();
    format!(
        "| `{name}` | {} | {bare} | {prefixed} | {per_user} | {} | {} |\n",
        command.facts.since,
        connection(treatment.effect),
        why(command)
    )
}

fn scripts_have_keys(command: &Command) -> bool {
    !command.facts.keys.is_empty()
}

const fn connection(effect: Effect) -> &'static str {
    match effect {
        Effect::None => "",
        Effect::Transaction(_) => "transaction",
        Effect::Subscription(_) => "subscribes",
        Effect::Blocking(_) => "may wait",
        Effect::Pins => "pins",
        Effect::Kept(_) => "sidecar",
        Effect::Script => "script",
    }
}

fn why(command: &Command) -> String {
    let treatment = &command.treatment;
    let refused = match treatment.prefixed {
        Rule::Refused(why) => Some(why),
        Rule::Script => return SCRIPT.to_owned(),
        _ => None,
    };
    if let Some(why) = treatment.refused.or(refused) {
        return why.text().to_owned();
    }
    let note = note(command.facts.name).unwrap_or_default();
    match treatment.per_user {
        Some(why) if note.is_empty() => why.text().to_owned(),
        Some(why) => format!("{note}; {}", why.text()),
        None => note.to_owned(),
    }
}

/// What a reader would not expect.
fn note(name: &str) -> Option<&'static str> {
    Some(match name {
        "sort" | "sort_ro" => {
            "BY with a pattern and GET of anything but `#` are refused: they read whatever keys the elements name"
        }
        "scan" => "the pattern gets the prefix, and what comes back loses it",
        "keys" => "likewise; the server walks the keys of all users meanwhile, and serves nobody",
        "info" => "sections server, replication, cluster and modules; alone it is `INFO server`",
        "psubscribe" => {
            "a pattern that may match keyspace notifications must name them as `__keyspace@<database>__:` or `__keyevent@<database>__:`; \
                         under acl: PerUser the server takes the patterns `*` and `__keyspace@N__:*` alone, N from 0 to 15, and no `__keyevent`"
        }
        "subscribe" => {
            "notifications of keys are those of the user's own keys; under acl: PerUser there are none on `__keyevent`"
        }
        "publish" => "not to `__keyevent` channels",
        "move" | "copy" => "the prefix holds in the other database too",
        "acl|whoami" => {
            "under acl: PerUser the name of the user's Redis user, which holds the prefix"
        }
        "wait" | "waitaof" => "counts what was written over the same server connection",
        "auth" | "hello" => "says who the user is; the upstream's password is the sidecar's alone",
        "client|reply" => "the server answers all the same",
        _ => return None,
    })
}

fn title(group: &str) -> String {
    let mut letters = group.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}
