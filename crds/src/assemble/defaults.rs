//! The defaults: what a policy gets where it writes nothing. The only place where they are values.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::effective::{
    EffectiveAuditTrail, EffectiveBreaker, EffectiveDatabase, EffectiveExecution, EffectiveHost,
    EffectiveIdentity, EffectiveIsolation, EffectiveLimits, EffectiveListen, EffectivePolicy,
    EffectivePool, EffectiveTimeouts, EffectiveUpstream, EffectiveWebSocket, Origins,
    default_user_template,
};
use crate::kinds::{
    AuditDestination, AuditFailure, AuditTrail, AuthMode, Breaker, Compression, Database,
    Execution, Identity, IdentitySource, IsolationPolicy, IsolationPolicySpec, Jwks, Jwt, Listen,
    Missed, Mode, OnDisconnect, OptOut, PlainHttp, Pool, PoolMode, PortClosing, RowLevelSecurity,
    SecretKeyRef, SignedContext, SlowConsumer, SqlScope, Tier, Timeouts, TlsMode, TokenPlace,
    TokenSource, Upstream, UserIds, WebSocket, WhenFull,
};
use crate::names;
use crate::names::objects::{AUDIT_KEY, CONTEXT_KEYS, JWKS_KEY, SIGNING_KEYS};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Makes a merged spec whole.
pub(super) fn fill(
    policy: &IsolationPolicy,
    environment: &str,
    spec: IsolationPolicySpec,
    origins: Origins,
) -> EffectivePolicy {
    let name = policy.metadata.name.clone().unwrap_or_default();
    let mode = spec.mode.unwrap_or(Mode::Enforce);
    let isolation = spec.isolation.unwrap_or_default();
    let limits = spec.limits.unwrap_or_default();
    let injection = spec.injection.unwrap_or_default();
    let opt_out = match mode {
        Mode::Enforce => OptOut::Denied,
        Mode::Audit => OptOut::Allowed,
    };
    EffectivePolicy {
        namespace: policy
            .metadata
            .namespace
            .clone()
            .unwrap_or_else(|| "default".to_owned()),
        environment: environment.to_owned(),
        cluster: None,
        mode,
        identity: identity(spec.identity, &name),
        isolation: EffectiveIsolation {
            tier: isolation.tier.unwrap_or(Tier::Dedicated),
            on_disconnect: isolation.on_disconnect.unwrap_or(OnDisconnect::Cancel),
        },
        limits: EffectiveLimits {
            max_users: limits.max_users.unwrap_or(10_000),
            memory_per_user: limits.memory_per_user.map_or(MIB, names::Quantity::get),
        },
        databases: spec
            .databases
            .unwrap_or_default()
            .into_iter()
            .map(database)
            .collect(),
        web_sockets: spec
            .web_sockets
            .unwrap_or_default()
            .into_iter()
            .map(web_socket)
            .collect(),
        inject_env: spec
            .inject
            .and_then(|inject| inject.env)
            .unwrap_or_default(),
        opt_out: injection.opt_out.unwrap_or(opt_out),
        missed: Some(injection.missed.unwrap_or(Missed::Report)),
        network_policy: Some(injection.network_policy.unwrap_or(PortClosing::Generate)),
        audit_trail: spec.audit_trail.map(audit_trail),
        allowed_upstreams: spec.allowed_upstreams.unwrap_or_default(),
        origins,
        name,
    }
}

fn identity(written: Identity, policy: &str) -> EffectiveIdentity {
    let signed_context = match (written.source, written.signed_context) {
        (_, Some(context)) => Some(context),
        (IdentitySource::SignedContext, None) => Some(SignedContext {
            issuer: None,
            audiences: None,
            jwks: None,
        }),
        (_, None) => None,
    };
    EffectiveIdentity {
        source: written.source,
        jwt: written.jwt.map(|jwt| Jwt {
            jwks: jwks(jwt.jwks),
            user_claim: Some(jwt.user_claim.unwrap_or_else(|| "sub".to_owned())),
            leeway: Some(jwt.leeway.unwrap_or_else(|| (30 * SECOND).into())),
            ..jwt
        }),
        signed_context: signed_context.map(|context| SignedContext {
            audiences: Some(context.audiences.unwrap_or_else(|| vec![policy.to_owned()])),
            jwks: Some(context.jwks.map_or_else(context_keys, jwks)),
            ..context
        }),
        trusted: written.trusted,
        in_sql: written
            .in_sql
            .map(|in_sql| in_sql.scope.unwrap_or(SqlScope::Transaction)),
        reject_placeholders: written.reject_placeholders.unwrap_or(true),
    }
}

