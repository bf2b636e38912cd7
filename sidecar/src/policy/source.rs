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
use super::snapshot;
use super::store::Accepted;

/// Where the policy comes from.
#[derive(Clone, Debug)]
pub enum PolicySource {
    /// A policy as people write it, which is resolved here.
    File {
        /// The file.
        path: PathBuf,
        /// The environment to resolve for.
        environment: String,
    },
    /// Snapshots of a policy that the operator has resolved, a file a wire version (`v1.json`).
    Snapshot {
        /// The folder of them: a ConfigMap volume.
        folder: PathBuf,
    },
}

/// What reading the policy gave.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// Differs when the outcome may differ: the content's digest, or what the system said.
    pub(crate) mark: String,
    pub(crate) outcome: Result<Accepted, Vec<Diagnostic>>,
}

impl PolicySource {
    /// Reads, validates and resolves; a snapshot has been resolved already. Blocks on the file.
    ///
    /// # Errors
    ///
    /// What is wrong, at least one error among it.
    pub fn load(&self) -> Result<Accepted, Vec<Diagnostic>> {
        self.read().outcome
    }

    pub(crate) fn read(&self) -> Reading {
        match self {
            Self::File { path, environment } => match read_capped(path, LARGEST_FILE) {
                Ok(text) => Reading::of(&text, judge(&text, environment)),
                Err(error) => Reading::unreadable(path, &error),
            },
            Self::Snapshot { folder } => snapshot::read(folder),
        }
    }

    /// The directory whose events tell of a change: renames over the file, and the swap of `..data` in a ConfigMap volume.
    pub(super) fn directory(&self) -> PathBuf {
        match self {
            Self::Snapshot { folder } => folder.clone(),
            Self::File { path, .. } => match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
                _ => PathBuf::from("."),
            },
        }
    }
}

impl Reading {
    /// A text that was read, and what came of it.
    pub(super) fn of(text: &str, outcome: Result<Accepted, Vec<Diagnostic>>) -> Self {
        Self {
            mark: hex(digest(&SHA256, text.as_bytes()).as_ref()),
            outcome,
        }
    }

    /// Nothing could be read.
    pub(super) fn unreadable(path: &Path, error: &io::Error) -> Self {
        Self::refused(
            "Unreadable",
            format!("{} cannot be read: {error}", path.display()),
        )
    }

    /// Nothing that could be judged was there.
    pub(super) fn refused(reason: &str, message: String) -> Self {
        Self {
            mark: message.clone(),
            outcome: Err(vec![Diagnostic::of_file(reason, message)]),
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
    match resolved {
        Ok(policy) if found.iter().all(|f| f.severity == Severity::Warning) => Ok(Accepted {
            id: revision(&policy).into(),
            policy,
            warnings: found,
        }),
        _ => Err(found),
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The text of a file; of one that is too large, a byte more than `largest`, so that who judges it can say so.
pub(super) fn read_capped(path: &Path, largest: usize) -> io::Result<String> {
    // Asked before opening: opening a FIFO would wait for a writer.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            "it is not a regular file",
        ));
    }
    let mut text = String::new();
    let most = largest as u64 + 1;
    File::open(path)?.take(most).read_to_string(&mut text)?;
    Ok(text)
}

pub(super) fn of_load(error: &LoadError) -> Vec<Diagnostic> {
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

pub(super) fn of_finding(finding: Finding) -> Diagnostic {
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
            let source = PolicySource::File {
                path: path.into(),
                environment: "staging".to_owned(),
            };
            let found = source.load().expect_err("nothing to read");
            assert!(found[0].message.contains(path), "{}", found[0]);
        }
    }
}
