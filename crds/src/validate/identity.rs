//! Rules about who is calling.

use serde_json::Value;

use super::rule::{Complaint, Complaints, complain, database};
use crate::effective::{EffectiveDatabase, EffectivePolicy, Origin};
use crate::kinds::{
    AuthMode, IdentitySource, Jwks, RowLevelSecurity, SqlScope, TargetSessionAttrs, Tier,
};

/// Names that the sidecar keeps for itself: no such parameter ever reaches the server.
const RESERVED: &str = "bulkhead.";

pub(super) fn jwt_missing(policy: &EffectivePolicy) -> Complaints {
    let missing = policy.identity.source == IdentitySource::Jwt && policy.identity.jwt.is_none();
    let message = "is missing, and source Jwt needs it: say where the keys are in jwt.jwks";
    missing
        .then(|| complain("identity.jwt", message))
        .into_iter()
        .collect()
}

/// The key sets of a policy, with their paths.
fn key_sets(policy: &EffectivePolicy) -> impl Iterator<Item = (&'static str, &Jwks)> {
    let jwt = policy
        .identity
        .jwt
        .as_ref()
        .map(|jwt| ("identity.jwt.jwks", &jwt.jwks));
    let context = policy
        .identity
        .signed_context
        .as_ref()
        .and_then(|context| context.jwks.as_ref());
    jwt.into_iter()
        .chain(context.map(|jwks| ("identity.signedContext.jwks", jwks)))
}

pub(super) fn jwks_source(policy: &EffectivePolicy) -> Complaints {
    let count = |jwks: &Jwks| {
        usize::from(jwks.secret_ref.is_some())
            + usize::from(jwks.uri.is_some())
            + usize::from(jwks.inline.is_some())
    };
    key_sets(policy)
        .filter(|(_, jwks)| count(jwks) != 1)
        .map(|(path, jwks)| {
            complain(
                path,
                format!(
                    "has {} sources: write exactly one of secretRef, uri and inline",
                    count(jwks)
                ),
            )
        })
        .collect()
}

/// Keys fetched in the clear are whoever's is on the way.
pub(super) fn jwks_insecure(policy: &EffectivePolicy) -> Complaints {
    key_sets(policy)
        .filter_map(|(path, jwks)| Some((path, jwks.uri.as_ref()?.strip_prefix("http://")?)))
        .filter(|(_, rest)| !is_loopback(host_of(rest)))
        .map(|(path, _)| {
            let message = "fetches keys without TLS, so whoever is on the way can sign tokens: write an https:// address";
            complain(format!("{path}.uri"), message)
        })
        .collect()
}

/// The host of an address whose scheme has been taken off.
fn host_of(rest: &str) -> &str {
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    match host.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    }
}

/// Whether a host is this machine by its very spelling.
pub(super) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse()
            .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// A key set in a policy is read by everyone who may read the policy.
pub(super) fn jwks_inline(policy: &EffectivePolicy) -> Complaints {
    key_sets(policy)
        .filter_map(|(path, jwks)| Some((path, inline_fault(jwks.inline.as_ref()?)?)))
        .map(|(path, fault)| complain(format!("{path}.inline"), fault))
        .collect()
}

fn inline_fault(document: &str) -> Option<&'static str> {
    let Ok(Value::Object(set)) = serde_json::from_str(document) else {
        return Some("is not JSON: write a JWK set, {\"keys\": […]}");
    };
    let Some(keys) = set
        .get("keys")
        .and_then(Value::as_array)
        .filter(|keys| !keys.is_empty())
    else {
        return Some("has no keys: write a JWK set, {\"keys\": […]}");
    };
    let secret =
        |key: &Value| key["kty"] == "oct" || key.get("d").is_some() || key.get("k").is_some();
    keys.iter()
        .any(secret)
        .then_some("holds a secret or private key, which everyone who may read the policy could sign with: use secretRef")
}

