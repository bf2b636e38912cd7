//! The settings of a query: which of them a client may give, and what the sidecar adds. Pure.
//!
//! In an address everything that is no word of the protocol's own is a setting of the query, so this is where clients change them; what a
//! query's text changes is [`super::statement`]'s, and what neither shows is the server's to refuse.

use std::collections::BTreeMap;
use std::time::Duration;

use super::parameters::{Parameter, Parameters};

/// How far the server's own limit stands above the sidecar's: a backstop for a sidecar that has died.
const BACKSTOP: Duration = Duration::from_secs(2);

/// Words of the protocol by which a client would say who it is. Never forwarded: the sidecar logs in with its own credentials.
const WHO: [&str; 3] = ["user", "password", "quota_key"];

/// The setting of the server's own limit.
pub const MAX_EXECUTION_TIME: &str = "max_execution_time";

/// Progress is told in headers, which pass on whole with the answer: so many of them at the most.
const PROGRESS_HEADERS: u64 = 512;

/// How often the server would tell progress where the client does not say.
const PROGRESS_INTERVAL: &str = "http_headers_progress_interval_ms";

/// What clients may not change.
#[derive(Clone, Copy, Debug)]
pub struct Fixed<'a> {
    /// `session.fixedParameters`.
    pub names: &'a [String],
    /// `session.userParameter`.
    pub user_parameter: Option<&'a str>,
}

impl Fixed<'_> {
    /// Whether there is anything to look for in a query's text.
    #[must_use]
    pub const fn asks_for_text(&self) -> bool {
        !self.names.is_empty() || self.user_parameter.is_some()
    }

    /// Whether a client may not change this setting. `profile` stands for many settings at once, so it is never theirs; of the same kind is
    /// a name that the policy lists.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        let listed = self.names.iter().map(String::as_str);
        let mut all = listed.chain(self.user_parameter).chain(["profile"]);
        all.any(|fixed| fixed.eq_ignore_ascii_case(name))
    }

    /// The first parameter of an address that changes what it may not.
    #[must_use]
    pub fn broken_by(&self, parameters: &Parameters) -> Option<String> {
        let breaks = |one: &&Parameter| {
            let name = String::from_utf8_lossy(&one.name);
            self.covers(&name) || loosens(one)
        };
        parameters.iter().find(breaks).map(Parameter::shown_name)
    }
}

/// Whether a parameter would allow more than there is: `readonly` may be tightened (1, 2) and nothing else.
fn loosens(one: &Parameter) -> bool {
    one.is("readonly") && !matches!(one.value.as_slice(), b"1" | b"2")
}

/// What the sidecar gives a query.
#[derive(Clone, Debug, Default)]
pub struct Given<'a> {
    /// `session.parameters`: defaults, which a client may change where they are not fixed.
    pub defaults: Option<&'a BTreeMap<String, String>>,
    /// Whether `session.fixedParameters` is enforced: a default that it names counts whatever the client says.
    pub fixed: Option<Fixed<'a>>,
    /// `session.userParameter`, and the user's id.
    pub user: Option<(&'a str, &'a str)>,
    /// `timeouts.statement`.
    pub statement: Option<Duration>,
    /// The client's own query id, where the server has a place for it.
    pub log_comment: Option<&'a [u8]>,
}

/// The parameters of an address with what the sidecar gives in the place of what it takes away. What the sidecar gives stands in front: a
/// client that asks for `readonly` asks so after it.
#[must_use]
pub fn given(given: &Given<'_>, mut client: Parameters) -> Parameters {
    let mut own = Parameters::default();
    client.remove(|one| WHO.into_iter().any(|name| one.is(name)));
    if let Some((name, value)) = given.user {
        client.remove(|one| one.is(name));
        own.push(name, value);
    }
    for (name, value) in given.defaults.into_iter().flatten() {
        let fixed = given.fixed.is_some_and(|fixed| fixed.covers(name));
        if fixed {
            client.remove(|one| one.is(name));
        }
        if !client.has(name) {
            own.push(name.as_str(), value.as_str());
        }
    }
    if let Some(comment) = given.log_comment
        && !client.has("log_comment")
        && !own.has("log_comment")
    {
        own.push("log_comment", comment);
    }
    limit_time(given.statement, &mut client, &mut own);
    limit_progress(given.statement, &mut client, &mut own);
    own.extend(client);
    own
}

