//! Whether a server will do, by `upstream.targetSessionAttrs`. Pure.
//!
//! Source: libpq, "target_session_attrs". PostgreSQL 14 and later say at the login what is to be known; older ones are asked.
//! May not live here: what is done with a server that will not do.

use bulkhead_crds::kinds::TargetSessionAttrs;

/// What is known of a server after its login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It will do.
    Yes,
    /// It will not, for this reason.
    No(&'static str),
    /// It has to be asked.
    Ask(Question),
}

/// What a server that does not say it by itself is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Whether its sessions are read-only: `on` or `off`.
    ReadOnly,
    /// Whether it is a standby: `t` or `f`.
    Standby,
}

impl Question {
    /// As SQL that answers with one value.
    pub(super) const fn sql(self) -> &'static str {
        match self {
            Self::ReadOnly => "SHOW transaction_read_only",
            Self::Standby => "SELECT pg_catalog.pg_is_in_recovery()",
        }
    }
}

/// Judges a server by what it has reported of itself.
pub(super) fn judge(wanted: TargetSessionAttrs, reported: &[(String, String)]) -> Fit {
    use TargetSessionAttrs as T;
    let standby = in_hot_standby(reported);
    match wanted {
        T::Any => Fit::Yes,
        T::ReadWrite | T::ReadOnly => match (standby, is_on(reported, READ_ONLY)) {
            (Some(standby), Some(read_only)) => writes(wanted, !standby && !read_only),
            _ => Fit::Ask(Question::ReadOnly),
        },
        T::Primary | T::Standby | T::PreferStandby => match standby {
            Some(standby) => stands_by(wanted, standby),
            None => Fit::Ask(Question::Standby),
        },
    }
}

/// Judges a server by its answer. What is no answer is none that will do.
pub(super) fn answered(wanted: TargetSessionAttrs, question: Question, answer: &str) -> Fit {
    match (question, answer) {
        (Question::ReadOnly, "on" | "off") => writes(wanted, answer == "off"),
        (Question::Standby, "t" | "f") => stands_by(wanted, answer == "t"),
        _ => Fit::No("it does not say what it is"),
    }
}

/// Whether a server says that it is a standby; `None` where it says nothing.
pub(super) fn in_hot_standby(reported: &[(String, String)]) -> Option<bool> {
    is_on(reported, STANDBY)
}

/// What PostgreSQL 14 and later report.
pub(super) const STANDBY: &str = "in_hot_standby";
const READ_ONLY: &str = "default_transaction_read_only";

fn is_on(reported: &[(String, String)], name: &str) -> Option<bool> {
    // The last word counts.
    let found = reported.iter().rev().find(|(known, _)| known == name);
    found.map(|(_, value)| value == "on")
}

fn writes(wanted: TargetSessionAttrs, may_write: bool) -> Fit {
    match (wanted, may_write) {
        (TargetSessionAttrs::ReadOnly, true) => Fit::No("its sessions may write"),
        (TargetSessionAttrs::ReadWrite, false) => Fit::No("its sessions may not write"),
        _ => Fit::Yes,
    }
}

fn stands_by(wanted: TargetSessionAttrs, standby: bool) -> Fit {
    match (wanted, standby) {
        (TargetSessionAttrs::Primary, true) => Fit::No("it is a standby"),
        (TargetSessionAttrs::Standby | TargetSessionAttrs::PreferStandby, false) => {
            Fit::No("it is no standby")
        }
        _ => Fit::Yes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use TargetSessionAttrs as T;

    const ALL: [T; 6] = [
        T::Any,
        T::ReadWrite,
        T::ReadOnly,
        T::Primary,
        T::Standby,
        T::PreferStandby,
    ];

    fn fits(reported: &[(&str, &str)]) -> Vec<T> {
        let reported: Vec<(String, String)> = reported
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        ALL.into_iter()
            .filter(|wanted| judge(*wanted, &reported) == Fit::Yes)
            .collect()
    }

    #[test]
    fn a_server_is_judged_as_libpq_judges_it() {
        let table: [(&str, &str, &[T]); 4] = [
            ("off", "off", &[T::Any, T::ReadWrite, T::Primary]),
            ("off", "on", &[T::Any, T::ReadOnly, T::Primary]),
            (
                "on",
                "off",
                &[T::Any, T::ReadOnly, T::Standby, T::PreferStandby],
            ),
            (
                "on",
                "on",
                &[T::Any, T::ReadOnly, T::Standby, T::PreferStandby],
            ),
        ];
        for (standby, read_only, expected) in table {
            let found = fits(&[(STANDBY, standby), (READ_ONLY, read_only)]);
            assert_eq!(found, expected, "{standby} {read_only}");
        }
    }

    #[test]
    fn a_server_that_says_nothing_is_asked_and_its_answer_counts() {
        for (wanted, question, will_do) in [
            (T::ReadWrite, Question::ReadOnly, "off"),
            (T::ReadOnly, Question::ReadOnly, "on"),
            (T::Primary, Question::Standby, "f"),
            (T::Standby, Question::Standby, "t"),
            (T::PreferStandby, Question::Standby, "t"),
        ] {
            assert_eq!(judge(wanted, &[]), Fit::Ask(question));
            assert_eq!(answered(wanted, question, will_do), Fit::Yes);
            for other in ["on", "off", "t", "f", "", "maybe"] {
                let fit = answered(wanted, question, other);
                assert_eq!(fit == Fit::Yes, other == will_do, "{wanted} {other}");
            }
        }
        assert_eq!(judge(T::Any, &[]), Fit::Yes);
        // Half of it is not enough for who wants to write.
        let half = [(STANDBY.to_owned(), "off".to_owned())];
        assert_eq!(judge(T::ReadWrite, &half), Fit::Ask(Question::ReadOnly));
    }
}
