//! `spec.databases`: a database, where the sidecar listens for it, and what it dials.

use std::net::IpAddr;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{
    AuthMode, Breaker, ListenTls, Pool, Protocol, SecretKeyRef, SecretRef, Session,
    TargetSessionAttrs, Timeouts, TlsMode, UpstreamRole,
};

/// A database that the application reaches through the sidecar.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Database {
    /// The entry's name, by which overlays, metrics and messages speak of it.
    #[schemars(length(min = 1, max = 63), regex(pattern = super::bounds::LABEL))]
    pub name: String,
    /// The wire protocol: `PostgreSQL`, `Redis` or `ClickHouse`.
    pub protocol: Protocol,
    /// Where the sidecar listens for the application. Default: 127.0.0.1, at the upstream's port.
    pub listen: Option<Listen>,
    /// What the sidecar dials.
    pub upstream: Upstream,
    /// How server connections are pooled.
    pub pool: Option<Pool>,
    /// The seven timeouts. `0s` switches one off, except `connect` and `acquire`.
    pub timeouts: Option<Timeouts>,
    /// When the sidecar stops dialling an upstream that cannot be reached, and stops the work of a user whose own keeps failing.
    pub breaker: Option<Breaker>,
    /// What a server session is told about its user.
    pub session: Option<Session>,
}

/// Where the sidecar listens for the application.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.tls) || self.tls != 'Secret' || has(self.tlsSecretRef)")
    .message("tls Secret needs tlsSecretRef").field_path(".tlsSecretRef"))]
pub struct Listen {
    /// The address; a loopback address unless the application is on another machine. Default: 127.0.0.1.
    #[schemars(
        with = "Option<String>",
        length(min = 2, max = 45),
        regex(pattern = super::bounds::ADDRESS)
    )]
    pub address: Option<IpAddr>,
    /// The port; 0 lets the kernel choose, which only a test wants. Default: the upstream's port.
    pub port: Option<u16>,
    /// A folder for a Unix socket beside the port; the socket's name in it is the protocol's own (`.s.PGSQL.5432`). Default: none.
    #[schemars(length(min = 2, max = 90), regex(pattern = "^/[^\\x00]+$"))]
    pub socket: Option<String>,
    /// The user ids that may connect by that socket, as the kernel knows them: those of the application's containers. The port beside it
    /// does not ask for any. Default: everybody who may enter the folder.
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_uids: Option<Vec<u32>>,
    /// The certificate for an application that insists on TLS: `Issued` (by the policy's own authority, for the upstream's name) or
    /// `Secret` (from `tlsSecretRef`). Default: no TLS on this side.
    pub tls: Option<ListenTls>,
    /// A Secret with the keys `tls.crt` and `tls.key`. Needed with tls `Secret`.
    pub tls_secret_ref: Option<SecretRef>,
    /// How the application authenticates to the sidecar.
    pub auth: Option<ListenAuth>,
}

/// How the application authenticates to the sidecar. All containers of a pod share its loopback addresses.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("!has(self.mode) || self.mode != 'Scram' || has(self.secretRef)")
    .message("mode Scram needs secretRef").field_path(".secretRef"))]
pub struct ListenAuth {
    /// `Scram` (SCRAM-SHA-256, and -PLUS under TLS) or `Trust`. Default: `Trust`, which must be written out where identity is `Trusted`.
    pub mode: Option<AuthMode>,
    /// The Secret that holds the password. Default for its key: `password`. Needed with mode `Scram`.
    pub secret_ref: Option<SecretKeyRef>,
}

/// What the sidecar dials.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new("has(self.host) != has(self.hosts)")
    .message("write exactly one of host and hosts").field_path(".host"))]
pub struct Upstream {
    /// A host name, an address, or (with a leading `/`) the folder of a Unix socket. Default: none, and then `hosts` says where.
    #[schemars(length(min = 1, max = 253), regex(pattern = super::bounds::HOST))]
    pub host: Option<String>,
    /// In the place of `host`, for PostgreSQL: servers that hold the same data, in the order in which they are tried. Default: none.
    #[schemars(length(min = 2, max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub hosts: Option<Vec<UpstreamHost>>,
    /// Which servers will do, as libpq's `target_session_attrs` has it: `Any`; `ReadWrite` or `ReadOnly` (what a session may do by
    /// default); `Primary` or `Standby` (what the server is); `PreferStandby` (any, where no standby takes connections). Default: `Any`.
    pub target_session_attrs: Option<TargetSessionAttrs>,
    /// The port. Default: 5432 for PostgreSQL, 6379 for Redis, 8123 for ClickHouse.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
    /// The database that spares and health probes use. Default: the one that the client names.
    #[schemars(length(min = 1, max = 63))]
    pub database: Option<String>,
    /// How TLS is negotiated and verified.
    pub tls: Option<UpstreamTls>,
    /// A Secret with the keys `username` and `password`, which are the sidecar's alone. Default: none, the role that the client names
    /// and no password.
    pub credentials_secret_ref: Option<SecretRef>,
    /// For ClickHouse, as whom a user's queries run: `Shared` (all as `username`), or `PerUser` (each as a ClickHouse user of their own, named
    /// by `userTemplate`, with the password of the same Secret), which is the boundary between users. Default: `Shared`.
    pub role: Option<UpstreamRole>,
    /// With role `PerUser`, the name of a user's ClickHouse user: `{user}` stands for the user's id, in which everything but letters, digits
    /// and `-_.~` is percent-encoded. Default: `bulkhead_{user}`.
    #[schemars(length(min = 6, max = 128), regex(pattern = super::bounds::USER_TEMPLATE))]
    pub user_template: Option<String>,
}

/// One of several servers that hold the same data.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct UpstreamHost {
    /// A host name, an address, or (with a leading `/`) the folder of a Unix socket.
    #[schemars(length(min = 1, max = 253), regex(pattern = super::bounds::HOST))]
    pub host: String,
    /// Its port. Default: `upstream.port`.
    #[schemars(range(min = 1))]
    pub port: Option<u16>,
}

/// How TLS to the upstream is negotiated and verified.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpstreamTls {
    /// `Disable`, `Require` (unverified), `VerifyCa` (the issuer) or `VerifyFull` (issuer and host name). Default: `VerifyFull`.
    pub mode: Option<TlsMode>,
    /// A Secret whose key `ca.crt` holds the certificate authorities that are believed. Default: the ones of the system, with
    /// `VerifyFull` alone; `VerifyCa` needs a Secret.
    pub ca_secret_ref: Option<SecretRef>,
}
