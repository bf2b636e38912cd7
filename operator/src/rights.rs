//! What the operator must be allowed to do. The chart gives its service account exactly this, and `check` asks the API server for each of
//! it; a test of the chart holds the two together.

use bulkhead_crds::names::objects::{
    CONTEXT_KEYS, GUARD_POLICY, INJECT_POLICY, ISSUED_CERTIFICATES, LEASE, OWNED_POLICY,
    PEER_CERTIFICATES, VALIDATE_WEBHOOK, WEBHOOK_CERTIFICATES,
};

use crate::install::trial;

/// A right on one kind of object.
#[derive(Clone, Copy, Debug)]
pub struct Right {
    /// The API group; empty for the core's.
    pub group: &'static str,
    /// The resource, with its subresource behind a `/`.
    pub resource: &'static str,
    /// What may be done.
    pub verbs: &'static [&'static str],
    /// The objects of fixed names that it is for; empty: all.
    pub names: &'static [&'static str],
    /// Where.
    pub scope: Scope,
}

/// Where a right holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// In the whole cluster.
    Cluster,
    /// In the namespaces whose policies the operator serves.
    Watched,
    /// In the operator's namespace.
    Own,
}

const ADMISSION: &str = "admissionregistration.k8s.io";
const OURS: &str = "bulkhead.dev";
const OWNED: &[&str] = &["get", "create", "patch", "delete"];
const KEPT: &[&str] = &["list", "watch", "create", "patch", "delete"];
const GUARDS: &[&str] = &[GUARD_POLICY, trial::NAME, OWNED_POLICY];

/// Every right, but the one of `checkSecrets`, which is the installation's choice: to look whether a Secret that a policy names exists.
pub const NEEDED: &[Right] = &[
    cluster("", "namespaces", &["get", "list", "watch"], &[]),
    cluster("", "services", &["get"], &["kubernetes"]),
    cluster(
        "apiextensions.k8s.io",
        "customresourcedefinitions",
        &["get"],
        &[
            "isolationpolicies.bulkhead.dev",
            "injectiontemplates.bulkhead.dev",
            "userrevocations.bulkhead.dev",
        ],
    ),
    cluster(
        ADMISSION,
        "mutatingadmissionpolicies",
        OWNED,
        &[INJECT_POLICY],
    ),
    cluster(
        ADMISSION,
        "mutatingadmissionpolicybindings",
        OWNED,
        &[INJECT_POLICY],
    ),
    cluster(ADMISSION, "validatingadmissionpolicies", OWNED, GUARDS),
    cluster(
        ADMISSION,
        "validatingadmissionpolicybindings",
        OWNED,
        GUARDS,
    ),
    cluster(
        ADMISSION,
        "mutatingwebhookconfigurations",
        OWNED,
        &[INJECT_POLICY],
    ),
    cluster(
        ADMISSION,
        "validatingwebhookconfigurations",
        OWNED,
        &[VALIDATE_WEBHOOK],
    ),
    cluster(OURS, "injectiontemplates", &["get"], &[]),
    watched(OURS, "isolationpolicies", &["list", "watch"], &[]),
    watched(OURS, "isolationpolicies/status", &["patch"], &[]),
    watched(OURS, "userrevocations", &["list", "watch"], &[]),
    watched(OURS, "userrevocations/status", &["patch"], &[]),
    watched(OURS, "injectiontemplates", KEPT, &[]),
    watched("", "configmaps", KEPT, &[]),
    watched("", "pods", &["list", "watch"], &[]),
    watched("", "pods/status", &["patch"], &[]),
    watched("", "pods/eviction", &["create"], &[]),
    watched("", "services", &["list", "watch"], &[]),
    watched("", "limitranges", &["list", "watch"], &[]),
    watched("networking.k8s.io", "networkpolicies", KEPT, &[]),
    watched("events.k8s.io", "events", &["create", "patch"], &[]),
    watched(
        "",
        "secrets",
        OWNED,
        &[CONTEXT_KEYS, ISSUED_CERTIFICATES, PEER_CERTIFICATES],
    ),
    own("", "secrets", OWNED, &[WEBHOOK_CERTIFICATES]),
    // The API server knows no name when something is created by POST.
    own("coordination.k8s.io", "leases", &["create"], &[]),
    own(
        "coordination.k8s.io",
        "leases",
        &["get", "update"],
        &[LEASE],
    ),
    own("", "pods", &["create"], &[]),
];

type Texts = &'static [&'static str];

const fn cluster(group: &'static str, resource: &'static str, verbs: Texts, names: Texts) -> Right {
    of(Scope::Cluster, group, resource, verbs, names)
}

const fn watched(group: &'static str, resource: &'static str, verbs: Texts, names: Texts) -> Right {
    of(Scope::Watched, group, resource, verbs, names)
}

const fn own(group: &'static str, resource: &'static str, verbs: Texts, names: Texts) -> Right {
    of(Scope::Own, group, resource, verbs, names)
}

const fn of(
    scope: Scope,
    group: &'static str,
    resource: &'static str,
    verbs: Texts,
    names: Texts,
) -> Right {
    Right {
        group,
        resource,
        verbs,
        names,
        scope,
    }
}
