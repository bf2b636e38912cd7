//! What may be typed: a closed grammar, read without doing anything.
//!
//! ```text
//! commands := command { ';' command } [ ';' ]
//! command  := SHOW view
//!           | ( PAUSE | RESUME | RECONNECT ) [ upstream ]
//!           | KILL USER id [ ON upstream ]
//! ```
//!
//! Words are compared without regard to case, but for names and ids, which may be quoted. Comments are passed over, as in SQL.

mod words;

use super::columns::View;
use words::{Token, bounded, split};

/// Commands in one message at the most.
const MOST_COMMANDS: usize = 16;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Shows a view.
    Show(View),
    /// Changes something.
    Do(Action),
}

/// What changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// No transaction begins.
    Pause {
        /// On this entry alone.
        upstream: Option<String>,
    },
    /// Transactions begin again.
    Resume {
        /// On this entry alone.
        upstream: Option<String>,
    },
    /// Server connections are made anew.
    Reconnect {
        /// Of this entry alone.
        upstream: Option<String>,
    },
    /// A user's connections end.
    Kill {
        /// Whose.
        user: String,
        /// Of this entry alone.
        upstream: Option<String>,
    },
}

/// Why a text is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misread {
    /// What is wrong with it.
    pub message: String,
    /// What was perhaps meant.
    pub hint: String,
}

/// The first words there are.
const VERBS: [&str; 5] = ["SHOW", "PAUSE", "RESUME", "RECONNECT", "KILL"];

/// What PgBouncer's console calls a view that has another name here.
const ELSEWHERE: [(&str, View); 8] = [
    ("POOLS", View::Factories),
    ("DATABASES", View::Stats),
    ("LISTS", View::Stats),
    ("TOTALS", View::Stats),
    ("STATS_TOTALS", View::Stats),
    ("STATS_AVERAGES", View::Stats),
    ("CONFIG", View::Policy),
    ("VERSION", View::Help),
];

/// The one form of it.
const HOW_TO_KILL: &str = "Write KILL USER 'ID', or KILL USER 'ID' ON UPSTREAM.";

/// How far a word may be from the one that was meant.
const FAR: usize = 2;

/// Reads all commands of a text; none from one that is empty.
///
/// # Errors
/// The first thing that is wrong; then none of them is carried out.
pub fn read(text: &str) -> Result<Vec<Command>, Misread> {
    let tokens = split(text)?;
    let mut commands = Vec::new();
    for words in tokens.split(|token| *token == Token::End) {
        if words.is_empty() {
            continue;
        }
        if commands.len() == MOST_COMMANDS {
            return Err(misread(
                format!("more than {MOST_COMMANDS} commands at once"),
                "Send them one after the other.",
            ));
        }
        commands.push(read_one(words)?);
    }
    Ok(commands)
}

fn read_one(words: &[Token]) -> Result<Command, Misread> {
    let (verb, rest) = match words {
        [Token::Word(verb), rest @ ..] => (verb.to_ascii_uppercase(), rest),
        _ => return Err(unknown_command(words)),
    };
    match verb.as_str() {
        "SHOW" => show(rest),
        "PAUSE" => on_upstream(&verb, rest, |upstream| Action::Pause { upstream }),
        "RESUME" => on_upstream(&verb, rest, |upstream| Action::Resume { upstream }),
        "RECONNECT" => on_upstream(&verb, rest, |upstream| Action::Reconnect { upstream }),
        "KILL" => kill(rest),
        _ => Err(unknown_command(words)),
    }
}

fn show(rest: &[Token]) -> Result<Command, Misread> {
    let Some((Token::Word(name), rest)) = rest.split_first() else {
        return Err(misread("SHOW what?", list_of_views()));
    };
    let Some(view) = view(name) else {
        return Err(unknown_view(name));
    };
    nothing_follows(&format!("SHOW {}", view.name()), rest)?;
    Ok(Command::Show(view))
}

