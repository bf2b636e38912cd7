//! `check`, as far as the policy itself goes: what is wrong with it, and what it comes to in this environment.

use std::io::Write;

use super::args::RunArgs;
use super::ask::{policy_table, print};
use crate::admin::control::PolicyReport;
use crate::policy::{Accepted, Diagnostic, Severity};

/// Reads, validates and resolves the policy; prints the effective policy to `out` and what is to be mended to `complaints`.
/// `None`: the policy cannot be used. Blocks on the file.
pub fn check(
    args: &RunArgs,
    out: &mut impl Write,
    complaints: &mut impl Write,
) -> Option<Accepted> {
    match args.source().load() {
        Ok(accepted) => {
            print_diagnostics(&accepted.warnings, complaints);
            let report = PolicyReport::of(&accepted.policy, &accepted.id);
            print(out, &policy_table(&report));
            Some(accepted)
        }
        Err(diagnostics) => {
            print_diagnostics(&diagnostics, complaints);
            None
        }
    }
}

/// Reads and judges the revocations, where there are to be any; says how many there are, and prints what is to be mended. `false`: they
/// cannot be used. Blocks on the file.
pub fn check_revocations(
    args: &RunArgs,
    out: &mut impl Write,
    complaints: &mut impl Write,
) -> bool {
    let Some(source) = args.revocation_source() else {
        return true;
    };
    match source.load() {
        Ok(accepted) => {
            print_diagnostics(&accepted.warnings, complaints);
            let count = accepted.list.revocations().len();
            print(out, &format!("{}\n", counted(count, "revocation")));
            true
        }
        Err(diagnostics) => {
            print_diagnostics(&diagnostics, complaints);
            false
        }
    }
}

/// Prints each diagnostic the way a compiler does, and how many there are.
pub fn print_diagnostics(diagnostics: &[Diagnostic], out: &mut impl Write) {
    for found in diagnostics {
        print(out, &format!("{found}\n\n"));
    }
    let count = |severity| {
        diagnostics
            .iter()
            .filter(|d| d.severity == severity)
            .count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if errors + warnings > 0 {
        let errors = counted(errors, "error");
        let warnings = counted(warnings, "warning");
        print(out, &format!("{errors}, {warnings}\n"));
    }
}

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::policy::fixtures::POLICY;

    fn checked(text: &str, environment: &str) -> (bool, String, String) {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("policy.yaml");
        std::fs::write(&file, text).expect("written");
        let flags = [
            "bulkhead-sidecar",
            "check",
            "--environment",
            environment,
            "--policy",
        ];
        let line = flags.iter().map(Into::into).chain([file.into_os_string()]);
        let Command::Check(args) = Cli::parse_from(line).command else {
            panic!("check is check");
        };
        let (mut out, mut complaints) = (Vec::new(), Vec::new());
        let accepted = check(&args, &mut out, &mut complaints).is_some();
        let text = |bytes| String::from_utf8(bytes).expect("text");
        (accepted, text(out), text(complaints))
    }

    #[test]
    fn a_good_policy_is_shown_with_the_origin_of_each_field() {
        let (accepted, out, complaints) = checked(POLICY, "staging");
        assert!(accepted, "{complaints}");
        assert!(out.starts_with("policy default/chat for environment staging, revision "));
        let line_of = |field: &str| {
            let line = out.lines().find(|line| line.starts_with(field));
            line.unwrap_or_else(|| panic!("no {field} in\n{out}"))
                .to_owned()
        };
        let words = |field| {
            line_of(field)
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let connect = "databases[main].timeouts.connect";
        assert_eq!(words(connect), [connect, "35s", "environment", "staging"]);
        let statement = "databases[main].timeouts.statement";
        assert_eq!(words(statement), [statement, "20s", "base"]);
        let idle = "databases[main].timeouts.idle ";
        assert_eq!(words(idle), [idle.trim(), "10m", "default"]);
    }

    #[test]
    fn a_bad_policy_is_refused_with_the_place_and_the_count() {
        let text = POLICY.replace("statement:", "statment:");
        let (accepted, out, complaints) = checked(&text, "staging");
        assert!(!accepted);
        assert_eq!(out, "");
        assert!(complaints.contains("error[Malformed]: "), "{complaints}");
        assert!(complaints.contains("  --> spec.databases"), "{complaints}");
        assert!(
            complaints.ends_with("1 error, 0 warnings\n"),
            "{complaints}"
        );
    }
}
