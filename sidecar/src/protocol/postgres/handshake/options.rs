//! The `options` parameter: settings in the form of command-line switches, `-c name=value` and `--name=value`.
//!
//! Source: `pg_split_opts` (how the text is split) and `process_postgres_switches` (what the switches mean) in PostgreSQL.
//! Other switches than these two are refused: nothing that the sidecar does not understand goes on to a server.

use thiserror::Error;

/// What is wrong with `options`. No text of the client's is repeated, for it may be a token in the wrong place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OptionsError {
    /// A switch that PostgreSQL may know and the sidecar does not.
    #[error("argument {position} of options is a switch that is not supported")]
    UnsupportedSwitch {
        /// Which argument, counted from 1.
        position: usize,
    },
    /// An argument that is not a switch.
    #[error("argument {position} of options is not a switch")]
    NotASwitch {
        /// Which argument, counted from 1.
        position: usize,
    },
    /// A switch without `name=value`.
    #[error("argument {position} of options has no name=value")]
    NoValue {
        /// Which argument, counted from 1.
        position: usize,
    },
}

/// The settings of an `options` text, in their order. A dash in a name stands for an underscore, as on a command line.
///
/// # Errors
/// Anything but the two switches, or one without a value.
pub fn unfold(text: &str) -> Result<Vec<(String, String)>, OptionsError> {
    let mut settings = Vec::new();
    let mut arguments = split(text).into_iter().zip(1..);
    while let Some((argument, position)) = arguments.next() {
        let setting = match argument.strip_prefix('-') {
            Some("c") => arguments.next().map(|(value, _)| value).unwrap_or_default(),
            Some(switch) => match switch.strip_prefix(['c', '-']) {
                Some(setting) => setting.to_owned(),
                None => return Err(OptionsError::UnsupportedSwitch { position }),
            },
            None => return Err(OptionsError::NotASwitch { position }),
        };
        let (name, value) = setting
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or(OptionsError::NoValue { position })?;
        settings.push((name.replace('-', "_"), value.to_owned()));
    }
    Ok(settings)
}

/// The arguments: divided by white space, which a backslash takes the meaning from, as from another backslash.
fn split(text: &str) -> Vec<String> {
    let mut arguments = Vec::new();
    let mut rest = text.chars().peekable();
    loop {
        while rest.next_if(|c| is_space(*c)).is_some() {}
        if rest.peek().is_none() {
            return arguments;
        }
        let mut argument = String::new();
        while let Some(c) = rest.next_if(|c| !is_space(*c)) {
            match c {
                '\\' => argument.extend(rest.next()),
                c => argument.push(c),
            }
        }
        arguments.push(argument);
    }
}

/// C's `isspace`, which has the vertical tab beside what Rust calls ASCII white space.
const fn is_space(c: char) -> bool {
    c.is_ascii_whitespace() || c == '\x0b'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unfolded(text: &str) -> Vec<(String, String)> {
        unfold(text).unwrap()
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn the_three_spellings_of_a_setting() {
        for text in ["-c a.b=1", "-ca.b=1", "--a.b=1", "\t-c\n a.b=1 "] {
            assert_eq!(unfolded(text), [pair("a.b", "1")], "{text}");
        }
    }

    #[test]
    fn order_and_repetition_stay() {
        assert_eq!(
            unfolded("-c a=1 --b=2 -c a=3"),
            [pair("a", "1"), pair("b", "2"), pair("a", "3")]
        );
    }

    #[test]
    fn a_backslash_keeps_a_space_and_a_backslash() {
        assert_eq!(unfolded(r"-c a=x\ y"), [pair("a", "x y")]);
        assert_eq!(unfolded(r"-c a=x\\y"), [pair("a", r"x\y")]);
        assert_eq!(unfolded(r"-c a=\x\="), [pair("a", "x=")]);
        assert_eq!(unfolded("-c a=x\\"), [pair("a", "x")]);
    }

    #[test]
    fn names_and_values_are_taken_apart_at_the_first_equals_sign() {
        assert_eq!(unfolded("-c a=b=c"), [pair("a", "b=c")]);
        assert_eq!(unfolded("-c a="), [pair("a", "")]);
        assert_eq!(unfolded("--work-mem=1MB"), [pair("work_mem", "1MB")]);
        assert_eq!(unfolded(""), []);
    }

    #[test]
    fn everything_else_is_refused_by_its_position() {
        let error = |text| unfold(text).unwrap_err();
        assert_eq!(
            error("-c a=1 -d 5"),
            OptionsError::UnsupportedSwitch { position: 3 }
        );
        assert_eq!(error("-"), OptionsError::UnsupportedSwitch { position: 1 });
        assert_eq!(error("a=1"), OptionsError::NotASwitch { position: 1 });
        assert_eq!(error("-c"), OptionsError::NoValue { position: 1 });
        assert_eq!(error("-c a"), OptionsError::NoValue { position: 1 });
        assert_eq!(error("-c =1"), OptionsError::NoValue { position: 1 });
        assert_eq!(error("--"), OptionsError::NoValue { position: 1 });
    }

    proptest! {
        #[test]
        fn any_value_survives_escaping(value in "\\PC{0,20}") {
            let mut escaped = String::new();
            for c in value.chars() {
                if c == '\\' || is_space(c) {
                    escaped.push('\\');
                }
                escaped.push(c);
            }
            prop_assert_eq!(unfolded(&format!("-c a={escaped} --b=1")), [pair("a", &value), pair("b", "1")]);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = unfold(&text);
        }
    }
}
