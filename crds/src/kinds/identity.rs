//! `spec.identity`: who is calling, and how that is verified.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{IdentitySource, SecretKeyRef, SqlScope};
use crate::names::Duration;

/// How a user context is verified.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("self.source != 'Jwt' || has(self.jwt)")
    .message("source Jwt needs jwt: say where its keys are in jwt.jwks").field_path(".jwt"))]
pub struct Identity {
    /// Who vouches for the user: `Jwt` (a token of the application's identity provider), `SignedContext` (a context token that Bulkhead
    /// has signed) or `Trusted` (the application's word). Required: nothing is assumed.
    pub source: IdentitySource,
    /// How a token is verified. Needed with source `Jwt`.
    pub jwt: Option<Jwt>,
    /// What a context token must say. Default: the namespace's own keys, and this policy's name as audience.
    pub signed_context: Option<SignedContext>,
    /// How the application names its user with source `Trusted`.
    pub trusted: Option<Trusted>,
    /// Lets a client name its user in SQL between transactions (`SET bulkhead.context = …`). Default: not allowed.
    pub in_sql: Option<InSql>,
    /// Whether ids that name nobody are refused: empty, null, undefined, none, test, default, anonymous, placeholder, user, 0 and the
    /// all-zero UUID, in any case and with any blanks around them. Default: true.
    pub reject_placeholders: Option<bool>,
}

/// How a JSON Web Token is verified.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Jwt {
    /// The `iss` claim that a token must carry. Default: any.
    #[schemars(length(min = 1, max = 512))]
    pub issuer: Option<String>,
    /// The `aud` claims of which a token must carry one. Default: none, and then a token that carries `aud` is refused (RFC 7519, section 4.1.3).
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 512)), extend("x-kubernetes-list-type" = "set"))]
    pub audiences: Option<Vec<String>>,
    /// The keys that tokens are signed with.
    pub jwks: Jwks,
    /// The claim that names the user. Default: `sub`.
    #[schemars(length(min = 1, max = 128))]
    pub user_claim: Option<String>,
    /// Clock skew allowed for `exp` and `nbf`. Default: 30s.
    pub leeway: Option<Duration>,
}

/// Where a key set is read from: exactly one of `secretRef`, `uri` and `inline`. A shared secret for HS256, HS384 and HS512 is a JWK of
/// type `oct`, and belongs into a Secret.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
#[x_kube(validation = Rule::new("[has(self.secretRef), has(self.uri), has(self.inline)].exists_one(x, x)")
    .message("write exactly one of secretRef, uri and inline"))]
pub struct Jwks {
    /// A Secret. Default for its key: `jwks.json`.
    pub secret_ref: Option<SecretKeyRef>,
    /// An HTTPS address that serves the document; `http://` is accepted for a loopback address alone.
    #[schemars(length(min = 8, max = 2048), regex(pattern = "^https?://[^\\s]+$"))]
    pub uri: Option<String>,
    /// The document itself; public keys only.
    #[schemars(length(min = 2, max = 65536))]
    pub inline: Option<String>,
}

/// What a context token must say.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedContext {
    /// The `iss` claim that a context token must carry. Default: any.
    #[schemars(length(min = 1, max = 512))]
    pub issuer: Option<String>,
    /// The `aud` claims of which a context token must carry one. Default: the policy's name.
    #[schemars(length(min = 1, max = 16), inner(length(min = 1, max = 512)), extend("x-kubernetes-list-type" = "set"))]
    pub audiences: Option<Vec<String>>,
    /// The public keys (EdDSA). Default: key `jwks.json` of the Secret `bulkhead-context-keys`.
    pub jwks: Option<Jwks>,
}

/// How the application names its user.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Trusted {
    /// A run-time parameter by which the application already names its user in SQL, such as `app.current_user_id`. Default: none.
    #[schemars(length(min = 3, max = 127), regex(pattern = super::bounds::PARAMETER))]
    pub setting: Option<String>,
}

/// How a client names its user in SQL.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct InSql {
    /// How long a context that was set lasts: `Transaction` or `Connection`. Default: `Transaction`, because pools only send ROLLBACK on
    /// return, and the next checkout must not inherit a user.
    pub scope: Option<SqlScope>,
}
