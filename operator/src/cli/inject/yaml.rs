//! YAML that every reader takes for the same: kubectl still reads `on`, `yes` and `y` as booleans, which the writer of a newer YAML leaves bare.

use serde_yaml::Value;

/// Words that some reader of YAML takes for something else than a text.
const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

/// A document in block style.
pub(super) fn text(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

fn block(value: &Value, indent: usize, out: &mut String) {
    match value {
        Value::Mapping(fields) if !fields.is_empty() => {
            for (number, (key, value)) in fields.iter().enumerate() {
                if number > 0 {
                    pad(indent, out);
                }
                out.push_str(&scalar(key));
                out.push(':');
                below(value, indent, out);
            }
        }
        Value::Sequence(elements) if !elements.is_empty() => {
            for (number, element) in elements.iter().enumerate() {
                if number > 0 {
                    pad(indent, out);
                }
                out.push_str("- ");
                block(element, indent + 2, out);
            }
        }
        Value::String(text) if is_literal(text) => literal(text, indent, out),
        value => {
            out.push_str(&scalar(value));
            out.push('\n');
        }
    }
}

/// What stands behind a key. A list stands below it and not further in, as kubectl writes it.
fn below(value: &Value, indent: usize, out: &mut String) {
    let inner = match value {
        Value::Mapping(fields) if !fields.is_empty() => indent + 2,
        Value::Sequence(elements) if !elements.is_empty() => indent,
        value => {
            out.push(' ');
            return block(value, indent + 2, out);
        }
    };
    out.push('\n');
    pad(inner, out);
    block(value, inner, out);
}

fn pad(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// Whether a text of several lines may stand as it is: a script, a file.
fn is_literal(text: &str) -> bool {
    let is_plain = |line: &str| {
        !line.ends_with([' ', '\r'])
            && line
                .chars()
                .all(|c| c == '\t' || !c.is_control() && c != '\u{feff}')
    };
    text.trim_end_matches('\n').contains('\n')
        && !text.starts_with([' ', '\n', '\t'])
        && text.split('\n').all(is_plain)
}

fn literal(text: &str, indent: usize, out: &mut String) {
    let body = text.trim_end_matches('\n');
    out.push_str(match text.len() - body.len() {
        0 => "|-\n",
        1 => "|\n",
        _ => "|+\n",
    });
    for line in body.split('\n') {
        if !line.is_empty() {
            pad(indent.max(2), out);
            out.push_str(line);
        }
        out.push('\n');
    }
    out.extend(std::iter::repeat_n(
        '\n',
        (text.len() - body.len()).saturating_sub(1),
    ));
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) if is_bare(text) => text.clone(),
        // What JSON writes is YAML too, and nobody reads it as anything else.
        Value::String(text) => serde_json::Value::from(text.as_str()).to_string(),
        Value::Number(number) => number.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Mapping(_) => "{}".to_owned(),
        Value::Sequence(_) => "[]".to_owned(),
        Value::Tagged(tagged) => scalar(&tagged.value),
        Value::Null => "null".to_owned(),
    }
}

/// Whether a text may stand without quotes. What begins with a digit may be a number, but for a quantity and an address.
fn is_bare(text: &str) -> bool {
    let begins_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let reads_well = text
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || " /_.-:@+=,()".contains(c));
    let is_word = WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    let is_text = begins_well
        && reads_well
        && !is_word
        && !text.contains(": ")
        && !text.ends_with([' ', ':']);
    is_text || is_amount(text) || text.parse::<std::net::Ipv4Addr>().is_ok()
}

fn is_amount(text: &str) -> bool {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    unit.len() < text.len() && matches!(unit, "m" | "Ki" | "Mi" | "Gi" | "Ti")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(value: &serde_json::Value) -> String {
        let value = serde_yaml::to_value(value).unwrap();
        let written = text(&value);
        let read: Value =
            serde_yaml::from_str(&written).unwrap_or_else(|error| panic!("{error}\n{written}"));
        assert_eq!(read, value, "{written}");
        written
    }

    #[test]
    fn what_some_reader_would_take_for_something_else_is_quoted() {
        for word in [
            "on",
            "Off",
            "YES",
            "y",
            "null",
            "~",
            "1",
            "0x1F",
            "1e3",
            "1_000",
            "012",
            "12:30",
            "2026-01-01",
            ".5",
            "-1",
            "",
            "a: b",
            "a #b",
            "trailing ",
            "- a",
            "{a}",
            "[a]",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "`a",
            "key:",
            "ümlaut",
            "\"quoted\"",
            "tab\there",
            "=",
            "<<",
        ] {
            let written = again(&serde_json::json!({"value": word}));
            assert!(written.starts_with("value: \""), "{written}");
        }
    }

    #[test]
    fn what_everybody_reads_alike_stands_bare() {
        for word in [
            "chat",
            "/bin/sh",
            "500m",
            "64Mi",
            "127.0.0.1",
            "--grace",
            "a b",
            "example.test/sidecar:1",
            "app=chat",
            "run (now)",
        ] {
            let written = again(&serde_json::json!({"value": word}));
            assert_eq!(
                written,
                if word.starts_with('-') {
                    format!("value: \"{word}\"\n")
                } else {
                    format!("value: {word}\n")
                }
            );
        }
    }

    #[test]
    fn a_script_stands_as_it_is() {
        let written = again(
            &serde_json::json!({"args": ["set -e\n\nrun it\n", "a\nb", "a\nb\n\n", " x\ny", "x \ny", "x\r\ny"], "deep": {"list": [{"text": "one\ntwo\n"}]}}),
        );
        assert!(
            written.starts_with("args:\n- |\n  set -e\n\n  run it\n- |-\n  a\n  b\n- |+\n"),
            "{written}"
        );
        assert!(
            written.contains("deep:\n  list:\n  - text: |\n      one\n      two\n"),
            "{written}"
        );
    }

    #[test]
    fn lists_in_lists_and_empty_ones_come_back() {
        again(
            &serde_json::json!({"a": [[1, 2], [], [[3]]], "b": {}, "c": [{}], "d": [{"e": [], "f": {"g": null}}], "h": 1.5, "i": true}),
        );
    }
}
