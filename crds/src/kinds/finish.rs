//! The finishing touch of a kind's schema: what Kubernetes does not know is taken out, and the overlays' schema is derived from the base's.

use schemars::Schema;
use serde_json::{Map, Value, json};

use super::bounds::LABEL;

/// The spec's finishing touch: what Kubernetes does not know is taken out, and the overlays' schema is derived from the base's.
pub(crate) fn complete(schema: &mut Schema) {
    tidy(schema);
    let environment = overlay(schema.as_value());
    if let Some(environments) = schema
        .as_object_mut()
        .and_then(|spec| spec.get_mut("properties"))
        .and_then(|fields| fields.get_mut("environments"))
        .and_then(Value::as_object_mut)
    {
        environments.insert("items".to_owned(), environment);
    }
}

/// The schema of an entry of `environments`: the base's fields but the selector and the environments, none of them required.
fn overlay(base: &Value) -> Value {
    let mut environment = base.clone();
    relax(&mut environment);
    if let Some(properties) = environment
        .get_mut("properties")
        .and_then(Value::as_object_mut)
    {
        properties.remove("selector");
        properties.remove("environments");
        properties.insert(
            "name".to_owned(),
            json!({
                "type": "string", "minLength": 1, "maxLength": 63, "pattern": LABEL,
                "description": "The environment's name: the namespace's label `bulkhead.dev/environment`, or `--environment`.",
            }),
        );
    }
    if let Some(environment) = environment.as_object_mut() {
        environment.insert("required".to_owned(), json!(["name"]));
        environment.insert(
            "description".to_owned(),
            "What one environment has different from the base.".into(),
        );
    }
    environment
}

/// Takes away what only a whole object can meet: required fields but a list's key, and rules over several fields. An atomic object is
/// always whole, and keeps both.
fn relax(schema: &mut Value) {
    let Some(object) = schema.as_object_mut() else {
        return;
    };
    if let Some(Value::String(description)) = object.get_mut("description")
        && let Some(at) = description.find("Default: ")
    {
        description.replace_range(at.., "Default: as in the base.");
    }
    if object
        .get("x-kubernetes-map-type")
        .is_some_and(|kind| kind == "atomic")
    {
        return;
    }
    object.remove("required");
    object.remove("x-kubernetes-validations");
    for child in object
        .get_mut("properties")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(|all| all.values_mut())
    {
        relax(child);
    }
    let keys = object.get("x-kubernetes-list-map-keys").cloned();
    if let Some(items) = object.get_mut("items") {
        relax(items);
        if let (Some(keys), Some(items)) = (keys, items.as_object_mut()) {
            items.insert("required".to_owned(), keys);
        }
    }
}

/// Rewrites what the derive says in a way that Kubernetes does not know or that reads badly: formats of Rust's unsigned integers become
/// bounds, `null` is no value (the API server prunes it where a schema does not allow it), descriptions lose the line breaks of the
/// source.
pub(crate) fn tidy(schema: &mut Schema) {
    if let Some(object) = schema.as_object_mut() {
        object.values_mut().for_each(tidy_below);
    }
}

fn tidy_below(schema: &mut Value) {
    match schema {
        Value::Array(all) => all.iter_mut().for_each(tidy_below),
        Value::Object(object) => {
            without_null(object);
            known_format(object);
            if let Some(Value::String(description)) = object.get_mut("description") {
                *description = description.replace('\n', " ");
            }
            object.values_mut().for_each(tidy_below);
        }
        _ => {}
    }
}

/// An optional field is left out, and never `null`.
fn without_null(schema: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = schema.get_mut("type") {
        types.retain(|one| one != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    let Some(Value::Array(choices)) = schema.get("anyOf") else {
        return;
    };
    if let [Value::Object(only), null] = choices.as_slice()
        && null["type"] == "null"
    {
        let mut only = only.clone();
        schema.remove("anyOf");
        // What stands beside the choice is the field's own, and more telling than its type's.
        only.append(schema);
        *schema = only;
    }
}

fn known_format(schema: &mut Map<String, Value>) {
    let (format, largest) = match schema.get("format").and_then(Value::as_str) {
        Some("uint16") => ("int32", u64::from(u16::MAX)),
        Some("uint32") => ("int64", u64::from(u32::MAX)),
        _ => return,
    };
    schema.insert("format".to_owned(), format.into());
    schema.entry("maximum").or_insert_with(|| largest.into());
}
