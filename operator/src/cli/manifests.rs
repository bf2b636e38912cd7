//! Manifests in files: the objects of every document, and the line on which each of their fields stands.
//!
//! What does not live here: what is wrong with an object. A file that is no YAML is told of as a [`Problem`] with its line.

mod locate;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize as _;
use serde_json::Value;

/// The largest file that is read.
const LARGEST: u64 = 16 << 20;

/// One object of a file.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// The file as it was named; `-` is standard input.
    pub file: Arc<str>,
    /// The object.
    pub object: Value,
    /// The text of its document.
    pub text: Arc<str>,
    /// The line of the file on which the document begins, from 1.
    first_line: usize,
    /// Where in the document the object stands: nothing, or `items[3]` of a List.
    within: String,
}

/// Why something in a file could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// Why.
    pub message: String,
}

impl Manifest {
    /// A text of the object at a JSON pointer; empty where there is none.
    #[must_use]
    pub fn text_at(&self, pointer: &str) -> &str {
        let found = self.object.pointer(pointer);
        found.and_then(Value::as_str).unwrap_or_default()
    }

    /// `kind`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.text_at("/kind")
    }

    /// `metadata.name`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.text_at("/metadata/name")
    }

    /// `metadata.namespace`, else `or`.
    #[must_use]
    pub fn namespace<'a>(&'a self, or: &'a str) -> &'a str {
        match self.text_at("/metadata/namespace") {
            "" => or,
            name => name,
        }
    }

    /// Whether it is of a kind of this group; the core group is the empty one.
    #[must_use]
    pub fn is(&self, group: &str, kind: &str) -> bool {
        let version = self.text_at("/apiVersion");
        let of = version.split_once('/').map_or("", |(group, _)| group);
        self.kind() == kind && of == group
    }

    /// Whether it stands in a List.
    #[must_use]
    pub fn is_item(&self) -> bool {
        !self.within.is_empty()
    }

    /// The line of the file on which a field stands; where it is missing, the nearest field around it.
    #[must_use]
    pub fn line_of(&self, path: &str) -> usize {
        let whole = match (self.within.as_str(), path) {
            ("", path) => path.to_owned(),
            (within, "") => within.to_owned(),
            (within, path) => format!("{within}.{path}"),
        };
        self.first_line + locate::line(&self.text, &whole)
    }

    /// The text of this object alone.
    #[must_use]
    pub fn own_text(&self) -> String {
        if self.within.is_empty() {
            return self.text.to_string();
        }
        self.object.to_string()
    }
}

/// Reads files, folders (every `.yaml`, `.yml` and `.json` in them) and `-`, standard input.
#[must_use]
pub fn read(paths: &[PathBuf]) -> (Vec<Manifest>, Vec<Problem>) {
    let (mut manifests, mut problems) = (Vec::new(), Vec::new());
    for path in paths {
        for (name, text) in texts(path) {
            match text {
                Ok(text) => parse(&name, &text, &mut manifests, &mut problems),
                Err(error) => problems.push(Problem {
                    file: name,
                    line: 1,
                    message: format!("cannot be read: {error}"),
                }),
            }
        }
    }
    (manifests, problems)
}

type Text = (Arc<str>, std::io::Result<String>);

fn texts(path: &Path) -> Vec<Text> {
    if path == Path::new("-") {
        let mut text = String::new();
        let read = std::io::stdin().take(LARGEST).read_to_string(&mut text);
        return vec![("-".into(), read.map(|_| text))];
    }
    let name: Arc<str> = path.display().to_string().into();
    if !path.is_dir() {
        return vec![(name, read_file(path))];
    }
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => return vec![(name, Err(error))],
    };
    let mut inside: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    inside.sort();
    let is_manifest = |path: &PathBuf| {
        let extension = path.extension().and_then(|it| it.to_str());
        path.is_dir() || matches!(extension, Some("yaml" | "yml" | "json"))
    };
    inside
        .iter()
        .filter(|path| is_manifest(path))
        .flat_map(|path| texts(path))
        .collect()
}

fn read_file(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    let file = std::fs::File::open(path)?;
    if file.metadata()?.len() > LARGEST {
        return Err(std::io::Error::other(format!(
            "it has more than {LARGEST} bytes"
        )));
    }
    file.take(LARGEST).read_to_string(&mut text)?;
    Ok(text)
}

