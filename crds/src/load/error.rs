//! Why a text is no policy, or no list of revocations.

use std::fmt;

/// The largest file that is read.
pub const LARGEST_FILE: usize = 1 << 20;

/// One thing that is wrong in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The field (`spec.databases[0].timeouts.statment`); empty where it is about the file as a whole.
    pub path: String,
    /// What is wrong with it, and what to write.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "{}: {}", self.path, self.message)
    }
}

/// Why a text is no policy, or no list of revocations.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// More than [`LARGEST_FILE`].
    #[error("the file has more than {LARGEST_FILE} bytes, the most that a file may have")]
    TooLarge,
    /// Nothing but blanks and comments.
    #[error("the file is empty: it should hold one IsolationPolicy")]
    Empty,
    /// More than one document.
    #[error(
        "the file holds {documents} documents, and should hold one IsolationPolicy: write each policy into a file of its own"
    )]
    SeveralDocuments {
        /// How many are not empty.
        documents: usize,
    },
    /// More documents than there may be revocations.
    #[error(
        "the file holds {documents} revocations, and may hold {most}: take out those that have expired"
    )]
    TooMany {
        /// How many are not empty.
        documents: usize,
        /// How many there may be.
        most: usize,
    },
    /// Not YAML, or YAML that unfolds into too much.
    #[error("the file is not YAML that can be read: {0}")]
    Yaml(String),
    /// YAML that is no object of the kind.
    #[error("{}", listed(.0))]
    Policy(Vec<Problem>),
}

impl LoadError {
    /// The complaints about single fields, in the order of the file.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Policy(problems) => problems,
            _ => &[],
        }
    }
}

fn listed(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(Problem::to_string)
        .collect::<Vec<_>>()
        .join("\n")
}
