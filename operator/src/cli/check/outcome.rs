//! What a check comes to, and how it is shown.

use std::fmt::Write as _;

/// What a check comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// As it should be.
    Passed,
    /// As it may be, and somebody should know.
    Warned,
    /// Not as it should be.
    Failed,
    /// Not looked at, for a reason.
    Skipped,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    /// What was looked at.
    pub check: String,
    /// What it comes to.
    pub status: Status,
    /// What was seen.
    pub message: String,
    /// What to do; empty where there is nothing to be done.
    pub hint: String,
}

impl Status {
    fn word(self) -> &'static str {
        match self {
            Self::Passed => "ok",
            Self::Warned => "warn",
            Self::Failed => "FAIL",
            Self::Skipped => "skip",
        }
    }
}

impl Outcome {
    pub(super) fn passed(check: impl Into<String>, message: impl Into<String>) -> Self {
        Self::of(Status::Passed, check, message, "")
    }

    pub(super) fn warned(
        check: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::of(Status::Warned, check, message, hint)
    }

    pub(super) fn failed(
        check: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::of(Status::Failed, check, message, hint)
    }

    pub(super) fn skipped(
        check: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self::of(Status::Skipped, check, message, hint)
    }

    /// A request that was not answered as hoped: what one may not read is skipped, everything else has failed.
    pub(super) fn unanswered(check: impl Into<String>, error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 403 => Self::skipped(
                check,
                "you may not read it",
                "ask again with a kubeconfig of more rights",
            ),
            error => Self::failed(
                check,
                error.to_string(),
                "see whether the API server is well",
            ),
        }
    }

    fn of(
        status: Status,
        check: impl Into<String>,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            check: check.into(),
            status,
            message: message.into(),
            hint: hint.into(),
        }
    }
}

/// A line a check, the hint behind what was seen.
pub(super) fn text(outcomes: &[Outcome]) -> String {
    let width = outcomes
        .iter()
        .map(|it| it.check.chars().count())
        .max()
        .unwrap_or(0);
    let mut text = String::new();
    for it in outcomes {
        let hint = if it.hint.is_empty() {
            String::new()
        } else {
            format!("; {}", it.hint)
        };
        let message = it.message.replace('\n', " ");
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:4}  {:width$}  {message}{hint}",
            it.status.word(),
            it.check
        );
    }
    text
}

/// One object with every check and whether all is well.
pub(super) fn json(outcomes: &[Outcome]) -> Result<String, serde_json::Error> {
    let all: Vec<_> = outcomes
        .iter()
        .map(|it| {
            let status = it.status.word().to_lowercase();
            serde_json::json!({"check": it.check, "status": status, "message": it.message, "hint": it.hint})
        })
        .collect();
    let well = outcomes.iter().all(|it| it.status != Status::Failed);
    Ok(serde_json::to_string_pretty(&serde_json::json!({"well": well, "checks": all}))? + "\n")
}
