//! Effective policies for the tests of this room and of its neighbours.

use std::net::Ipv4Addr;
use std::time::Duration;

use bulkhead_crds::effective::{
    EffectiveAuditTrail, EffectiveBreaker, EffectiveDatabase, EffectiveIdentity,
    EffectiveIsolation, EffectiveLimits, EffectiveListen, EffectivePolicy, EffectivePool,
    EffectiveTimeouts, EffectiveUpstream, Origins, default_user_template,
};
use bulkhead_crds::kinds::{
    AuditDestination, AuditFailure, AuthMode, IdentitySource, Mode, OnDisconnect, OptOut, PoolMode,
    Protocol, RowLevelSecurity, TargetSessionAttrs, Tier, TlsMode, UpstreamRole, UserIds,
};

/// A policy as it is written.
pub(crate) const POLICY: &str = "
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: chat}
spec:
  selector: {matchLabels: {app: chat}}
  identity: {source: Trusted}
  databases:
  - name: main
    protocol: PostgreSQL
    listen: {port: 5432, auth: {mode: Trust}}
    upstream: {host: db.internal, port: 5432, credentialsSecretRef: {name: db}}
    timeouts: {statement: 20s}
  environments:
  - name: staging
    databases: [{name: main, timeouts: {connect: 35s}}]
";

/// A policy for staging with these databases.
pub(crate) fn policy(databases: Vec<EffectiveDatabase>) -> EffectivePolicy {
    EffectivePolicy {
        name: "chat".to_owned(),
        namespace: "default".to_owned(),
        environment: "staging".to_owned(),
        cluster: None,
        mode: Mode::Enforce,
        identity: EffectiveIdentity {
            source: IdentitySource::Trusted,
            jwt: None,
            signed_context: None,
            trusted: None,
            in_sql: None,
            reject_placeholders: true,
        },
        isolation: EffectiveIsolation {
            tier: Tier::Dedicated,
            on_disconnect: OnDisconnect::Cancel,
        },
        limits: EffectiveLimits {
            max_users: 100,
            memory_per_user: 1 << 20,
        },
        databases,
        web_sockets: Vec::new(),
        inject_env: std::collections::BTreeMap::new(),
        opt_out: OptOut::Allowed,
        missed: None,
        network_policy: None,
        audit_trail: None,
        allowed_upstreams: Vec::new(),
        origins: Origins::default(),
    }
}

/// A PostgreSQL database that listens on this port of 127.0.0.1.
pub(crate) fn database(name: &str, port: u16) -> EffectiveDatabase {
    let seconds = Duration::from_secs;
    EffectiveDatabase {
        name: name.to_owned(),
        protocol: Protocol::PostgreSQL,
        listen: EffectiveListen {
            address: Ipv4Addr::LOCALHOST.into(),
            port,
            socket: None,
            allowed_uids: Vec::new(),
            tls: None,
            tls_secret_ref: None,
            auth_mode: AuthMode::Trust,
            auth_secret_ref: None,
        },
        upstream: EffectiveUpstream {
            host: "db.internal".to_owned(),
            port: 5432,
            other_hosts: Vec::new(),
            target_session_attrs: TargetSessionAttrs::Any,
            database: None,
            tls_mode: TlsMode::VerifyFull,
            tls_ca_secret_ref: None,
            credentials_secret_ref: None,
            role: UpstreamRole::Shared,
            user_template: default_user_template(),
        },
        pool: EffectivePool {
            mode: PoolMode::Transaction,
            per_user_max: 4,
            max_connections: 200,
            warm: 8,
            warm_rate: 10,
        },
        timeouts: EffectiveTimeouts {
            connect: seconds(10),
            acquire: seconds(3),
            statement: Some(seconds(30)),
            transaction: Some(seconds(60)),
            idle_in_transaction: Some(seconds(30)),
            idle: Some(seconds(600)),
            lifetime: Some(seconds(3600)),
        },
        breaker: EffectiveBreaker {
            failures: 5,
            window: seconds(30),
            open: seconds(15),
            half_open_probes: 2,
        },
        user_parameter: None,
        row_level_security: RowLevelSecurity::Parameter,
        signing_key_secret_ref: None,
        parameters: std::collections::BTreeMap::new(),
        fixed_parameters: Vec::new(),
        key_prefix: None,
        acl: UpstreamRole::Shared,
    }
}

/// An audit trail on standard output.
pub(crate) fn audit_trail() -> EffectiveAuditTrail {
    EffectiveAuditTrail {
        destination: AuditDestination::StandardOutput,
        claim_name: None,
        max_bytes: 1 << 20,
        segments: None,
        user_ids: UserIds::Plain,
        key_secret_ref: None,
        on_failure: AuditFailure::Refuse,
    }
}
