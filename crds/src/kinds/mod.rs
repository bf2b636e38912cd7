//! The custom resources, one kind a file.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }
    };
}

choice!(
    /// What happens to a violation.
    Mode {
        /// Refused.
        Enforce,
        /// Let through, counted and reported.
        Audit,
    }
);
choice!(
    /// How a user context is verified.
    IdentitySource {
        /// A JSON Web Token of the application's identity provider.
        Jwt,
        /// A context token that Bulkhead has signed.
        SignedContext,
        /// The application's word.
        Trusted,
    }
);
choice!(
    /// How strictly server connections are kept apart.
    Tier {
        /// A server connection belongs to one user from first use to close.
        Dedicated,
        /// A server connection may cross after ROLLBACK and DISCARD ALL.
        Reset,
        /// For work that belongs to no user.
        Shared,
    }
);
choice!(
    /// What a user's lost WebSocket does to their work.
    OnDisconnect {
        /// It is cancelled.
        Cancel,
        /// It may finish; nothing new starts.
        Drain,
        /// Nothing.
        Keep,
    }
);
choice!(
    /// The wire protocol of a database.
    Protocol {
        /// PostgreSQL's frontend/backend protocol.
        PostgreSQL,
        /// RESP.
        Redis,
        /// ClickHouse over HTTP.
        ClickHouse,
    }
);
choice!(
    /// When a server connection goes back to the pool.
    PoolMode {
        /// When the client disconnects.
        Session,
        /// When the transaction ends.
        Transaction,
    }
);
choice!(
    /// How TLS to the upstream is negotiated and verified.
    TlsMode {
        /// No TLS.
        Disable,
        /// TLS, the certificate unverified.
        Require,
        /// TLS, the certificate's issuer verified.
        VerifyCa,
        /// TLS, issuer and host name verified.
        VerifyFull,
    }
);
choice!(
    /// How the application authenticates to the sidecar.
    AuthMode {
        /// By SCRAM-SHA-256.
        Scram,
        /// Not at all.
        Trust,
    }
);

/// A Secret of the policy's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretRef {
    /// The Secret's name.
    pub name: String,
}

/// One key of a Secret of the policy's own namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretKeyRef {
    /// The Secret's name.
    pub name: String,
    /// The key; which one is meant without it is said where the reference stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// `identity.jwt`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Jwt {
    /// The `iss` claim that a token must carry.
    pub issuer: Option<String>,
    /// The `aud` claims of which a token must carry one.
    pub audiences: Option<Vec<String>>,
    /// The keys.
    pub jwks: Jwks,
    /// The claim that names the user; `sub` by default.
    pub user_claim: Option<String>,
    /// Clock skew allowed for `exp` and `nbf`, in Kubernetes' notation; 30 s by default.
    pub leeway: Option<crate::names::Duration>,
}

/// Where a key set is read from: exactly one of the three. A shared secret for HS256, HS384 and HS512 is a JWK of type `oct`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Jwks {
    /// A Secret; key `jwks.json` by default.
    pub secret_ref: Option<SecretKeyRef>,
    /// An HTTPS address.
    pub uri: Option<String>,
    /// The document itself.
    pub inline: Option<String>,
}

/// `identity.signedContext`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SignedContext {
    /// The `iss` claim that a context token must carry.
    pub issuer: Option<String>,
    /// The `aud` claims of which a context token must carry one; the policy's name by default.
    pub audiences: Option<Vec<String>>,
    /// The public keys (EdDSA); key `jwks.json` of the Secret `bulkhead-context-keys` by default.
    pub jwks: Option<Jwks>,
}

/// `identity.trusted`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Trusted {
    /// A run-time parameter by which the application already names its user in SQL.
    pub setting: Option<String>,
}