fn context_keys() -> Jwks {
    jwks(Jwks {
        secret_ref: Some(SecretKeyRef {
            name: CONTEXT_KEYS.to_owned(),
            key: None,
        }),
        uri: None,
        inline: None,
    })
}

fn jwks(written: Jwks) -> Jwks {
    Jwks {
        secret_ref: written.secret_ref.map(|secret| with_key(secret, JWKS_KEY)),
        ..written
    }
}

fn with_key(secret: SecretKeyRef, key: &str) -> SecretKeyRef {
    SecretKeyRef {
        key: Some(secret.key.unwrap_or_else(|| key.to_owned())),
        ..secret
    }
}

fn database(written: Database) -> EffectiveDatabase {
    let upstream = upstream(written.upstream, written.protocol.default_port());
    let session = written.session.unwrap_or_default();
    EffectiveDatabase {
        name: written.name,
        protocol: written.protocol,
        listen: listen(written.listen.unwrap_or_default(), upstream.port),
        upstream,
        pool: pool(&written.pool.unwrap_or_default()),
        timeouts: timeouts(&written.timeouts.unwrap_or_default()),
        breaker: breaker(&written.breaker.unwrap_or_default()),
        user_parameter: session.user_parameter,
        row_level_security: session
            .row_level_security
            .unwrap_or(RowLevelSecurity::Parameter),
        signing_key_secret_ref: session
            .signing_key_secret_ref
            .map(|secret| with_key(secret, SIGNING_KEYS)),
        parameters: session.parameters.unwrap_or_default(),
        fixed_parameters: session.fixed_parameters.unwrap_or_default(),
        key_prefix: session.key_prefix,
        acl: session.acl.unwrap_or_default(),
    }
}

fn listen(written: Listen, port: u16) -> EffectiveListen {
    let auth = written.auth.unwrap_or_default();
    EffectiveListen {
        address: written.address.unwrap_or(LOOPBACK),
        port: written.port.unwrap_or(port),
        socket: written.socket,
        allowed_uids: written.allowed_uids.unwrap_or_default(),
        tls: written.tls,
        tls_secret_ref: written.tls_secret_ref,
        auth_mode: auth.mode.unwrap_or(AuthMode::Trust),
        auth_secret_ref: auth.secret_ref.map(|secret| with_key(secret, "password")),
    }
}

fn upstream(written: Upstream, port: u16) -> EffectiveUpstream {
    let tls = written.tls.unwrap_or_default();
    let port = written.port.unwrap_or(port);
    let listed = written.hosts.unwrap_or_default();
    let listed = listed.into_iter().map(|one| EffectiveHost {
        host: one.host,
        port: one.port.unwrap_or(port),
    });
    let single = written.host.map(|host| EffectiveHost { host, port });
    let mut hosts = single.into_iter().chain(listed);
    // That there is none is an error of the policy as it is written.
    let (host, port) = hosts
        .next()
        .map_or((String::new(), port), |first| (first.host, first.port));
    EffectiveUpstream {
        host,
        port,
        other_hosts: hosts.collect(),
        target_session_attrs: written.target_session_attrs.unwrap_or_default(),
        database: written.database,
        tls_mode: tls.mode.unwrap_or(TlsMode::VerifyFull),
        tls_ca_secret_ref: tls.ca_secret_ref,
        credentials_secret_ref: written.credentials_secret_ref,
        role: written.role.unwrap_or_default(),
        user_template: written.user_template.unwrap_or_else(default_user_template),
    }
}

fn pool(written: &Pool) -> EffectivePool {
    let max_connections = written.max_connections.unwrap_or(200);
    EffectivePool {
        mode: written.mode.unwrap_or(PoolMode::Transaction),
        per_user_max: written
            .per_user
            .as_ref()
            .and_then(|per_user| per_user.max)
            .unwrap_or_else(|| max_connections.min(4)),
        max_connections,
        warm: written.warm.unwrap_or(0),
        warm_rate: written.warm_rate.unwrap_or(10),
    }
}

fn timeouts(written: &Timeouts) -> EffectiveTimeouts {
    EffectiveTimeouts {
        connect: span(written.connect, 10 * SECOND),
        acquire: span(written.acquire, 3 * SECOND),
        statement: switch(written.statement, 30 * SECOND),
        transaction: switch(written.transaction, 60 * SECOND),
        idle_in_transaction: switch(written.idle_in_transaction, 30 * SECOND),
        idle: switch(written.idle, 10 * MINUTE),
        lifetime: switch(written.lifetime, HOUR),
    }
}

