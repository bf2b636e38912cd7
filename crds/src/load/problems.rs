//! The complaints about a document, as they are found.

use serde_json::{Map, Value};

use super::error::Problem;
use super::suggest::nearest;

/// The complaints so far.
#[derive(Default)]
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_list(self) -> Vec<Problem> {
        self.0
    }

    pub(super) fn add(&mut self, path: &str, message: String) {
        self.0.push(Problem {
            path: path.to_owned(),
            message,
        });
    }

    /// A field that there is not. Where a field of that name is one level down, that is what was meant.
    pub(super) fn unknown<'a>(
        &mut self,
        parent: &str,
        field: &str,
        known: impl Iterator<Item = &'a str> + Clone,
        schemas: Option<&Map<String, Value>>,
    ) {
        let below = schemas
            .into_iter()
            .flatten()
            .find(|(_, schema)| schema["properties"].get(field).is_some());
        let hint = match (nearest(field, known.clone()), below) {
            (Some(meant), _) => format!("did you mean `{meant}`?"),
            (None, Some((outer, _))) => format!("did you mean `{outer}.{field}`?"),
            (None, None) => format!("known here: {}", known.collect::<Vec<_>>().join(", ")),
        };
        self.add(&path_of(parent, field), format!("unknown field; {hint}"));
    }
}

/// The path of a field.
pub(super) fn path_of(parent: &str, field: &str) -> String {
    if parent.is_empty() {
        return field.to_owned();
    }
    format!("{parent}.{field}")
}