/// The server's own limit: the policy's word where it has one, else the client's where it is the shorter, else the backstop.
fn limit_time(statement: Option<Duration>, client: &mut Parameters, own: &mut Parameters) {
    let Some(statement) = statement else { return };
    if own.has(MAX_EXECUTION_TIME) {
        return;
    }
    let backstop = backstop(statement);
    let asked = client.all(MAX_EXECUTION_TIME).last().and_then(seconds);
    #[expect(clippy::cast_precision_loss, reason = "seconds of a time limit")]
    let shorter = asked.is_some_and(|asked| asked > 0.0 && asked <= backstop as f64);
    if !shorter {
        client.remove(|one| one.is(MAX_EXECUTION_TIME));
        own.push(MAX_EXECUTION_TIME, backstop.to_string());
    }
}

/// A number of seconds as a client writes it: digits and at most one dot. What else a server might read is not taken for a limit.
fn seconds(value: &[u8]) -> Option<f64> {
    let plain = value
        .iter()
        .all(|byte| byte.is_ascii_digit() || *byte == b'.');
    let text = std::str::from_utf8(value).ok().filter(|_| plain)?;
    text.parse().ok()
}

/// `max_execution_time` for a limit of the sidecar's: whole seconds, which every server takes, rounded up so that the server is never first.
#[must_use]
pub fn backstop(statement: Duration) -> u64 {
    let limit = statement + BACKSTOP;
    limit.as_secs() + u64::from(limit.subsec_nanos() > 0)
}

