//! From the text of a policy file to a policy: hostile YAML refused, every field known, every value of its type and within its bounds.
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

use serde_json::Value;

use crate::kinds::IsolationPolicy;

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
    let mut problems = check::policy(&document);
    if problems.is_empty() {
        return typed(document);
    }
    problems.truncate(MOST_PROBLEMS);
    Err(LoadError::Policy(problems))
}

fn typed(document: Value) -> Result<IsolationPolicy, LoadError> {
    serde_path_to_error::deserialize(document).map_err(|error| {
        LoadError::Policy(vec![Problem {
            path: error.path().to_string(),
            message: error.inner().to_string(),
        }])
    })
}
