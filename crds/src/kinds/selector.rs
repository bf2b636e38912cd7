//! `spec.selector`: the pods that a policy is for.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The pods that a policy is for, of its own namespace. An empty selector (`{}`) is every pod.
///
/// A type of its own rather than Kubernetes' `LabelSelector`, whose schema has no bounds.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Selector {
    /// Labels that a pod must have, with these values.
    #[schemars(extend("maxProperties" = 16), transform = super::bounds::bound_label_values)]
    pub match_labels: Option<BTreeMap<String, String>>,
    /// Requirements that a pod's labels must meet, all of them.
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub match_expressions: Option<Vec<SelectorRequirement>>,
}

/// A requirement on one label.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)")
    .message("In and NotIn need values; Exists and DoesNotExist have none").field_path(".values"))]
pub struct SelectorRequirement {
    /// The label's key.
    #[schemars(length(min = 1, max = 316))]
    pub key: String,
    /// How the label relates to the values: `In`, `NotIn`, `Exists` or `DoesNotExist`.
    pub operator: SelectorOperator,
    /// The values, for `In` and `NotIn`.
    #[schemars(length(max = 16), inner(length(max = 63)), extend("x-kubernetes-list-type" = "set"))]
    pub values: Option<Vec<String>>,
}

/// How a label relates to a requirement's values.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum SelectorOperator {
    /// The label's value is one of them.
    In,
    /// The label is missing, or its value is none of them.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is missing.
    DoesNotExist,
}

impl Selector {
    /// Whether these labels are selected. An empty selector selects all.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let equal = |(key, value): (&String, &String)| labels.get(key) == Some(value);
        self.match_labels.iter().flatten().all(equal)
            && self
                .match_expressions
                .iter()
                .flatten()
                .all(|requirement| requirement.matches(labels))
    }

    /// Whether it matches, and none of `excluding`, the selectors of older policies, does: those come first.
    #[must_use]
    pub fn claims<'a>(
        &self,
        labels: &BTreeMap<String, String>,
        excluding: impl IntoIterator<Item = &'a Self>,
    ) -> bool {
        self.matches(labels) && !excluding.into_iter().any(|older| older.matches(labels))
    }

    /// The same selection in one form: two selectors that are written in another order are equal then.
    #[must_use]
    pub fn normalized(&self) -> Self {
        let mut expressions: Vec<_> = self
            .match_expressions
            .iter()
            .flatten()
            .map(SelectorRequirement::normalized)
            .collect();
        expressions
            .sort_by(|a, b| (&a.key, a.operator, &a.values).cmp(&(&b.key, b.operator, &b.values)));
        expressions.dedup();
        let labels = self.match_labels.clone().unwrap_or_default();
        Self {
            match_labels: (!labels.is_empty()).then_some(labels),
            match_expressions: (!expressions.is_empty()).then_some(expressions),
        }
    }
}

impl SelectorRequirement {
    /// Whether these labels meet it: what Kubernetes' own label selectors say of each operator.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let listed = value.is_some_and(|value| self.values.iter().flatten().any(|v| v == value));
        match self.operator {
            SelectorOperator::In => listed,
            SelectorOperator::NotIn => !listed,
            SelectorOperator::Exists => value.is_some(),
            SelectorOperator::DoesNotExist => value.is_none(),
        }
    }

    fn normalized(&self) -> Self {
        let mut values = self.values.clone().unwrap_or_default();
        values.sort();
        values.dedup();
        Self {
            values: (!values.is_empty()).then_some(values),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn selector(text: serde_json::Value) -> Selector {
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn labels_are_selected_as_kubernetes_selects_them() {
        let pod = labels(&[("app", "chat"), ("tier", "front")]);
        let table = [
            (serde_json::json!({}), true),
            (serde_json::json!({"matchLabels": {"app": "chat"}}), true),
            (
                serde_json::json!({"matchLabels": {"app": "chat", "tier": "back"}}),
                false,
            ),
            (
                serde_json::json!({"matchExpressions": [{"key": "tier", "operator": "In", "values": ["front", "back"]}]}),
                true,
            ),
            (
                serde_json::json!({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["front"]}]}),
                false,
            ),
            (
                serde_json::json!({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}),
                true,
            ),
            (
                serde_json::json!({"matchExpressions": [{"key": "zone", "operator": "Exists"}]}),
                false,
            ),
            (
                serde_json::json!({"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]}),
                true,
            ),
        ];
        for (written, expected) in table {
            assert_eq!(
                selector(written.clone()).matches(&pod),
                expected,
                "{written}"
            );
        }
    }

    #[test]
    fn the_order_of_writing_does_not_tell_selectors_apart() {
        let one = selector(serde_json::json!({"matchExpressions": [
            {"key": "a", "operator": "In", "values": ["x", "y"]}, {"key": "b", "operator": "Exists"}]}));
        let two = selector(serde_json::json!({"matchLabels": {}, "matchExpressions": [
            {"key": "b", "operator": "Exists"}, {"key": "a", "operator": "In", "values": ["y", "x"]}]}));
        assert_ne!(one, two);
        assert_eq!(one.normalized(), two.normalized());
    }
}
