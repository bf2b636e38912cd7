//! Each rule of the table: a policy that breaks it and nothing else, and what it is told. Beside them policies that come close.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bulkhead_crds::validate::{RULES, application_env, validate};
use bulkhead_crds::{Finding, Severity, resolve};

use crate::writing::policy_but;

/// A rule, and changes to the sound policy that break it.
type Case = (&'static str, &'static [(&'static str, &'static str)]);

const SOCKET: (&str, &str) = (
    "webSockets",
    "[{name: chat, upstream: {port: 8000}, timeouts: {handshake: 20s}}]",
);
const SECOND: &str = "{name: second, protocol: PostgreSQL, listen: {port: 6544}, upstream: {host: db.internal, database: other, credentialsSecretRef: {name: chat-db}}}";
const JWT: (&str, &str) = (
    "identity",
    "{source: Jwt, jwt: {audiences: [chat], jwks: {uri: 'https://idp.example/jwks'}}}",
);
const TRUSTED: (&str, &str) = ("identity", "{source: Trusted}");
const TRUST: (&str, &str) = ("databases/0/listen/auth/mode", "Trust");
const SCRAM: (&str, &str) = (
    "databases/0/listen/auth",
    "{mode: Scram, secretRef: {name: chat-app}}",
);

const BROKEN: &[Case] = &[
    (
        "DuplicateName",
        &[
            ("databases/-", SECOND),
            ("databases/1/name", "main"),
            ("databases/1/listen/port", "6545"),
        ],
    ),
    (
        "DuplicateName",
        &[("environments", "[{name: staging}, {name: staging}]")],
    ),
    (
        "DuplicateName",
        &[(
            "environments",
            "[{name: staging, databases: [{name: main}, {name: main}]}]",
        )],
    ),
    (
        "UnknownOverlay",
        &[(
            "environments",
            "[{name: staging, databases: [{name: mian}]}]",
        )],
    ),
    (
        "UnknownOverlay",
        &[(
            "environments",
            "[{name: staging, webSockets: [{name: chat}]}]",
        )],
    ),
    ("EmptySelector", &[("selector", "{}")]),
    (
        "EmptySelector",
        &[("selector", "{matchLabels: {}, matchExpressions: []}")],
    ),
    ("GuardsNothing", &[("databases", "[]")]),
    ("JwtMissing", &[("identity", "{source: Jwt}")]),
    ("JwksSource", &[JWT, ("identity/jwt/jwks", "{}")]),
    (
        "JwksSource",
        &[JWT, ("identity/jwt/jwks/secretRef", "{name: keys}")],
    ),
    (
        "JwksInsecure",
        &[JWT, ("identity/jwt/jwks/uri", "http://idp.example/jwks")],
    ),
    (
        "JwksInsecure",
        &[(
            "identity/signedContext/jwks/uri",
            "http://localhost.example/jwks",
        )],
    ),
    (
        "JwksInline",
        &[JWT, ("identity/jwt/jwks", "{inline: 'no JSON'}")],
    ),
    (
        "JwksInline",
        &[JWT, ("identity/jwt/jwks", "{inline: '{\"keys\": []}'}")],
    ),
    (
        "JwksInline",
        &[
            JWT,
            (
                "identity/jwt/jwks",
                "{inline: '{\"keys\": [{\"kty\": \"oct\", \"k\": \"c2VjcmV0\"}]}'}",
            ),
        ],
    ),
    (
        "JwksInline",
        &[
            JWT,
            (
                "identity/jwt/jwks",
                "{inline: '{\"keys\": [{\"kty\": \"OKP\", \"x\": \"eA\", \"d\": \"ZA\"}]}'}",
            ),
        ],
    ),
    ("AnyAudience", &[JWT, ("identity/jwt/audiences", "null")]),
    (
        "PlaceholdersAllowed",
        &[("identity/rejectPlaceholders", "false")],
    ),
    ("ConnectionScope", &[("identity/inSql/scope", "Connection")]),
    (
        "ReservedParameter",
        &[("databases/0/session/userParameter", "Bulkhead.user")],
    ),
    (
        "ReservedParameter",
        &[
            TRUSTED,
            SCRAM,
            ("identity/trusted/setting", "bulkhead.user"),
        ],
    ),
    (
        "TrustedSigned",
        &[
            TRUSTED,
            SCRAM,
            ("databases/0/session/rowLevelSecurity", "Signed"),
        ],
    ),
    ("TrustUnwritten", &[TRUSTED]),
    ("TrustedByAll", &[TRUSTED, TRUST]),
    ("SharedTier", &[("isolation/tier", "Shared")]),
    (
        "ScramWithoutSecret",
        &[("databases/0/listen/auth/mode", "Scram")],
    ),
    ("ListenCertificate", &[("databases/0/listen/tls", "Secret")]),
    (
        "ListenCertificate",
        &[("databases/0/listen/tlsSecretRef/name", "tls")],
    ),
    (
        "ListenCertificate",
        &[
            ("databases/0/listen/tls", "Issued"),
            ("databases/0/listen/tlsSecretRef/name", "tls"),
        ],
    ),
    (
        "ListenOpen",
        &[TRUSTED, TRUST, ("databases/0/listen/address", "0.0.0.0")],
    ),
    (
        "ListenBeyondLoopback",
        &[("databases/0/listen/address", "'::'")],
    ),
    (
        "ListenClash",
        &[
            ("databases/-", SECOND),
            ("databases/1/listen/port", "6543"),
            ("databases/1/upstream/host", "elsewhere.internal"),
        ],
    ),
    (
        "ListenClash",
        &[
            ("databases/-", SECOND),
            ("databases/1/listen/port", "6543"),
            ("databases/1/upstream/database", "chat"),
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
            (
                "webSockets/-",
                "{name: second, upstream: {port: 8001}, timeouts: {handshake: 20s}}",
            ),
        ],
    ),
    ("ListenAnyPort", &[("databases/0/listen/port", "0")]),
    (
        "ListenAnyPort",
        &[SOCKET, ("webSockets/0/listen/port", "0")],
    ),
    (
        "DialsItself",
        &[
            ("databases/0/upstream/host", "127.0.0.1"),
            ("databases/0/upstream/port", "6543"),
        ],
    ),
    (
        "DialsItself",
        &[
            ("databases/0/upstream/host", "localhost"),
            ("databases/0/listen", "{}"),
        ],
    ),
    (
        "CaMissing",
        &[("databases/0/upstream/tls/mode", "VerifyCa")],
    ),
    (
        "CaUnused",
        &[(
            "databases/0/upstream",
            "{host: localhost, database: chat, credentialsSecretRef: {name: chat-db}, tls: {mode: Require, caSecretRef: {name: ca}}}",
        )],
    ),
    (
        "TlsOnSocket",
        &[("databases/0/upstream/host", "/run/postgresql")],
    ),
    (
        "Unverified",
        &[("databases/0/upstream/tls/mode", "Require")],
    ),
    (
        "Unverified",
        &[("databases/0/upstream/tls/mode", "Disable")],
    ),
    (
        "PerUserOverMax",
        &[
            ("databases/0/pool/maxConnections", "3"),
            ("databases/0/pool/perUser", "{max: 4}"),
        ],
    ),
    (
        "WarmOverMax",
        &[("databases/0/pool", "{maxConnections: 4, warm: 5}")],
    ),
    (
        "WarmForWhom",
        &[
            ("databases/0/pool/warm", "1"),
            ("databases/0/upstream/database", "null"),
        ],
    ),
    (
        "WarmForWhom",
        &[
            ("databases/0/pool/warm", "1"),
            ("databases/0/upstream/credentialsSecretRef", "null"),
        ],
    ),
    (
        "NotForProtocol",
        &[
            ("databases/0/protocol", "Redis"),
            ("databases/0/session/userParameter", "app.user_id"),
        ],
    ),
    ("NeverOff", &[("databases/0/timeouts/connect", "0s")]),
    ("NeverOff", &[("databases/0/timeouts/acquire", "0s")]),
    ("NeverOff", &[("databases/0/breaker/open", "0s")]),
    (
        "NeverOff",
        &[SOCKET, ("webSockets/0/timeouts/handshake", "0s")],
    ),
    (
        "StatementOverTransaction",
        &[("databases/0/timeouts/statement", "61s")],
    ),
    (
        "IdleOverTransaction",
        &[("databases/0/timeouts/idleInTransaction", "2m")],
    ),
    ("IdleOverLifetime", &[("databases/0/timeouts/idle", "61m")]),
    (
        "IdleOverLifetime",
        &[SOCKET, ("webSockets/0/timeouts/maxLifetime", "4m")],
    ),
    (
        "HandshakeTooShort",
        &[SOCKET, ("webSockets/0/timeouts/handshake", "12s")],
    ),
    (
        "ManagedConnect",
        &[
            (
                "databases/0/upstream/host",
                "chat.abc.eu-west-1.rds.amazonaws.com",
            ),
            ("databases/0/timeouts/connect", "8s"),
        ],
    ),
    (
        "PingOverIdle",
        &[SOCKET, ("webSockets/0/timeouts/ping", "5m")],
    ),
    (
        "BufferOverMemory",
        &[SOCKET, ("webSockets/0/limits/bufferPerUser", "2Mi")],
    ),
    (
        "InjectedTimeout",
        &[("inject/env", "{PGCONNECT_TIMEOUT: '5'}")],
    ),
    (
        "EnvironmentsFarApart",
        &[(
            "environments",
            "[{name: staging, databases: [{name: main, timeouts: {connect: 101s}}]}]",
        )],
    ),
];

