//! The line of a YAML document on which a field stands.
//!
//! YAML's parsers keep no positions of values, so this reads the indentation of block style, which people write. Inside of flow style
//! (`{…}`, `[…]`, JSON on one line) it gives the line on which the flow begins, or the nearest field around.

/// The line of a field, from 0.
pub(super) fn line(text: &str, path: &str) -> usize {
    let tokens = tokens(text);
    let mut within = 0..tokens.len();
    let mut found = tokens.first().map_or(0, |token| token.line);
    for segment in segments(path) {
        let next = match &segment {
            Segment::Field(name) => field(&tokens, within.clone(), name),
            Segment::Entry(name) => entry(&tokens, within.clone(), name)
                .or_else(|| field(&tokens, within.clone(), name)),
        };
        let Some(at) = next else {
            return found;
        };
        found = tokens[at].line;
        within = at + 1..end(&tokens, at);
    }
    found
}

/// Something that stands on a line: an entry's `-`, or a field.
struct Token<'a> {
    line: usize,
    indent: usize,
    /// The field's name; none for an entry's `-`.
    field: Option<&'a str>,
    /// What stands behind it.
    rest: &'a str,
}

enum Segment<'a> {
    Field(&'a str),
    /// By position, or by name.
    Entry(&'a str),
}

fn segments(path: &str) -> Vec<Segment<'_>> {
    let mut found = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (name, after) = inside.split_once(']').unwrap_or((inside, ""));
            found.push(Segment::Entry(name));
            rest = after.strip_prefix('.').unwrap_or(after);
        } else {
            let at = rest.find(['.', '[']).unwrap_or(rest.len());
            found.push(Segment::Field(&rest[..at]));
            rest = rest[at..].strip_prefix('.').unwrap_or(&rest[at..]);
        }
    }
    found
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    for (line, content) in text.lines().enumerate() {
        let mut rest = content.trim_start();
        let mut indent = content.len() - rest.len();
        while rest == "-" || rest.starts_with("- ") {
            let after = rest[1..].trim_start();
            found.push(Token {
                line,
                indent,
                field: None,
                rest: after,
            });
            indent += rest.len() - after.len();
            rest = after;
        }
        if !rest.starts_with('#')
            && let Some((name, value)) = key(rest)
        {
            found.push(Token {
                line,
                indent,
                field: Some(name),
                rest: value,
            });
        }
    }
    found
}

/// `name: value`, the name quoted or not.
fn key(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = match text.chars().next()? {
        quote @ ('"' | '\'') => text[1..].split_once(quote)?,
        _ => text.split_at(
            text.find(": ")
                .or_else(|| text.ends_with(':').then(|| text.len() - 1))?,
        ),
    };
    let rest = rest.trim_start().strip_prefix(':')?;
    let is_name = !name.is_empty() && !name.contains(['{', '}', '[', ']', '"']);
    is_name.then(|| (name, rest.trim()))
}

/// Where the value of a token ends.
fn end(tokens: &[Token<'_>], at: usize) -> usize {
    let (indent, is_field) = (tokens[at].indent, tokens[at].field.is_some());
    let belongs = |token: &Token<'_>| {
        // A list may stand at the indentation of the field that it is the value of.
        token.indent > indent || (is_field && token.field.is_none() && token.indent == indent)
    };
    let rest = &tokens[at + 1..];
    at + 1
        + rest
            .iter()
            .position(|token| !belongs(token))
            .unwrap_or(rest.len())
}

fn field(tokens: &[Token<'_>], within: std::ops::Range<usize>, name: &str) -> Option<usize> {
    let indent = tokens[within.clone()]
        .first()
        .filter(|token| token.field.is_some())?
        .indent;
    within
        .into_iter()
        .find(|at| tokens[*at].indent == indent && tokens[*at].field == Some(name))
}

fn entry(tokens: &[Token<'_>], within: std::ops::Range<usize>, name: &str) -> Option<usize> {
    let indent = tokens[within.clone()]
        .first()
        .filter(|token| token.field.is_none())?
        .indent;
    let mut entries = within
        .into_iter()
        .filter(|at| tokens[*at].indent == indent && tokens[*at].field.is_none());
    if let Ok(position) = name.parse::<usize>() {
        return entries.nth(position);
    }
    entries.find(|at| {
        let inside = at + 1..end(tokens, *at);
        let named = field(tokens, inside, "name").map(|it| tokens[it].rest);
        named.map(plain) == Some(name) || flow_name(tokens[*at].rest) == Some(name)
    })
}

/// A scalar without its quotes and without the comment behind it.
fn plain(text: &str) -> &str {
    let bare = text.split(" #").next().unwrap_or_default().trim();
    bare.trim_matches(['"', '\''])
}

/// The name of `{name: x, …}`.
fn flow_name(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('{')?;
    let (_, after) = inside
        .split_once("name:")
        .or_else(|| inside.split_once("\"name\":"))?;
    let value = after.split([',', '}']).next()?;
    Some(plain(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
apiVersion: bulkhead.dev/v1alpha1   # 1
metadata:
  name: chat
  annotations:
    bulkhead.dev/inject: \"false\"
spec:
  # identity: no
  identity: {source: Jwt}
  databases:
  - name: cache
    timeouts: {connect: 3s}
  - protocol: PostgreSQL
    name: \"main\"  # the one
    timeouts:
      connect: 1s
      statement: 2s
  environments:
    - {name: dev, mode: Audit}
    - name: staging
      databases:
        - name: main
          timeouts:
            connect: 35s
";

    #[test]
    fn a_field_is_found_by_its_path() {
        for (path, expected) in [
            ("", 1),
            ("metadata.name", 3),
            ("metadata.annotations[bulkhead.dev/inject]", 5),
            ("spec.identity", 8),
            ("spec.identity.source", 8),
            ("spec.databases[cache].timeouts.connect", 11),
            ("spec.databases[main]", 12),
            ("spec.databases[main].timeouts.statement", 16),
            ("spec.databases[1].timeouts.connect", 15),
            ("spec.databases[main].pool.max", 12),
            ("spec.environments[dev].mode", 18),
            (
                "spec.environments[staging].databases[main].timeouts.connect",
                23,
            ),
            ("spec.environments[nowhere]", 17),
            ("nothing.of.it", 1),
        ] {
            assert_eq!(line(TEXT, path) + 1, expected, "{path}");
        }
    }

    #[test]
    fn indented_json_is_read_alike() {
        let text = "{\n  \"kind\": \"Pod\",\n  \"spec\": {\n    \"hostNetwork\": true\n  }\n}\n";
        assert_eq!(line(text, "spec.hostNetwork"), 3);
        assert_eq!(line("{\"spec\": {\"a\": 1}}", "spec.a"), 0);
    }
}
