//! The effective policy: what one environment gets after base, overlay and defaults have been merged.
//!
//! Plain values, ready for use: no `Option` that means "see the default", no unparsed duration. `None` in a timeout means
//! that it is switched off (written `0s` in a policy). Where each value came from stands beside them in [`Origins`].

mod audit;
mod database;
mod origins;
mod web_socket;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::kinds::{
    IdentitySource, Jwt, Missed, Mode, OnDisconnect, OptOut, PortClosing, SignedContext, SqlScope,
    Tier, Trusted,
};
pub use audit::EffectiveAuditTrail;
pub use database::{
    EffectiveBreaker, EffectiveDatabase, EffectiveHost, EffectiveListen, EffectivePool,
    EffectiveTimeouts, EffectiveUpstream, default_user_template,
};
pub use origins::{Origin, Origins};
pub use web_socket::{EffectiveExecution, EffectiveWebSocket};

/// The path of [`EffectivePolicy::missed`].
pub(crate) const MISSED: &str = "injection.missed";
/// The path of [`EffectivePolicy::network_policy`].
pub(crate) const NETWORK_POLICY: &str = "injection.networkPolicy";

/// One policy resolved for one environment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectivePolicy {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`; `default` where the file names none.
    pub namespace: String,
    /// The environment that it was resolved for.
    pub environment: String,
    /// What the operator calls the cluster, which is a part of the name of whoever issues context tokens; none where nobody has named it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Whether violations are refused or only counted.
    pub mode: Mode,
    /// How a user context is verified.
    pub identity: EffectiveIdentity,
    /// How strictly server connections are kept apart.
    pub isolation: EffectiveIsolation,
    /// Bounds for the whole sidecar.
    pub limits: EffectiveLimits,
    /// The databases, in the order of the policy.
    pub databases: Vec<EffectiveDatabase>,
    /// The WebSocket listeners, in the order of the policy.
    pub web_sockets: Vec<EffectiveWebSocket>,
    /// Environment variables that injection adds to the application's containers.
    pub inject_env: BTreeMap<String, String>,
    /// Whether a pod's annotation may keep the sidecar out.
    pub opt_out: OptOut,
    /// What becomes of a pod that was made while nothing could inject it; none where it came by a snapshot, for sidecars have no part in it.
    #[serde(skip)]
    pub missed: Option<Missed>,
    /// What closes the application's own port to the network; none where it came by a snapshot, for sidecars have no part in it.
    #[serde(skip)]
    pub network_policy: Option<PortClosing>,
    /// The record of what the sidecar lets in, refuses and ends; none where there is to be none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_trail: Option<EffectiveAuditTrail>,
    /// What `upstream.host` and `jwks.uri` may reach although it is barred by itself.
    pub allowed_upstreams: Vec<String>,
    /// Where each field's value came from.
    pub origins: Origins,
}

impl EffectivePolicy {
    /// A field as error messages name it: its path, its value, the environment, and where the value came from
    /// (`limits.maxUsers = 100 (environment staging, from base)`).
    #[must_use]
    pub fn name_field(&self, path: &str, value: impl fmt::Display) -> String {
        let environment = &self.environment;
        let origin = match self.origins.of(path) {
            // Its name has just been said.
            Origin::Environment(name) if name == environment => "its overlay".to_owned(),
            other => other.to_string(),
        };
        format!("{path} = {value} (environment {environment}, from {origin})")
    }

    /// Whether there are sessions that survive their connection, and so a reason for pods to reach each other.
    #[must_use]
    pub fn resumes(&self) -> bool {
        self.web_sockets
            .iter()
            .any(EffectiveWebSocket::offers_resume)
    }
}

/// `spec.identity`, resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveIdentity {
    /// How a user context is verified. The settings below are there as the policy writes them; this alone says which of them counts.
    pub source: IdentitySource,
    /// Settings of `Jwt`, `user_claim` and `leeway` filled in.
    pub jwt: Option<Jwt>,
    /// Settings of `SignedContext`, the audience and the keys filled in. Always there with that source; with another one where written,
    /// and then a context token is accepted beside it.
    pub signed_context: Option<SignedContext>,
    /// Settings of `Trusted`.
    pub trusted: Option<Trusted>,
    /// How long a user context that was set in SQL lasts; none: identity in SQL is not allowed.
    pub in_sql: Option<SqlScope>,
    /// Whether ids such as `null` or `anonymous` are refused.
    pub reject_placeholders: bool,
}

/// `spec.isolation`, resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveIsolation {
    /// How strictly server connections are kept apart.
    pub tier: Tier,
    /// What a user's lost WebSocket does to their work.
    pub on_disconnect: OnDisconnect,
}

/// `spec.limits`, resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveLimits {
    /// Users with a factory at one time.
    pub max_users: u32,
    /// Bytes that one user's buffers and statements may hold.
    pub memory_per_user: u64,
}
