//! `run`: the operator itself.

use clap::Args;

use super::Error;
use crate::process;
use crate::settings::Flags;

/// Runs the operator.
#[derive(Args)]
// Whoever wraps the command may say it again.
#[command(args_override_self = true)]
pub struct Arguments {
    #[command(flatten)]
    flags: Flags,
}

impl Arguments {
    pub(super) fn run(&self) -> Result<(), Error> {
        Ok(process::run(&self.flags)?)
    }
}
