//! What servers have greeted with, so that a login need not ask one.
//!
//! A server reports its parameters once to every connection. What it has reported to a connection of the sidecar's own, and
//! to clients with the same baseline, is said again to those who come later: in Transaction mode a login then needs no
//! server connection at all.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::baseline::{Settings, Value};
use crate::factory::key::FactoryKey;

/// Greetings kept per entry; beyond it, logins ask a server.
const GREETINGS: usize = 64;

/// The parameters that a server reports, as told to each client.
pub type Reported = Rc<[(Box<str>, Box<str>)]>;

/// The greetings of one entry.
#[derive(Debug, Default)]
pub struct Greetings(RefCell<Vec<Greeting>>);

#[derive(Debug)]
struct Greeting {
    database: Arc<str>,
    role: Arc<str>,
    baseline: Rc<Settings>,
    reported: Reported,
}

impl Greetings {
    /// The greeting for a client with this baseline, and the baseline as others hold it.
    #[must_use]
    pub fn get(&self, key: &FactoryKey, baseline: &Settings) -> Option<(Rc<Settings>, Reported)> {
        let known = self.0.borrow();
        let mut of_lane = known
            .iter()
            .filter(|greeting| greeting.database == key.database && greeting.role == key.role);
        let same = of_lane
            .clone()
            .find(|greeting| *greeting.baseline == *baseline);
        if let Some(greeting) = same {
            return Some((Rc::clone(&greeting.baseline), Rc::clone(&greeting.reported)));
        }
        let plain = of_lane.find(|greeting| greeting.baseline.is_empty())?;
        let reported = foretold(&plain.reported, baseline)?;
        drop(known);
        let baseline = Rc::new(baseline.clone());
        self.keep(key, &baseline, &reported);
        Some((baseline, reported))
    }

    /// Whether a connection without any baseline has been greeted in this lane.
    #[must_use]
    pub fn knows_plain(&self, database: &Arc<str>, role: &Arc<str>) -> bool {
        let known = self.0.borrow();
        known.iter().any(|greeting| {
            greeting.database == *database && greeting.role == *role && greeting.baseline.is_empty()
        })
    }

    /// Remembers what a server has reported to a connection without any baseline.
    pub fn keep_plain(&self, database: &Arc<str>, role: &Arc<str>, reported: Reported) {
        self.0.borrow_mut().push(Greeting {
            database: Arc::clone(database),
            role: Arc::clone(role),
            baseline: Rc::default(),
            reported,
        });
    }

    /// Remembers what a server has reported to a client with this baseline.
    pub fn keep(&self, key: &FactoryKey, baseline: &Rc<Settings>, reported: &Reported) {
        let mut known = self.0.borrow_mut();
        if known.len() < GREETINGS && !baseline.is_empty() {
            known.push(Greeting {
                database: Arc::clone(&key.database),
                role: Arc::clone(&key.role),
                baseline: Rc::clone(baseline),
                reported: Rc::clone(reported),
            });
        }
    }

    /// Forgets all: another upstream may say something else.
    pub fn forget(&self) {
        self.0.borrow_mut().clear();
    }
}

/// What a server would report under this baseline, where that can be said with certainty from what it reports without one:
/// the application's name comes back as it was sent, UTF-8 has one canonical name, and `extra_float_digits` is not reported.
fn foretold(plain: &Reported, baseline: &Settings) -> Option<Reported> {
    let mut told: Vec<_> = plain.to_vec();
    for (name, value) in baseline.iter() {
        let Value::Text(value) = value else {
            return None;
        };
        match name {
            "application_name" if value.bytes().all(|byte| (32..127).contains(&byte)) => {
                replace(&mut told, "application_name", value);
            }
            "client_encoding" if is_utf8(value) => replace(&mut told, "client_encoding", "UTF8"),
            "extra_float_digits" if matches!(&**value, "0" | "1" | "2" | "3") => {}
            _ => return None,
        }
    }
    Some(told.into())
}

fn is_utf8(value: &str) -> bool {
    ["utf8", "utf-8", "unicode"]
        .iter()
        .any(|name| value.eq_ignore_ascii_case(name))
}

fn replace(told: &mut [(Box<str>, Box<str>)], name: &str, value: &str) {
    if let Some((_, known)) = told.iter_mut().find(|(known, _)| **known == *name) {
        *known = value.into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::factory::key::Owner;

    fn key() -> FactoryKey {
        FactoryKey {
            policy: "p".into(),
            upstream: "main".into(),
            database: "chat".into(),
            role: "app".into(),
            owner: Owner::Shared,
        }
    }

    fn settings(pairs: &[(&str, &str)]) -> Settings {
        let mut settings = Settings::new();
        for (name, value) in pairs {
            settings.set(name, Value::Text((*value).into()));
        }
        settings
    }

    fn greeted() -> Greetings {
        let greetings = Greetings::default();
        let reported: Vec<(Box<str>, Box<str>)> = vec![
            ("application_name".into(), "".into()),
            ("client_encoding".into(), "SQL_ASCII".into()),
        ];
        greetings.keep_plain(&key().database, &key().role, reported.into());
        greetings
    }

    #[test]
    fn a_name_and_utf8_are_foretold() {
        let greetings = greeted();
        let baseline = settings(&[("application_name", "web"), ("client_encoding", "utf-8")]);
        let (_, reported) = greetings.get(&key(), &baseline).unwrap();
        assert_eq!(&*reported[0].1, "web");
        assert_eq!(&*reported[1].1, "UTF8");
    }

    #[test]
    fn what_the_server_would_have_to_judge_is_asked() {
        let greetings = greeted();
        for pair in [
            ("timezone", "UTC"),
            ("client_encoding", "LATIN1"),
            ("application_name", "caf\u{e9}"),
        ] {
            assert!(
                greetings.get(&key(), &settings(&[pair])).is_none(),
                "{pair:?}"
            );
        }
    }

    #[test]
    fn another_role_is_greeted_by_its_own_server_connection() {
        let greetings = greeted();
        let other = FactoryKey {
            role: "other".into(),
            ..key()
        };
        assert!(greetings.get(&other, &Settings::new()).is_none());
    }
}
