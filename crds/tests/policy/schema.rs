//! The schema as Kubernetes wants it: structural, bounded, without defaults; the overlays' twins as wide as the base.

use std::collections::BTreeSet;

use bulkhead_crds::kinds::{
    DatabaseOverlay, Environment, IdentityOverlay, JwtOverlay, UpstreamOverlay, WebSocketOverlay,
    WebSocketUpstreamOverlay,
};
use bulkhead_crds::schema;
use serde::de::value::Error;
use serde::de::{Error as _, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};
use serde_json::Value;

/// Visits every schema below one, with its path.
fn walk(schema: &Value, path: &str, visit: &mut impl FnMut(&Value, &str)) {
    visit(schema, path);
    for (name, child) in schema["properties"].as_object().into_iter().flatten() {
        walk(child, &format!("{path}.{name}"), visit);
    }
    for list in ["items", "additionalProperties"] {
        if let Some(child) = schema.get(list) {
            walk(child, &format!("{path}[]"), visit);
        }
    }
}

#[test]
fn nothing_below_spec_has_a_default() {
    walk(
        &schema::policy()["properties"]["spec"],
        "spec",
        &mut |schema, path| {
            assert!(schema.get("default").is_none(), "{path}");
        },
    );
}

#[test]
fn every_list_map_and_text_is_bounded() {
    for part in ["spec", "status"] {
        walk(
            &schema::policy()["properties"][part],
            part,
            &mut |schema, path| {
                let bounded = match schema["type"].as_str() {
                    Some("string") => {
                        schema.get("maxLength").is_some() || schema.get("enum").is_some()
                    }
                    Some("array") => {
                        schema.get("maxItems").is_some()
                            && schema.get("x-kubernetes-list-type").is_some()
                    }
                    Some("object") if schema.get("additionalProperties").is_some() => {
                        schema.get("maxProperties").is_some()
                    }
                    Some("object") => schema.get("properties").is_some(),
                    Some("integer") => {
                        schema.get("maximum").is_some() || schema["format"] == "int64"
                    }
                    Some("boolean") => true,
                    None => schema["x-kubernetes-int-or-string"] == true,
                    _ => false,
                };
                assert!(bounded, "{path}: {schema}");
            },
        );
    }
}

#[test]
fn the_schema_is_structural() {
    walk(schema::policy(), "", &mut |schema, path| {
        for forbidden in [
            "oneOf",
            "anyOf",
            "allOf",
            "not",
            "$ref",
            "definitions",
            "patternProperties",
            "uniqueItems",
            "x-kubernetes-preserve-unknown-fields",
        ] {
            assert!(schema.get(forbidden).is_none(), "{path}: {forbidden}");
        }
        let format = schema["format"].as_str();
        assert!(
            matches!(format, None | Some("int32" | "int64" | "date-time")),
            "{path}: {format:?}"
        );
        assert!(
            schema.get("properties").is_none() || schema.get("additionalProperties").is_none(),
            "{path}"
        );
    });
}

#[test]
fn lists_of_named_entries_merge_by_name() {
    let mut by_name = Vec::new();
    walk(
        &schema::policy()["properties"]["spec"],
        "spec",
        &mut |schema, path| {
            if schema["items"]["properties"].get("name").is_some() {
                assert_eq!(schema["x-kubernetes-list-type"], "map", "{path}");
                assert_eq!(
                    schema["x-kubernetes-list-map-keys"],
                    serde_json::json!(["name"]),
                    "{path}"
                );
                assert!(
                    schema["items"]["required"]
                        .as_array()
                        .expect(path)
                        .contains(&"name".into()),
                    "{path}"
                );
                by_name.push(path.to_owned());
            }
        },
    );
    assert_eq!(
        by_name,
        [
            "spec.databases",
            "spec.environments",
            "spec.environments[].databases",
            "spec.environments[].webSockets",
            "spec.webSockets"
        ]
    );
}

#[test]
fn an_overlay_requires_only_names() {
    walk(
        &schema::policy()["properties"]["spec"]["properties"]["environments"],
        "environments",
        &mut |schema, path| {
            let whole = schema["x-kubernetes-map-type"] == "atomic";
            if let Some(required) = schema.get("required").filter(|_| !whole) {
                assert_eq!(required, &serde_json::json!(["name"]), "{path}");
            }
        },
    );
}

#[test]
fn every_field_has_a_description_and_an_optional_one_tells_its_default() {
    walk(
        &schema::policy()["properties"]["spec"],
        "spec",
        &mut |schema, path| {
            let required = schema["required"].as_array().cloned().unwrap_or_default();
            // A union's parts and a reference's key have none of their own.
            let whole = schema["x-kubernetes-map-type"] == "atomic";
            for (name, child) in schema["properties"].as_object().into_iter().flatten() {
                let description = child["description"].as_str().unwrap_or_default();
                assert!(!description.is_empty(), "{path}.{name}");
                let leaf =
                    child.get("properties").is_none() && child["items"].get("properties").is_none();
                let told = description.contains("Default: ")
                    || description.contains("Needed with")
                    || ["selector", "environments"]
                        .iter()
                        .any(|part| path.contains(part));
                assert!(
                    !leaf || whole || required.contains(&name.as_str().into()) || told,
                    "{path}.{name}: {description}"
                );
            }
        },
    );
}

#[test]
fn the_twins_have_the_fields_of_the_base() {
    let spec = &schema::policy()["properties"]["spec"]["properties"];
    let environment = &spec["environments"]["items"];
    let twin = |schema: &Value, fields: &[&str]| {
        let known: BTreeSet<&str> = schema["properties"]
            .as_object()
            .expect("an object")
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(known, fields.iter().copied().collect());
    };
    twin(environment, fields_of::<Environment>());
    twin(&spec["identity"], fields_of::<IdentityOverlay>());
    twin(
        &spec["identity"]["properties"]["jwt"],
        fields_of::<JwtOverlay>(),
    );
    let database = &spec["databases"]["items"];
    twin(database, fields_of::<DatabaseOverlay>());
    twin(
        &database["properties"]["upstream"],
        fields_of::<UpstreamOverlay>(),
    );
    let socket = &spec["webSockets"]["items"];
    twin(socket, fields_of::<WebSocketOverlay>());
    twin(
        &socket["properties"]["upstream"],
        fields_of::<WebSocketUpstreamOverlay>(),
    );
}

/// The fields that a type reads, as its `Deserialize` lists them.
fn fields_of<T: for<'de> Deserialize<'de>>() -> &'static [&'static str] {
    let mut fields: &'static [&'static str] = &[];
    let _ = T::deserialize(Listening(&mut fields));
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
