//! Rules about what the sidecar dials, and how much of it.

use super::identity::is_loopback;
use super::rule::{Complaints, complain, database, per_database};
use crate::effective::{EffectivePolicy, EffectiveUpstream};
use crate::kinds::{Protocol, Tier, TlsMode, UpstreamRole};

/// Sharing is for work that belongs to nobody.
pub(super) fn shared_tier(policy: &EffectivePolicy) -> Complaints {
    let message = "Shared hands server connections from user to user as they are: keep it for work that belongs to no user (migrations, jobs), in a policy of its own";
    // Where users are named as well, that is an error of its own, which says more.
    let named = super::identity::names_in_sql(policy).is_some()
        || super::identity::signed(policy).next().is_some()
        || super::session::key_prefix_in_shared(policy);
    (policy.isolation.tier == Tier::Shared && !named)
        .then(|| complain("isolation.tier", message))
        .into_iter()
        .collect()
}

/// The system's authorities issue certificates to anybody: without a look at the name they prove nothing.
pub(super) fn ca_missing(policy: &EffectivePolicy) -> Complaints {
    per_database(policy, |one| {
        let missing =
            one.upstream.tls_mode == TlsMode::VerifyCa && one.upstream.tls_ca_secret_ref.is_none();
        let message = "is missing, and VerifyCa does not look at the host name, so any certificate of any public authority would do: name a Secret with ca.crt, or use VerifyFull";
        missing.then(|| complain(database(&one.name, "upstream.tls.caSecretRef"), message))
    })
}

pub(super) fn ca_unused(policy: &EffectivePolicy) -> Complaints {
    per_database(policy, |one| {
        let unused = !verifies(&one.upstream) && one.upstream.tls_ca_secret_ref.is_some();
        let message = format!(
            "is not read with tls mode {}: use VerifyFull, or leave it out",
            one.upstream.tls_mode
        );
        unused.then(|| {
            complain(
                database(&one.name, "upstream.tls.caSecretRef.name"),
                message,
            )
        })
    })
}

fn verifies(upstream: &EffectiveUpstream) -> bool {
    matches!(upstream.tls_mode, TlsMode::VerifyCa | TlsMode::VerifyFull)
}

pub(super) fn tls_on_socket(policy: &EffectivePolicy) -> Complaints {
    per_database(policy, |one| {
        let socket = one.upstream.hosts().any(|it| it.host.starts_with('/'));
        let both = socket && one.upstream.tls_mode != TlsMode::Disable;
        let message = format!(
            "is {}, and a Unix socket has no TLS: write `tls: {{mode: Disable}}`",
            one.upstream.tls_mode
        );
        both.then(|| complain(database(&one.name, "upstream.tls.mode"), message))
    })
}

/// TLS that is off or unverified, on a way that leaves the machine.
pub(super) fn unverified(policy: &EffectivePolicy) -> Complaints {
    per_database(policy, |one| {
        let stays = |host: &str| host.starts_with('/') || is_loopback(host);
        if verifies(&one.upstream) || one.upstream.hosts().all(|it| stays(&it.host)) {
            return None;
        }
        let risk = match one.upstream.tls_mode {
            TlsMode::Disable => "sends queries and rows in the clear",
            _ => {
                "encrypts to whoever answers, so someone on the way can read and change everything"
            }
        };
        let message = format!(
            "{} {risk}: use VerifyFull, with caSecretRef for an authority of your own",
            one.upstream.tls_mode
        );
        Some(complain(database(&one.name, "upstream.tls.mode"), message))
    })
}

pub(super) fn per_user_over_max(policy: &EffectivePolicy) -> Complaints {
    per_database(policy, |one| {
        let pool = &one.pool;
        let message = format!(
            "{} is more than maxConnections {}, which all users share: lower it, or raise maxConnections",
            pool.per_user_max, pool.max_connections
        );
        (pool.per_user_max > pool.max_connections)
            .then(|| complain(database(&one.name, "pool.perUser.max"), message))
    })
}

