//! YAML to JSON within bounds: one document or several, a bounded number of values however aliases unfold, no key twice.

use std::cell::Cell;
use std::fmt;

use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::error::{LoadError, Problem};

/// Values that a document may unfold into, and bytes of their text. The largest policy that validates has some five thousand values.
const MOST_VALUES: usize = 50_000;
const MOST_BYTES: usize = 4 << 20;
/// How deep flow collections may nest; a policy needs seven levels. The YAML scanner's time grows with the square of it.
const DEEPEST: usize = 64;

/// The one document of a text.
///
/// # Errors
/// None or several documents, text that is not YAML, and YAML that unfolds into too much.
pub(super) fn document(text: &str) -> Result<Value, LoadError> {
    let mut documents = documents(text, 1)?;
    match (documents.values.pop(), documents.count) {
        (None, _) => Err(LoadError::Empty),
        (Some(value), 1) => Ok(value),
        (Some(_), documents) => Err(LoadError::SeveralDocuments { documents }),
    }
}

/// The documents of a text in which something is.
pub(super) struct Documents {
    /// Those that were wanted, in order.
    pub(super) values: Vec<Value>,
    /// How many there are in all.
    pub(super) count: usize,
}

/// Reads the first documents of a text, `most` of them, and counts the others. Empty ones are passed over.
///
/// # Errors
/// Text that is not YAML, and YAML that unfolds into too much.
pub(super) fn documents(text: &str, most: usize) -> Result<Documents, LoadError> {
    if deepest_flow(text) > DEEPEST {
        return Err(LoadError::Yaml(format!(
            "brackets nest deeper than {DEEPEST} levels"
        )));
    }
    let budget = Budget {
        values: Cell::new(MOST_VALUES),
        bytes: Cell::new(MOST_BYTES),
        twice: Cell::new(None),
    };
    let mut read = Documents {
        values: Vec::new(),
        count: 0,
    };
    for document in serde_yaml::Deserializer::from_str(text) {
        let value = if read.count < most {
            Node {
                budget: &budget,
                path: String::new(),
            }
            .deserialize(document)
        } else {
            // Only whether there is something in it matters.
            serde::de::IgnoredAny::deserialize(document).map(|_| Value::Bool(true))
        };
        let value = value.map_err(|error| match budget.twice.take() {
            Some(path) => LoadError::Policy(vec![Problem {
                path,
                message: "is written twice: keep one of them".to_owned(),
            }]),
            None => LoadError::Yaml(error.to_string()),
        })?;
        if value.is_null() {
            continue;
        }
        if read.count < most {
            read.values.push(value);
        }
        read.count += 1;
    }
    Ok(read)
}

/// An upper bound of the depth of flow collections: brackets within quotes and comments count as well.
fn deepest_flow(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut deepest = 0;
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// What may still be read.
struct Budget {
    values: Cell<usize>,
    bytes: Cell<usize>,
    /// The path of a key that is there twice.
    twice: Cell<Option<String>>,
}

impl Budget {
    fn spend<E: Error>(&self, bytes: usize) -> Result<(), E> {
        let (Some(values), Some(bytes)) = (
            self.values.get().checked_sub(1),
            self.bytes.get().checked_sub(bytes),
        ) else {
            return Err(E::custom(format!(
                "it unfolds into more than {MOST_VALUES} values or {MOST_BYTES} bytes"
            )));
        };
        self.values.set(values);
        self.bytes.set(bytes);
        Ok(())
    }
}

/// Reads the value at `path`.
struct Node<'a> {
    budget: &'a Budget,
    path: String,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("plain YAML without tags")
    }

    fn visit_unit<E: Error>(self) -> Result<Value, E> {
        self.budget.spend(0).map(|()| Value::Null)
    }

    /// A document without anything in it.
    fn visit_none<E: Error>(self) -> Result<Value, E> {
        self.visit_unit()
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Value, E> {
        self.budget.spend(0).map(|()| value.into())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Value, E> {
        self.budget.spend(0).map(|()| value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Value, E> {
        self.budget.spend(0).map(|()| value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        self.budget.spend(0).map(|()| value.into())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Value, E> {
        self.budget.spend(value.len()).map(|()| value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.budget.spend(0)?;
        let mut list = Vec::new();
        while let Some(entry) = entries.next_element_seed(Node {
            budget: self.budget,
            path: format!("{}[{}]", self.path, list.len()),
        })? {
            list.push(entry);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        self.budget.spend(0)?;
        let mut fields = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let path = if self.path.is_empty() {
                key.clone()
            } else {
                format!("{}.{key}", self.path)
            };
            if fields.contains_key(&key) {
                self.budget.twice.set(Some(path));
                return Err(A::Error::custom("a key is there twice"));
            }
            self.budget.spend(key.len())?;
            let value = entries.next_value_seed(Node {
                budget: self.budget,
                path,
            })?;
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}