/// Close to the line, and on its right side.
const SOUND: &[&[(&str, &str)]] = &[
    &[],
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
    &[SOCKET, ("webSockets/0/timeouts/handshake", "13s")],
    &[(
        "databases/0/upstream/host",
        "chat.abc.eu-west-1.rds.amazonaws.com",
    )],
    &[(
        "inject/env",
        "{PGHOST: 127.0.0.1, GRACEFUL_SHUTDOWN_TIMEOUT: '30'}",
    )],
    &[(
        "environments",
        "[{name: staging, databases: [{name: main, timeouts: {connect: 100s}}]}]",
    )],
];

#[test]
fn each_rule_is_broken_by_its_policy_and_by_nothing_else() {
    let mut told = String::new();
    for (rule, changes) in BROKEN {
        // Given a sound policy with a fault, when it is judged, then that rule alone complains.
        let findings = validate(&policy_but(changes));
        let reasons: BTreeSet<&str> = findings.iter().map(|finding| finding.reason).collect();
        assert_eq!(
            reasons,
            BTreeSet::from([*rule]),
            "{changes:?}: {findings:#?}"
        );
        for finding in findings {
            let _ = writeln!(told, "{finding}");
        }
    }
    insta::assert_snapshot!("rules", told);
}

#[test]
fn no_rule_is_without_a_policy_that_breaks_it() {
    let broken: BTreeSet<&str> = BROKEN.iter().map(|(rule, _)| *rule).collect();
    let table: BTreeSet<&str> = RULES.iter().map(|rule| rule.reason).collect();
    assert_eq!(broken, table);
    assert_eq!(table.len(), RULES.len(), "two rules of one name");
}

