//! The reference of a policy's fields in Markdown, printed from the schema: a table a subject, a row a field.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::names;

/// What a reader should know before the tables.
const PREFACE: &str = include_str!("reference.md");

/// The whole page, from the schema of a policy.
#[must_use]
pub fn markdown(policy: &Value) -> String {
    let mut page = PREFACE.to_owned();
    let spec = &policy["properties"]["spec"];
    let (subjects, plain): (Vec<_>, Vec<_>) =
        fields(spec).partition(|(_, schema)| has_fields(schema));
    page.push_str("\n## The policy as a whole\n");
    head(&mut page);
    for (name, schema) in plain {
        row(&mut page, name, schema, is_required(spec, name));
    }
    for (name, schema) in subjects {
        // Writing to a String cannot fail, here and below.
        let _ = write!(page, "\n## {name}\n\n{}\n", description(schema));
        if name == "environments" {
            page.push_str("Beside its `name`, an entry has any field of this page but `selector` and `environments`, and needs none of them.\n");
        } else {
            head(&mut page);
            walk(schema, name, &mut |path, schema, required| {
                row(&mut page, path, schema, required)
            });
        }
    }
    page.push_str("\n## status\n\nWritten by the operator alone.\n\n| field | type | meaning |\n|---|---|---|\n");
    walk(
        &policy["properties"]["status"],
        "status",
        &mut |path, schema, _| {
            let _ = writeln!(
                page,
                "| `{path}` | {} | {} |",
                type_of(schema),
                escaped(description(schema))
            );
        },
    );
    page
}

fn head(page: &mut String) {
    page.push_str("\n| field | type | default | meaning |\n|---|---|---|---|\n");
}

fn row(page: &mut String, path: &str, schema: &Value, required: bool) {
    let default = match default(schema) {
        Some(default) => escaped(default),
        None if required => "*required*".to_owned(),
        None => String::new(),
    };
    let _ = writeln!(
        page,
        "| `{path}` | {} | {default} | {} |",
        type_of(schema),
        escaped(&meaning(schema))
    );
}

/// Visits every field below one, in the order of the schema, with its path and whether it must be written.
fn walk(schema: &Value, path: &str, visit: &mut impl FnMut(&str, &Value, bool)) {
    let list = if schema["type"] == "array" { "[]" } else { "" };
    let inner = if list.is_empty() {
        schema
    } else {
        &schema["items"]
    };
    for (name, child) in fields(inner) {
        let path = format!("{path}{list}.{name}");
        visit(&path, child, is_required(inner, name));
        if !is_reference(child) {
            walk(child, &path, visit);
        }
    }
}

/// Whether a field is a reference to a Secret, which is told in one row.
fn is_reference(schema: &Value) -> bool {
    schema["x-kubernetes-map-type"] == "atomic" && schema["properties"].get("name").is_some()
}

fn has_fields(schema: &Value) -> bool {
    fields(schema)
        .chain(fields(&schema["items"]))
        .next()
        .is_some()
}

fn fields(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema["properties"]
        .as_object()
        .into_iter()
        .flat_map(Map::iter)
}

fn is_required(schema: &Value, field: &str) -> bool {
    schema["required"]
        .as_array()
        .is_some_and(|all| all.iter().any(|one| one == field))
}

fn description(schema: &Value) -> &str {
    schema["description"].as_str().unwrap_or_default()
}

/// A description without its default.
fn meaning(schema: &Value) -> String {
    let description = description(schema);
    let end = description.find("Default: ").unwrap_or(description.len());
    description[..end].trim_end().to_owned()
}

fn default(schema: &Value) -> Option<&str> {
    let description = description(schema);
    let at = description.find("Default: ")?;
    Some(description[at + "Default: ".len()..].trim_end_matches('.'))
}

fn type_of(schema: &Value) -> String {
    let pattern = schema["pattern"].as_str().unwrap_or_default();
    if let Some(choices) = schema["enum"].as_array() {
        let choices: Vec<String> = choices
            .iter()
            .filter_map(Value::as_str)
            .map(|choice| format!("`{choice}`"))
            .collect();
        return choices.join(", ");
    }
    match schema["type"].as_str() {
        _ if is_reference(schema) && schema["properties"].get("key").is_some() => {
            "`{name, key}` of a Secret".to_owned()
        }
        _ if is_reference(schema) => "`{name}` of a Secret".to_owned(),
        _ if has_fields(schema) && schema["type"] == "array" => {
            format!("list, at most {}", schema["maxItems"])
        }
        _ if has_fields(schema) => "fields below".to_owned(),
        _ if pattern == names::Duration::PATTERN => "duration".to_owned(),
        _ if pattern == names::Quantity::PATTERN => "amount of bytes".to_owned(),
        Some("integer") => match (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
            (Some(least), Some(most)) => format!("{least} to {most}"),
            _ => "whole number".to_owned(),
        },
        Some("boolean") => "true or false".to_owned(),
        Some("array") => format!(
            "list of {}, at most {}",
            type_of(&schema["items"]),
            schema["maxItems"]
        ),
        Some("object") => "map of texts".to_owned(),
        _ => "text".to_owned(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('|', "\\|")
}
