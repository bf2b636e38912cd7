//! A document against the policy's schema: every field known and there where it is needed, every value of its type and in its bounds.
//!
//! Knows the part of OpenAPI's schema language that structural schemas use, and reports every complaint rather than the first.

use std::str::FromStr as _;

use kube::Resource as _;
use serde_json::{Map, Value};

use super::{Problem, nearest};
use crate::kinds::IsolationPolicy;
use crate::{names, schema};

/// Every complaint about a document, in the order of the schema.
pub(super) fn policy(document: &Value) -> Vec<Problem> {
    let mut problems = Problems(Vec::new());
    let Some(fields) = document.as_object() else {
        problems.add(
            "the file",
            format!(
                "holds {}, and should hold one IsolationPolicy",
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
    metadata(&mut problems, fields.get("metadata"));
    let rest = fields
        .iter()
        .filter(|(field, _)| !["apiVersion", "kind", "metadata"].contains(&field.as_str()))
        .map(|(field, value)| (field.clone(), value.clone()))
        .collect();
    problems.object(schema::policy(), &rest, "");
    problems.0
}

fn metadata(problems: &mut Problems, metadata: Option<&Value>) {
    let Some(fields) = metadata.and_then(Value::as_object) else {
        problems.add(
            "metadata",
            "is missing: write `metadata: {name: …}`".to_owned(),
        );
        return;
    };
    let known = fields_of::object_meta();
    for field in fields
        .keys()
        .filter(|field| !known.contains(&field.as_str()))
    {
        problems.unknown("metadata", field, known.iter().copied(), None);
    }
    match fields.get("name") {
        Some(Value::String(name)) if matches(schema::OBJECT_NAME, name) && name.len() <= 253 => {}
        Some(_) => problems.add(
            "metadata.name",
            "must be a lower-case name of letters, digits, `-` and `.`".to_owned(),
        ),
        None => problems.add(
            "metadata.name",
            "is missing: metrics and messages speak of the policy by it".to_owned(),
        ),
    }
}

struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, path: &str, message: String) {
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
            Value::Number(number) => self.add(
                path,
                format!("is the number {number}, and must be {expected}: write a unit"),
            ),
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
                    format!("is missing: {}", told(&schema["properties"][field])),
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
    fn unknown<'a>(
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
            self.add(
                path,
                format!("is {}, and must match {pattern}", quoted(text)),
            );
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

fn matches(pattern: &str, text: &str) -> bool {
    regex_lite::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
}

/// What a value is, short enough for an error.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Number(number) => format!("the number {number}"),
        Value::Bool(value) => format!("the boolean {value}"),
        value => kind_of(value).to_owned(),
    }
}

fn quoted(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    let rest = if short.len() < text.len() { "…" } else { "" };
    format!("`{short}{rest}`")
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "empty",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a mapping",
    }
}

/// What a schema's type is called, and for a text that YAML takes for something else, how to write it.
fn article(schema: &Value, expected: &str) -> String {
    match expected {
        "object" => "a mapping of fields".to_owned(),
        "array" => "a list".to_owned(),
        "integer" => "a whole number".to_owned(),
        "boolean" => "true or false".to_owned(),
        "string" if schema.get("enum").is_some() => {
            let choices = schema["enum"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str);
            format!("one of {}", choices.collect::<Vec<_>>().join(", "))
        }
        _ => "a text: put it in quotes".to_owned(),
    }
}

/// The first sentence of a field's description.
fn told(schema: &Value) -> String {
    let description = schema["description"]
        .as_str()
        .unwrap_or("it is required")
        .replace('\n', " ");
    description
        .split(". ")
        .next()
        .unwrap_or_default()
        .trim_end_matches('.')
        .to_owned()
}

/// The names of the fields that a type of Kubernetes' own reads, as its `Deserialize` lists them.
mod fields_of {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use serde::de::value::Error;
    use serde::{
        Deserialize as _, Deserializer, de::Error as _, de::Visitor, forward_to_deserialize_any,
    };

    /// The fields of `metadata`.
    pub(super) fn object_meta() -> &'static [&'static str] {
        let mut fields: &'static [&'static str] = &[];
        // Always an error: the deserializer notes the list that it is offered, and has no value to give.
        let _ = ObjectMeta::deserialize(Listening(&mut fields));
        fields
    }

    struct Listening<'a>(&'a mut &'static [&'static str]);

    impl<'de> Deserializer<'de> for Listening<'_> {
        type Error = Error;

        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Error> {
            *self.0 = fields;
            Err(Error::custom("listening only"))
        }

        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
            Err(Error::custom("listening only"))
        }

        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }
}
