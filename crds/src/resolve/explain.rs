//! An effective policy in rows: each field, its value, and where it came from; one environment, or two side by side.

use std::fmt::Display;
use std::time::Duration;

use crate::effective::{
    EffectiveAuditTrail, EffectiveDatabase, EffectiveIdentity, EffectivePolicy, EffectiveWebSocket,
    MISSED, NETWORK_POLICY, Origin,
};
use crate::kinds::{AuditDestination, Jwks, Protocol, SecretKeyRef, SecretRef, UpstreamRole};
use crate::names;

/// One field of an effective policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExplainRow {
    /// The field as the policy names it (`databases[main].timeouts.statement`).
    pub path: String,
    /// Its value as a policy would write it; `off` for a timeout that is switched off, `none` where nothing is set.
    pub value: String,
    /// Where the value came from.
    pub origin: Origin,
}

/// One field of two effective policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComparedRow {
    /// The field as the policy names it.
    pub path: String,
    /// Value and origin in the first; none where the first has no such field.
    pub left: Option<(String, Origin)>,
    /// Value and origin in the second.
    pub right: Option<(String, Origin)>,
}

impl ComparedRow {
    /// Whether the two values differ.
    #[must_use]
    pub fn differs(&self) -> bool {
        self.left.as_ref().map(|(value, _)| value) != self.right.as_ref().map(|(value, _)| value)
    }
}

/// Every field of an effective policy, in the order of the schema. Secrets are references in a policy, so nothing needs hiding.
#[must_use]
pub fn explain(policy: &EffectivePolicy) -> Vec<ExplainRow> {
    let mut rows = Rows {
        policy,
        rows: Vec::new(),
    };
    rows.add("mode", policy.mode);
    identity(&mut rows, &policy.identity);
    rows.add("isolation.tier", policy.isolation.tier);
    rows.add("isolation.onDisconnect", policy.isolation.on_disconnect);
    rows.add("limits.maxUsers", policy.limits.max_users);
    rows.add(
        "limits.memoryPerUser",
        names::Quantity::from(policy.limits.memory_per_user),
    );
    for database in &policy.databases {
        self::database(&mut rows, database);
    }
    for socket in &policy.web_sockets {
        web_socket(&mut rows, socket);
    }
    for (name, value) in &policy.inject_env {
        rows.add(&format!("inject.env.{name}"), value);
    }
    rows.add("injection.optOut", policy.opt_out);
    if let Some(missed) = policy.missed {
        rows.add(MISSED, missed);
    }
    if let Some(network_policy) = policy.network_policy {
        rows.add(NETWORK_POLICY, network_policy);
    }
    if let Some(trail) = &policy.audit_trail {
        audit_trail(&mut rows, trail);
    }
    rows.list("allowedUpstreams", Some(&policy.allowed_upstreams));
    rows.rows
}

/// Two effective policies, field by field; fields that only the second has come last.
#[must_use]
pub fn compare(left: &EffectivePolicy, right: &EffectivePolicy) -> Vec<ComparedRow> {
    let mut others = explain(right);
    let mut rows: Vec<ComparedRow> = explain(left)
        .into_iter()
        .map(|row| ComparedRow {
            right: others
                .iter()
                .position(|other| other.path == row.path)
                .map(|at| others.remove(at))
                .map(|other| (other.value, other.origin)),
            path: row.path,
            left: Some((row.value, row.origin)),
        })
        .collect();
    rows.extend(others.into_iter().map(|row| ComparedRow {
        path: row.path,
        left: None,
        right: Some((row.value, row.origin)),
    }));
    rows
}

struct Rows<'a> {
    policy: &'a EffectivePolicy,
    rows: Vec<ExplainRow>,
}

impl Rows<'_> {
    fn add(&mut self, path: &str, value: impl Display) {
        let origin = self.policy.origins.of(path).clone();
        self.rows.push(ExplainRow {
            path: path.to_owned(),
            value: value.to_string(),
            origin,
        });
    }

    fn optional(&mut self, path: &str, value: Option<impl Display>) {
        match value {
            Some(value) => self.add(path, value),
            None => self.add(path, "none"),
        }
    }

    fn list(&mut self, path: &str, values: Option<&Vec<String>>) {
        let values = values.filter(|values| !values.is_empty());
        self.optional(path, values.map(|values| values.join(", ")));
    }

    fn span(&mut self, path: &str, span: Duration) {
        self.add(path, names::Duration::from(span));
    }

    fn switch(&mut self, path: &str, span: Option<Duration>) {
        match span {
            Some(span) => self.span(path, span),
            None => self.add(path, "off"),
        }
    }

    fn secret(&mut self, path: &str, secret: Option<&SecretRef>) {
        self.optional(&format!("{path}.name"), secret.map(|secret| &secret.name));
    }

    fn secret_key(&mut self, path: &str, secret: Option<&SecretKeyRef>) {
        self.optional(&format!("{path}.name"), secret.map(|secret| &secret.name));
        if let Some(secret) = secret {
            self.optional(&format!("{path}.key"), secret.key.as_ref());
        }
    }

    fn jwks(&mut self, path: &str, jwks: &Jwks) {
        if jwks.secret_ref.is_some() {
            self.secret_key(&format!("{path}.secretRef"), jwks.secret_ref.as_ref());
        }
        if let Some(uri) = &jwks.uri {
            self.add(&format!("{path}.uri"), uri);
        }
        if let Some(document) = &jwks.inline {
            self.add(
                &format!("{path}.inline"),
                format!("{} bytes", document.len()),
            );
        }
    }
}

