//! Policies with WebSockets that come close, and break no rule.

use super::parts::{COOKIE, RUNS, SECOND_SOCKET, SOCKET, TAKING_OVER};

/// Close to the line, and on its right side.
pub(super) const SOUND: &[&[(&str, &str)]] = &[
    &[SOCKET, ("webSockets/0/timeouts/handshake", "13s")],
    &[TAKING_OVER],
    &[
        TAKING_OVER,
        ("webSockets/-", SECOND_SOCKET),
        ("webSockets/1/listen/takesOver", "https"),
    ],
    // Two listeners before one port of the application's; a database where nobody looks for the application.
    &[
        SOCKET,
        ("webSockets/-", SECOND_SOCKET),
        ("webSockets/1/upstream/port", "8000"),
    ],
    &[
        SOCKET,
        ("databases/0/listen", "{address: 127.0.0.2, port: 8000}"),
    ],
    &[
        SOCKET,
        (
            "webSockets/0/tokens",
            "[{source: Authorization}, {source: Subprotocol}, {source: Header, key: X-Auth-Request-User}, {source: Header, key: X-Api-Key}]",
        ),
    ],
    &[SOCKET, COOKIE],
    // Names of cookies have a case.
    &[
        SOCKET,
        COOKIE,
        (
            "webSockets/0/tokens",
            "[{source: Cookie, key: session}, {source: Cookie, key: Session}, {source: Header, key: session}]",
        ),
    ],
    &[SOCKET, ("webSockets/0/allowedOrigins", "['*']")],
    &[
        SOCKET,
        (
            "webSockets/0/allowedOrigins",
            "['https://chat.example', 'https://chat.example:8443', 'http://localhost:3000', 'chrome-extension://abc']",
        ),
    ],
    &[
        SOCKET,
        ("webSockets/0/paths", "[/ws, /socket.io/, '/caf%C3%A9', /w]"),
        ("webSockets/0/paths/3", "/chat"),
    ],
    &[SOCKET, ("webSockets/0/paths", "[/]")],
    &[SOCKET, ("webSockets/0/tokenPath", "''")],
    &[SOCKET, ("webSockets/0/tokenPath", "/auth/renew")],
    &[
        SOCKET,
        (
            "webSockets/0/timeouts",
            "{handshake: 2m, coldStart: 2m, ping: 20s, pong: 20s, idle: 21s, maxLifetime: 21s, expiryGrace: 10m}",
        ),
        ("webSockets/0/resume/window", "21s"),
    ],
    &[
        SOCKET,
        (
            "webSockets/0/timeouts",
            "{handshake: 20s, coldStart: 0s, ping: 5s, idle: 0s, maxLifetime: 0s, expiryGrace: 0s}",
        ),
    ],
    &[
        SOCKET,
        ("databases", "[]"),
        ("webSockets/0/timeouts/handshake", "100ms"),
    ],
    &[
        SOCKET,
        ("webSockets/0/timeouts/ping", "0s"),
        ("webSockets/0/timeouts/pong", "1m"),
    ],
    &[
        SOCKET,
        (
            "webSockets/0/limits",
            "{messageBytes: 128, bufferPerUser: 16Ki, slowConsumer: Drop}",
        ),
    ],
    &[
        SOCKET,
        (
            "webSockets/0/limits",
            "{messageBytes: 64Mi, bufferPerUser: 1Ki, slowConsumer: Wait}",
        ),
        ("limits/memoryPerUser", "64Mi"),
    ],
    &[
        SOCKET,
        ("webSockets/0/limits/messageBytes", "2Mi"),
        ("webSockets/0/resume/window", "0s"),
    ],
    &[SOCKET, ("webSockets/0/limits/bufferPerUser", "1Mi")],
    &[SOCKET, ("webSockets/0/compression", "Pass")],
    &[
        SOCKET,
        ("webSockets/0/compression", "Pass"),
        ("webSockets/0/resume", "{window: 0s}"),
    ],
    &[
        SOCKET,
        ("webSockets/0/compression", "Auto"),
        ("webSockets/0/validateUtf8", "true"),
        ("webSockets/0/limits/slowConsumer", "Drop"),
        RUNS,
    ],
    &[
        SOCKET,
        (
            "webSockets/0/resume",
            "{window: 5m, buffer: 4Ki, totalBytes: 4Ki}",
        ),
    ],
    &[
        SOCKET,
        (
            "webSockets/0/criticalEvents",
            "[done, /payload/type=done, '/a~0b/c~1d=x=y', 'socket.io:done', '/empty=', 'run: over']",
        ),
    ],
    &[
        SOCKET,
        RUNS,
        (
            "webSockets/0/execution",
            "{start: 12h, progress: 10m, total: 10m}",
        ),
    ],
    &[SOCKET, ("webSockets/0/execution", "{start: 0s, total: 0s}")],
];
