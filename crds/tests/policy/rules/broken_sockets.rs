//! Policies that break one rule about WebSockets each.

use super::broken::Case;
use super::parts::{COOKIE, RUNS, SECOND_SOCKET, SOCKET, TAKING_OVER};

pub(super) const BROKEN: &[Case] = &[
    (
        "TokenKey",
        &[SOCKET, ("webSockets/0/tokens", "[{source: Header}]")],
    ),
    (
        "TokenKey",
        &[
            SOCKET,
            (
                "webSockets/0/tokens",
                "[{source: Authorization}, {source: Cookie}]",
            ),
            ("webSockets/0/allowedOrigins", "['https://chat.example']"),
        ],
    ),
    (
        "TokenKey",
        &[
            SOCKET,
            (
                "webSockets/0/tokens",
                "[{source: Authorization, key: X-Token}]",
            ),
        ],
    ),
    (
        "TokenKey",
        &[
            SOCKET,
            ("webSockets/0/tokens", "[{source: Subprotocol, key: token}]"),
        ],
    ),
    (
        "TokenTwice",
        &[
            SOCKET,
            (
                "webSockets/0/tokens",
                "[{source: Header, key: X-User}, {source: Authorization}, {source: Header, key: x-user}]",
            ),
        ],
    ),
    (
        "TokenTwice",
        &[
            SOCKET,
            (
                "webSockets/0/tokens",
                "[{source: Authorization}, {source: Authorization}]",
            ),
        ],
    ),
    (
        "TokenHeader",
        &[
            SOCKET,
            (
                "webSockets/0/tokens",
                "[{source: Header, key: X-Bulkhead-User}]",
            ),
        ],
    ),
    (
        "TokenHeader",
        &[
            SOCKET,
            (
                "webSockets/0/tokens",
                "[{source: Header, key: Authorization}, {source: Header, key: Cookie}, {source: Header, key: Upgrade}]",
            ),
        ],
    ),
    (
        "TokenInAddress",
        &[
            SOCKET,
            ("webSockets/0/tokens", "[{source: Query, key: token}]"),
        ],
    ),
    (
        "CookieOrigins",
        &[
            SOCKET,
            ("webSockets/0/tokens", "[{source: Cookie, key: session}]"),
        ],
    ),
    (
        "CookieOrigins",
        &[SOCKET, COOKIE, ("webSockets/0/allowedOrigins", "['*']")],
    ),
    (
        "AllowedOrigin",
        &[
            SOCKET,
            (
                "webSockets/0/allowedOrigins",
                "[chat.example, 'https://chat.example/', 'https://*.chat.example', 'null', 'wss://chat.example:443/ws']",
            ),
        ],
    ),
    (
        "OriginCovered",
        &[
            SOCKET,
            (
                "webSockets/0/allowedOrigins",
                "['https://chat.example', 'https://chat.example']",
            ),
        ],
    ),
    (
        "AnyOrNoOrigin",
        &[SOCKET, ("webSockets/0/allowedOrigins", "[]")],
    ),
    (
        "AnyOrNoOrigin",
        &[
            SOCKET,
            (
                "webSockets/0/allowedOrigins",
                "['https://chat.example', '*']",
            ),
        ],
    ),
    (
        "PathForm",
        &[
            SOCKET,
            (
                "webSockets/0/paths",
                "[ws, '/chat?room=1', 'https://chat.example/ws', '/a b']",
            ),
        ],
    ),
    (
        "PathForm",
        &[SOCKET, ("webSockets/0/tokenPath", "'/renew?x'")],
    ),
    (
        "PathCovered",
        &[SOCKET, ("webSockets/0/paths", "[/ws/chat, /ws]")],
    ),
    (
        "PathCovered",
        &[SOCKET, ("webSockets/0/paths", "[/ws, /ws]")],
    ),
    (
        "PathPattern",
        &[SOCKET, ("webSockets/0/paths", "['/ws/*']")],
    ),
    ("NeverOff", &[SOCKET, ("webSockets/0/timeouts/pong", "0s")]),
    (
        "PingOverIdle",
        &[SOCKET, ("webSockets/0/timeouts/ping", "5m")],
    ),
    (
        "PongOverPing",
        &[SOCKET, ("webSockets/0/timeouts/pong", "21s")],
    ),
    (
        "HandshakeUnreal",
        &[SOCKET, ("webSockets/0/timeouts/handshake", "3m")],
    ),
    (
        "HandshakeUnreal",
        &[
            SOCKET,
            ("databases", "[]"),
            ("webSockets/0/timeouts/handshake", "10ms"),
        ],
    ),
    (
        "HandshakeUnreal",
        &[SOCKET, ("webSockets/0/timeouts/coldStart", "1h")],
    ),
    (
        "LongGrace",
        &[SOCKET, ("webSockets/0/timeouts/expiryGrace", "12h")],
    ),
    (
        "NoMessage",
        &[SOCKET, ("webSockets/0/limits/messageBytes", "0")],
    ),
    (
        "MessageSize",
        &[SOCKET, ("webSockets/0/limits/messageBytes", "64")],
    ),
    (
        "MessageSize",
        &[
            SOCKET,
            ("limits/memoryPerUser", "1Gi"),
            ("webSockets/0/limits/messageBytes", "1Gi"),
        ],
    ),
    (
        "MessageOverMemory",
        &[SOCKET, ("webSockets/0/limits/messageBytes", "2Mi")],
    ),
    (
        "ResumeOutlived",
        &[SOCKET, ("webSockets/0/resume/window", "6m")],
    ),
    ("ResumeOff", &[SOCKET, ("webSockets/0/resume/buffer", "0")]),
    (
        "BufferSmall",
        &[
            SOCKET,
            (
                "webSockets/0/limits",
                "{bufferPerUser: 8Ki, slowConsumer: Drop}",
            ),
        ],
    ),
    (
        "BufferSmall",
        &[
            SOCKET,
            (
                "webSockets/0/limits",
                "{bufferPerUser: 8Ki, slowConsumer: Close}",
            ),
        ],
    ),
    (
        "BufferOverMemory",
        &[SOCKET, ("webSockets/0/limits/bufferPerUser", "2Mi")],
    ),
    (
        "CompressedUnread",
        &[
            SOCKET,
            ("webSockets/0/compression", "Pass"),
            ("webSockets/0/criticalEvents", "[done]"),
        ],
    ),
    (
        "CompressedUnread",
        &[
            SOCKET,
            ("webSockets/0/compression", "Pass"),
            ("webSockets/0/validateUtf8", "true"),
            ("webSockets/0/limits/slowConsumer", "Drop"),
        ],
    ),
    (
        "ResumeOverTotal",
        &[
            SOCKET,
            ("webSockets/0/resume", "{buffer: 2Mi, totalBytes: 1Mi}"),
        ],
    ),
    (
        "ResumeBufferSmall",
        &[SOCKET, ("webSockets/0/resume/buffer", "4000")],
    ),
    (
        "ResumeOff",
        &[
            SOCKET,
            ("webSockets/0/resume", "{window: 0s, buffer: 64Ki}"),
        ],
    ),
    (
        "ResumeOutlived",
        &[
            SOCKET,
            (
                "webSockets/0/timeouts",
                "{handshake: 20s, maxLifetime: 10m}",
            ),
            ("webSockets/0/resume/window", "11m"),
        ],
    ),
    (
        "ResumeCompressed",
        &[
            SOCKET,
            ("webSockets/0/compression", "Pass"),
            ("webSockets/0/resume/window", "60s"),
        ],
    ),
    (
        "EventNeverMatches",
        &[
            SOCKET,
            (
                "webSockets/0/criticalEvents",
                "[/payload/kind, '/a~b=c', 'socket.io:', ' done']",
            ),
        ],
    ),
    (
        "EventTwice",
        &[SOCKET, ("webSockets/0/criticalEvents", "[done, done]")],
    ),
    (
        "EventTwice",
        &[
            SOCKET,
            ("webSockets/0/criticalEvents", "[/type=done, done]"),
        ],
    ),
    (
        "EventUnlikely",
        &[
            SOCKET,
            (
                "webSockets/0/criticalEvents",
                "[$.payload.kind=done, kind=done, 'socketio:done', 'Socket.IO: over']",
            ),
        ],
    ),
    (
        "RunsUnseen",
        &[
            SOCKET,
            ("webSockets/0/execution", "{start: 5s, total: 10m}"),
        ],
    ),
    (
        "RunsUnseen",
        &[
            SOCKET,
            RUNS,
            ("webSockets/0/execution", "{total: 10m}"),
            (
                "environments",
                "[{name: production, webSockets: [{name: chat, criticalEvents: []}]}]",
            ),
        ],
    ),
    (
        "RunLimits",
        &[
            SOCKET,
            RUNS,
            ("webSockets/0/execution", "{progress: 11m, total: 10m}"),
        ],
    ),
    (
        "RunLimits",
        &[
            SOCKET,
            RUNS,
            ("webSockets/0/execution", "{start: 13h, total: 14h}"),
        ],
    ),
    (
        "ListenClash",
        &[SOCKET, ("webSockets/0/listen/port", "6543")],
    ),
    (
        "ListenClash",
        &[SOCKET, ("webSockets/0/listen/port", "8000")],
    ),
    (
        "ListenClash",
        &[
            SOCKET,
            ("webSockets/-", SECOND_SOCKET),
            ("webSockets/1/listen/port", "8080"),
        ],
    ),
    (
        "ListenClash",
        &[SOCKET, ("webSockets/0/upstream/port", "6543")],
    ),
    ("OwnPort", &[SOCKET, ("webSockets/0/listen/port", "9432")]),
    ("OwnPort", &[SOCKET, ("webSockets/0/upstream/port", "9432")]),
    ("OwnPort", &[("databases/0/listen/port", "9432")]),
    ("OwnPort", &[SOCKET, ("webSockets/0/listen/port", "9433")]),
    (
        "TakenTwice",
        &[
            TAKING_OVER,
            ("webSockets/-", SECOND_SOCKET),
            ("webSockets/1/listen/takesOver", "http"),
        ],
    ),
];
