//! `sql`: prints the SQL that an administrator installs in a database.

use std::io::Write;

use clap::{Args, ValueEnum};

use super::Exit;
use super::ask::print;
use crate::signed;

/// The flags of `sql`.
#[derive(Clone, Debug, Args)]
pub struct SqlArgs {
    /// Which file.
    #[arg(value_enum)]
    pub file: SqlFile,

    /// Print what takes it out of a database again.
    #[arg(long)]
    pub uninstall: bool,
}

/// A file that the binary carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SqlFile {
    /// `bulkhead.user_id()` for row-level security, which SQL cannot forge.
    SignedUser,
}

/// Prints a file to `out`.
pub fn sql(args: &SqlArgs, out: &mut impl Write) -> Exit {
    let text = match (args.file, args.uninstall) {
        (SqlFile::SignedUser, false) => signed::INSTALL,
        (SqlFile::SignedUser, true) => signed::UNINSTALL,
    };
    print(out, text);
    Exit::Success
}
