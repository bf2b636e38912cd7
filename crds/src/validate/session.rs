//! Rules about the run-time parameters that a policy gives to server sessions.

use super::rule::{Complaints, complain, database, per_database};
use crate::effective::{EffectiveDatabase, EffectivePolicy};
use crate::kinds::{Mode, Protocol, TargetSessionAttrs, Tier, UpstreamRole};
use crate::names::key_prefix::PrefixTemplate;

/// What stands in a startup message without being a run-time parameter.
const STARTUP: [&str; 4] = ["user", "database", "options", "replication"];

/// What says whose session it is.
const WHOSE: [&str; 2] = ["role", "session_authorization"];

/// What stands in the address of a request to ClickHouse without being a setting.
const WORDS: [&str; 12] = [
    "password",
    "quota_key",
    "query",
    "query_id",
    "session_id",
    "session_timeout",
    "session_check",
    "compress",
    "decompress",
    "default_format",
    "stacktrace",
    "role",
];

/// Bytes of a name: two identifiers and a dot.
const LONGEST_NAME: usize = 127;

pub(super) fn parameter(policy: &EffectivePolicy) -> Complaints {
    let setting = policy.identity.trusted.as_ref();
    let setting = setting.and_then(|trusted| trusted.setting.as_deref());
    let mut complaints = Vec::new();
    for one in &policy.databases {
        for (name, value) in &one.parameters {
            let fault = fault_of_name(one, setting, name).or_else(|| fault_of_value(value));
            let path = format!("session.parameters.{name}");
            complaints.extend(fault.map(|fault| complain(database(&one.name, &path), fault)));
        }
        let names: Vec<String> = one.parameters.keys().map(|it| it.to_lowercase()).collect();
        let again = names
            .iter()
            .enumerate()
            .find(|(at, name)| names[..*at].contains(name));
        complaints.extend(again.map(|(_, name)| {
            let fault =
                format!("has `{name}` twice, for PostgreSQL does not tell case: leave one out");
            complain(database(&one.name, "session.parameters"), fault)
        }));
    }
    complaints
}

fn fault_of_name(one: &EffectiveDatabase, setting: Option<&str>, name: &str) -> Option<String> {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    let user = [one.user_parameter.as_deref(), setting];
    if !is_name(name) {
        Some(
            "is no name of a run-time parameter: write one such as lock_timeout or app.tenant"
                .to_owned(),
        )
    } else if user.into_iter().flatten().any(is) {
        Some("is what the sidecar tells the user's id by: leave it out".to_owned())
    } else if WHOSE.into_iter().any(is) {
        Some(
            "would change whose session it is: set the role by upstream.credentialsSecretRef"
                .to_owned(),
        )
    } else if one.protocol == Protocol::ClickHouse && WORDS.into_iter().any(is) {
        Some("is a word of ClickHouse's HTTP interface and no setting: leave it out".to_owned())
    } else if STARTUP.into_iter().any(is) {
        Some("is no run-time parameter: write the parameters themselves, one an entry".to_owned())
    } else if name.to_ascii_lowercase().starts_with("bulkhead.") {
        Some("begins with `bulkhead.`, which never reaches the server: use a prefix of the application's".to_owned())
    } else {
        None
    }
}

fn is_name(name: &str) -> bool {
    let begins = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    let goes_on = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$');
    let is_part = |part: &str| {
        part.as_bytes().first().is_some_and(begins) && part.as_bytes().iter().all(goes_on)
    };
    name.len() <= LONGEST_NAME && name.split('.').all(is_part)
}

fn fault_of_value(value: &str) -> Option<String> {
    value
        .contains('\0')
        .then(|| "holds a zero byte, which PostgreSQL cannot take".to_owned())
}

/// A prefix is what lets PostgreSQL take a parameter that it does not know, and what ClickHouse takes for something else.
pub(super) fn user_setting(policy: &EffectivePolicy) -> Complaints {
    per_database(policy, |one| {
        let name = one.user_parameter.as_ref()?;
        let fault = match (one.protocol, name.contains('.')) {
            (Protocol::PostgreSQL, false) => {
                "has no prefix, and PostgreSQL takes only such as one of its own: write one such as app.user_id"
            }
            (Protocol::ClickHouse, true) => {
                "has a dot, and ClickHouse has no such settings: write one such as SQL_bulkhead_user"
            }
            _ => return None,
        };
        Some(complain(
            database(&one.name, "session.userParameter"),
            fault,
        ))
    })
}

