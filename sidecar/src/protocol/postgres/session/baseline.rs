//! The run-time parameters that a client's work must find, and what to say to a server connection so that it does. Pure.
//!
//! A client's baseline is what it sent at start-up and what it has SET since in a form that can be repeated. It is applied
//! at checkout, by difference: two clients of one user with the same baseline share connections without a word.

use std::sync::Arc;

/// A parameter's value, in the form in which it can be repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// The text itself; given to the server by `set_config`, which reads lists as start-up does.
    Text(Arc<str>),
    /// What stood behind `SET name TO`, word for word.
    Expression(Arc<str>),
}

/// Parameters and their values, ordered by name. Names are lower case, as PostgreSQL compares them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    entries: Vec<(Arc<str>, Value)>,
}

impl Settings {
    /// No parameters.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// Sets one parameter; the last value counts.
    pub fn set(&mut self, name: &str, value: Value) {
        let name = name.to_ascii_lowercase();
        match self
            .entries
            .binary_search_by(|(known, _)| (**known).cmp(&name))
        {
            Ok(index) => self.entries[index].1 = value,
            Err(index) => self.entries.insert(index, (name.into(), value)),
        }
    }

    /// Takes one parameter out.
    pub fn remove(&mut self, name: &str) {
        let name = name.to_ascii_lowercase();
        self.entries.retain(|(known, _)| **known != *name);
    }

    /// The value of one parameter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        let found = self
            .entries
            .binary_search_by(|(known, _)| (**known).cmp(name))
            .ok()?;
        Some(&self.entries[found].1)
    }

    /// All parameters, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(name, value)| (&**name, value))
    }

    /// These, with `over` laid on top.
    #[must_use]
    pub fn with(&self, over: &Self) -> Self {
        let mut merged = self.clone();
        for (name, value) in over.iter() {
            merged.set(name, value.clone());
        }
        merged
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes that the values hold.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let value_bytes = |value: &Value| match value {
            Value::Text(text) | Value::Expression(text) => text.len(),
        };
        self.entries
            .iter()
            .map(|(name, value)| name.len() + value_bytes(value))
            .sum()
    }
}

/// The SQL that takes a session from `now` to `wanted`; empty where nothing differs.
///
/// `start` is what the connection was opened with: a parameter that `wanted` does not mention goes back to that by RESET,
/// which is just what RESET does.
#[must_use]
pub fn difference(start: &Settings, now: &Settings, wanted: &Settings) -> String {
    if now == wanted {
        return String::new();
    }
    let mut sql = String::new();
    for (name, value) in now.iter() {
        if wanted.get(name).is_none() && start.get(name) != Some(value) {
            sql.push_str("RESET ");
            push_identifier(&mut sql, name);
            sql.push(';');
        }
    }
    for (name, value) in wanted.iter() {
        if now.get(name) != Some(value) {
            push_assignment(&mut sql, name, value);
        }
    }
    sql
}

/// The SQL that sets every parameter of `wanted`, whatever a session has now. RESET ALL leaves session authorization and role
/// alone, which a function may have set, and the first RESET takes the role with it.
#[must_use]
pub fn assert_all(wanted: &Settings) -> String {
    let mut sql = String::from("RESET ALL;RESET SESSION AUTHORIZATION;RESET ROLE;");
    for (name, value) in wanted.iter() {
        push_assignment(&mut sql, name, value);
    }
    sql
}

/// The SQL that sets one parameter for the session.
#[must_use]
pub fn assign(name: &str, value: &str) -> String {
    let mut sql = String::new();
    push_assignment(&mut sql, name, &Value::Text(value.into()));
    sql
}

fn push_assignment(sql: &mut String, name: &str, value: &Value) {
    match value {
        Value::Text(text) => {
            sql.push_str("SELECT pg_catalog.set_config(");
            push_literal(sql, name);
            sql.push(',');
            push_literal(sql, text);
            sql.push_str(",false);");
        }
        Value::Expression(expression) => {
            sql.push_str("SET ");
            push_identifier(sql, name);
            sql.push_str(" TO ");
            sql.push_str(expression);
            sql.push(';');
        }
    }
}

/// A string constant that means the same whatever `standard_conforming_strings` says.
fn push_literal(sql: &mut String, text: &str) {
    let escaped = text.contains('\\');
    sql.push_str(if escaped { " E'" } else { "'" });
    for character in text.chars() {
        match character {
            '\'' => sql.push_str("''"),
            '\\' => sql.push_str("\\\\"),
            other => sql.push(other),
        }
    }
    sql.push('\'');
}