#[test]
fn what_is_on_the_right_side_of_the_line_is_left_in_peace() {
    for changes in SOUND {
        let findings = validate(&policy_but(changes));
        assert_eq!(findings, [], "{changes:?}");
    }
}

#[test]
fn resolve_refuses_errors_and_lets_warnings_pass() {
    for (rule, changes) in BROKEN {
        let policy = policy_but(changes);
        let severity = RULES
            .iter()
            .find(|one| one.reason == *rule)
            .map(|one| one.severity);
        let refused = resolve(&policy, "production").err().unwrap_or_default();
        assert_eq!(
            refused.is_empty(),
            severity == Some(Severity::Warning),
            "{rule}: {refused:?}"
        );
        assert!(
            refused
                .iter()
                .all(|finding| finding.severity == Severity::Error)
        );
    }
}

#[test]
fn a_fault_of_one_environment_is_reported_there_and_hinders_no_other() {
    // Given an overlay that switches off what cannot be.
    let policy = policy_but(&[(
        "environments",
        "[{name: staging, databases: [{name: main, timeouts: {connect: 0s}}]}, {name: production}]",
    )]);

    // When the policy is judged, then the finding points into the overlay.
    let findings = validate(&policy);
    let paths: Vec<&str> = findings
        .iter()
        .map(|finding| finding.path.as_str())
        .collect();
    assert_eq!(
        paths,
        ["spec.environments[staging].databases[main].timeouts.connect"]
    );

    // And the other environment is served.
    assert!(resolve(&policy, "staging").is_err());
    assert!(resolve(&policy, "production").is_ok());
}

