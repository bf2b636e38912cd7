//! Where each value of an effective policy came from.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a field's value came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// Not written in the policy: Bulkhead's default.
    Default,
    /// Written in the policy's base.
    Base,
    /// Written in the overlay of this environment.
    Environment(String),
    /// One pod's part of a limit that all pods of the policy have together.
    Share {
        /// The pods that it is divided by.
        pods: u32,
        /// The limit of all pods together.
        whole: u32,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::Base => f.write_str("base"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Share { pods, whole } => write!(f, "{whole} shared by {pods} pods"),
        }
    }
}

/// The origin of every leaf field, by path (`databases[main].timeouts.statement`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origins(pub BTreeMap<String, Origin>);

impl Origins {
    /// The origin of the field at `path`; [`Origin::Default`] for a path that nothing has written.
    #[must_use]
    pub fn of(&self, path: &str) -> &Origin {
        self.0.get(path).unwrap_or(&Origin::Default)
    }

    /// The origin of what lies at `path` or, where that is a part of a list that is replaced as a whole, of the list
    /// (`webSockets[chat].tokens[0].key`).
    pub(crate) fn around(&self, path: &str) -> &Origin {
        let ends = path.rmatch_indices(['.', '[']).map(|(at, _)| at);
        let mut around = std::iter::once(path.len()).chain(ends);
        around
            .find_map(|end| self.0.get(&path[..end]))
            .unwrap_or(&Origin::Default)
    }
}
