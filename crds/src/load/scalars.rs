//! A text or a number against its schema: its form, its choices and its bounds.

use std::fmt::Display;
use std::net::IpAddr;

use serde_json::Value;

use super::problems::Problems;
use super::suggest::nearest;
use super::words::{quoted, shown};
use crate::kinds::bounds;

impl Problems {
    /// A text with a parser of its own, whose complaint is better than any pattern's.
    pub(super) fn parsed<T, E: Display>(
        &mut self,
        value: &Value,
        path: &str,
        expected: &str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) {
        match value {
            Value::String(text) => {
                if let Err(error) = parse(text) {
                    self.add(path, error.to_string());
                }
            }
            Value::Number(number) => {
                let unit = if number.is_u64() {
                    ": write a unit"
                } else {
                    ""
                };
                self.add(
                    path,
                    format!("is the number {number}, and must be {expected}{unit}"),
                );
            }
            value => self.add(path, format!("is {}, and must be {expected}", shown(value))),
        }
    }

    pub(super) fn string(&mut self, schema: &Value, text: &str, path: &str) {
        if let Some(choices) = schema["enum"].as_array() {
            let choices: Vec<&str> = choices.iter().filter_map(Value::as_str).collect();
            if !choices.contains(&text) {
                let hint = nearest(text, choices.iter().copied())
                    .map(|meant| format!("; did you mean `{meant}`?"));
                self.add(
                    path,
                    format!(
                        "is {}, and must be one of {}{}",
                        quoted(text),
                        choices.join(", "),
                        hint.unwrap_or_default()
                    ),
                );
            }
            return;
        }
        let length = text.chars().count() as u64;
        if schema["maxLength"]
            .as_u64()
            .is_some_and(|most| length > most)
        {
            self.add(
                path,
                format!(
                    "has {length} characters, and may have {}",
                    schema["maxLength"]
                ),
            );
        } else if schema["minLength"]
            .as_u64()
            .is_some_and(|least| length < least)
        {
            self.add(
                path,
                match schema["minLength"].as_u64() {
                    Some(1) => "is empty, and must not be".to_owned(),
                    _ => format!(
                        "is {}, and must have at least {} characters",
                        quoted(text),
                        schema["minLength"]
                    ),
                },
            );
        } else if let Some(pattern) = schema["pattern"]
            .as_str()
            .filter(|pattern| !bounds::matches(pattern, text))
        {
            let told = bounds::PATTERNS.iter().find(|(known, _)| *known == pattern);
            let told = told.map_or_else(
                || format!("match {pattern}"),
                |(_, told)| format!("be {told}"),
            );
            self.add(path, format!("is {}, and must {told}", quoted(text)));
        }
    }

    pub(super) fn number(&mut self, schema: &Value, number: &serde_json::Number, path: &str) {
        let (least, most) = (schema["minimum"].as_f64(), schema["maximum"].as_f64());
        let value = number.as_f64().unwrap_or(f64::MAX);
        if least.is_some_and(|least| value < least) || most.is_some_and(|most| value > most) {
            let to = most
                .map(|most| format!(" to {most}"))
                .unwrap_or_else(|| " upwards".to_owned());
            self.add(
                path,
                format!("is {number}, and must be {}{to}", least.unwrap_or_default()),
            );
        }
    }
}

pub(super) fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| {
        format!(
            "is {}, and must be an IP address such as 127.0.0.1",
            quoted(text)
        )
    })
}