/// A token for another application of the same issuer would do.
pub(super) fn any_audience(policy: &EffectivePolicy) -> Complaints {
    let Some(jwt) = policy
        .identity
        .jwt
        .as_ref()
        .filter(|_| policy.identity.source == IdentitySource::Jwt)
    else {
        return Vec::new();
    };
    let open = jwt.audiences.as_ref().is_none_or(Vec::is_empty);
    let message = "is not set, so a token without `aud` is accepted whoever it is for, and one with it is refused: name this application's audience";
    open.then(|| complain("identity.jwt.audiences", message))
        .into_iter()
        .collect()
}

pub(super) fn placeholders_allowed(policy: &EffectivePolicy) -> Complaints {
    let message = "is false, so users called null, test or anonymous share one factory: leave it out once no client sends such ids";
    (!policy.identity.reject_placeholders)
        .then(|| complain("identity.rejectPlaceholders", message))
        .into_iter()
        .collect()
}

/// A pool that only sends ROLLBACK on return leaves the user behind.
pub(super) fn connection_scope(policy: &EffectivePolicy) -> Complaints {
    let message = "Connection outlives the transaction: a pool that sends only ROLLBACK on return hands its next caller the last one's user; use Transaction";
    (policy.identity.in_sql == Some(SqlScope::Connection))
        .then(|| complain("identity.inSql.scope", message))
        .into_iter()
        .collect()
}

/// The field that lets clients name users in SQL, where one does.
pub(super) fn names_in_sql(policy: &EffectivePolicy) -> Option<&'static str> {
    let trusted = policy.identity.trusted.as_ref();
    if policy.identity.in_sql.is_some() {
        return Some("identity.inSql");
    }
    trusted
        .and_then(|trusted| trusted.setting.as_ref())
        .map(|_| "identity.trusted.setting")
}

/// Work that belongs to nobody has no user to be named.
pub(super) fn named_in_shared(policy: &EffectivePolicy) -> Complaints {
    let shared = policy.isolation.tier == Tier::Shared;
    let message = "lets clients name users in SQL, and in tier Shared work belongs to nobody: leave it out, or use Dedicated or Reset";
    names_in_sql(policy)
        .filter(|_| shared)
        .map(|path| complain(path, message))
        .into_iter()
        .collect()
}

pub(super) fn reserved_parameter(policy: &EffectivePolicy) -> Complaints {
    let setting = policy
        .identity
        .trusted
        .as_ref()
        .and_then(|trusted| trusted.setting.as_ref());
    let parameters = policy.databases.iter().filter_map(|one| {
        Some((
            database(&one.name, "session.userParameter"),
            one.user_parameter.as_ref()?,
        ))
    });
    setting
        .map(|setting| ("identity.trusted.setting".to_owned(), setting))
        .into_iter()
        .chain(parameters)
        .filter(|(_, parameter)| parameter.to_ascii_lowercase().starts_with(RESERVED))
        .map(|(path, _)| {
            complain(path, "begins with `bulkhead.`, which never reaches the server: use a prefix of the application's, such as app.user_id")
        })
        .collect()
}

/// What a claim proves is who the user is, and in Trusted nobody has proven that.
pub(super) fn trusted_signed(policy: &EffectivePolicy) -> Complaints {
    per_trusted_database(policy, |one| {
        let signed = one.row_level_security == RowLevelSecurity::Signed;
        let message = "Signed would sign whatever the application says, with identity.source Trusted: use SignedContext or Jwt, or rowLevelSecurity Parameter";
        signed.then(|| complain(database(&one.name, "session.rowLevelSecurity"), message))
    })
}

/// The entries whose user is proven by a claim.
pub(super) fn signed(policy: &EffectivePolicy) -> impl Iterator<Item = &EffectiveDatabase> {
    let databases = policy.databases.iter();
    databases.filter(|one| one.row_level_security == RowLevelSecurity::Signed)
}

/// Work that belongs to nobody has no user to be proven.
pub(super) fn signed_in_shared(policy: &EffectivePolicy) -> Complaints {
    let shared = policy.isolation.tier == Tier::Shared;
    let message = "Signed proves whose a session is, and with isolation.tier Shared it is nobody's: use Dedicated or Reset, or rowLevelSecurity Parameter";
    signed(policy)
        .filter(|_| shared)
        .map(|one| complain(database(&one.name, "session.rowLevelSecurity"), message))
        .collect()
}

