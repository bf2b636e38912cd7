//! The finished schema of a policy, as JSON.
//!
//! It is the only list of the policy's fields: [`mod@crate::load`] checks files against it, [`mod@crate::resolve`] merges by its marks, and
//! the reference is printed from it. No hand-kept list of fields is anywhere.

pub mod reference;

use std::sync::LazyLock;

use kube::CustomResourceExt as _;
use serde_json::Value;

use crate::kinds::IsolationPolicy;

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