/// A parameter name, each part quoted (`"app"."user_id"`).
fn push_identifier(sql: &mut String, name: &str) {
    for (index, part) in name.split('.').enumerate() {
        if index > 0 {
            sql.push('.');
        }
        sql.push('"');
        sql.push_str(&part.replace('"', "\"\""));
        sql.push('"');
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::new();
        for (name, value) in pairs {
            settings.set(name, Value::Text((*value).into()));
        }
        settings
    }

    #[test]
    fn equal_settings_need_no_words() {
        let same = settings(&[("application_name", "web"), ("TimeZone", "UTC")]);
        assert_eq!(difference(&Settings::new(), &same, &same), "");
    }

    #[test]
    fn only_what_differs_is_said() {
        let now = settings(&[("application_name", "web"), ("timezone", "UTC")]);
        let wanted = settings(&[("application_name", "job"), ("timezone", "UTC")]);
        assert_eq!(
            difference(&Settings::new(), &now, &wanted),
            "SELECT pg_catalog.set_config('application_name','job',false);"
        );
    }

    #[test]
    fn what_is_not_wanted_goes_back_to_the_start() {
        let start = settings(&[("app.user_id", "alice")]);
        let now = start.with(&settings(&[("timezone", "UTC")]));
        assert_eq!(
            difference(&start, &now, &Settings::new()),
            "RESET \"timezone\";"
        );
    }

    #[test]
    fn values_are_quoted_so_that_they_stay_values() {
        let wanted = settings(&[("application_name", "o'; DROP TABLE x; --\\")]);
        assert_eq!(
            difference(&Settings::new(), &Settings::new(), &wanted),
            "SELECT pg_catalog.set_config('application_name', E'o''; DROP TABLE x; --\\\\',false);"
        );
    }

    #[test]
    fn an_expression_is_repeated_word_for_word() {
        let mut wanted = Settings::new();
        wanted.set("search_path", Value::Expression("app, public".into()));
        assert_eq!(
            difference(&Settings::new(), &Settings::new(), &wanted),
            "SET \"search_path\" TO app, public;"
        );
    }

    #[test]
    fn the_last_value_of_a_name_counts_in_any_case() {
        let mut settings = Settings::new();
        settings.set("TimeZone", Value::Text("UTC".into()));
        settings.set("timezone", Value::Text("CET".into()));
        assert_eq!(settings.iter().count(), 1);
        assert_eq!(settings.get("timezone"), Some(&Value::Text("CET".into())));
    }

    #[test]
    fn a_value_of_the_start_that_is_not_wanted_is_left_as_it_is() {
        let start = settings(&[("app.user_id", "alice")]);
        assert_eq!(difference(&start, &start, &Settings::new()), "");
        let now = settings(&[("app.user_id", "bob")]);
        assert_eq!(
            difference(&start, &now, &Settings::new()),
            "RESET \"app\".\"user_id\";"
        );
    }

    #[test]
    fn what_is_not_known_is_said_whole() {
        let wanted = settings(&[("a", "1"), ("b", "2")]);
        assert_eq!(
            assert_all(&wanted),
            "RESET ALL;RESET SESSION AUTHORIZATION;RESET ROLE;SELECT pg_catalog.set_config('a','1',false);SELECT pg_catalog.set_config('b','2',false);"
        );
        assert_eq!(
            assert_all(&Settings::new()),
            "RESET ALL;RESET SESSION AUTHORIZATION;RESET ROLE;"
        );
    }

    #[test]
    fn names_are_quoted_so_that_they_stay_names() {
        let mut wanted = Settings::new();
        wanted.set("a\"; DROP", Value::Expression("1".into()));
        assert_eq!(
            difference(&Settings::new(), &Settings::new(), &wanted),
            "SET \"a\"\"; drop\" TO 1;"
        );
    }

    #[test]
    fn what_is_laid_on_top_counts_and_what_is_taken_out_is_gone() {
        let both = settings(&[("a", "1"), ("b", "1")]).with(&settings(&[("B", "2"), ("c", "3")]));
        assert_eq!(both, settings(&[("a", "1"), ("b", "2"), ("c", "3")]));
        assert_eq!(both.bytes(), 6);
        let mut less = both;
        less.remove("A");
        assert_eq!(less, settings(&[("b", "2"), ("c", "3")]));
    }

    fn some() -> impl Strategy<Value = Settings> {
        prop::collection::btree_map("[a-d]", "[xy'\\\\]{1,2}", 0..4).prop_map(|pairs| {
            let mut settings = Settings::new();
            for (name, value) in pairs {
                settings.set(&name, Value::Text(value.as_str().into()));
            }
            settings
        })
    }

    /// What a server has after this SQL: as much of one as the SQL above needs.
    fn after(start: &Settings, now: &Settings, sql: &str) -> Settings {
        let mut session = now.clone();
        for statement in sql.split(';').filter(|statement| !statement.is_empty()) {
            if let Some(name) = statement.strip_prefix("RESET ") {
                let name = name.trim_matches('"');
                match start.get(name) {
                    Some(value) => session.set(name, value.clone()),
                    None => session.remove(name),
                }
                continue;
            }
            let given = statement
                .strip_prefix("SELECT pg_catalog.set_config('")
                .unwrap();
            let (name, rest) = given.split_once("',").unwrap();
            let rest = rest.strip_suffix(",false)").unwrap().trim_start();
            let (escaped, quoted) = match rest.strip_prefix('E') {
                Some(quoted) => (true, quoted),
                None => (false, rest),
            };
            let inner = quoted
                .strip_prefix('\'')
                .unwrap()
                .strip_suffix('\'')
                .unwrap();
            let mut value = inner.replace("''", "'");
            if escaped {
                value = value.replace("\\\\", "\\");
            }
            session.set(name, Value::Text(value.as_str().into()));
        }
        session
    }

    proptest! {
        #[test]
        fn the_difference_leads_from_what_there_is_to_what_is_wanted(
            start in some(), over in some(), wanted in some(),
        ) {
            let now = start.with(&over);
            let reached = after(&start, &now, &difference(&start, &now, &wanted));
            prop_assert_eq!(reached, start.with(&wanted));
        }
    }
}
