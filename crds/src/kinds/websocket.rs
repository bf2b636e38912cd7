//! `spec.webSockets`: a WebSocket listener in front of the application.

use std::fmt;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::choices::{Compression, PlainHttp, SlowConsumer, TokenPlace, WhenFull};
use crate::names::{Duration, Quantity};

/// A WebSocket listener in front of the application.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebSocket {
    /// The entry's name, by which overlays, metrics and messages speak of it.
    #[schemars(length(min = 1, max = 63), regex(pattern = super::bounds::LABEL))]
    pub name: String,
    /// Where the sidecar listens for clients. Default: port 8080.
    pub listen: Option<WebSocketListen>,
    /// Where the application listens.
    pub upstream: WebSocketUpstream,
    /// Where a client's token is looked for, in this order. Default: `Authorization`, then `Subprotocol`.
    #[schemars(length(min = 1, max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub tokens: Option<Vec<TokenSource>>,
    /// What becomes of requests that are no WebSockets. Default: `Attach`.
    pub plain_http: Option<PlainHttp>,
    /// The origins whose pages may open a socket, each as browsers write it (`https://chat.example`), or `*`. Default: any, but a token from
    /// a cookie counts only for pages of the very host.
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub allowed_origins: Option<Vec<String>>,
    /// What the paths begin with at which sockets are opened (`/ws`); no patterns. Default: every path.
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)), extend("x-kubernetes-list-type" = "set"))]
    pub paths: Option<Vec<String>>,
    /// The path at which a client renews its token by a POST; it never reaches the application. An empty text takes no path away. Default:
    /// `/.bulkhead/token`.
    #[schemars(length(max = 253), regex(pattern = super::bounds::PATH))]
    pub token_path: Option<String>,
    /// The timeouts. `0s` switches one off, except `handshake` and `pong`.
    pub timeouts: Option<WebSocketTimeouts>,
    /// What one user and one socket may use.
    pub limits: Option<WebSocketLimits>,
    /// Whether messages may be compressed. Default: `Auto`.
    pub compression: Option<Compression>,
    /// Whether text messages are checked to be UTF-8; the two ends do that anyway (RFC 6455, section 8.1). Default: false.
    pub validate_utf8: Option<bool>,
    /// How a lost socket is resumed.
    pub resume: Option<Resume>,
    /// How long runs of the application may take.
    pub execution: Option<Execution>,
    /// Events that are never dropped: a name (matched at `/type` of a JSON message), a JSON pointer and a value (`/payload/kind=done`), or
    /// a socket.io event (`socket.io:done`). Default: none.
    #[schemars(length(max = 64), inner(length(min = 1, max = 128)), extend("x-kubernetes-list-type" = "set"))]
    pub critical_events: Option<Vec<String>>,
}

/// Where the sidecar listens for clients.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebSocketListen {
    /// The port, on all addresses of the pod; 0 lets the kernel choose, which only a test wants. Default: 8080.
    pub port: Option<u16>,
    /// The name of the application's container port that moves to the sidecar, so that a Service which targets it by name reaches the
    /// sidecar. Default: none.
    #[schemars(
        length(min = 1, max = 15),
        regex(pattern = "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")
    )]
    pub takes_over: Option<String>,
}

/// Where the application listens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebSocketUpstream {
    /// The application's port in the same pod.
    #[schemars(range(min = 1))]
    pub port: u16,
}

/// The timeouts of a WebSocket. `0s` switches one off, except `handshake` and `pong`.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebSocketTimeouts {
    /// The time for an upgrade. Default: 10s.
    pub handshake: Option<Duration>,
    /// Silence in both directions; pings do not break it. Default: 5m.
    pub idle: Option<Duration>,
    /// Between two pings of the sidecar. Default: 20s.
    pub ping: Option<Duration>,
    /// From a ping to its pong. Default: 10s.
    pub pong: Option<Duration>,
    /// A socket's age. Default: 12h.
    pub max_lifetime: Option<Duration>,
    /// How long a socket goes on when its token has expired, for a fresh one to come. Default: 30s.
    pub expiry_grace: Option<Duration>,
    /// How long a handshake is held while the application starts; `0s` holds none. Default: 30s.
    pub cold_start: Option<Duration>,
}

/// What one user and one socket may use.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WebSocketLimits {
    /// Sockets of one user in one pod. Default: 4.
    #[schemars(range(min = 1, max = 10_000))]
    pub connections_per_user: Option<u32>,
    /// What becomes of one more. Default: `CloseOldest`.
    pub when_full: Option<WhenFull>,
    /// Bytes of one message from a client, as they are on the wire. Default: 1Mi.
    pub message_bytes: Option<Quantity>,
    /// Messages a second from one user, over all their sockets; more are delayed. Default: 50.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub messages_per_second: Option<u32>,
    /// Bytes buffered for one user. Default: 256Ki.
    pub buffer_per_user: Option<Quantity>,
    /// What becomes of a client that does not read. Default: `Wait`.
    pub slow_consumer: Option<SlowConsumer>,
}

/// How a lost socket is resumed.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Resume {
    /// How long a lost socket may be resumed; `0s` offers none. Default: 60s.
    pub window: Option<Duration>,
    /// Bytes kept for a resume, for each socket. Default: 256Ki.
    pub buffer: Option<Quantity>,
    /// Bytes kept for resumes, for all sockets of a pod. Default: 64Mi.
    pub total_bytes: Option<Quantity>,
}

/// A place where a client's token may stand.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
#[x_kube(validation = Rule::new("has(self.key) == (self.source in ['Header', 'Cookie', 'Query'])")
    .message("Header, Cookie and Query need key; Authorization and Subprotocol have none").field_path(".key"))]
pub struct TokenSource {
    /// The kind of place.
    pub source: TokenPlace,
    /// The name of the header, the cookie or the query parameter. Needed with `Header`, `Cookie` and `Query`, and with no other.
    #[schemars(length(min = 1, max = 63), regex(pattern = super::bounds::TOKEN))]
    pub key: Option<String>,
}

impl fmt::Display for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{} {key}", self.source),
            None => write!(f, "{}", self.source),
        }
    }
}

/// How long a run of the application may take, as its `criticalEvents` show it. `0s` sets no limit.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Execution {
    /// From the user's request to the run's first event. Default: 0s.
    pub start: Option<Duration>,
    /// Between two events of a run. Default: 0s.
    pub progress: Option<Duration>,
    /// A whole run. Default: 0s.
    pub total: Option<Duration>,
}
