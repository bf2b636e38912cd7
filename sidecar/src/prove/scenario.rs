//! In which state user A is when user B comes, and over which of the two protocols both speak. Pure.

use clap::ValueEnum;
use serde::Serialize;

use super::kind::After;

/// What has become of A.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "camelCase")]
pub enum Scenario {
    /// A has said goodbye (`Terminate`).
    Gone,
    /// A is connected, and silent.
    Idle,
    /// A's socket was reset without a word.
    Crashed,
    /// A's statement was cancelled by A's own key; then A said goodbye.
    Cancelled,
    /// A's transaction has failed; A said goodbye in it.
    Aborted,
}

/// How statements are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Protocol {
    /// `Query`.
    Simple,
    /// `Parse`, `Bind`, `Describe`, `Execute`, `Sync`.
    Extended,
}

impl Scenario {
    /// All, in the order of reports.
    pub const ALL: [Self; 5] = [
        Self::Gone,
        Self::Idle,
        Self::Crashed,
        Self::Cancelled,
        Self::Aborted,
    ];

    /// Its name, as reports have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Idle => "idle",
            Self::Crashed => "crashed",
            Self::Cancelled => "cancelled",
            Self::Aborted => "aborted",
        }
    }

    /// Why it cannot follow upon a plant that leaves A so; `None` where it can.
    #[must_use]
    pub const fn impossible(self, after: After) -> Option<&'static str> {
        match (self, after) {
            (Self::Aborted, After::Busy) => {
                Some("A is in the middle of something, and can fail nothing else")
            }
            _ => None,
        }
    }
}

impl Protocol {
    /// Both, in the order of reports.
    pub const ALL: [Self; 2] = [Self::Simple, Self::Extended];
}
