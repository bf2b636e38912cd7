//! What a database entry is made of beside its settings: the upstream's connector, and what the policy's Secrets hold for it.

use std::sync::Arc;

use bulkhead_crds::effective::{EffectiveDatabase, EffectivePolicy};
use bulkhead_crds::kinds::{AuthMode, ListenTls as Source, Protocol, RowLevelSecurity};
use bulkhead_crds::names::key_prefix::PrefixTemplate;
use bulkhead_crds::names::objects::{SIGNING_KEYS, issued_certificate};

use super::{DatabaseForce, ForceError};
use crate::protocol::postgres::handshake::{ClientAuth, ListenTls, ScramVerifier};
use crate::secrets::Secrets;
use crate::signed::SigningKeys;
use crate::upstream::{Connector, Resolver};

/// Connections of an older epoch are not reused: to another upstream, and where what RESET goes back to, what row-level security goes by, or
/// what a Redis user is held to has changed with the tier or the session's settings.
pub(super) fn epoch(
    settings: &EffectiveDatabase,
    policy: &EffectivePolicy,
    before: Option<&Arc<DatabaseForce>>,
) -> u64 {
    before.map_or(0, |before| {
        let same = before.settings.upstream == settings.upstream
            && before.settings.user_parameter == settings.user_parameter
            && before.settings.row_level_security == settings.row_level_security
            && before.settings.parameters == settings.parameters
            && before.settings.key_prefix == settings.key_prefix
            && before.settings.acl == settings.acl
            && before.tier() == policy.isolation.tier;
        before.epoch + u64::from(!same)
    })
}

/// Credentials are read afresh at each dial; that they are there is asked now, so that a reference to nowhere is refused
/// before anybody depends on it.
pub(super) fn connector(
    settings: &EffectiveDatabase,
    before: Option<&Arc<DatabaseForce>>,
    secrets: &Arc<Secrets>,
    resolver: &Resolver,
) -> Result<Connector, ForceError> {
    let connector = Connector::new(settings, secrets, resolver)?;
    connector
        .check_credentials()
        .map_err(|source| ForceError::Credentials {
            entry: settings.name.clone(),
            source,
        })?;
    // What is known of servers holds for every revision that dials the same ones.
    let same = before.filter(|before| before.settings.upstream == settings.upstream);
    Ok(match same {
        Some(before) => connector.succeeding(&before.connector),
        None => connector,
    })
}

/// The keys of an entry whose row-level security asks for them; validation has seen to it that they are named.
pub(crate) fn signing_keys(
    settings: &EffectiveDatabase,
    secrets: &Secrets,
) -> Result<Option<Arc<SigningKeys>>, ForceError> {
    let reference = settings.signing_key_secret_ref.as_ref();
    let signed = settings.row_level_security == RowLevelSecurity::Signed;
    let Some(reference) = reference.filter(|_| signed) else {
        return Ok(None);
    };
    let entry = || settings.name.clone();
    let key = reference.key.as_deref().unwrap_or(SIGNING_KEYS);
    let text =
        secrets
            .read_text(&reference.name, key)
            .map_err(|source| ForceError::SigningSecret {
                entry: entry(),
                source,
            })?;
    let keys = SigningKeys::read(text.expose()).map_err(|source| ForceError::SigningKeys {
        entry: entry(),
        name: reference.name.clone(),
        key: key.to_owned(),
        source,
    })?;
    Ok(Some(Arc::new(keys)))
}

/// What every key of a user begins with; validation has read it already.
pub(super) fn key_prefix(
    settings: &EffectiveDatabase,
) -> Result<Option<PrefixTemplate>, ForceError> {
    let written = settings.key_prefix.as_deref();
    let template = written.map(PrefixTemplate::parse).transpose();
    template.map_err(|source| ForceError::KeyPrefix {
        entry: settings.name.clone(),
        source,
    })
}

pub(super) fn client_auth(
    settings: &EffectiveDatabase,
    secrets: &Arc<Secrets>,
) -> Result<ClientAuth, ForceError> {
    let (AuthMode::Scram, Some(reference)) =
        (settings.listen.auth_mode, &settings.listen.auth_secret_ref)
    else {
        return Ok(ClientAuth::Trust);
    };
    let key = reference.key.as_deref().unwrap_or("password");
    let password =
        secrets
            .read_text(&reference.name, key)
            .map_err(|source| ForceError::Secret {
                entry: settings.name.clone(),
                field: "auth.secretRef",
                source,
            })?;
    Ok(ClientAuth::Scram(ScramVerifier::new(password.expose())))
}

/// The certificate of a listener: from the Secret that the policy names, or from the one that the operator issues.
pub(super) fn listen_tls(
    settings: &EffectiveDatabase,
    policy: &str,
    secrets: &Arc<Secrets>,
) -> Result<Option<ListenTls>, ForceError> {
    let entry = || settings.name.clone();
    let (name, field) = match (settings.listen.tls, &settings.listen.tls_secret_ref) {
        (Some(Source::Issued), _) => (issued_certificate(policy), "tls"),
        (_, Some(reference)) => (reference.name.clone(), "tlsSecretRef"),
        (_, None) => return Ok(None),
    };
    let read = |key: &str| {
        secrets.read(&name, key).map_err(|source| {
            if field == "tls" && source.is_missing() {
                let host = settings.upstream.host.clone();
                return ForceError::NotIssued {
                    entry: entry(),
                    host,
                    source: Box::new(source),
                };
            }
            ForceError::Secret {
                entry: entry(),
                field,
                source,
            }
        })
    };
    let tls = ListenTls::from_pem(read("tls.crt")?.expose(), read("tls.key")?.expose());
    let tls = tls.map(|tls| match settings.protocol {
        Protocol::PostgreSQL => tls,
        Protocol::Redis => tls.speaking(None),
        Protocol::ClickHouse => tls.speaking(Some(b"http/1.1")),
    });
    tls.map(Some).map_err(|source| ForceError::Certificate {
        entry: entry(),
        field,
        source,
    })
}
