//! The finished schemas of a policy and of a revocation, as JSON.
//!
//! They are the only lists of the fields: [`mod@crate::load`] checks files against it, [`mod@crate::resolve`] merges by its marks, and
//! the reference is printed from it. No hand-kept list of fields is anywhere.

pub mod reference;

use std::sync::LazyLock;

use kube::CustomResourceExt;
use serde_json::Value;

use crate::kinds::{IsolationPolicy, UserRevocation};

/// What [`derived`] gave when the repository's generated files were last written. To derive it takes some 15 ms of processor time and
/// megabytes of memory, which a sidecar has no use for at its start; to read it takes less than one.
const KEPT: &str = include_str!("schema/isolationpolicy.schema.json");
/// The same of a revocation.
const KEPT_REVOCATION: &str = include_str!("schema/userrevocation.schema.json");

/// The schema of a whole `IsolationPolicy`, as the CRD has it. A test of the operator's holds it to [`derived`].
pub fn policy() -> &'static Value {
    static SCHEMA: LazyLock<Value> =
        LazyLock::new(|| serde_json::from_str(KEPT).unwrap_or_default());
    &SCHEMA
}

/// The schema of a whole `UserRevocation`.
pub fn revocation() -> &'static Value {
    static SCHEMA: LazyLock<Value> =
        LazyLock::new(|| serde_json::from_str(KEPT_REVOCATION).unwrap_or_default());
    &SCHEMA
}

/// The schema of a policy, derived from the types of this build.
#[must_use]
pub fn derived() -> Value {
    derived_of::<IsolationPolicy>()
}

/// The same of a revocation.
#[must_use]
pub fn derived_revocation() -> Value {
    derived_of::<UserRevocation>()
}

fn derived_of<K: CustomResourceExt>() -> Value {
    let mut schema = K::crd()
        .spec
        .versions
        .into_iter()
        .next()
        .and_then(|version| version.schema)
        .and_then(|schema| serde_json::to_value(schema.open_api_v3_schema).ok())
        .unwrap_or_default();
    whole_numbers(&mut schema);
    schema
}

/// Bounds are floating-point numbers in Kubernetes' types, and whole ones in what people read and compare.
pub fn whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(whole) = number
                .as_f64()
                .and_then(|float| (float.fract() == 0.0).then_some(float as i64))
            {
                *number = whole.into();
            }
        }
        Value::Array(all) => all.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        _ => {}
    }
}
