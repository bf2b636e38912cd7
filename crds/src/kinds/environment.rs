//! `spec.environments`: what one environment has different. All-optional twins of the base's types, where those have a required field.
//!
//! The twins carry no schema of their own: `finish.rs` derives the overlay's schema from the base's, so a bound or
//! a description that changes there changes here. A test holds the twins' fields to it.

use serde::{Deserialize, Serialize};

use super::{
    AuditTrail, Breaker, Compression, Execution, IdentitySource, InSql, Inject, Injection,
    Isolation, Jwks, Limits, Listen, Mode, PlainHttp, Pool, Protocol, Resume, SecretRef, Session,
    SignedContext, TargetSessionAttrs, Timeouts, TokenSource, Trusted, UpstreamHost, UpstreamRole,
    UpstreamTls, WebSocketLimits, WebSocketListen, WebSocketTimeouts,
};
use crate::names::Duration;

/// What one environment has different from the base.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Environment {
    /// The environment's name: the namespace's label `bulkhead.dev/environment`, or `--environment`.
    pub name: String,
    /// Overrides `spec.mode`.
    pub mode: Option<Mode>,
    /// Overrides parts of `spec.identity`.
    pub identity: Option<IdentityOverlay>,
    /// Overrides parts of `spec.isolation`.
    pub isolation: Option<Isolation>,
    /// Overrides parts of `spec.limits`.
    pub limits: Option<Limits>,
    /// Overrides parts of the databases of the same names.
    pub databases: Option<Vec<DatabaseOverlay>>,
    /// Overrides parts of the WebSocket listeners of the same names.
    pub web_sockets: Option<Vec<WebSocketOverlay>>,
    /// Overrides parts of `spec.inject`.
    pub inject: Option<Inject>,
    /// Overrides parts of `spec.injection`.
    pub injection: Option<Injection>,
    /// Overrides parts of `spec.auditTrail`.
    pub audit_trail: Option<AuditTrail>,
    /// Replaces `spec.allowedUpstreams`.
    pub allowed_upstreams: Option<Vec<String>>,
}

/// Overrides parts of [`super::Identity`].
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityOverlay {
    /// Overrides the base's field.
    pub source: Option<IdentitySource>,
    /// Overrides parts of the base's field.
    pub jwt: Option<JwtOverlay>,
    /// Overrides parts of the base's field.
    pub signed_context: Option<SignedContext>,
    /// Overrides parts of the base's field.
    pub trusted: Option<Trusted>,
    /// Overrides parts of the base's field.
    pub in_sql: Option<InSql>,
    /// Overrides the base's field.
    pub reject_placeholders: Option<bool>,
}

/// Overrides parts of [`super::Jwt`].
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JwtOverlay {
    /// Overrides the base's field.
    pub issuer: Option<String>,
    /// Replaces the base's list.
    pub audiences: Option<Vec<String>>,
    /// Replaces the base's keys as a whole.
    pub jwks: Option<Jwks>,
    /// Overrides the base's field.
    pub user_claim: Option<String>,
    /// Overrides the base's field.
    pub leeway: Option<Duration>,
}

/// Overrides parts of the [`super::Database`] of the same name.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatabaseOverlay {
    /// Which database.
    pub name: String,
    /// Overrides the base's field.
    pub protocol: Option<Protocol>,
    /// Overrides parts of the base's field.
    pub listen: Option<Listen>,
    /// Overrides parts of the base's field.
    pub upstream: Option<UpstreamOverlay>,
    /// Overrides parts of the base's field.
    pub pool: Option<Pool>,
    /// Overrides parts of the base's field.
    pub timeouts: Option<Timeouts>,
    /// Overrides parts of the base's field.
    pub breaker: Option<Breaker>,
    /// Overrides parts of the base's field.
    pub session: Option<Session>,
}

/// Overrides parts of [`super::Upstream`].
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpstreamOverlay {
    /// Overrides the base's field.
    pub host: Option<String>,
    /// Replaces the base's list.
    pub hosts: Option<Vec<UpstreamHost>>,
    /// Overrides the base's field.
    pub target_session_attrs: Option<TargetSessionAttrs>,
    /// Overrides the base's field.
    pub port: Option<u16>,
    /// Overrides the base's field.
    pub database: Option<String>,
    /// Overrides parts of the base's field.
    pub tls: Option<UpstreamTls>,
    /// Replaces the base's reference.
    pub credentials_secret_ref: Option<SecretRef>,
    /// Overrides the base's field.
    pub role: Option<UpstreamRole>,
    /// Overrides the base's field.
    pub user_template: Option<String>,
}

/// Overrides parts of the [`super::WebSocket`] of the same name.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebSocketOverlay {
    /// Which listener.
    pub name: String,
    /// Overrides parts of the base's field.
    pub listen: Option<WebSocketListen>,
    /// Overrides parts of the base's field.
    pub upstream: Option<WebSocketUpstreamOverlay>,
    /// Replaces the base's list.
    pub tokens: Option<Vec<TokenSource>>,
    /// Overrides the base's field.
    pub plain_http: Option<PlainHttp>,
    /// Replaces the base's list.
    pub allowed_origins: Option<Vec<String>>,
    /// Replaces the base's list.
    pub paths: Option<Vec<String>>,
    /// Overrides the base's field.
    pub token_path: Option<String>,
    /// Overrides parts of the base's field.
    pub timeouts: Option<WebSocketTimeouts>,
    /// Overrides parts of the base's field.
    pub limits: Option<WebSocketLimits>,
    /// Overrides the base's field.
    pub compression: Option<Compression>,
    /// Overrides the base's field.
    pub validate_utf8: Option<bool>,
    /// Overrides parts of the base's field.
    pub resume: Option<Resume>,
    /// Overrides parts of the base's field.
    pub execution: Option<Execution>,
    /// Replaces the base's list.
    pub critical_events: Option<Vec<String>>,
}

/// Overrides parts of [`super::WebSocketUpstream`].
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebSocketUpstreamOverlay {
    /// Overrides the base's field.
    pub port: Option<u16>,
}
