//! An application's own name for itself, and the user that it may name behind it: `web bulkhead:alice`, or `bulkhead:alice` alone.
//!
//! The form is closed: nothing is guessed of names that are built otherwise. What is left is the label under which the application is
//! counted. Metrics name no user, so a word that looks like an id is shown as `*` there; what bounds the number of labels is the
//! inventory itself.

use super::of_id;
use crate::telemetry::Attribution;

/// What stands before the user's id.
const MARK: &str = "bulkhead:";

/// A word with so many digits is no part of a name: a process, a pod, a UUID, a user.
const DIGITS_OF_AN_ID: usize = 5;

/// PostgreSQL cuts `application_name` at 63 bytes (`NAMEDATALEN`); so are labels.
pub const LONGEST_LABEL: usize = 63;

/// What a name consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    /// The application.
    pub application: &'a str,
    /// What it claims of its user: nothing, where it names none.
    pub claim: Option<Attribution>,
}

/// Takes a name apart. The id goes to the end, blanks and all.
#[must_use]
pub fn read(name: &str) -> Name<'_> {
    let found = match name.strip_prefix(MARK) {
        Some(id) => Some(("", id)),
        None => name
            .match_indices(MARK)
            .find(|(at, _)| name[..*at].ends_with(' '))
            .map(|(at, _)| (name[..at].trim_end(), &name[at + MARK.len()..])),
    };
    match found {
        Some((application, id)) => Name {
            application,
            claim: Some(of_id(id)),
        },
        None => Name {
            application: name,
            claim: None,
        },
    }
}

/// An application as it is shown: of bounded length, without control characters, and without what looks like an id.
#[must_use]
pub fn label(application: &str) -> String {
    let mut shown = String::new();
    for word in application.split_inclusive(is_between) {
        let end = word.trim_end_matches(is_between);
        if is_id(end) {
            shown.push('*');
        } else {
            shown.extend(end.chars().map(presentable));
        }
        shown.extend(word[end.len()..].chars().map(presentable));
        if shown.len() > LONGEST_LABEL {
            break;
        }
    }
    let mut end = shown.len().min(LONGEST_LABEL);
    while !shown.is_char_boundary(end) {
        end -= 1;
    }
    shown.truncate(end);
    shown
}

/// What stands between the words of a name.
fn is_between(char: char) -> bool {
    char.is_whitespace()
        || matches!(
            char,
            '/' | ':' | ',' | ';' | '=' | '|' | '(' | ')' | '[' | ']' | '<' | '>' | '"' | '\''
        )
}

/// Whether a word is an address, a number, or has the digits of an id.
fn is_id(word: &str) -> bool {
    let digits = word.bytes().filter(u8::is_ascii_digit).count();
    word.contains('@') || digits >= DIGITS_OF_AN_ID || (digits > 1 && digits == word.len())
}

/// What would move a cursor or turn a line round is shown as a question mark.
fn presentable(char: char) -> char {
    let turns = matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
    if char.is_control() || turns {
        '?'
    } else {
        char
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_name_is_taken_apart_where_it_has_the_form() {
        use Attribution::{Claimed, Placeholder, Unattributed};
        for (name, application, claim) in [
            ("web", "web", None),
            ("", "", None),
            ("bulkhead:alice", "", Some(Claimed)),
            ("web bulkhead:alice", "web", Some(Claimed)),
            ("my web app  bulkhead:o'hara", "my web app", Some(Claimed)),
            ("web bulkhead:al ice", "web", Some(Claimed)),
            ("web bulkhead:null", "web", Some(Placeholder)),
            ("web bulkhead:", "web", Some(Placeholder)),
            ("web bulkhead:al\u{7}ice", "web", Some(Unattributed)),
            // What is not of the form is a name.
            ("webbulkhead:alice", "webbulkhead:alice", None),
            ("web-bulkhead:alice", "web-bulkhead:alice", None),
            ("web Bulkhead:alice", "web Bulkhead:alice", None),
            ("web bulkhead=alice", "web bulkhead=alice", None),
            ("bulkhead", "bulkhead", None),
            // The first one that is of the form counts, and the rest is its id.
            ("xbulkhead:a bulkhead:b", "xbulkhead:a", Some(Claimed)),
            ("web bulkhead:a bulkhead:b", "web", Some(Claimed)),
        ] {
            assert_eq!(read(name), Name { application, claim }, "{name:?}");
        }
    }

    #[test]
    fn a_label_shows_no_id() {
        for (application, shown) in [
            ("web", "web"),
            ("psql", "psql"),
            ("PostgreSQL JDBC Driver", "PostgreSQL JDBC Driver"),
            ("DBeaver 23.1.2 - Main", "DBeaver 23.1.2 - Main"),
            ("python3.11", "python3.11"),
            ("Sidekiq 7 [12 of 25 busy]", "Sidekiq 7 [* of * busy]"),
            ("alice@example.com", "*"),
            ("web/alice@example.com/x", "web/*/x"),
            ("web:1234", "web:*"),
            ("web 0d1e4f2a-77aa-4c1b-9a3e-1f2e3d4c5b6a", "web *"),
            ("chat-7d9f8c6b5-x2x4k", "*"),
            ("a\u{1b}[2J\nb", "a?[2J?b"),
            ("web\u{202e}bew", "web?bew"),
        ] {
            assert_eq!(label(application), shown, "{application:?}");
        }
        let long = label(&"é".repeat(100));
        assert!(long.len() <= LONGEST_LABEL && long.starts_with("éé"));
    }

    proptest! {
        #[test]
        fn an_id_that_is_named_is_never_in_the_label(application in "[a-z]{0,8}", id in "[\\PC]{1,60}") {
            let named = format!("{application} {MARK}{id}");
            prop_assert_eq!(label(read(&named).application), application);
        }

        #[test]
        fn any_name_has_a_short_label_without_control_characters(name: String) {
            let shown = label(read(&name).application);
            prop_assert!(shown.len() <= LONGEST_LABEL);
            prop_assert!(!shown.chars().any(char::is_control));
        }
    }
}
