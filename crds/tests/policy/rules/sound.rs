//! Policies that come close, and break none.

use super::parts::{HOSTS, JWT, SCRAM, SECOND, SOCKET, TAKING_OVER, TRUSTED};

/// Close to the line, and on its right side.
pub(super) const SOUND: &[&[(&str, &str)]] = &[
    &[],
    &[("auditTrail", "{}")],
    &[(
        "auditTrail",
        "{destination: File, file: {claimName: audit, maxBytes: 64Ki, segments: 2}, userIds: KeyedHash, keySecretRef: {name: audit}}",
    )],
    &[JWT],
    &[JWT, ("identity/jwt/jwks/uri", "http://127.0.0.1:9000/jwks")],
    &[
        JWT,
        (
            "identity/jwt/jwks",
            "{inline: '{\"keys\": [{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"x\": \"eA\"}]}'}",
        ),
    ],
    &[
        TRUSTED,
        SCRAM,
        ("identity/trusted/setting", "app.current_user_id"),
    ],
    &[
        ("isolation/tier", "Reset"),
        (
            "databases/0/session",
            "{rowLevelSecurity: Signed, signingKeySecretRef: {name: signing}}",
        ),
    ],
    // A signed user needs a primary, which is found among several servers where the policy asks for one.
    &[
        (
            "databases/0/session",
            "{rowLevelSecurity: Signed, signingKeySecretRef: {name: signing}}",
        ),
        ("databases/0/upstream", HOSTS),
        ("databases/0/upstream/targetSessionAttrs", "ReadWrite"),
    ],
    &[(
        "selector",
        "{matchExpressions: [{key: app, operator: Exists}]}",
    )],
    // The same port on loopback addresses of their own; the same listener for two databases of one server.
    &[
        ("databases/-", SECOND),
        ("databases/1/listen", "{address: 127.0.0.2, port: 6543}"),
    ],
    &[("databases/-", SECOND), ("databases/1/listen/port", "6543")],
    &[(
        "databases/0/listen",
        "{tls: Secret, tlsSecretRef: {name: tls}}",
    )],
    &[(
        "databases/0/upstream/tls",
        "{mode: VerifyCa, caSecretRef: {name: ca}}",
    )],
    &[("databases/0/upstream/tls", "{mode: VerifyFull}")],
    &[
        ("databases/0/upstream/host", "/run/postgresql"),
        ("databases/0/upstream/tls/mode", "Disable"),
    ],
    &[
        ("databases/0/upstream/host", "localhost"),
        ("databases/0/upstream/tls/mode", "Disable"),
    ],
    &[(
        "databases/0/pool",
        "{perUser: {max: 4}, maxConnections: 4, warm: 4}",
    )],
    &[(
        "databases/0/timeouts",
        "{statement: 60s, transaction: 60s, idleInTransaction: 60s, idle: 1h, lifetime: 1h}",
    )],
    &[(
        "databases/0/timeouts",
        "{statement: 0s, transaction: 0s, idleInTransaction: 0s, idle: 0s, lifetime: 0s}",
    )],
    &[("databases/0/timeouts", "{statement: 2h, transaction: 0s}")],
    &[(
        "databases/0/upstream/host",
        "chat.abc.eu-west-1.rds.amazonaws.com",
    )],
    &[("databases/0/upstream", HOSTS)],
    &[
        ("databases/0/upstream/targetSessionAttrs", "Standby"),
        (
            "databases/0/session/parameters",
            "{statement_timeout: 5s, search_path: 'app, public', app.tenant: acme, default_transaction_read_only: 'on'}",
        ),
    ],
    &[
        ("databases/0/session/userParameter", "app.user_id"),
        (
            "databases/0/session/fixedParameters",
            "[statement_timeout, role, session_authorization, app.user_id]",
        ),
    ],
    &[
        ("databases/0/protocol", "Redis"),
        ("databases/0/session/keyPrefix", "'app:{user}:'"),
        ("databases/0/timeouts/idleInTransaction", "5s"),
    ],
    &[
        ("databases/0/protocol", "Redis"),
        ("databases/0/session/keyPrefix", "'app:{user}:'"),
        ("databases/0/session/acl", "PerUser"),
        ("databases/0/upstream/credentialsSecretRef", "{name: cache}"),
    ],
    &[
        ("databases/0/listen/socket", "/run/bulkhead"),
        ("databases/0/listen/allowedUids", "[1000, 0]"),
    ],
    // What an overlay writes takes the place of what the base has.
    &[(
        "environments",
        "[{name: staging, databases: [{name: main, upstream: {hosts: [{host: a.internal}, {host: b.internal}]}}]}]",
    )],
    &[
        ("databases/0/upstream", HOSTS),
        (
            "environments",
            "[{name: staging, databases: [{name: main, upstream: {host: c.internal}}]}]",
        ),
    ],
    &[("injection", "{missed: Evict}"), ("mode", "Audit")],
    &[("injection", "{missed: Report}")],
    &[
        TAKING_OVER,
        ("mode", "Audit"),
        ("injection", "{networkPolicy: None}"),
    ],
    &[SOCKET, ("injection", "{networkPolicy: None}")],
    &[(
        "inject/env",
        "{PGHOST: 127.0.0.1, GRACEFUL_SHUTDOWN_TIMEOUT: '30'}",
    )],
    &[(
        "environments",
        "[{name: staging, databases: [{name: main, timeouts: {connect: 100s}}]}]",
    )],
];