fn identity(rows: &mut Rows<'_>, identity: &EffectiveIdentity) {
    rows.add("identity.source", identity.source);
    if let Some(jwt) = &identity.jwt {
        rows.optional("identity.jwt.issuer", jwt.issuer.as_ref());
        rows.list("identity.jwt.audiences", jwt.audiences.as_ref());
        rows.jwks("identity.jwt.jwks", &jwt.jwks);
        rows.optional("identity.jwt.userClaim", jwt.user_claim.as_ref());
        rows.optional("identity.jwt.leeway", jwt.leeway);
    }
    if let Some(context) = &identity.signed_context {
        rows.optional("identity.signedContext.issuer", context.issuer.as_ref());
        rows.list(
            "identity.signedContext.audiences",
            context.audiences.as_ref(),
        );
        if let Some(jwks) = &context.jwks {
            rows.jwks("identity.signedContext.jwks", jwks);
        }
    }
    if let Some(trusted) = &identity.trusted {
        rows.optional("identity.trusted.setting", trusted.setting.as_ref());
    }
    rows.optional("identity.inSql.scope", identity.in_sql);
    rows.add("identity.rejectPlaceholders", identity.reject_placeholders);
}

fn database(rows: &mut Rows<'_>, database: &EffectiveDatabase) {
    let at = |field: &str| format!("databases[{}].{field}", database.name);
    rows.add(&at("protocol"), database.protocol);
    let listen = &database.listen;
    rows.add(&at("listen.address"), listen.address);
    rows.add(&at("listen.port"), listen.port);
    rows.optional(&at("listen.socket"), listen.socket.as_ref());
    let uids: Vec<String> = listen
        .allowed_uids
        .iter()
        .map(ToString::to_string)
        .collect();
    rows.list(&at("listen.allowedUids"), Some(&uids));
    rows.optional(&at("listen.tls"), listen.tls);
    rows.secret(&at("listen.tlsSecretRef"), listen.tls_secret_ref.as_ref());
    rows.add(&at("listen.auth.mode"), listen.auth_mode);
    rows.secret_key(
        &at("listen.auth.secretRef"),
        listen.auth_secret_ref.as_ref(),
    );
    let upstream = &database.upstream;
    if upstream.other_hosts.is_empty() {
        rows.add(&at("upstream.host"), &upstream.host);
    } else {
        let hosts: Vec<String> = upstream.hosts().map(|host| host.to_string()).collect();
        rows.list(&at("upstream.hosts"), Some(&hosts));
    }
    rows.add(
        &at("upstream.targetSessionAttrs"),
        upstream.target_session_attrs,
    );
    rows.add(&at("upstream.port"), upstream.port);
    rows.optional(&at("upstream.database"), upstream.database.as_ref());
    rows.add(&at("upstream.tls.mode"), upstream.tls_mode);
    rows.secret(
        &at("upstream.tls.caSecretRef"),
        upstream.tls_ca_secret_ref.as_ref(),
    );
    rows.secret(
        &at("upstream.credentialsSecretRef"),
        upstream.credentials_secret_ref.as_ref(),
    );
    let per_user = upstream.role == UpstreamRole::PerUser;
    if database.protocol == Protocol::ClickHouse || per_user {
        rows.add(&at("upstream.role"), upstream.role);
    }
    if per_user {
        rows.add(&at("upstream.userTemplate"), &upstream.user_template);
    }
    let pool = &database.pool;
    rows.add(&at("pool.mode"), pool.mode);
    rows.add(&at("pool.perUser.max"), pool.per_user_max);
    rows.add(&at("pool.maxConnections"), pool.max_connections);
    rows.add(&at("pool.warm"), pool.warm);
    rows.add(&at("pool.warmRate"), pool.warm_rate);
    let timeouts = &database.timeouts;
    rows.span(&at("timeouts.connect"), timeouts.connect);
    rows.span(&at("timeouts.acquire"), timeouts.acquire);
    rows.switch(&at("timeouts.statement"), timeouts.statement);
    rows.switch(&at("timeouts.transaction"), timeouts.transaction);
    rows.switch(
        &at("timeouts.idleInTransaction"),
        timeouts.idle_in_transaction,
    );
    rows.switch(&at("timeouts.idle"), timeouts.idle);
    rows.switch(&at("timeouts.lifetime"), timeouts.lifetime);
    rows.add(&at("breaker.failures"), database.breaker.failures);
    rows.span(&at("breaker.window"), database.breaker.window);
    rows.span(&at("breaker.open"), database.breaker.open);
    rows.add(
        &at("breaker.halfOpenProbes"),
        database.breaker.half_open_probes,
    );
    rows.optional(
        &at("session.userParameter"),
        database.user_parameter.as_ref(),
    );
    rows.add(&at("session.rowLevelSecurity"), database.row_level_security);
    rows.optional(&at("session.keyPrefix"), database.key_prefix.as_ref());
    if database.key_prefix.is_some() || database.acl == UpstreamRole::PerUser {
        rows.add(&at("session.acl"), database.acl);
    }
    rows.secret_key(
        &at("session.signingKeySecretRef"),
        database.signing_key_secret_ref.as_ref(),
    );
    for (name, value) in &database.parameters {
        rows.add(&at(&format!("session.parameters.{name}")), value);
    }
    rows.list(
        &at("session.fixedParameters"),
        Some(&database.fixed_parameters),
    );
}

