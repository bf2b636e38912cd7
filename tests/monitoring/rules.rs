//! The rules as they are tested: the chart's own file, in which every duration is a sixtieth of what it is.
//!
//! A window of five minutes is one of five seconds, `for: 15m` is 15 s, an hour is a minute. Nothing else changes: shares and rates a second
//! mean what they mean in production, and a count within a window must be reached in a sixtieth of the time, which is harder. Who scrapes and
//! evaluates twice a second sees as many samples in a window as who does it twice a minute.

use std::path::Path;

/// What durations are divided by.
pub(crate) const FACTOR: u64 = 60;

/// The chart's file for this factor.
pub(crate) fn scaled_rules() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/bulkhead/files/rules.yaml");
    scaled(&std::fs::read_to_string(path).unwrap())
}

fn scaled(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| match line.trim_start().strip_prefix("for: ") {
            Some(duration) => {
                let indent = &line[..line.len() - line.trim_start().len()];
                format!("{indent}for: {}\n", sixtieth(duration))
            }
            None => format!("{}\n", after("offset ", &between_brackets(line))),
        });
    lines.collect()
}

/// The windows of a line: what stands in square brackets.
fn between_brackets(line: &str) -> String {
    let mut parts = line.split('[');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (window, rest) = part.split_once(']').expect("a window ends on its line");
        out += &format!("[{}]{rest}", sixtieth(window));
    }
    out
}

/// The duration behind a word.
fn after(word: &str, line: &str) -> String {
    let Some((before, rest)) = line.split_once(word) else {
        return line.to_owned();
    };
    let end = rest.find(|c: char| !c.is_ascii_alphanumeric());
    let (duration, rest) = rest.split_at(end.unwrap_or(rest.len()));
    format!("{before}{word}{}{rest}", sixtieth(duration))
}

/// A duration of Prometheus' of one unit, divided.
fn sixtieth(duration: &str) -> String {
    let (number, unit) = duration.split_at(duration.len() - 1);
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => panic!("{duration} is no duration of one unit"),
    };
    let number: u64 = number.parse().unwrap_or_else(|_| panic!("{duration}"));
    format!("{}ms", number * seconds * 1000 / FACTOR)
}

#[test]
fn durations_are_divided_and_nothing_else_is() {
    for (line, expected) in [
        ("    for: 15m", "    for: 15000ms\n"),
        (
            "rate(x_total{kind!~\"a|b\"}[5m])",
            "rate(x_total{kind!~\"a|b\"}[5000ms])\n",
        ),
        (
            "avg_over_time(a:b:rate5m[1d] offset 1h)",
            "avg_over_time(a:b:rate5m[1440000ms] offset 60000ms)\n",
        ),
        (
            "rate(a[30m]) / rate(b[6h])",
            "rate(a[30000ms]) / rate(b[360000ms])\n",
        ),
        ("  > 86400 *", "  > 86400 *\n"),
        (
            "      summary: within 5m of it",
            "      summary: within 5m of it\n",
        ),
    ] {
        assert_eq!(scaled(line), expected);
    }
    let (plain, scaled) = (
        std::fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/bulkhead/files/rules.yaml"),
        )
        .unwrap(),
        scaled_rules(),
    );
    assert_eq!(plain.lines().count(), scaled.lines().count());
    assert_eq!(
        plain.matches("- alert: ").count(),
        scaled.matches("- alert: ").count()
    );
    assert!(scaled.matches("ms]").count() > 50 && !scaled.contains("[5m]"));
}
