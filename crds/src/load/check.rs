//! A document against the policy's schema: every field known and there where it is needed, every value of its type and in its bounds.
//!
//! Knows the part of OpenAPI's schema language that structural schemas use, and reports every complaint rather than the first.

use std::net::IpAddr;
use std::str::FromStr as _;

use kube::Resource as _;
use serde_json::{Map, Value};

use super::words::{article, kind_of, quoted, shown, told};
use super::{Problem, metadata, nearest};
use crate::kinds::IsolationPolicy;
use crate::{names, schema};

/// Every complaint about a document, in the order of the schema.
pub(super) fn policy(document: &Value) -> Vec<Problem> {
    let mut problems = Problems(Vec::new());
    let Some(fields) = document.as_object() else {
        problems.add(
            "",
            format!(
                "the file holds {}, and should hold one IsolationPolicy",
                kind_of(document)
            ),
        );
        return problems.0;
    };
    problems.constant(fields, "apiVersion", &IsolationPolicy::api_version(&()));
    problems.constant(fields, "kind", &IsolationPolicy::kind(&()));
    if !problems.0.is_empty() {
        return problems.0;
    }
    metadata::check(&mut problems, fields.get("metadata"));
    let rest = fields
        .iter()
        .filter(|(field, _)| !["apiVersion", "kind", "metadata"].contains(&field.as_str()))
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect();
    problems.object(schema::policy(), &rest, "");
    problems.0
}

/// The complaints so far.
pub(super) struct Problems(Vec<Problem>);

impl Problems {
    pub(super) fn add(&mut self, path: &str, message: String) {
        self.0.push(Problem {
            path: path.to_owned(),
            message,
        });
    }

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
        if pattern == schema::ADDRESS {
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

    /// A text with a parser of its own, whose complaint is better than any pattern's.
    fn parsed<T, E: std::fmt::Display>(
        &mut self,
        value: &Value,
        path: &str,
        expected: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) {
        match value {
            Value::String(text) => {
                if let Err(error) = parse(text) {
                    self.add(path, error.to_string());
                }
            }
            Value::Number(number) => {
                let unit = if number.is_u64() {
                    ": write a unit"
                } else {
                    ""
                };
                self.add(
                    path,
                    format!("is the number {number}, and must be {expected}{unit}"),
                );
            }
            value => self.add(path, format!("is {}, and must be {expected}", shown(value))),
        }
    }

    fn object(&mut self, schema: &Value, fields: &Map<String, Value>, path: &str) {
        let join = |field: &str| {
            if path.is_empty() {
                field.to_owned()
            } else {
                format!("{path}.{field}")
            }
        };
        let known = schema["properties"].as_object();
        for (field, value) in fields {
            match (
                known.and_then(|known| known.get(field)),
                &schema["additionalProperties"],
            ) {
                // As the API server does: an empty field is a field left out. A required one is missed below.
                (Some(_), _) if value.is_null() => {}
                (Some(child), _) => self.value(child, value, &join(field)),
                (None, Value::Object(_)) => {
                    self.value(&schema["additionalProperties"], value, &join(field))
                }
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
                    &join(field),
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

    /// A field that there is not. Where a field of that name is one level down, that is what was meant.
    pub(super) fn unknown<'a>(
        &mut self,
        parent: &str,
        field: &str,
        known: impl Iterator<Item = &'a str> + Clone,
        schemas: Option<&Map<String, Value>>,
    ) {
        let path = if parent.is_empty() {
            field.to_owned()
        } else {
            format!("{parent}.{field}")
        };
        let below = schemas
            .into_iter()
            .flatten()
            .find(|(_, schema)| schema["properties"].get(field).is_some());
        let hint = match (nearest(field, known.clone()), below) {
            (Some(meant), _) => format!("did you mean `{meant}`?"),
            (None, Some((outer, _))) => format!("did you mean `{outer}.{field}`?"),
            (None, None) => format!("known here: {}", known.collect::<Vec<_>>().join(", ")),
        };
        self.add(&path, format!("unknown field; {hint}"));
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
                "is empty: write an entry, or leave the field out".to_owned(),
            );
        }
        for (index, entry) in entries.iter().enumerate() {
            self.value(&schema["items"], entry, &format!("{path}[{index}]"));
        }
    }

    fn string(&mut self, schema: &Value, text: &str, path: &str) {
        if let Some(choices) = schema["enum"].as_array() {
            let choices: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
            if !choices.contains(&text) {
                let hint = nearest(text, choices.iter().copied())
                    .map(|meant| format!("; did you mean `{meant}`?"));
                self.add(
                    path,
                    format!(
                        "is {}, and must be one of {}{}",
                        quoted(text),
                        choices.join(", "),
                        hint.unwrap_or_default()
                    ),
                );
            }
            return;
        }
        let length = text.chars().count() as u64;
        if schema["maxLength"]
            .as_u64()
            .is_some_and(|most| length > most)
        {
            self.add(
                path,
                format!(
                    "has {length} characters, and may have {}",
                    schema["maxLength"]
                ),
            );
        } else if schema["minLength"]
            .as_u64()
            .is_some_and(|least| length < least)
        {
            self.add(
                path,
                format!(
                    "is {}, and must have at least {} characters",
                    quoted(text),
                    schema["minLength"]
                ),
            );
        } else if let Some(pattern) = schema["pattern"]
            .as_str()
            .filter(|pattern| !matches(pattern, text))
        {
            let told = schema::PATTERNS.iter().find(|(known, _)| *known == pattern);
            let told = told.map_or_else(
                || format!("match {pattern}"),
                |(_, told)| format!("be {told}"),
            );
            self.add(path, format!("is {}, and must {told}", quoted(text)));
        }
    }

    fn number(&mut self, schema: &Value, number: &serde_json::Number, path: &str) {
        let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        let value = number.as_f64().unwrap_or(f64::MAX);
        if least.is_some_and(|least| value < least) || most.is_some_and(|most| value > most) {
            let to = most
                .map(|most| format!(" to {most}"))
                .unwrap_or_else(|| " upwards".to_owned());
            self.add(
                path,
                format!("is {number}, and must be {}{to}", least.unwrap_or_default()),
            );
        }
    }
}

pub(super) fn matches(pattern: &str, text: &str) -> bool {
    regex_lite::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "is {}, and must be an IP address such as 127.0.0.1",
            quoted(text)
        )
    })
}
