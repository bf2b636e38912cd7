//! Policies that break one rule each.

use super::parts::{HOSTS, JWT, SCRAM, SECOND, SOCKET, TAKING_OVER, TRUST, TRUSTED};

/// A rule, and changes to the sound policy that break it.
pub(super) type Case = (&'static str, &'static [(&'static str, &'static str)]);

pub(super) const BROKEN: &[Case] = &[
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
    ("AuditKeyMissing", &[("auditTrail", "{userIds: KeyedHash}")]),
    (
        "AuditFileSmall",
        &[(
            "auditTrail",
            "{destination: File, file: {claimName: audit, maxBytes: 65535}}",
        )],
    ),
    (
        "AuditFileUnused",
        &[("auditTrail", "{file: {claimName: audit}}")],
    ),
    ("AuditEndsWithPod", &[("auditTrail", "{destination: File}")]),
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
        "NamedInShared",
        &[
            ("isolation/tier", "Shared"),
            ("identity/inSql/scope", "Transaction"),
        ],
    ),
    (
        "NamedInShared",
        &[
            TRUSTED,
            SCRAM,
            ("isolation/tier", "Shared"),
            ("identity/trusted/setting", "app.user_id"),
        ],
    ),
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
            ("databases/0/session/signingKeySecretRef/name", "signing"),
        ],
    ),
    (
        "SignedInShared",
        &[
            ("isolation/tier", "Shared"),
            ("databases/0/session/rowLevelSecurity", "Signed"),
            ("databases/0/session/signingKeySecretRef/name", "signing"),
        ],
    ),
    (
        "SignedOnStandby",
        &[
            ("databases/0/session/rowLevelSecurity", "Signed"),
            ("databases/0/session/signingKeySecretRef/name", "signing"),
            ("databases/0/upstream/targetSessionAttrs", "Standby"),
        ],
    ),
    (
        "SignedOnStandby",
        &[
            ("databases/0/session/rowLevelSecurity", "Signed"),
            ("databases/0/session/signingKeySecretRef/name", "signing"),
            ("databases/0/upstream/targetSessionAttrs", "PreferStandby"),
        ],
    ),
    (
        "SignedOnStandby",
        &[
            ("databases/0/session/rowLevelSecurity", "Signed"),
            ("databases/0/session/signingKeySecretRef/name", "signing"),
            ("databases/0/upstream/targetSessionAttrs", "ReadOnly"),
        ],
    ),
    (
        "SignedOnStandby",
        &[
            ("databases/0/session/rowLevelSecurity", "Signed"),
            ("databases/0/session/signingKeySecretRef/name", "signing"),
            ("databases/0/upstream", HOSTS),
        ],
    ),
    (
        "SigningKeyMissing",
        &[("databases/0/session/rowLevelSecurity", "Signed")],
    ),
    (
        "SigningKeyUnused",
        &[("databases/0/session/signingKeySecretRef/name", "signing")],
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
        "DialsItself",
        &[
            ("databases/0/upstream/host", "/run/postgresql"),
            ("databases/0/upstream/tls", "{mode: Disable}"),
            ("databases/0/listen", "{socket: /run/postgresql}"),
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
    (
        "NotForProtocol",
        &[
            ("databases/0/protocol", "Redis"),
            ("databases/0/upstream", HOSTS),
            ("databases/0/upstream/targetSessionAttrs", "Primary"),
            ("databases/0/session/parameters", "{work_mem: 8MB}"),
        ],
    ),
    (
        "NotForProtocol",
        &[
            ("databases/0/protocol", "PostgreSQL"),
            ("databases/0/upstream/role", "PerUser"),
        ],
    ),
    (
        "RoleCredentials",
        &[
            ("databases/0/protocol", "ClickHouse"),
            ("databases/0/upstream/role", "PerUser"),
            ("databases/0/upstream/credentialsSecretRef", "null"),
        ],
    ),
    (
        "UserTemplateUnused",
        &[
            ("databases/0/protocol", "ClickHouse"),
            ("databases/0/upstream/userTemplate", "'{user}'"),
        ],
    ),
    (
        "UserSetting",
        &[("databases/0/session/userParameter", "app_user")],
    ),
    (
        "UserSetting",
        &[
            ("databases/0/protocol", "ClickHouse"),
            ("databases/0/session/userParameter", "app.user_id"),
        ],
    ),
    (
        "UserSettingPrefix",
        &[
            ("databases/0/protocol", "ClickHouse"),
            ("databases/0/session/userParameter", "app_user"),
        ],
    ),
    (
        "SessionParameter",
        &[
            ("databases/0/protocol", "ClickHouse"),
            ("databases/0/session/parameters", "{quota_key: x}"),
        ],
    ),
    ("UpstreamHost", &[("databases/0/upstream/host", "null")]),
    (
        "UpstreamHost",
        &[
            ("databases/0/upstream", HOSTS),
            ("databases/0/upstream/host", "db.internal"),
        ],
    ),
    (
        "UpstreamHost",
        &[(
            "environments",
            "[{name: staging, databases: [{name: main, upstream: {host: c.internal, hosts: [{host: a.internal}, {host: b.internal}]}}]}]",
        )],
    ),
    (
        "HostTwice",
        &[
            ("databases/0/upstream", HOSTS),
            (
                "databases/0/upstream/hosts",
                "[{host: a.internal}, {host: a.internal, port: 5432}]",
            ),
        ],
    ),
    (
        "HostPorts",
        &[
            ("databases/0/upstream", HOSTS),
            (
                "databases/0/upstream/hosts",
                "[{host: a.internal}, {host: a.internal, port: 5433}]",
            ),
        ],
    ),
    (
        "SessionParameter",
        &[(
            "databases/0/session/parameters",
            "{'a b': x, .c: x, bulkhead.user: x, ROLE: x, options: x}",
        )],
    ),
    (
        "SessionParameter",
        &[
            ("databases/0/session/userParameter", "app.user_id"),
            (
                "databases/0/session/parameters",
                "{App.User_Id: x, work_mem: 1MB, Work_Mem: 2MB}",
            ),
        ],
    ),
    (
        "SessionParameter",
        &[("databases/0/session/parameters", "{app.x: \"a\\0\"}")],
    ),
    (
        "FixedParameter",
        &[(
            "databases/0/session/fixedParameters",
            "['a b', bulkhead.context]",
        )],
    ),
    (
        "FixedParameter",
        &[
            TRUSTED,
            SCRAM,
            ("identity/trusted/setting", "app.current_user_id"),
            (
                "databases/0/session/fixedParameters",
                "[App.Current_User_Id]",
            ),
        ],
    ),
    (
        "NotForProtocol",
        &[("databases/0/session/keyPrefix", "'{user}:'")],
    ),
    (
        "KeyPrefix",
        &[
            ("databases/0/protocol", "Redis"),
            ("databases/0/session/keyPrefix", "'{user}_'"),
        ],
    ),
    (
        "KeyPrefix",
        &[
            ("databases/0/protocol", "Redis"),
            ("isolation/tier", "Shared"),
            ("databases/0/session/keyPrefix", "'{user}:'"),
        ],
    ),
    ("NotForProtocol", &[("databases/0/session/acl", "PerUser")]),
    (
        "Acl",
        &[
            ("databases/0/protocol", "Redis"),
            ("databases/0/session/acl", "PerUser"),
            ("databases/0/upstream/credentialsSecretRef", "{name: cache}"),
        ],
    ),
    (
        "Acl",
        &[
            ("databases/0/protocol", "Redis"),
            ("databases/0/session/keyPrefix", "'{user}:'"),
            ("databases/0/session/acl", "PerUser"),
            ("databases/0/upstream/credentialsSecretRef", "null"),
        ],
    ),
    (
        "AclInAudit",
        &[
            ("mode", "Audit"),
            ("databases/0/protocol", "Redis"),
            ("databases/0/session/keyPrefix", "'{user}:'"),
            ("databases/0/session/acl", "PerUser"),
            ("databases/0/upstream/credentialsSecretRef", "{name: cache}"),
        ],
    ),
    (
        "AllowedUids",
        &[("databases/0/listen/allowedUids", "[1000]")],
    ),
    (
        "NeverWrites",
        &[
            ("databases/0/upstream/targetSessionAttrs", "ReadWrite"),
            (
                "databases/0/session/parameters",
                "{default_transaction_read_only: 'on'}",
            ),
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
    ("EvictInEnforce", &[("injection", "{missed: Evict}")]),
    (
        "EvictInEnforce",
        &[
            ("injection", "{missed: Evict}"),
            ("mode", "Audit"),
            ("environments", "[{name: production, mode: Enforce}]"),
        ],
    ),
    (
        "PortLeftOpen",
        &[TAKING_OVER, ("injection", "{networkPolicy: None}")],
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
