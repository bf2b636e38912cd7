//! A WebSocket entry of a revision in the form in which the engine uses it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bulkhead_crds::effective::{EffectivePolicy, EffectiveWebSocket};
use bulkhead_crds::kinds::{IdentitySource, Mode};
use bulkhead_crds::names;

use crate::identity::{Issuer, Presented, UserContext, Verifier};
use crate::protocol::websocket::events::CriticalEvents;
use crate::protocol::websocket::http::PeerTls;
use crate::protocol::websocket::resume::Sealer;

/// One WebSocket entry of a revision.
#[derive(Debug)]
pub struct WebSocketForce {
    /// The entry.
    pub settings: EffectiveWebSocket,
    /// The policy that it stands in.
    pub policy: Arc<EffectivePolicy>,
    /// The entry's name.
    pub name: Arc<str>,
    /// Its critical events.
    pub events: Arc<CriticalEvents>,
    /// Verifies user contexts.
    pub verifier: Arc<Verifier>,
    /// Signs them for the application to pass on.
    pub issuer: Option<Arc<Issuer>>,
    /// Seals and opens its session tokens.
    pub sealer: Sealer,
    /// Reaches other pods, where the operator has issued certificates to them.
    pub peers: Option<PeerTls>,
}

impl WebSocketForce {
    /// Whether violations are refused.
    #[must_use]
    pub fn enforces(&self) -> bool {
        self.policy.mode == Mode::Enforce
    }

    /// What a client has sent in a token's place, as the verifier wants it: a bare id where the policy trusts one.
    #[must_use]
    pub fn presented<'a>(&self, text: Option<&'a str>) -> Presented<'a> {
        let trusts = self.policy.identity.source == IdentitySource::Trusted;
        Presented {
            token: text.filter(|_| !trusts),
            user: text.filter(|_| trusts),
        }
    }

    /// A field of this entry as reasons and log lines name it: `webSockets[chat].timeouts.idle = 5m (environment staging, from base)`.
    #[must_use]
    pub fn name_setting(&self, field: &'static str) -> String {
        let path = format!("webSockets[{}].{field}", self.name);
        self.policy.name_field(&path, self.value(field))
    }

    /// The context as a signed token that the application can pass on, of the socket `session` where there is one. None where the system
    /// has no randomness to give, which is told.
    #[must_use]
    pub fn issue(&self, context: &UserContext, session: Option<&str>) -> Option<String> {
        let issued = self
            .issuer
            .as_ref()?
            .issue(context, session, SystemTime::now());
        issued
            .inspect_err(|error| tracing::error!(%error, "a context token cannot be signed"))
            .ok()
    }

    fn value(&self, field: &str) -> String {
        let span = |span: Duration| names::Duration::from(span).to_string();
        let settings = &self.settings;
        match field {
            "timeouts.handshake" => span(settings.handshake),
            "timeouts.coldStart" => span(settings.cold_start),
            "timeouts.idle" => span(settings.idle.unwrap_or_default()),
            "timeouts.pong" => span(settings.pong),
            "timeouts.maxLifetime" => span(settings.max_lifetime.unwrap_or_default()),
            "timeouts.expiryGrace" => span(settings.expiry_grace),
            "execution.start" => span(settings.execution.start.unwrap_or_default()),
            "execution.progress" => span(settings.execution.progress.unwrap_or_default()),
            "execution.total" => span(settings.execution.total.unwrap_or_default()),
            "limits.connectionsPerUser" => settings.connections_per_user.to_string(),
            "limits.messageBytes" => names::Quantity::from(settings.message_bytes).to_string(),
            "limits.messagesPerSecond" => settings.messages_per_second.to_string(),
            "limits.bufferPerUser" => names::Quantity::from(settings.buffer_per_user).to_string(),
            "resume.buffer" => names::Quantity::from(settings.resume_buffer).to_string(),
            "resume.totalBytes" => names::Quantity::from(settings.resume_total).to_string(),
            "limits.slowConsumer" => format!("{:?}", settings.slow_consumer),
            _ => String::new(),
        }
    }
}