fn web_socket(rows: &mut Rows<'_>, socket: &EffectiveWebSocket) {
    let at = |field: &str| format!("webSockets[{}].{field}", socket.name);
    rows.add(&at("listen.port"), socket.port);
    rows.optional(&at("listen.takesOver"), socket.takes_over.as_ref());
    rows.add(&at("upstream.port"), socket.upstream_port);
    let tokens: Vec<String> = socket.tokens.iter().map(ToString::to_string).collect();
    rows.list(&at("tokens"), Some(&tokens));
    rows.add(&at("plainHttp"), socket.plain_http);
    rows.list(&at("allowedOrigins"), socket.allowed_origins.as_ref());
    rows.list(&at("paths"), Some(&socket.paths));
    rows.optional(&at("tokenPath"), socket.token_path.as_ref());
    rows.span(&at("timeouts.handshake"), socket.handshake);
    rows.switch(&at("timeouts.idle"), socket.idle);
    rows.switch(&at("timeouts.ping"), socket.ping);
    rows.span(&at("timeouts.pong"), socket.pong);
    rows.switch(&at("timeouts.maxLifetime"), socket.max_lifetime);
    rows.span(&at("timeouts.expiryGrace"), socket.expiry_grace);
    rows.span(&at("timeouts.coldStart"), socket.cold_start);
    rows.add(
        &at("limits.connectionsPerUser"),
        socket.connections_per_user,
    );
    rows.add(&at("limits.whenFull"), socket.when_full);
    rows.add(
        &at("limits.messageBytes"),
        names::Quantity::from(socket.message_bytes),
    );
    rows.add(&at("limits.messagesPerSecond"), socket.messages_per_second);
    rows.add(
        &at("limits.bufferPerUser"),
        names::Quantity::from(socket.buffer_per_user),
    );
    rows.add(&at("limits.slowConsumer"), socket.slow_consumer);
    rows.add(&at("compression"), socket.compression);
    rows.add(&at("validateUtf8"), socket.validate_utf8);
    rows.span(&at("resume.window"), socket.resume_window);
    rows.add(
        &at("resume.buffer"),
        names::Quantity::from(socket.resume_buffer),
    );
    rows.add(
        &at("resume.totalBytes"),
        names::Quantity::from(socket.resume_total),
    );
    rows.switch(&at("execution.start"), socket.execution.start);
    rows.switch(&at("execution.progress"), socket.execution.progress);
    rows.switch(&at("execution.total"), socket.execution.total);
    rows.list(&at("criticalEvents"), Some(&socket.critical_events));
}

fn audit_trail(rows: &mut Rows<'_>, trail: &EffectiveAuditTrail) {
    rows.add("auditTrail.destination", trail.destination);
    if trail.destination == AuditDestination::File {
        rows.optional("auditTrail.file.claimName", trail.claim_name.as_ref());
        rows.add(
            "auditTrail.file.maxBytes",
            names::Quantity::from(trail.max_bytes),
        );
        let segments = trail.segments.map(|segments| segments.to_string());
        rows.add(
            "auditTrail.file.segments",
            segments.unwrap_or_else(|| "all".to_owned()),
        );
    }
    rows.add("auditTrail.userIds", trail.user_ids);
    rows.secret_key("auditTrail.keySecretRef", trail.key_secret_ref.as_ref());
    rows.add("auditTrail.onFailure", trail.on_failure);
}
