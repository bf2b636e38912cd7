//! What Bulkhead's objects, labels and annotations in a cluster are called.
//!
//! One list, for the operator, the admission policies, the command line and the tests.

/// Label of a namespace: `enabled` lets policies in it have an effect, `disabled` keeps even the guard away.
pub const INJECTION: &str = "bulkhead.dev/injection";
/// The value of [`INJECTION`] with which policies have an effect.
pub const ENABLED: &str = "enabled";
/// Label of a namespace: the name of its environment.
pub const ENVIRONMENT: &str = "bulkhead.dev/environment";
/// Label of every object that the operator makes in a namespace of users, with the value `true`. Only the operator may write such objects.
pub const OWNED: &str = "bulkhead.dev/owned";
/// Annotation of an object that the operator makes: the policy that it is for.
pub const POLICY: &str = "bulkhead.dev/policy";
/// Annotation of a pod: `false` keeps the sidecar out, where the policy allows it.
pub const INJECT: &str = "bulkhead.dev/inject";
/// Annotation of an injected pod: `POLICY@HASH`, the template that it was injected from.
pub const INJECTED: &str = "bulkhead.dev/injected";
/// Label of an injected pod whose application's ports are taken over: which policy's, and which numbers, as a hash. A NetworkPolicy closes
/// those ports to pods that bear it, and so to no pod that was not injected.
pub const TAKEN_OVER: &str = "bulkhead.dev/taken-over";
/// Annotation of an injected pod: the revision that the kubelet was last poked for, so that it renews the pod's volumes at once.
pub const REVISION: &str = "bulkhead.dev/revision";
/// Annotation of a Secret: the names of the policies that may mount it, apart by commas; `*` is every policy of its namespace.
pub const ALLOW_POLICY: &str = "bulkhead.dev/allow-policy";

/// The field manager of everything that the operator applies.
pub const MANAGER: &str = "bulkhead-operator";
/// The injected container, and the user agent of what the operator says.
pub const CONTAINER: &str = "bulkhead";
/// The injected container's port for metrics, health and the revision.
pub const ADMIN_PORT_NAME: &str = "bh-admin";
/// Its number.
pub const ADMIN_PORT: u16 = 9432;
/// The Secret of a namespace's context-signing keys: [`JWKS_KEY`] (public), [`SIGNING_KEY`] and [`RESUME_KEY`]
/// (private).
pub const CONTEXT_KEYS: &str = "bulkhead-context-keys";
/// The key of a Secret that holds a key set, unless the policy names another.
pub const JWKS_KEY: &str = "jwks.json";
/// The key of [`CONTEXT_KEYS`] that holds the private half of the key that signs.
pub const SIGNING_KEY: &str = "signing.json";
/// The key of a Secret with the keys of signed users, where the policy names none.
pub const SIGNING_KEYS: &str = "signing-keys";
/// The key of a Secret that holds the key of an audit trail, where the policy names none.
pub const AUDIT_KEY: &str = "key";
/// The volume of an audit trail's files, which the sidecar alone mounts.
pub const AUDIT_VOLUME: &str = "bulkhead-audit";
/// Where the sidecar mounts it, and where its files go unless the command line names another folder.
pub const AUDIT_FOLDER: &str = "/var/lib/bulkhead/audit";
/// The key of [`CONTEXT_KEYS`] that holds the keys by which the tokens of WebSocket sessions are sealed, the one that seals first.
pub const RESUME_KEY: &str = "resume.json";
/// The Secret of the certificates that a namespace's policies issue to their sidecars, with a few keys for each policy.
pub const ISSUED_CERTIFICATES: &str = "bulkhead-issued-certificates";
/// The Secret by which the sidecars of a namespace know each other: the authorities of their certificates (`ca.crt`, `ca.key`), and the one
/// certificate that they all show (`tls.crt`, `tls.key`).
pub const PEER_CERTIFICATES: &str = "bulkhead-peers";
/// The injected container's port for the sidecars of other pods.
pub const PEER_PORT_NAME: &str = "bh-peers";
/// Its number.
pub const PEER_PORT: u16 = 9433;
/// The variable that tells the injected container its pod's address.
pub const POD_ADDRESS: &str = "BULKHEAD_POD_ADDRESS";
/// The Secret, in the operator's namespace, of the webhooks' certificates.
pub const WEBHOOK_CERTIFICATES: &str = "bulkhead-webhook-certificates";
/// The Lease, in the operator's namespace, that elects the leader.
pub const LEASE: &str = "bulkhead-operator";

/// The mutating admission policy, its binding, and on older servers the mutating webhook.
pub const INJECT_POLICY: &str = "bulkhead-inject";
/// The validating admission policy, and its binding, that refuses a selected pod without its sidecar.
pub const GUARD_POLICY: &str = "bulkhead-guard";
/// The validating admission policy, and its binding, that lets only the operator write what it owns.
pub const OWNED_POLICY: &str = "bulkhead-owned";
/// The validating webhook for policies.
pub const VALIDATE_WEBHOOK: &str = "bulkhead-validate";

/// The name that the certificate of [`PEER_CERTIFICATES`] is for, of which DNS knows nothing.
#[must_use]
pub fn peer_name(namespace: &str) -> String {
    format!("{namespace}.peers.bulkhead.dev")
}

/// The ConfigMap that carries a policy's snapshot, a key a wire version (`v1.json`).
#[must_use]
pub fn snapshot(policy: &str) -> String {
    format!("bulkhead-{policy}")
}

/// The key of that ConfigMap, and the file's name in the pod, with the revocations of the namespace. Where there is none, nobody is revoked.
pub const REVOCATIONS_KEY: &str = "revocations.v1.json";

/// The NetworkPolicy that closes the ports behind [`TAKEN_OVER`] with the value `mark`.
#[must_use]
pub fn network_policy(policy: &str, mark: &str) -> String {
    format!("bulkhead-{policy}-{mark}")
}

/// The key of a snapshot of this wire version, which is the file's name in the pod too.
#[must_use]
pub fn snapshot_key(version: u32) -> String {
    format!("v{version}.json")
}

/// The folder, below the sidecar's secrets, of the certificate that it shows to the application (`tls.crt`, `tls.key`) where the policy
/// issues it; outside Kubernetes the folder of that name under `--secrets`.
#[must_use]
pub fn issued_certificate(policy: &str) -> String {
    format!("bulkhead-{policy}-tls")
}

/// The key of [`ISSUED_CERTIFICATES`] that holds a policy's `tls.crt`, `tls.key`, `ca.crt` or `ca.key`.
#[must_use]
pub fn issued_key(policy: &str, file: &str) -> String {
    format!("{policy}.{file}")
}
