//! A WebSocket entry of an effective policy.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::kinds::{Compression, PlainHttp, SlowConsumer, TokenSource, WhenFull};
use crate::names::{optional_duration, plain_duration};

/// `webSockets[].execution`, resolved. `None`: no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveExecution {
    /// From the user's request to the run's first event.
    #[serde(with = "optional_duration")]
    pub start: Option<Duration>,
    /// Between two events of a run.
    #[serde(with = "optional_duration")]
    pub progress: Option<Duration>,
    /// A whole run.
    #[serde(with = "optional_duration")]
    pub total: Option<Duration>,
}

/// One entry of `spec.webSockets`, resolved.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveWebSocket {
    /// The entry's name.
    pub name: String,
    /// The port that the sidecar listens on.
    pub port: u16,
    /// The container port name that it takes over.
    pub takes_over: Option<String>,
    /// The application's port.
    pub upstream_port: u16,
    /// Where a client's token is looked for.
    pub tokens: Vec<TokenSource>,
    /// What becomes of requests that are no WebSockets.
    pub plain_http: PlainHttp,
    /// The origins whose pages may open a socket; none: see [`crate::kinds::WebSocket::allowed_origins`].
    pub allowed_origins: Option<Vec<String>>,
    /// What the paths begin with at which sockets are opened; empty: every path.
    pub paths: Vec<String>,
    /// The path at which a client renews its token; none: nowhere.
    pub token_path: Option<String>,
    /// The time for an upgrade.
    #[serde(with = "plain_duration")]
    pub handshake: Duration,
    /// Silence in both directions.
    #[serde(with = "optional_duration")]
    pub idle: Option<Duration>,
    /// Between pings.
    #[serde(with = "optional_duration")]
    pub ping: Option<Duration>,
    /// From a ping to its pong.
    #[serde(with = "plain_duration")]
    pub pong: Duration,
    /// A socket's age.
    #[serde(with = "optional_duration")]
    pub max_lifetime: Option<Duration>,
    /// How long a handshake is held while the application starts.
    #[serde(with = "plain_duration")]
    pub cold_start: Duration,
    /// How long a socket outlives its token.
    #[serde(with = "plain_duration")]
    pub expiry_grace: Duration,
    /// Sockets of one user.
    pub connections_per_user: u32,
    /// What becomes of one more.
    pub when_full: WhenFull,
    /// Bytes of one message from a client.
    pub message_bytes: u64,
    /// Messages a second from one user.
    pub messages_per_second: u32,
    /// Bytes buffered for one user.
    pub buffer_per_user: u64,
    /// What becomes of a client that does not read.
    pub slow_consumer: SlowConsumer,
    /// Whether messages may be compressed.
    pub compression: Compression,
    /// Whether text messages are checked to be UTF-8.
    pub validate_utf8: bool,
    /// How long a lost socket may be resumed.
    #[serde(with = "plain_duration")]
    pub resume_window: Duration,
    /// Bytes kept for a resume.
    pub resume_buffer: u64,
    /// Bytes kept for the resumes of all sockets.
    pub resume_total: u64,
    /// How long runs may take.
    pub execution: EffectiveExecution,
    /// Events that are never dropped.
    pub critical_events: Vec<String>,
}

impl EffectiveWebSocket {
    /// Whether clients may opt in to sessions that survive their connection.
    #[must_use]
    pub const fn offers_resume(&self) -> bool {
        !self.resume_window.is_zero() && self.resume_buffer > 0
    }
}
