//! From the text of a file to a policy, or to revocations: hostile YAML refused, every field known, every value of its type and within its bounds.
//!
//! Each complaint names the whole path and says what to write. What a policy means is judged later, by [`mod@crate::validate`].

mod check;
mod error;
mod metadata;
mod problems;
mod scalars;
mod suggest;
mod words;
mod yaml;

pub use error::{LARGEST_FILE, LoadError, Problem};
pub use suggest::nearest;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::kinds::{IsolationPolicy, UserRevocation};
use crate::revocations::MOST_REVOCATIONS;
use crate::schema;
use check::Kind;

/// Complaints that one error lists at the most.
const MOST_PROBLEMS: usize = 20;

/// Reads one policy from the text of a file. It is well-formed then; whether it makes sense is [`mod@crate::validate`]'s question.
///
/// # Errors
/// [`LoadError`], with up to 20 complaints at once.
pub fn load(text: &str) -> Result<IsolationPolicy, LoadError> {
    if text.len() > LARGEST_FILE {
        return Err(LoadError::TooLarge);
    }
    let document = yaml::document(text)?;
    let kind = Kind::of::<IsolationPolicy>("IsolationPolicy", schema::policy());
    let mut problems = kind.check(&document);
    if problems.is_empty() {
        return typed(document);
    }
    problems.truncate(MOST_PROBLEMS);
    Err(LoadError::Policy(problems))
}

/// Reads the revocations of a file, a document each; a file without any holds none. Complaints name the document by its number.
///
/// # Errors
/// [`LoadError`], with up to 20 complaints at once.
pub fn revocations(text: &str) -> Result<Vec<UserRevocation>, LoadError> {
    if text.len() > LARGEST_FILE {
        return Err(LoadError::TooLarge);
    }
    let documents = yaml::documents(text, MOST_REVOCATIONS)?;
    if documents.count > MOST_REVOCATIONS {
        return Err(LoadError::TooMany {
            documents: documents.count,
            most: MOST_REVOCATIONS,
        });
    }
    let kind = Kind::of::<UserRevocation>("UserRevocation", schema::revocation());
    let (mut read, mut problems) = (Vec::new(), Vec::new());
    for (at, document) in documents.values.into_iter().enumerate() {
        let mut found = kind.check(&document);
        if found.is_empty() {
            match typed(document) {
                Ok(revocation) => read.push(revocation),
                Err(error) => found.extend(error.problems().iter().cloned()),
            }
        }
        problems.extend(found.into_iter().map(|problem| Problem {
            path: format!("document {}: {}", at + 1, problem.path),
            ..problem
        }));
    }
    if problems.is_empty() {
        return Ok(read);
    }
    problems.truncate(MOST_PROBLEMS);
    Err(LoadError::Policy(problems))
}

fn typed<K: DeserializeOwned>(document: Value) -> Result<K, LoadError> {
    serde_path_to_error::deserialize(document).map_err(|error| {
        LoadError::Policy(vec![Problem {
            path: error.path().to_string(),
            message: error.inner().to_string(),
        }])
    })
}
