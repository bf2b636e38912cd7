//! The words of a command line.

use std::process::ExitCode;
use std::str::FromStr;

/// Those that the command was started with.
pub(crate) fn given() -> Vec<String> {
    std::env::args().skip(1).collect()
}

/// What a word says that is a number. One that is none ends the command.
pub(crate) fn number<T: FromStr>(word: &str) -> T {
    word.parse()
        .unwrap_or_else(|_| panic!("{word:?} is no such number"))
}

/// Tells what may be said instead of what was not understood.
pub(crate) fn explained(usage: &str) -> ExitCode {
    eprintln!("{usage}");
    ExitCode::from(2)
}