/// Takes the objects out of a text, documents and Lists alike.
pub fn parse(
    file: &Arc<str>,
    text: &str,
    manifests: &mut Vec<Manifest>,
    problems: &mut Vec<Problem>,
) {
    for (before, text) in documents(text) {
        let value = serde_yaml::Deserializer::from_str(text);
        let value = match Value::deserialize(value) {
            Ok(Value::Null) => continue,
            Ok(value) => value,
            // Nothing but comments.
            Err(_)
                if text
                    .lines()
                    .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) =>
            {
                continue;
            }
            Err(error) => {
                let line = error.location().map_or(1, |at| at.line());
                problems.push(Problem {
                    file: file.clone(),
                    line: before + line,
                    message: format!("is not YAML that can be read: {error}"),
                });
                continue;
            }
        };
        if !value.is_object() {
            problems.push(Problem {
                file: file.clone(),
                line: before + 1,
                message: "holds no object of Kubernetes".to_owned(),
            });
            continue;
        }
        let text: Arc<str> = text.into();
        let manifest = |object: Value, within: String| Manifest {
            file: file.clone(),
            object,
            text: text.clone(),
            first_line: before + 1,
            within,
        };
        let items = value["kind"]
            .as_str()
            .filter(|kind| kind.ends_with("List"))
            .and_then(|_| value["items"].as_array());
        match items {
            Some(items) => manifests.extend(
                items
                    .iter()
                    .enumerate()
                    .map(|(index, item)| manifest(item.clone(), format!("items[{index}]"))),
            ),
            None => manifests.push(manifest(value, String::new())),
        }
    }
}

/// The documents of a text, each with the number of lines before it. A line of `---` cannot stand inside of a document.
fn documents(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let (mut begin, mut begin_line, mut at) = (0, 0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let bare = line.trim_end();
        if bare == "---" || bare.starts_with("--- ") {
            found.push((begin_line, &text[begin..at]));
            (begin, begin_line) = (at + line.len(), number + 1);
        }
        at += line.len();
    }
    found.push((begin_line, &text[begin..]));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Vec<Manifest>, Vec<Problem>) {
        let (mut manifests, mut problems) = (Vec::new(), Vec::new());
        parse(&"f.yaml".into(), text, &mut manifests, &mut problems);
        (manifests, problems)
    }

    #[test]
    fn documents_are_told_apart_and_keep_their_lines() {
        let (manifests, problems) = parsed(
            "# a file\n---\nkind: A\nmetadata:\n  name: one\n---\n# nothing\n---\nkind: B\nmetadata: {name: two}\n",
        );
        assert!(problems.is_empty(), "{problems:?}");
        let told: Vec<_> = manifests
            .iter()
            .map(|it| (it.kind(), it.name(), it.line_of("metadata.name")))
            .collect();
        assert_eq!(told, [("A", "one", 5), ("B", "two", 10)]);
    }

    #[test]
    fn a_list_is_its_items() {
        let (manifests, _) = parsed(
            "kind: List\nitems:\n- kind: A\n  metadata:\n    name: one\n- kind: B\n  metadata:\n    name: two\n",
        );
        let told: Vec<_> = manifests
            .iter()
            .map(|it| (it.name(), it.line_of("metadata.name"), it.line_of("")))
            .collect();
        assert_eq!(told, [("one", 5, 3), ("two", 8, 6)]);
    }

    #[test]
    fn what_is_no_yaml_is_told_with_its_line() {
        let (manifests, problems) = parsed("kind: A\n---\nkind: B\n  bad: : x\n---\njust words\n");
        assert_eq!(manifests.len(), 1);
        let lines: Vec<_> = problems.iter().map(|it| it.line).collect();
        assert_eq!(lines, [4, 6], "{problems:?}");
    }

    #[test]
    fn groups_tell_kinds_apart() {
        let (manifests, _) = parsed(
            "apiVersion: v1\nkind: Service\n---\napiVersion: serving.knative.dev/v1\nkind: Service\n",
        );
        assert!(manifests[0].is("", "Service"));
        assert!(!manifests[1].is("", "Service"));
        assert!(manifests[1].is("serving.knative.dev", "Service"));
    }
}