/// A client that wants progress in headers gets it as often as so many headers allow.
fn limit_progress(statement: Option<Duration>, client: &mut Parameters, own: &mut Parameters) {
    let wanted = |parameters: &Parameters| {
        let value = parameters.first("send_progress_in_http_headers");
        value.is_some_and(|value| value != b"0" && value != b"false")
    };
    if !wanted(client) && !wanted(own) {
        return;
    }
    let longest = statement.map_or(24 * 3600, backstop);
    let least = (longest * 1000 / PROGRESS_HEADERS).max(1000);
    let asked = client.all(PROGRESS_INTERVAL).last();
    let asked = asked.and_then(|value| std::str::from_utf8(value).ok()?.parse::<u64>().ok());
    client.remove(|one| one.is(PROGRESS_INTERVAL));
    own.remove(|one| one.is(PROGRESS_INTERVAL));
    own.push(PROGRESS_INTERVAL, asked.unwrap_or(0).max(least).to_string());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Parameters {
        Parameters::parse(query).unwrap()
    }

    #[test]
    fn a_limit_is_rounded_up_and_stands_two_seconds_above() {
        for (milliseconds, seconds) in [(1, 3), (500, 3), (1000, 3), (1001, 4), (30_000, 32)] {
            assert_eq!(backstop(Duration::from_millis(milliseconds)), seconds);
        }
    }

    #[test]
    fn a_client_may_ask_for_less_time_and_not_for_more() {
        for (query, expected) in [
            ("", "max_execution_time=32"),
            ("max_execution_time=5", "max_execution_time=5"),
            ("max_execution_time=0.5", "max_execution_time=0.5"),
            ("max_execution_time=32", "max_execution_time=32"),
            ("max_execution_time=33", "max_execution_time=32"),
            ("max_execution_time=0", "max_execution_time=32"),
            ("max_execution_time=-1", "max_execution_time=32"),
            ("max_execution_time=inf", "max_execution_time=32"),
            ("max_execution_time=1e9", "max_execution_time=32"),
            (
                "max_execution_time=5&MAX_EXECUTION_TIME=99",
                "max_execution_time=32",
            ),
        ] {
            let given = given(
                &Given {
                    statement: Some(Duration::from_secs(30)),
                    ..Given::default()
                },
                parse(query),
            );
            assert_eq!(given.encode(), expected, "{query}");
        }
    }

    #[test]
    fn who_a_client_says_it_is_is_not_forwarded() {
        let sent = "user=root&PASSWORD=x&quota%5Fkey=y&query=SELECT+1";
        let given = given(&Given::default(), parse(sent));
        assert_eq!(given.encode(), "query=SELECT+1");
    }

    #[test]
    fn the_sidecars_settings_stand_in_front_and_the_users_id_is_its_own() {
        let defaults = BTreeMap::from([
            ("max_threads".to_owned(), "4".to_owned()),
            ("max_memory_usage".to_owned(), "1000".to_owned()),
        ]);
        let names = ["max_memory_usage".to_owned()];
        let fixed = Fixed {
            names: &names,
            user_parameter: Some("SQL_bulkhead_user"),
        };
        let plan = Given {
            defaults: Some(&defaults),
            fixed: Some(fixed),
            user: Some(("SQL_bulkhead_user", "alice&bob")),
            statement: None,
            log_comment: Some(b"mine"),
        };
        let sent = "readonly=1&max_threads=2&max_memory_usage=9&sql_bulkhead_user=bob";
        assert_eq!(
            given(&plan, parse(sent)).encode(),
            "SQL_bulkhead_user=alice%26bob&max_memory_usage=1000&log_comment=mine&readonly=1&max_threads=2"
        );
        let commented = given(&plan, parse("log_comment=theirs")).encode();
        assert!(commented.ends_with("&log_comment=theirs") && !commented.contains("mine"));
    }

    #[test]
    fn a_policys_own_limit_of_the_server_counts() {
        let defaults = BTreeMap::from([(MAX_EXECUTION_TIME.to_owned(), "60".to_owned())]);
        let plan = Given {
            defaults: Some(&defaults),
            statement: Some(Duration::from_secs(1)),
            ..Given::default()
        };
        assert_eq!(given(&plan, parse("")).encode(), "max_execution_time=60");
    }

    #[test]
    fn progress_is_told_as_often_as_headers_allow() {
        for (statement, query, expected) in [
            (Some(30), "send_progress_in_http_headers=1", "1000"),
            (None, "send_progress_in_http_headers=1", "168750"),
            (
                Some(3600),
                "send_progress_in_http_headers=1&http_headers_progress_interval_ms=9000",
                "9000",
            ),
        ] {
            let plan = Given {
                statement: statement.map(Duration::from_secs),
                ..Given::default()
            };
            let given = given(&plan, parse(query));
            assert_eq!(
                given.all(PROGRESS_INTERVAL).collect::<Vec<_>>(),
                [expected.as_bytes()]
            );
        }
    }

    #[test]
    fn what_is_fixed_is_found_in_any_spelling() {
        let names = ["max_memory_usage".to_owned(), "database".to_owned()];
        let fixed = Fixed {
            names: &names,
            user_parameter: Some("SQL_bulkhead_user"),
        };
        for (query, broken) in [
            ("query=x&max_threads=1", None),
            ("max%5Fmemory_usage=1", Some("max_memory_usage")),
            ("Database=x", Some("Database")),
            ("SQL_BULKHEAD_USER=bob", Some("SQL_BULKHEAD_USER")),
            ("profile=admin", Some("profile")),
            ("readonly=2", None),
            ("readonly=0", Some("readonly")),
            ("readonly=", Some("readonly")),
        ] {
            assert_eq!(fixed.broken_by(&parse(query)).as_deref(), broken, "{query}");
        }
    }
}
