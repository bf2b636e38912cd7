//! Ids that name nobody: what code sends when it forgot to fill the user in.
//!
//! Lives here: the table and the one function that asks it. Pure; may not know policies or protocols.

/// Words that stand where a user should, in lower case, without surrounding space, quotes or brackets.
const WORDS: &[&str] = &[
    // What languages and drivers print for "nothing".
    "null",
    "undefined",
    "none",
    "nil",
    "nul",
    "nan",
    "n/a",
    "na",
    "object object",
    "object",
    "object null",
    "object undefined",
    "true",
    "false",
    // What stands in sample code and in forms.
    "test",
    "testuser",
    "test-user",
    "test_user",
    "default",
    "default-user",
    "default_user",
    "example",
    "sample",
    "dummy",
    "fake",
    "mock",
    "placeholder",
    "temp",
    "tmp",
    "todo",
    "tbd",
    "changeme",
    "change-me",
    "change_me",
    "string",
    // What means "somebody", not one user.
    "anonymous",
    "anon",
    "unknown",
    "guest",
    "nobody",
    "user",
    "users",
    "system",
    // What is left of a template that nothing was put into.
    "id",
    "uid",
    "user_id",
    "user-id",
    "user.id",
    "userid",
    "user id",
    "current_user",
    "current_user_id",
];

/// Longer than any word of the table, with room for what surrounds it.
const LONGEST: usize = 128;

/// Whether `id` names nobody. Case, surrounding space (Unicode's and the invisible kinds), quotes and brackets do not
/// matter; neither do the dashes of a UUID.
#[must_use]
pub fn is_placeholder(id: &str) -> bool {
    let core = core(id);
    if core.is_empty() || is_zero(core) || is_greatest_uuid(core) {
        return true;
    }
    core.len() <= LONGEST && WORDS.contains(&core.to_lowercase().as_str())
}

/// `id` without what surrounds a value in text: space, quotes, brackets, the marks of templates, and punctuation in general.
fn core(id: &str) -> &str {
    let surrounds = |c: char| {
        c.is_whitespace() || c.is_control() || is_invisible(c) || c.is_ascii_punctuation()
    };
    let core = id.trim_matches(surrounds);
    let prefix = "urn:uuid:";
    match core.get(..prefix.len()) {
        Some(start) if start.eq_ignore_ascii_case(prefix) => {
            core[prefix.len()..].trim_matches(surrounds)
        }
        _ => core,
    }
}

/// Characters that show nothing and are not white space to Unicode.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// Zero in any width: `0`, `000`, `0.0`, `0x0`, the all-zero UUID with and without dashes.
fn is_zero(core: &str) -> bool {
    let digits = core
        .strip_prefix("0x")
        .or_else(|| core.strip_prefix("0X"))
        .unwrap_or(core);
    digits.contains('0') && digits.bytes().all(|b| matches!(b, b'0' | b'-' | b'.'))
}

/// The UUID of all ones (RFC 9562, section 5.10), which code uses as "no such id" as often as the zero one.
fn is_greatest_uuid(core: &str) -> bool {
    core.bytes().filter(|b| *b != b'-').count() == 32
        && core.bytes().all(|b| matches!(b, b'f' | b'F' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_names_nobody_is_found() {
        let table = [
            "",
            " ",
            "\t\n",
            "\u{a0}",
            "\u{3000}",
            "\u{200b}",
            "\u{feff}",
            "null",
            "NULL",
            " Null ",
            "\u{2003}null\u{2003}",
            "nu\u{6c}l",
            "\"null\"",
            "'undefined'",
            "(null)",
            "<none>",
            "[object Object]",
            "undefined",
            "None",
            "nil",
            "NaN",
            "test",
            "TEST",
            "default",
            "anonymous",
            "Anonymous\u{200b}",
            "placeholder",
            "user",
            "unknown",
            "guest",
            "system",
            "0",
            "00",
            "0.0",
            "-0",
            "+0",
            "0x0",
            "000000",
            "-",
            "--",
            "?",
            "{}",
            "[]",
            "\"\"",
            "${user_id}",
            "{{ user.id }}",
            "<user_id>",
            "{userId}",
            ":user_id",
            "$",
            "00000000-0000-0000-0000-000000000000",
            "00000000000000000000000000000000",
            "{00000000-0000-0000-0000-000000000000}",
            "urn:uuid:00000000-0000-0000-0000-000000000000",
            "URN:UUID:00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF",
        ];
        for id in table {
            assert!(is_placeholder(id), "{id:?} names nobody");
        }
    }

    #[test]
    fn what_names_somebody_is_not() {
        let table = [
            "alice",
            "1",
            "42",
            "10",
            "100",
            "user-1",
            "user1",
            "user:42",
            "testa",
            "test-7",
            "nullable",
            "nilsson",
            "Nonette",
            "systema",
            "anonymous-7f3a",
            "00000000-0000-0000-0000-000000000001",
            "1e7b4a9c-0000-0000-0000-000000000000",
            "auth0|5f7c8ec7c33c6c004bbafe82",
            "alice@example.com",
            "ffffffff-ffff-ffff-ffff-fffffffffffe",
            "ffff",
            "김",
            "ø",
            "🙂",
            "-7",
            "0x10",
            "0.5",
            "admin",
            "root",
            "defaulted",
        ];
        for id in table {
            assert!(!is_placeholder(id), "{id:?} names somebody");
        }
    }

    proptest! {
        #[test]
        fn surroundings_and_case_never_hide_a_word(
            at in 0..WORDS.len(),
            before in "[ \\t\u{a0}\u{200b}\u{3000}\"'({<$]{0,8}",
            after in "[ \\n\u{2028}\u{feff}\"')}>]{0,8}",
            upper in any::<bool>(),
        ) {
            let word = if upper { WORDS[at].to_uppercase() } else { WORDS[at].to_owned() };
            let id = format!("{before}{word}{after}");
            prop_assert!(is_placeholder(&id));
        }

        #[test]
        fn any_text_gets_an_answer(id in "\\PC{0,300}") {
            let _ = is_placeholder(&id);
        }

        #[test]
        fn random_uuids_name_somebody(bits in 1..u128::MAX) {
            let id = format!("{bits:032x}");
            prop_assert!(!is_placeholder(&id));
        }
    }

    #[test]
    fn the_table_is_written_as_it_is_compared() {
        for word in WORDS {
            assert_eq!(core(word), *word, "{word:?} would never match");
            assert_eq!(word.to_lowercase(), **word);
        }
    }
}
