//! The command line: what can be asked of the binary, and the subcommands that only look or ask.
//!
//! Exit codes: 0 for success; 1 when something is wrong with the policy, the upstream or the running sidecar; 2 when the
//! command line itself is wrong.

mod args;
mod ask;
pub mod audit;
mod check;
mod check_clickhouse;
mod check_references;
mod check_upstream;
mod console;
pub mod cpu_limit;
mod prove;
mod sql;
pub(crate) mod table;

use std::process::ExitCode;

pub use args::{AskArgs, Cli, Command, ConsoleArgs, ControlArgs, DEFAULT_ADMIN, RunArgs};
pub use ask::{drain, executions, policy, revocations, users};
pub use audit::audit;
pub use check::{check, check_revocations, print_diagnostics};
pub use check_references::check_references;
pub use check_upstream::check_upstream;
pub use console::console;
pub use prove::{ProveArgs, prove};
pub use sql::{SqlArgs, SqlFile, sql};

/// How a subcommand ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is well.
    Success,
    /// Something is wrong, and has been printed.
    Failure,
    /// The command line is wrong; clap's own errors end so as well.
    Usage,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Usage => 2,
        })
    }
}
