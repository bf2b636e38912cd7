//! What is wrong with a policy, printed the way a compiler would: severity, reason, sentence, and the place.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The policy cannot be used.
    Error,
    /// It can, and it is unwise.
    Warning,
}

/// One thing to mend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The field (`databases[main].timeouts.statement`); empty when it is about the file as a whole.
    pub path: String,
    /// One word for machines.
    pub reason: String,
    /// What is wrong and how to mend it.
    pub message: String,
}

impl Diagnostic {
    /// An error about the file as a whole.
    #[must_use]
    pub fn of_file(reason: &str, message: String) -> Self {
        Self {
            severity: Severity::Error,
            path: String::new(),
            reason: reason.to_owned(),
            message,
        }
    }

    /// Writes it to the log, at the level of its severity.
    pub fn log(&self) {
        let Self {
            path,
            reason,
            message,
            ..
        } = self;
        match self.severity {
            Severity::Error => tracing::error!(path, reason, "{message}"),
            Severity::Warning => tracing::warn!(path, reason, "{message}"),
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = self.message.lines();
        let first = lines.next().unwrap_or_default();
        write!(f, "{}[{}]: {first}", self.severity, self.reason)?;
        for line in lines {
            write!(f, "\n  {line}")?;
        }
        if self.path.is_empty() {
            return Ok(());
        }
        write!(f, "\n  --> {}", self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_prints_severity_reason_sentence_and_place() {
        let found = Diagnostic {
            severity: Severity::Warning,
            path: "databases[main].timeouts.idle".to_owned(),
            reason: "IdleOverLifetime".to_owned(),
            message: "idle (2h) is longer than lifetime (1h); shorten idle".to_owned(),
        };
        assert_eq!(
            found.to_string(),
            "warning[IdleOverLifetime]: idle (2h) is longer than lifetime (1h); shorten idle\n  --> databases[main].timeouts.idle"
        );
    }

    #[test]
    fn a_file_has_no_place_and_further_lines_are_indented() {
        let found = Diagnostic::of_file("Unreadable", "cannot be read\nat line 3".to_owned());
        assert_eq!(
            found.to_string(),
            "error[Unreadable]: cannot be read\n  at line 3"
        );
    }
}