/// `VERB [upstream]`
fn on_upstream(
    verb: &str,
    rest: &[Token],
    action: impl FnOnce(Option<String>) -> Action,
) -> Result<Command, Misread> {
    let upstream = match rest.split_first() {
        None => None,
        Some((name, rest)) => {
            nothing_follows(&format!("{verb} {}", name.shown()), rest)?;
            Some(name.value())
        }
    };
    Ok(Command::Do(action(upstream)))
}

/// `KILL USER id [ON upstream]`
fn kill(rest: &[Token]) -> Result<Command, Misread> {
    let [user, id, rest @ ..] = rest else {
        return Err(misread("KILL whom?", HOW_TO_KILL));
    };
    if !user.is_word("USER") {
        return Err(misread("KILL whom?", HOW_TO_KILL));
    }
    let upstream = match rest {
        [] => None,
        [on, upstream, rest @ ..] if on.is_word("ON") => {
            nothing_follows("KILL USER", rest)?;
            Some(upstream.value())
        }
        _ => {
            nothing_follows("KILL USER", rest)?;
            None
        }
    };
    Ok(Command::Do(Action::Kill {
        user: id.value(),
        upstream,
    }))
}

fn view(name: &str) -> Option<View> {
    let mut all = View::ALL.into_iter();
    all.find(|view| view.name().eq_ignore_ascii_case(name))
}

fn nothing_follows(command: &str, rest: &[Token]) -> Result<(), Misread> {
    match rest.first() {
        None => Ok(()),
        Some(token) => Err(misread(
            format!("nothing follows {command}, but there is {}", token.shown()),
            "End a command with a semicolon.",
        )),
    }
}

fn unknown_command(words: &[Token]) -> Misread {
    let first = words.first().map_or_else(String::new, Token::shown);
    let meant = words.first().and_then(|word| match word {
        Token::Word(word) => view(word)
            .map(|view| format!("SHOW {}", view.name()))
            .or_else(|| closest(word, VERBS.into_iter()).map(|verb| retyped(verb, words))),
        _ => None,
    });
    misread(
        format!("{first} is no command of the console"),
        did_you_mean(meant),
    )
}

/// The words with another one in the place of the first.
fn retyped(verb: &str, words: &[Token]) -> String {
    let rest = words.iter().skip(1).map(|word| match word {
        Token::Word(word) => word.clone(),
        other => other.shown(),
    });
    std::iter::once(verb.to_owned())
        .chain(rest)
        .collect::<Vec<_>>()
        .join(" ")
}

fn unknown_view(name: &str) -> Misread {
    let upper = name.to_ascii_uppercase();
    let elsewhere = ELSEWHERE.iter().find(|(known, _)| *known == upper);
    let meant = elsewhere
        .map(|(_, view)| view.name())
        .or_else(|| closest(name, View::ALL.into_iter().map(View::name)));
    misread(
        format!("there is no SHOW {}", bounded(&upper)),
        did_you_mean(meant.map(|name| format!("SHOW {name}"))),
    )
}

fn did_you_mean(meant: Option<String>) -> String {
    const LIST: &str = "SHOW HELP lists the commands.";
    match meant {
        Some(meant) => format!("Did you mean {}? {LIST}", bounded(&meant)),
        None => LIST.to_owned(),
    }
}

fn list_of_views() -> String {
    let names: Vec<&str> = View::ALL.into_iter().map(View::name).collect();
    format!("There is SHOW {}.", names.join(", "))
}

/// The nearest of the known words, if it is near enough to have been meant.
fn closest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_ascii_uppercase();
    let distance = |known: &str| strsim::damerau_levenshtein(&word, known);
    let near = known.map(|known| (distance(known), known));
    let (far, nearest) = near.min_by_key(|(far, _)| *far)?;
    (far <= FAR && far < word.len()).then_some(nearest)
}

fn misread(message: impl Into<String>, hint: impl Into<String>) -> Misread {
    Misread {
        message: message.into(),
        hint: hint.into(),
    }
}

#[cfg(test)]
mod tests;
