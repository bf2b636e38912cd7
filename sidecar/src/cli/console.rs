//! `console`: commands for the running sidecar's console, and its answers as tables.

use std::io::{BufRead, IsTerminal, Write, stdin};

use super::Exit;
use super::args::ConsoleArgs;
use super::ask::print;
use super::table::{Lean, render_rows};
use crate::admin::console::client::{Client, Said};

/// What a person is asked with.
const PROMPT: &str = "bulkhead=> ";

/// Carries commands out: those of the command line, or else those of `lines`, until they end. A person who types goes on after
/// one that has failed; a script does not.
pub async fn console(
    args: &ConsoleArgs,
    lines: &mut impl BufRead,
    out: &mut impl Write,
    errors: &mut impl Write,
) -> Exit {
    for command in &args.command {
        if !carry_out(args, command, out, errors).await {
            return Exit::Failure;
        }
    }
    if !args.command.is_empty() {
        return Exit::Success;
    }
    let person = stdin().is_terminal();
    loop {
        if person {
            print(out, PROMPT);
        }
        let mut line = String::new();
        match lines.read_line(&mut line) {
            Ok(0) => return Exit::Success,
            Ok(_) => {}
            Err(error) => {
                print(errors, &format!("bulkhead-sidecar: {error}\n"));
                return Exit::Failure;
            }
        }
        if matches!(line.trim(), "\\q" | "exit" | "quit") {
            return Exit::Success;
        }
        if !carry_out(args, &line, out, errors).await && !person {
            return Exit::Failure;
        }
    }
}

/// Whether it went well. Each has a connection of its own: a person may think for longer than a console waits.
async fn carry_out(
    args: &ConsoleArgs,
    command: &str,
    out: &mut impl Write,
    errors: &mut impl Write,
) -> bool {
    let answer = async { Client::connect(&args.folder()).await?.ask(command).await };
    let said = match answer.await {
        Ok(said) => said,
        Err(error) => {
            print(errors, &format!("bulkhead-sidecar: {error}\n"));
            return false;
        }
    };
    let mut well = true;
    for said in said {
        match said {
            Said::Table { head, rows } => print(out, &table(&head, rows)),
            Said::Done(tag) => print(out, &format!("{tag}\n")),
            Said::Notice(text) => print(errors, &format!("{text}\n")),
            Said::Failed(text) => {
                well = false;
                print(errors, &format!("{text}\n"));
            }
        }
    }
    well
}

fn table(head: &[(String, bool)], rows: Vec<Vec<Option<String>>>) -> String {
    let lean = |number: bool| if number { Lean::Right } else { Lean::Left };
    let head: Vec<(&str, Lean)> = head
        .iter()
        .map(|(name, number)| (name.as_str(), lean(*number)))
        .collect();
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|row| row.into_iter().map(Option::unwrap_or_default).collect())
        .collect();
    render_rows(&head, &rows)
}
