//! The command line of the sidecar.

use std::io::{Write, stderr, stdin, stdout};
use std::process::ExitCode;
use std::sync::Arc;

use bulkhead_sidecar::cli::{self, Cli, Command, Exit, RunArgs};
use bulkhead_sidecar::policy::Diagnostic;
use bulkhead_sidecar::run::{RunError, run};
use bulkhead_sidecar::secrets::Secrets;
use bulkhead_sidecar::telemetry::{self, LogFormat};
use clap::Parser;

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let exit = match runtime {
        Ok(runtime) => runtime.block_on(carry_out(command)),
        Err(error) => complain(&error),
    };
    // Blocking work that is still under way (a look at a file) is not waited for.
    exit.into()
}

async fn carry_out(command: Command) -> Exit {
    let mut out = stdout();
    let asked = match command {
        Command::Run(args) => return serve(&args).await,
        Command::Check(args) => return check(&args).await,
        Command::Prove(args) => return cli::prove(&args, &mut out, &mut stderr()).await,
        Command::Sql(args) => return cli::sql(&args, &mut out),
        Command::Audit(args) => return cli::audit(&args, &mut out, &mut stderr()),
        Command::Console(args) => {
            let mut lines = stdin().lock();
            return cli::console(&args, &mut lines, &mut out, &mut stderr()).await;
        }
        Command::Users(args) => cli::users(&args, &mut out).await,
        Command::Executions(args) => cli::executions(&args, &mut out).await,
        Command::Revocations(args) => cli::revocations(&args, &mut out).await,
        Command::Policy(args) => cli::policy(&args, &mut out).await,
        Command::Drain(args) => cli::drain(&args, &mut out).await,
    };
    asked.map_or_else(|error| complain(&error), |()| Exit::Success)
}

async fn serve(args: &RunArgs) -> Exit {
    if let Err(error) = telemetry::start_logs(&args.log_level, args.log_format) {
        complain(&error);
        return Exit::Usage;
    }
    match run(args).await {
        Ok(()) => Exit::Success,
        Err(error) => give_up(&error, args.log_format),
    }
}

/// Says why the sidecar does not start: for a person, or as events for the machine that reads the log. That machine would
/// lose plain text, and this is the one line that matters.
fn give_up(error: &RunError, format: LogFormat) -> Exit {
    let for_machines = format == LogFormat::Json && tracing::enabled!(tracing::Level::ERROR);
    match error {
        RunError::Policy(found) | RunError::Revocations(found) if for_machines => {
            found.iter().for_each(Diagnostic::log)
        }
        RunError::Policy(found) | RunError::Revocations(found) => {
            cli::print_diagnostics(found, &mut stderr())
        }
        _ if for_machines => {}
        _ => return complain(error),
    }
    if for_machines {
        tracing::error!(%error, "the sidecar does not start");
    }
    Exit::Failure
}

/// Validates, resolves, prints, builds what the policy refers to, and reaches each upstream.
async fn check(args: &RunArgs) -> Exit {
    let Some(accepted) = cli::check(args, &mut stdout(), &mut stderr()) else {
        return Exit::Failure;
    };
    if !cli::check_revocations(args, &mut stdout(), &mut stderr()) {
        return Exit::Failure;
    }
    let secrets = Arc::new(Secrets::new(args.secrets.clone()));
    let resolver = args.resolver();
    let policy = &accepted.policy;
    if !cli::check_references(&accepted, &secrets, &resolver, &mut stderr()).await {
        return Exit::Failure;
    }
    if cli::check_upstream(policy, &secrets, &resolver, &mut stdout(), &mut stderr()).await {
        Exit::Success
    } else {
        Exit::Failure
    }
}

fn complain(error: &dyn std::error::Error) -> Exit {
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(stderr(), "bulkhead-sidecar: {error}");
    Exit::Failure
}