/// A proof begins with a write, which a standby refuses.
pub(super) fn signed_on_standby(policy: &EffectivePolicy) -> Complaints {
    use TargetSessionAttrs as T;
    let complaints = signed(policy).filter_map(|one| {
        let upstream = &one.upstream;
        let several = upstream.hosts().nth(1).is_some();
        let leads = match upstream.target_session_attrs {
            T::Primary | T::ReadWrite => return None,
            T::Any if !several => return None,
            T::Any => "Any takes the first host that answers, which may be a standby".to_owned(),
            wanted => format!("{wanted} leads to a standby"),
        };
        let message = format!("{leads}, and there rowLevelSecurity Signed can prove nobody, for it writes when a session begins: write Primary or ReadWrite, or rowLevelSecurity Parameter");
        Some(complain(database(&one.name, "upstream.targetSessionAttrs"), message))
    });
    complaints.collect()
}

pub(super) fn signing_key_missing(policy: &EffectivePolicy) -> Complaints {
    let message = "is missing, and rowLevelSecurity Signed needs it: name a Secret whose key signing-keys has the lines that sql/signed-user.sql asks for";
    signed(policy)
        .filter(|one| one.signing_key_secret_ref.is_none())
        .map(|one| complain(database(&one.name, "session.signingKeySecretRef"), message))
        .collect()
}

pub(super) fn signing_key_unused(policy: &EffectivePolicy) -> Complaints {
    let message = "is not read with rowLevelSecurity Parameter: write rowLevelSecurity Signed, or leave it out";
    let databases = policy.databases.iter();
    databases
        .filter(|one| one.row_level_security == RowLevelSecurity::Parameter)
        .filter(|one| one.signing_key_secret_ref.is_some())
        .map(|one| {
            complain(
                database(&one.name, "session.signingKeySecretRef.name"),
                message,
            )
        })
        .collect()
}

/// Trusting the application and asking it for no password is a decision, so it is written down.
pub(super) fn trust_unwritten(policy: &EffectivePolicy) -> Complaints {
    per_trusted_database(policy, |one| {
        let path = database(&one.name, "listen.auth.mode");
        let unwritten =
            one.listen.auth_mode == AuthMode::Trust && *policy.origins.of(&path) == Origin::Default;
        let message = "is not written, and with identity.source Trusted any process that reaches the port may act as any user: write `auth: {mode: Scram, secretRef: …}`, or `auth: {mode: Trust}` where that is meant";
        unwritten.then(|| complain(path, message))
    })
}

pub(super) fn trusted_by_all(policy: &EffectivePolicy) -> Complaints {
    per_trusted_database(policy, |one| {
        let path = database(&one.name, "listen.auth.mode");
        let written =
            one.listen.auth_mode == AuthMode::Trust && *policy.origins.of(&path) != Origin::Default;
        // Beyond loopback it is an error, of another rule.
        let within = one.listen.address.is_loopback();
        let message = "Trust lets every container of the pod act as any user, because identity.source is Trusted: use Scram, or SignedContext or Jwt";
        (written && within).then(|| complain(path, message))
    })
}

fn per_trusted_database(
    policy: &EffectivePolicy,
    check: impl Fn(&EffectiveDatabase) -> Option<Complaint>,
) -> Complaints {
    let trusted = policy.identity.source == IdentitySource::Trusted;
    policy
        .databases
        .iter()
        .filter(|_| trusted)
        .filter_map(check)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_an_address_is_what_stands_between_scheme_and_port() {
        for (rest, host) in [
            ("localhost:8080/jwks", "localhost"),
            ("127.0.0.1", "127.0.0.1"),
            ("[::1]:80/x", "::1"),
            ("127.0.0.1@evil.example/", "evil.example"),
            ("idp.example?x=localhost", "idp.example"),
        ] {
            assert_eq!(host_of(rest), host);
        }
    }
}
