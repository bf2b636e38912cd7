//! Documents: each as it came, but for the workloads in it that have changed, which keep the order of their fields.

use std::sync::Arc;

use serde_json::Value;
use serde_yaml::{Mapping, Value as Yaml};

use super::pods;
use super::sources::Sources;
use super::yaml;
use crate::cli::manifests::{Manifest, Problem};

/// What is to be printed, and what to be told beside it.
pub(super) struct Documents {
    /// The manifests.
    pub text: String,
    /// A line for each workload.
    pub told: Vec<String>,
}

/// Injects all manifests. `namespace` is of those that name none.
///
/// # Errors
/// Everything that is wrong in any of them.
pub(super) fn all(
    manifests: &[Manifest],
    sources: &Sources<'_>,
    namespace: &str,
) -> Result<Documents, Vec<Problem>> {
    let (mut texts, mut told, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for document in manifests.chunk_by(|one, next| Arc::ptr_eq(&one.text, &next.text)) {
        let mut changes = Vec::with_capacity(document.len());
        for manifest in document {
            let home = manifest.namespace(namespace);
            match pods::injected(manifest, sources, home) {
                Ok(workload) => {
                    told.extend(workload.as_ref().map(|it| line(manifest, home, &it.told)));
                    changes.push(workload.and_then(|it| it.changed));
                }
                Err(more) => problems.extend(more),
            }
        }
        if problems.is_empty() {
            texts.extend(print(document, changes));
        }
    }
    // A policy that is wrong is so for every workload of its namespace.
    problems.dedup();
    if problems.is_empty() {
        let text = texts.join("---\n");
        Ok(Documents { text, told })
    } else {
        Err(problems)
    }
}

fn line(manifest: &Manifest, namespace: &str, told: &str) -> String {
    format!(
        "{}:{}: {} {namespace}/{}: {told}",
        manifest.file,
        manifest.line_of(""),
        manifest.kind(),
        manifest.name()
    )
}

/// A document. Templates are the operator's, and nobody else may apply them: they are left out.
fn print(document: &[Manifest], changes: Vec<Option<Value>>) -> Option<String> {
    let first = document.first()?;
    let is_template = |it: &Manifest| it.is("bulkhead.dev", "InjectionTemplate");
    if changes.iter().all(Option::is_none) && !document.iter().any(is_template) {
        return Some(format!("{}\n", first.text.trim_matches('\n')));
    }
    let original: Yaml = serde_yaml::from_str(&first.text).ok()?;
    let head = comments(&first.text);
    if !first.is_item() {
        let changed = changes.into_iter().next()??;
        return Some(head + &yaml::text(&ordered(Some(&original), &changed)));
    }
    let old = original.get("items").and_then(Yaml::as_sequence)?;
    let items: Vec<Yaml> = document
        .iter()
        .zip(changes)
        .zip(old)
        .filter(|((manifest, _), _)| !is_template(manifest))
        .map(|((_, change), old)| match change {
            Some(change) => ordered(Some(old), &change),
            None => old.clone(),
        })
        .collect();
    let mut list = original.clone();
    if items.is_empty() {
        return None;
    }
    list["items"] = items.into();
    Some(head + &yaml::text(&list))
}

/// The comments above a document: a licence, a chart's `# Source`.
fn comments(text: &str) -> String {
    text.lines()
        .take_while(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
        .filter(|line| !line.trim().is_empty())
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The new value, its fields in the order of the old one, what is new behind them: a reviewer sees what has changed and nothing else.
fn ordered(old: Option<&Yaml>, new: &Value) -> Yaml {
    match new {
        Value::Object(new) => {
            let old = old.and_then(Yaml::as_mapping);
            let keys = old.into_iter().flat_map(Mapping::keys);
            let kept = keys
                .filter_map(Yaml::as_str)
                .filter(|key| new.contains_key(*key));
            let mut known: Vec<&str> = kept.collect();
            let more = new.keys().map(String::as_str);
            let more: Vec<&str> = more.filter(|key| !known.contains(key)).collect();
            known.extend(lead(more));
            let fields = known.into_iter().map(|key| {
                let old = old.and_then(|old| old.get(key));
                (Yaml::from(key), ordered(old, &new[key]))
            });
            Yaml::Mapping(fields.collect())
        }
        Value::Array(new) => {
            let old = old.and_then(Yaml::as_sequence);
            let like = |it: &Value, index| {
                let old = old?;
                let name = it.get("name").and_then(Value::as_str);
                match name {
                    Some(name) => old
                        .iter()
                        .find(|o| o.get("name").and_then(Yaml::as_str) == Some(name)),
                    None => old.get(index),
                }
            };
            let elements = new.iter().enumerate();
            Yaml::Sequence(
                elements
                    .map(|(index, it)| ordered(like(it, index), it))
                    .collect(),
            )
        }
        scalar => serde_yaml::to_value(scalar).unwrap_or(Yaml::Null),
    }
}

/// Fields that nobody wrote, with what people look for first in front.
fn lead(keys: Vec<&str>) -> Vec<&str> {
    let (mut first, rest): (Vec<&str>, Vec<&str>) = keys
        .into_iter()
        .partition(|key| matches!(*key, "name" | "image"));
    first.sort_by_key(|key| *key != "name");
    first.extend(rest);
    first
}