#[test]
fn a_fault_of_the_base_is_told_once_and_one_that_an_overlay_brings_out_says_where() {
    let base = policy_but(&[
        ("databases/0/timeouts/statement", "90s"),
        ("environments", "[{name: staging}, {name: production}]"),
    ]);
    assert_eq!(validate(&base).len(), 1);

    // The statement is the base's, and the transaction's end the overlay's.
    let together = policy_but(&[
        ("databases/0/timeouts/statement", "50s"),
        (
            "environments",
            "[{name: staging, databases: [{name: main, timeouts: {transaction: 40s}}]}]",
        ),
    ]);
    let findings = validate(&together);
    let [Finding { path, message, .. }] = findings.as_slice() else {
        panic!("{findings:?}")
    };
    assert_eq!(path, "spec.databases[main].timeouts.statement");
    assert!(message.ends_with("(in environment staging)"), "{message}");
}

#[test]
fn errors_come_before_warnings() {
    let findings = validate(&policy_but(&[
        ("selector", "{}"),
        ("databases/0/timeouts", "{connect: 0s, statement: 2m}"),
    ]));
    let severities: Vec<Severity> = findings.iter().map(|finding| finding.severity).collect();
    assert_eq!(
        severities,
        [Severity::Error, Severity::Warning, Severity::Warning]
    );
}

#[test]
fn an_application_with_timeouts_of_its_own_is_warned_about_without_its_secrets() {
    let findings = application_env(&[
        ("PGCONNECT_TIMEOUT", "5"),
        (
            "DATABASE_URL",
            "postgres://chat:hunter2@db/chat?connect_timeout=5",
        ),
        ("PGOPTIONS", "-c statement_timeout=5s"),
        ("REDIS_SOCKET_TIMEOUT", "1"),
        (
            "DATABASE_DSN",
            "host=db password=hunter2 connect_timeout = 5",
        ),
        // Not a database's, not a timeout, not a setting.
        ("GRACEFUL_SHUTDOWN_TIMEOUT", "30"),
        ("AWS_TIMEOUT_RETRIES", "3"),
        ("DATABASE_HOST", "db"),
        ("MOTD", "mind the timeout"),
    ]);
    let paths: Vec<&str> = findings
        .iter()
        .map(|finding| finding.path.as_str())
        .collect();
    assert_eq!(
        paths,
        [
            "env[PGCONNECT_TIMEOUT]",
            "env[DATABASE_URL]",
            "env[PGOPTIONS]",
            "env[REDIS_SOCKET_TIMEOUT]",
            "env[DATABASE_DSN]"
        ]
    );
    assert!(
        findings
            .iter()
            .all(|finding| !finding.message.contains("hunter2"))
    );
    assert!(
        findings
            .iter()
            .all(|finding| finding.severity == Severity::Warning)
    );
}