fn breaker(written: &Breaker) -> EffectiveBreaker {
    EffectiveBreaker {
        failures: written.failures.unwrap_or(5),
        window: span(written.window, 30 * SECOND),
        open: span(written.open, 15 * SECOND),
        half_open_probes: written.half_open_probes.unwrap_or(2),
    }
}

fn web_socket(written: WebSocket) -> EffectiveWebSocket {
    let listen = written.listen.unwrap_or_default();
    let timeouts = written.timeouts.unwrap_or_default();
    let limits = written.limits.unwrap_or_default();
    let resume = written.resume.unwrap_or_default();
    EffectiveWebSocket {
        name: written.name,
        port: listen.port.unwrap_or(8080),
        takes_over: listen.takes_over,
        upstream_port: written.upstream.port,
        tokens: written.tokens.unwrap_or_else(token_places),
        plain_http: written.plain_http.unwrap_or(PlainHttp::Attach),
        allowed_origins: written.allowed_origins,
        paths: written.paths.unwrap_or_default(),
        token_path: Some(written.token_path.unwrap_or_else(|| TOKEN_PATH.to_owned()))
            .filter(|path| !path.is_empty()),
        handshake: span(timeouts.handshake, 10 * SECOND),
        idle: switch(timeouts.idle, 5 * MINUTE),
        ping: switch(timeouts.ping, 20 * SECOND),
        pong: span(timeouts.pong, 10 * SECOND),
        max_lifetime: switch(timeouts.max_lifetime, 12 * HOUR),
        cold_start: span(timeouts.cold_start, 30 * SECOND),
        expiry_grace: span(timeouts.expiry_grace, 30 * SECOND),
        connections_per_user: limits.connections_per_user.unwrap_or(4),
        when_full: limits.when_full.unwrap_or(WhenFull::CloseOldest),
        message_bytes: limits.message_bytes.map_or(MIB, names::Quantity::get),
        messages_per_second: limits.messages_per_second.unwrap_or(50),
        buffer_per_user: limits
            .buffer_per_user
            .map_or(256 * KIB, names::Quantity::get),
        slow_consumer: limits.slow_consumer.unwrap_or(SlowConsumer::Wait),
        compression: written.compression.unwrap_or(Compression::Auto),
        validate_utf8: written.validate_utf8.unwrap_or(false),
        resume_window: span(resume.window, MINUTE),
        resume_buffer: resume.buffer.map_or(256 * KIB, names::Quantity::get),
        resume_total: resume.total_bytes.map_or(64 * MIB, names::Quantity::get),
        execution: execution(&written.execution.unwrap_or_default()),
        critical_events: written.critical_events.unwrap_or_default(),
    }
}

/// Files of a trail that are kept in a pod's own volume: that is on the node's disk, which others need too.
const OWN_SEGMENTS: u32 = 8;

fn audit_trail(written: AuditTrail) -> EffectiveAuditTrail {
    let file = written.file.unwrap_or_default();
    let own = file.claim_name.is_none().then_some(OWN_SEGMENTS);
    EffectiveAuditTrail {
        destination: written
            .destination
            .unwrap_or(AuditDestination::StandardOutput),
        max_bytes: file.max_bytes.map_or(64 * MIB, names::Quantity::get),
        segments: file.segments.or(own),
        claim_name: file.claim_name,
        user_ids: written.user_ids.unwrap_or(UserIds::Plain),
        key_secret_ref: written
            .key_secret_ref
            .map(|secret| with_key(secret, AUDIT_KEY)),
        on_failure: written.on_failure.unwrap_or(AuditFailure::Refuse),
    }
}

/// Where tokens are renewed: a name that no framework gives a path of its own.
const TOKEN_PATH: &str = "/.bulkhead/token";

fn token_places() -> Vec<TokenSource> {
    let of = |source| TokenSource { source, key: None };
    vec![of(TokenPlace::Authorization), of(TokenPlace::Subprotocol)]
}

fn execution(written: &Execution) -> EffectiveExecution {
    EffectiveExecution {
        start: switch(written.start, Duration::ZERO),
        progress: switch(written.progress, Duration::ZERO),
        total: switch(written.total, Duration::ZERO),
    }
}

fn span(written: Option<names::Duration>, default: Duration) -> Duration {
    written.map_or(default, names::Duration::get)
}

/// As [`span`], but `0s` is off.
fn switch(written: Option<names::Duration>, default: Duration) -> Option<Duration> {
    Some(span(written, default)).filter(|span| !span.is_zero())
}
