//! A document against its kind's schema: every field known and there where it is needed, every value of its type and in its bounds.
//!
//! Knows the part of OpenAPI's schema language that structural schemas use, and reports every complaint rather than the first.

use std::str::FromStr as _;

use kube::Resource;
use serde_json::{Map, Value};

use super::error::Problem;
use super::metadata;
use super::problems::{Problems, path_of};
use super::scalars::address;
use super::words::{article, kind_of, shown, told};
use crate::kinds::bounds::ADDRESS;
use crate::names;

/// A kind whose files are read.
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) api_version: String,
    pub(super) schema: &'static Value,
}

impl Kind {
    pub(super) fn of<K: Resource<DynamicType = ()>>(
        name: &'static str,
        schema: &'static Value,
    ) -> Self {
        Self {
            name,
            api_version: K::api_version(&()).into_owned(),
            schema,
        }
    }

    /// Every complaint about a document, in the order of the schema.
    pub(super) fn check(&self, document: &Value) -> Vec<Problem> {
        let mut problems = Problems::default();
        let Some(fields) = document.as_object() else {
            problems.add(
                "",
                format!(
                    "the file holds {}, and should hold one {}",
                    kind_of(document),
                    self.name
                ),
            );
            return problems.into_list();
        };
        problems.constant(fields, "apiVersion", &self.api_version);
        problems.constant(fields, "kind", self.name);
        if !problems.is_empty() {
            return problems.into_list();
        }
        metadata::check(&mut problems, fields.get("metadata"));
        let rest = fields
            .iter()
            .filter(|(field, _)| !["apiVersion", "kind", "metadata"].contains(&field.as_str()))
            .map(|(field, value)| (field.clone(), value.clone()))
            .collect();
        problems.object(self.schema, &rest, "");
        problems.into_list()
    }
}

impl Problems {
    fn constant(&mut self, fields: &Map<String, Value>, field: &str, expected: &str) {
        match fields.get(field) {
            Some(found) if found == expected => {}
            Some(found) => self.add(
                field,
                format!("is {}, and must be `{expected}`", shown(found)),
            ),
            None => self.add(field, format!("is missing: write `{field}: {expected}`")),
        }
    }

    fn value(&mut self, schema: &Value, value: &Value, path: &str) {
        let pattern = schema["pattern"].as_str().unwrap_or_default();
        if pattern == ADDRESS {
            return self.parsed(value, path, "an IP address such as 127.0.0.1", address);
        }
        if pattern == names::Duration::PATTERN {
            return self.parsed(
                value,
                path,
                "a duration such as `30s`",
                names::Duration::from_str,
            );
        }
        if pattern == names::Timestamp::PATTERN {
            return self.parsed(
                value,
                path,
                "a moment such as `2026-11-27T12:00:00Z`",
                names::Timestamp::from_str,
            );
        }
        if pattern == names::Quantity::PATTERN {
            return match value {
                Value::Number(number) if number.is_u64() => {
                    self.parsed(
                        &number.to_string().into(),
                        path,
                        "",
                        names::Quantity::from_str,
                    );
                }
                value => self.parsed(
                    value,
                    path,
                    "an amount of bytes such as `1Mi`",
                    names::Quantity::from_str,
                ),
            };
        }
        match (schema["type"].as_str(), value) {
            (Some("object"), Value::Object(fields)) => self.object(schema, fields, path),
            (Some("array"), Value::Array(entries)) => self.array(schema, entries, path),
            (Some("string"), Value::String(text)) => self.string(schema, text, path),
            (Some("integer"), Value::Number(number)) if !number.is_f64() => {
                self.number(schema, number, path)
            }
            (Some("boolean"), Value::Bool(_)) | (None, _) => {}
            (Some(expected), value) => {
                self.add(
                    path,
                    format!(
                        "is {}, and must be {}",
                        shown(value),
                        article(schema, expected)
                    ),
                );
            }
        }
    }

    fn object(&mut self, schema: &Value, fields: &Map<String, Value>, path: &str) {
        let known = schema["properties"].as_object();
        for (field, value) in fields {
            match (
                known.and_then(|known| known.get(field)),
                &schema["additionalProperties"],
            ) {
                // As the API server does: an empty field is a field left out. A required one is missed below.
                (Some(_), _) if value.is_null() => {}
                (Some(child), _) => self.value(child, value, &path_of(path, field)),
                (None, Value::Object(_)) => self.value(
                    &schema["additionalProperties"],
                    value,
                    &path_of(path, field),
                ),
                (None, _) => {
                    let names = known
                        .into_iter()
                        .flat_map(|known| known.keys().map(String::as_str));
                    self.unknown(path, field, names, known);
                }
            }
        }
        for field in schema["required"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            if fields.get(field).is_none_or(Value::is_null) {
                self.add(
                    &path_of(path, field),
                    format!(
                        "is missing, and required: {}",
                        told(&schema["properties"][field])
                    ),
                );
            }
        }
        if schema["maxProperties"]
            .as_u64()
            .is_some_and(|most| fields.len() as u64 > most)
        {
            self.add(
                path,
                format!(
                    "has {} entries, and may have {}",
                    fields.len(),
                    schema["maxProperties"]
                ),
            );
        }
    }

    fn array(&mut self, schema: &Value, entries: &[Value], path: &str) {
        let count = entries.len() as u64;
        if schema["maxItems"].as_u64().is_some_and(|most| count > most) {
            self.add(
                path,
                format!("has {count} entries, and may have {}", schema["maxItems"]),
            );
        }
        if schema["minItems"]
            .as_u64()
            .is_some_and(|least| count < least)
        {
            self.add(
                path,
                match schema["minItems"].as_u64() {
                    Some(least) if least > 1 => {
                        format!("has {count} entries, and must have {least} at the least")
                    }
                    _ => "is empty: write an entry, or leave the field out".to_owned(),
                },
            );
        }
        for (index, entry) in entries.iter().enumerate() {
            self.value(&schema["items"], entry, &format!("{path}[{index}]"));
        }
    }
}
