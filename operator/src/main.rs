//! The command line of the operator.

use std::process::ExitCode;

use bulkhead_operator::cli;
use clap::Parser as _;

fn main() -> ExitCode {
    match cli::Arguments::parse().run(&mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bulkhead-operator: {error}");
            ExitCode::FAILURE
        }
    }
}
