//! The policy's schema: patterns and bounds that the kinds share, what the derive cannot say, and the finished schema as JSON.
//!
//! The schema is the only list of the policy's fields: [`mod@crate::load`] checks files against it, [`mod@crate::resolve`] merges by its
//! marks, and the reference is printed from it. No hand-kept list of fields is anywhere.

pub mod reference;

use std::sync::LazyLock;

use kube::CustomResourceExt as _;
use schemars::Schema;
use serde_json::{Map, Value, json};

use crate::kinds::IsolationPolicy;

/// A DNS label (RFC 1123).
pub(crate) const LABEL: &str = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$";
/// A DNS subdomain (RFC 1123), as Kubernetes names objects.
pub(crate) const OBJECT_NAME: &str = "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$";
/// A key of a Secret.
pub(crate) const SECRET_KEY: &str = "^[A-Za-z0-9._-]+$";
/// A host name, an address, or the folder of a Unix socket.
pub(crate) const HOST: &str =
    "^(/[^\\x00]*|[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?|[0-9A-Fa-f:.]+)$";
/// A run-time parameter of PostgreSQL with a prefix: what an application may define by itself.
pub(crate) const PARAMETER: &str = "^[A-Za-z_][A-Za-z0-9_$]*([.][A-Za-z_][A-Za-z0-9_$]*)+$";
/// An IP address; the parser is stricter.
pub(crate) const ADDRESS: &str = "^[0-9A-Fa-f:.]+$";

/// What the patterns are called in an error.
pub(crate) const PATTERNS: [(&str, &str); 5] = [
    (LABEL, "a name of lower-case letters, digits and `-`"),
    (
        OBJECT_NAME,
        "a name of lower-case letters, digits, `-` and `.`",
    ),
    (SECRET_KEY, "a key of letters, digits, `.`, `_` and `-`"),
    (
        HOST,
        "a host name, an address, or the folder of a Unix socket with a leading `/`",
    ),
    (
        PARAMETER,
        "a parameter with a prefix, such as `app.user_id`",
    ),
];

/// The schema of a whole `IsolationPolicy`, as the CRD has it.
pub fn policy() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
        let crd = IsolationPolicy::crd();
        crd.spec
            .versions
            .into_iter()
            .next()
            .and_then(|version| version.schema)
            .and_then(|schema| serde_json::to_value(schema.open_api_v3_schema).ok())
            .unwrap_or(Value::Null)
    });
    &SCHEMA
}

/// Marks a list whose entries are told apart by `name`.
pub(crate) fn list_by_name(schema: &mut Schema) {
    schema.insert("x-kubernetes-list-type".to_owned(), "map".into());
    schema.insert("x-kubernetes-list-map-keys".to_owned(), json!(["name"]));
}

/// Bounds the values of a map.
pub(crate) fn bound_values(schema: &mut Schema) {
    bound(schema, 4096);
}

/// Bounds the values of a map of labels.
pub(crate) fn bound_label_values(schema: &mut Schema) {
    bound(schema, 63);
}

fn bound(schema: &mut Schema, longest: u32) {
    if let Some(values) = schema
        .get_mut("additionalProperties")
        .and_then(Value::as_object_mut)
    {
        values.insert("maxLength".to_owned(), longest.into());
    }
}

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
