//! Changes to the sound policy that several cases share.

pub(super) const SOCKET: (&str, &str) = (
    "webSockets",
    "[{name: chat, upstream: {port: 8000}, timeouts: {handshake: 20s}}]",
);
pub(super) const TAKING_OVER: (&str, &str) = (
    "webSockets",
    "[{name: chat, listen: {takesOver: http}, upstream: {port: 8000}, timeouts: {handshake: 20s}}]",
);
pub(super) const SECOND: &str = "{name: second, protocol: PostgreSQL, listen: {port: 6544}, upstream: {host: db.internal, database: other, credentialsSecretRef: {name: chat-db}}}";
pub(super) const HOSTS: &str = "{hosts: [{host: a.internal}, {host: b.internal}], database: chat, credentialsSecretRef: {name: chat-db}}";
pub(super) const JWT: (&str, &str) = (
    "identity",
    "{source: Jwt, jwt: {audiences: [chat], jwks: {uri: 'https://idp.example/jwks'}}}",
);
pub(super) const TRUSTED: (&str, &str) = ("identity", "{source: Trusted}");
pub(super) const TRUST: (&str, &str) = ("databases/0/listen/auth/mode", "Trust");
pub(super) const SCRAM: (&str, &str) = (
    "databases/0/listen/auth",
    "{mode: Scram, secretRef: {name: chat-app}}",
);
pub(super) const SECOND_SOCKET: &str =
    "{name: second, listen: {port: 8081}, upstream: {port: 8001}, timeouts: {handshake: 20s}}";
pub(super) const COOKIE: (&str, &str) = (
    "webSockets/0",
    "{name: chat, upstream: {port: 8000}, timeouts: {handshake: 20s}, tokens: [{source: Cookie, key: session}], allowedOrigins: ['https://chat.example']}",
);
pub(super) const RUNS: (&str, &str) = (
    "webSockets/0/criticalEvents",
    "[agent_started, agent_completed]",
);
