//! How a file's values and a schema's types are spoken of in a complaint.

use serde_json::Value;

/// What a value is, short enough for an error.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Number(number) => format!("the number {number}"),
        Value::Bool(value) => format!("the boolean {value}"),
        value => kind_of(value).to_owned(),
    }
}

pub(super) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(60).collect();
    let rest = if short.len() < text.len() { "…" } else { "" };
    format!("`{short}{rest}`")
}

pub(super) fn kind_of(value: &Value) -> &'static str {
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
pub(super) fn article(schema: &Value, expected: &str) -> String {
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

/// The first sentence of a field's description, to go on with after a colon.
pub(super) fn told(schema: &Value) -> String {
    let description = schema["description"].as_str().unwrap_or_default();
    let sentence = description
        .split(". ")
        .next()
        .unwrap_or_default()
        .trim_end_matches('.');
    let mut letters = sentence.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => "write it".to_owned(),
    }
}
