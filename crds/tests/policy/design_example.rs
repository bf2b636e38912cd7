//! The policy that the design shows, its omissions filled in.

use bulkhead_crds::effective::Origin;
use bulkhead_crds::validate::validate;
use bulkhead_crds::{Severity, load, resolve};

const DESIGN: &str = r"
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: chat, namespace: chat-staging}
spec:
  selector: {matchLabels: {app: chat-backend}}
  mode: Enforce
  identity:
    source: Jwt
    jwt: {issuer: https://idp.example, audiences: [chat], jwks: {secretRef: {name: idp-keys}}, userClaim: sub}
    rejectPlaceholders: true
  isolation: {tier: Dedicated, onDisconnect: Cancel}
  limits: {maxUsers: 10000, memoryPerUser: 1Mi}
  databases:
  - name: main
    protocol: PostgreSQL
    listen: {port: 5432, tls: Issued}
    upstream: {host: db.internal, port: 5432, database: chat, tls: {mode: VerifyFull, caSecretRef: {name: db-ca}}, credentialsSecretRef: {name: chat-db}}
    pool: {mode: Transaction, perUser: {max: 4}, maxConnections: 200, warm: 8}
    timeouts: {connect: 10s, acquire: 3s, statement: 30s, transaction: 60s, idleInTransaction: 30s, idle: 10m, lifetime: 1h}
    breaker: {failures: 5, window: 30s, open: 15s, halfOpenProbes: 2}
    session: {userParameter: app.user_id}
  webSockets:
  - name: chat
    listen: {port: 8080, takesOver: http}
    upstream: {port: 8000}
    timeouts: {handshake: 10s, idle: 5m, ping: 20s, maxLifetime: 12h, coldStart: 30s}
    limits: {connectionsPerUser: 4, messageBytes: 1Mi, messagesPerSecond: 50, bufferPerUser: 256Ki}
    resume: {window: 60s, buffer: 256Ki}
    criticalEvents: [agent_started, agent_thinking, tool_executing, tool_completed, agent_completed]
  environments:
  - name: staging
    databases: [{name: main, timeouts: {connect: 35s}}]
  - name: production
    isolation: {tier: Dedicated}
";

#[test]
fn the_design_resolves_and_is_warned_of_its_own_timeout_chain() {
    let policy = load(DESIGN).expect("the design's example is well-formed");

    // Its handshake waits for a connection longer than it lasts: that is the design's own warning.
    let findings = validate(&policy);
    assert!(
        findings
            .iter()
            .all(|finding| finding.severity == Severity::Warning),
        "{findings:?}"
    );
    assert!(
        findings
            .iter()
            .all(|finding| finding.reason == "HandshakeTooShort"),
        "{findings:?}"
    );

    let staging = resolve(&policy, "staging").expect("staging resolves");
    assert_eq!(staging.databases[0].timeouts.connect.as_secs(), 35);
    let production = resolve(&policy, "production").expect("production resolves");
    assert_eq!(
        production.origins.of("isolation.tier"),
        &Origin::Environment("production".to_owned())
    );
    assert_eq!(
        production.origins.of("isolation.onDisconnect"),
        &Origin::Base
    );
}

#[test]
fn where_the_design_shows_a_value_it_is_the_default() {
    // Given the design's example, and the same policy with only what is required.
    let full = load(DESIGN).expect("the design's example is well-formed");
    let mut bare = full.clone();
    bare.spec.mode = None;
    bare.spec.isolation = None;
    bare.spec.limits = None;
    for database in bare.spec.databases.iter_mut().flatten() {
        database.timeouts = None;
        database.breaker = None;
        let pool = database.pool.as_mut().expect("written");
        (pool.mode, pool.per_user, pool.max_connections) = (None, None, None);
    }
    for socket in bare.spec.web_sockets.iter_mut().flatten() {
        (socket.timeouts, socket.limits, socket.resume) = (None, None, None);
        socket.listen.as_mut().expect("written").port = None;
    }

    // When both are resolved, then only the origins differ.
    let mut full = resolve(&full, "nowhere").expect("resolves");
    let bare = resolve(&bare, "nowhere").expect("resolves");
    assert_ne!(full.origins, bare.origins);
    full.origins = bare.origins.clone();
    assert_eq!(full, bare);
}
