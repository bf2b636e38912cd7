//! Lays one layer of a policy over another and notes which layer each leaf came from.
//!
//! How two values merge is said by the schema's own marks, the ones that server-side apply goes by: lists of the type `map` merge by
//! their key, atomic objects and other lists are replaced as a whole, other objects merge field by field.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::effective::{Origin, Origins};
use crate::schema;

/// The layers that have been laid so far.
#[derive(Default)]
pub(super) struct Layers {
    tree: Value,
    origins: BTreeMap<String, Origin>,
}

impl Layers {
    /// Lays `layer`, in the shape of a policy's spec, over what is there.
    ///
    /// # Errors
    /// A layer that is not representable as JSON; the policy's types all are.
    pub(super) fn lay(
        &mut self,
        layer: &impl Serialize,
        origin: &Origin,
    ) -> Result<(), serde_json::Error> {
        let mut layer = serde_json::to_value(layer)?;
        // An overlay's own name is no field of the base.
        if let (Origin::Environment(_), Some(fields)) = (origin, layer.as_object_mut()) {
            fields.remove("name");
        }
        let mut tree = std::mem::take(&mut self.tree);
        let spec = &schema::policy()["properties"]["spec"];
        self.merge(spec, &mut tree, layer, "", origin);
        self.tree = tree;
        Ok(())
    }

    /// The merged policy, and the origin of each of its leaves.
    pub(super) fn finish(self) -> (Value, Origins) {
        (self.tree, Origins(self.origins))
    }

    fn merge(
        &mut self,
        schema: &Value,
        below: &mut Value,
        layer: Value,
        path: &str,
        origin: &Origin,
    ) {
        match layer {
            Value::Null => {}
            Value::Object(fields) if is_atomic(schema) => {
                let prefix = format!("{path}.");
                self.origins.retain(|leaf, _| !leaf.starts_with(&prefix));
                *below = Value::Object(Map::new());
                self.merge_fields(schema, below, fields, path, origin);
            }
            Value::Object(fields) => self.merge_fields(schema, below, fields, path, origin),
            Value::Array(entries) if schema["x-kubernetes-list-type"] == "map" => {
                self.merge_by_name(&schema["items"], below, entries, path, origin);
            }
            leaf => {
                *below = leaf;
                self.origins.insert(path.to_owned(), origin.clone());
            }
        }
    }

    fn merge_fields(
        &mut self,
        schema: &Value,
        below: &mut Value,
        fields: Map<String, Value>,
        path: &str,
        origin: &Origin,
    ) {
        if !below.is_object() {
            *below = Value::Object(Map::new());
        }
        for (field, value) in fields {
            let child = schema["properties"]
                .get(&field)
                .unwrap_or(&schema["additionalProperties"]);
            let path = if path.is_empty() {
                field.clone()
            } else {
                format!("{path}.{field}")
            };
            self.merge(child, &mut below[&field], value, &path, origin);
        }
    }

    fn merge_by_name(
        &mut self,
        schema: &Value,
        below: &mut Value,
        entries: Vec<Value>,
        path: &str,
        origin: &Origin,
    ) {
        if !below.is_array() {
            *below = Value::Array(Vec::new());
        }
        for mut entry in entries {
            let name = entry
                .as_object_mut()
                .and_then(|entry| entry.remove("name"))
                .unwrap_or_default();
            let path = format!("{path}[{}]", name.as_str().unwrap_or_default());
            let Some(list) = below.as_array_mut() else {
                return;
            };
            let at = list
                .iter()
                .position(|known| known["name"] == name)
                .unwrap_or_else(|| {
                    list.push(Value::Object(Map::from_iter([("name".to_owned(), name)])));
                    list.len() - 1
                });
            self.merge(schema, &mut list[at], entry, &path, origin);
        }
    }
}

fn is_atomic(schema: &Value) -> bool {
    schema["x-kubernetes-map-type"] == "atomic"
}
