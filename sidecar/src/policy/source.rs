//! From a file to a policy that may be put in force, or to the list of what is wrong with it. Blocking.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use bulkhead_crds::load::{LARGEST_FILE, LoadError};
use bulkhead_crds::resolve::unknown_environment;
use bulkhead_crds::wire::revision;
use bulkhead_crds::{Finding, load, resolve, validate};

use super::diagnostic::{Diagnostic, Severity};
use super::store::Accepted;
use super::unserved::unserved;

/// Where the policy comes from, and for which environment.
#[derive(Clone, Debug)]
pub struct PolicySource {
    /// The policy file.
    pub path: PathBuf,
    /// The environment to resolve for.
    pub environment: String,
}

/// What reading the file gave.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// Differs when the outcome may differ: the content's digest, or what the system said.
    pub(super) mark: String,
    pub(super) outcome: Result<Accepted, Vec<Diagnostic>>,
}

impl PolicySource {
    /// Reads, validates and resolves. Blocks on the file.
    ///
    /// # Errors
    ///
    /// What is wrong, at least one error among it.
    pub fn load(&self) -> Result<Accepted, Vec<Diagnostic>> {
        self.read().outcome
    }

    pub(super) fn read(&self) -> Reading {
        match read_capped(&self.path) {
            Ok(text) => Reading {
                mark: hex(digest(&SHA256, text.as_bytes()).as_ref()),
                outcome: judge(&text, &self.environment),
            },
            Err(error) => {
                let message = format!("{} cannot be read: {error}", self.path.display());
                Reading {
                    mark: message.clone(),
                    outcome: Err(vec![Diagnostic::of_file("Unreadable", message)]),
                }
            }
        }
    }
}

/// Judges the text of a policy for one environment. An error in another environment's overlay refuses it too: the webhook
/// would. Pure.
///
/// # Errors
///
/// What is wrong, at least one error among it.
pub fn judge(text: &str, environment: &str) -> Result<Accepted, Vec<Diagnostic>> {
    let policy = load(text).map_err(|error| of_load(&error))?;
    let mut found: Vec<Diagnostic> = validate(&policy).into_iter().map(of_finding).collect();
    found.extend(unknown_environment(&policy, environment).map(of_finding));
    let resolved = resolve(&policy, environment);
    if let Err(findings) = &resolved {
        for finding in findings.iter().cloned().map(of_finding) {
            if !found.contains(&finding) {
                found.push(finding);
            }
        }
    }
    if let Ok(policy) = &resolved {
        found.extend(unserved(policy));
    }
    match resolved {
        Ok(policy) if found.iter().all(|f| f.severity == Severity::Warning) => Ok(Accepted {
            id: revision(&policy).into(),
            policy,
            warnings: found,
        }),
        _ => Err(found),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read_capped(path: &Path) -> io::Result<String> {
    // Asked before opening: opening a FIFO would wait for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        ));
    }
    let mut text = String::new();
    // One byte more than `load` takes, so that it can say that the file is too large.
    let most = LARGEST_FILE as u64 + 1;
    File::open(path)?.take(most).read_to_string(&mut text)?;
    Ok(text)
}

fn of_load(error: &LoadError) -> Vec<Diagnostic> {
    let problems = error.problems();
    if problems.is_empty() {
        return vec![Diagnostic::of_file("Unreadable", error.to_string())];
    }
    problems
        .iter()
        .map(|problem| Diagnostic {
            severity: Severity::Error,
            path: problem.path.clone(),
            reason: "Malformed".to_owned(),
            message: problem.message.clone(),
        })
        .collect()
}

fn of_finding(finding: Finding) -> Diagnostic {
    Diagnostic {
        severity: match finding.severity {
            bulkhead_crds::Severity::Error => Severity::Error,
            bulkhead_crds::Severity::Warning => Severity::Warning,
        },
        path: finding.path,
        reason: finding.reason.to_owned(),
        message: finding.message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hexadecimal digits of a revision's id: 64 bits, ample to tell the revisions of one policy apart.
    const ID_DIGITS: usize = 16;
    use crate::policy::fixtures::POLICY;

    #[test]
    fn the_same_content_in_other_words_has_the_same_id() {
        let one = judge(POLICY, "staging").expect("a good policy");
        let commented = format!("# a remark\n{POLICY}");
        let two = judge(&commented, "staging").expect("a good policy");
        assert_eq!(one.id, two.id);
        assert_eq!(one.id.len(), ID_DIGITS);

        let other = judge(POLICY, "production").expect("a good policy");
        assert_ne!(one.id, other.id, "the environment decides the content");
    }

    #[test]
    fn an_unknown_field_is_an_error_at_its_path() {
        let text = POLICY.replace("statement:", "statment:");
        let found = judge(&text, "staging").expect_err("no such field");
        assert_eq!(found[0].severity, Severity::Error);
        assert!(found[0].path.contains("statment"), "{:?}", found[0]);
    }

    #[test]
    fn an_environment_that_the_policy_does_not_know_is_a_warning() {
        let accepted = judge(POLICY, "stagin").expect("the base holds");
        let mut warnings = accepted.warnings.iter();
        let warning = warnings
            .find(|warning| warning.reason == "UnknownEnvironment")
            .expect("a warning");
        assert_eq!(warning.severity, Severity::Warning);
        assert!(warning.message.contains("staging"), "{warning}");
    }

    #[test]
    fn an_error_in_another_environment_refuses_the_policy_here_too() {
        let text = format!(
            "{POLICY}  - name: production\n    databases: [{{name: main, timeouts: {{connect: 0s}}}}]\n"
        );
        let found = judge(&text, "staging").expect_err("connect is never off");
        let error = found.iter().find(|f| f.severity == Severity::Error);
        let error = error.expect("an error");
        assert_eq!(error.reason, "NeverOff");
        assert!(error.path.contains("production"), "{error}");
        let unique = found
            .iter()
            .enumerate()
            .all(|(at, f)| !found[..at].contains(f));
        assert!(unique, "{found:?}");
    }

    #[test]
    fn a_file_that_is_not_there_or_not_a_file_is_named() {
        for path in ["/nonexistent/policy.yaml", "/proc"] {
            let source = PolicySource {
                path: path.into(),
                environment: "staging".to_owned(),
            };
            let found = source.load().expect_err("nothing to read");
            assert!(found[0].message.contains(path), "{}", found[0]);
        }
    }
}