/// A server takes a setting of its own alone, or one with the prefix that its configuration gives to custom ones.
pub(super) fn user_setting_prefix(policy: &EffectivePolicy) -> Complaints {
    per_database(policy, |one| {
        let name = one.user_parameter.as_ref()?;
        let doubtful = one.protocol == Protocol::ClickHouse
            && !name.contains('.')
            && !name.starts_with("SQL_");
        let message = "does not begin with SQL_, the prefix that ClickHouse gives to custom settings: queries fail unless custom_settings_prefixes of the server names another one that fits";
        doubtful.then(|| complain(database(&one.name, "session.userParameter"), message))
    })
}

/// What clients may not set must be a parameter, and not the one by which they say who they work for.
pub(super) fn fixed(policy: &EffectivePolicy) -> Complaints {
    let setting = policy.identity.trusted.as_ref();
    let setting = setting.and_then(|trusted| trusted.setting.as_deref());
    let mut complaints = Vec::new();
    for one in &policy.databases {
        for name in &one.fixed_parameters {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            let fault = if !is_name(name) {
                "is no name of a run-time parameter: write one such as lock_timeout or app.tenant"
            } else if setting.is_some_and(is) || name.to_ascii_lowercase().starts_with("bulkhead.")
            {
                "is what clients name their user by: leave it out"
            } else {
                continue;
            };
            let path = database(&one.name, "session.fixedParameters");
            complaints.push(complain(path, format!("`{name}` {fault}")));
        }
    }
    complaints
}

/// Whether keys are to be kept apart where work belongs to no user.
pub(super) fn key_prefix_in_shared(policy: &EffectivePolicy) -> bool {
    let has_prefix =
        |one: &EffectiveDatabase| one.protocol == Protocol::Redis && one.key_prefix.is_some();
    policy.isolation.tier == Tier::Shared && policy.databases.iter().any(has_prefix)
}

/// A key prefix must keep users apart, and there must be users.
pub(super) fn key_prefix(policy: &EffectivePolicy) -> Complaints {
    per_database(policy, |one| {
        let written = one.key_prefix.as_deref()?;
        let path = database(&one.name, "session.keyPrefix");
        if one.protocol != Protocol::Redis {
            return None;
        }
        if policy.isolation.tier == Tier::Shared {
            return Some(complain(
                path,
                "has nobody to keep apart in tier Shared, where work belongs to no user: leave it out",
            ));
        }
        let fault = PrefixTemplate::parse(written).err()?;
        Some(complain(path, fault.to_string()))
    })
}

/// A Redis user of a user's own is held to the prefix, and made with the credentials.
pub(super) fn acl(policy: &EffectivePolicy) -> Complaints {
    let mut complaints = Vec::new();
    for one in with_acl(policy) {
        if one.key_prefix.is_none() {
            let message = "PerUser holds each user's Redis user to their prefix, and there is none: write session.keyPrefix, or leave acl out";
            complaints.push(complain(database(&one.name, "session.acl"), message));
        }
        if one.upstream.credentials_secret_ref.is_none() {
            let message = "is missing, and with acl PerUser its user makes every user's own Redis user, whose passwords are derived from its password: name a Secret with username and password";
            let path = database(&one.name, "upstream.credentialsSecretRef");
            complaints.push(complain(path, message));
        }
    }
    complaints
}

/// Whoever names nobody works with the sidecar's own credentials, and those may make Redis users.
pub(super) fn acl_in_audit(policy: &EffectivePolicy) -> Complaints {
    let message = "PerUser asks for credentials that may change the server's users, and in mode Audit a client that names no acceptable user works with them: keep it for mode Enforce";
    with_acl(policy)
        .filter(|_| policy.mode == Mode::Audit)
        .map(|one| complain(database(&one.name, "session.acl"), message))
        .collect()
}

fn with_acl(policy: &EffectivePolicy) -> impl Iterator<Item = &EffectiveDatabase> {
    let per_user = |one: &&EffectiveDatabase| {
        one.protocol == Protocol::Redis && one.acl == UpstreamRole::PerUser
    };
    policy.databases.iter().filter(per_user)
}

/// Sessions that may not write by default, on servers that are taken only if they may.
pub(super) fn never_writes(policy: &EffectivePolicy) -> Complaints {
    per_database(policy, |one| {
        let named = |name: &&String| name.eq_ignore_ascii_case("default_transaction_read_only");
        let name = one.parameters.keys().find(named)?;
        let value = one.parameters.get(name)?;
        let on = ["on", "true", "yes", "1", "t", "y"]
            .iter()
            .any(|word| value.eq_ignore_ascii_case(word));
        let contradicts = on && one.upstream.target_session_attrs == TargetSessionAttrs::ReadWrite;
        let message = "keeps sessions from writing, and targetSessionAttrs ReadWrite takes only servers where they may: write Primary or Any there, or leave it out";
        let path = format!("session.parameters.{name}");
        contradicts.then(|| complain(database(&one.name, &path), message))
    })
}