pub(super) fn warm_over_max(policy: &EffectivePolicy) -> Complaints {
    per_database(policy, |one| {
        let pool = &one.pool;
        let message = format!(
            "{} is more than maxConnections {}: spares count as well, so lower it",
            pool.warm, pool.max_connections
        );
        (pool.warm > pool.max_connections)
            .then(|| complain(database(&one.name, "pool.warm"), message))
    })
}

/// A spare is opened before anybody has said which role and database they want.
pub(super) fn warm_for_whom(policy: &EffectivePolicy) -> Complaints {
    per_database(policy, |one| {
        let missing = match (&one.upstream.credentials_secret_ref, &one.upstream.database) {
            (None, _) => "credentialsSecretRef",
            (_, None) if one.protocol == Protocol::PostgreSQL => "database",
            _ => return None,
        };
        let message = format!(
            "{} has no effect without upstream.{missing}, which a spare connects with: add it, or leave warm out",
            one.pool.warm
        );
        (one.pool.warm > 0).then(|| complain(database(&one.name, "pool.warm"), message))
    })
}

/// What is of one protocol's world, and which protocols know it.
pub(super) fn not_for_protocol(policy: &EffectivePolicy) -> Complaints {
    use Protocol::{ClickHouse, PostgreSQL, Redis};
    const OF: [(&str, &[Protocol]); 15] = [
        ("upstream.hosts", &[PostgreSQL]),
        ("upstream.targetSessionAttrs", &[PostgreSQL]),
        ("upstream.role", &[ClickHouse]),
        ("upstream.userTemplate", &[ClickHouse]),
        ("session.parameters", &[PostgreSQL, ClickHouse]),
        ("session.fixedParameters", &[PostgreSQL, ClickHouse]),
        ("session.userParameter", &[PostgreSQL, ClickHouse]),
        ("session.keyPrefix", &[Redis]),
        ("session.acl", &[Redis]),
        ("session.rowLevelSecurity", &[PostgreSQL]),
        ("session.signingKeySecretRef.name", &[PostgreSQL]),
        ("pool.mode", &[PostgreSQL]),
        ("timeouts.transaction", &[PostgreSQL, Redis]),
        ("timeouts.idleInTransaction", &[PostgreSQL, Redis]),
        ("listen.auth.secretRef", &[PostgreSQL]),
    ];
    let mut complaints = Vec::new();
    for one in &policy.databases {
        for (field, protocols) in OF {
            if protocols.contains(&one.protocol) {
                continue;
            }
            let path = database(&one.name, field);
            let below = format!("{path}.");
            let written = |known: &String| *known == path || known.starts_with(&below);
            if policy.origins.0.keys().any(written) {
                complaints.push(complain(
                    path,
                    format!("has no meaning for {}: leave it out", one.protocol),
                ));
            }
        }
    }
    complaints
}

/// A user's own role is logged in to with the Secret's password.
pub(super) fn role_credentials(policy: &EffectivePolicy) -> Complaints {
    per_database(policy, |one| {
        let upstream = &one.upstream;
        let missing =
            upstream.role == UpstreamRole::PerUser && upstream.credentials_secret_ref.is_none();
        let message = "is missing, and with role PerUser its key password is what every user's own ClickHouse user is logged in to with: name a Secret with username and password";
        missing.then(|| {
            complain(
                database(&one.name, "upstream.credentialsSecretRef"),
                message,
            )
        })
    })
}

pub(super) fn user_template(policy: &EffectivePolicy) -> Complaints {
    per_database(policy, |one| {
        let upstream = &one.upstream;
        let path = database(&one.name, "upstream.userTemplate");
        let written = policy.origins.0.contains_key(&path);
        let unused = written && upstream.role == UpstreamRole::Shared;
        let message = "is not read with role Shared: write role PerUser, or leave it out";
        unused.then(|| complain(path, message))
    })
}
