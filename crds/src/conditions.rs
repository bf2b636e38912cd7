//! The conditions of the status of a policy and of a revocation, and the closed list of reasons that each may have.
//!
//! A reason is an API: alerts and scripts compare it. A new one is added here, to the table in `docs/operations.md`, and nowhere else.

use std::fmt;

/// What a condition is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConditionType {
    /// The policy is sound, and in force for its pods.
    Accepted,
    /// Every pod that the policy selects has it in force.
    Programmed,
    /// A way round the policy is open.
    Degraded,
}

/// The one condition of a revocation.
pub const ENFORCED: &str = "Enforced";

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl $name {
            /// All of them, in the order in which the first that holds is shown.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The word that a condition carries.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => stringify!($variant)),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

reasons!(
    /// Why a policy is accepted, or not.
    AcceptedReason {
        /// It is sound and in force.
        Accepted,
        /// It is in force, and a living pod matches an older policy too, which has that pod.
        PartiallyConflicted,
        /// Its namespace is not labelled `bulkhead.dev/injection=enabled`.
        NamespaceNotEnabled,
        /// Its namespace is the operator's own or one of the system's.
        NamespaceExcluded,
        /// A rule of validation finds an error in it.
        Invalid,
        /// An older policy has the very same selector.
        Conflicted,
        /// It names an upstream or a key set that is barred.
        UpstreamNotAllowed,
        /// A Secret that it names is not there.
        SecretMissing,
        /// A Secret that it names does not allow it.
        SecretNotAllowed,
        /// Its pods have IPv6 addresses alone, and two of its listeners the same port.
        NeedsDistinctPorts,
    }
);
reasons!(
    /// Why a policy is programmed, or not.
    ProgrammedReason {
        /// Every selected pod has it in force.
        Programmed,
        /// It selects no pod.
        NoPods,
        /// The policy is not accepted.
        NotAccepted,
        /// A sidecar refuses it.
        SidecarsRefuse,
        /// Pods run without the sidecar, or with one of an older template: a rollout would mend it, and is never forced.
        RolloutPending,
        /// Sidecars cannot be asked.
        SidecarsUnreachable,
        /// Sidecars have been told, and have not confirmed yet.
        Syncing,
    }
);
reasons!(
    /// Ways round a policy.
    DegradedReason {
        /// None is known.
        NoWayAround,
        /// A selected pod runs without the sidecar.
        UninjectedPods,
        /// A selected pod uses its node's network, where the sidecar cannot stand.
        HostNetwork,
        /// A container other than the sidecar has the upstream's credentials.
        CredentialsShared,
        /// A Service targets a taken-over port of the application by its number.
        NumericService,
        /// A headless Service hands out addresses at which the application's own port answers.
        HeadlessService,
        /// A taken-over port is open on the node.
        HostPort,
        /// A NetworkPolicy admits the application's port, or keeps a generated one from closing it.
        NetworkPolicy,
        /// A container's environment sets a timeout of its own.
        ApplicationTimeouts,
        /// A LimitRange does not let the sidecar have its resources.
        LimitRange,
        /// A Service has ports of an aliased host that no entry of the policy covers.
        UnlistedPort,
    }
);
reasons!(
    /// Why a revocation is enforced, or not: the condition [`ENFORCED`].
    EnforcedReason {
        /// Every pod with a sidecar refuses the user.
        Enforced,
        /// No pod of the namespace has a sidecar.
        NoPods,
        /// It is over.
        Expired,
        /// A rule of validation finds an error in it.
        Invalid,
        /// There are so many older ones that it does not fit into the list.
        ListFull,
        /// A sidecar refuses the list.
        SidecarsRefuse,
        /// A sidecar is of a release that knows no revocations.
        SidecarsOutdated,
        /// Sidecars cannot be asked.
        SidecarsUnreachable,
        /// Sidecars have been told, and have not confirmed yet.
        Syncing,
    }
);
reasons!(
    /// Why a selected pod has no sidecar.
    SkippedReason {
        /// Its annotation opts out, and the policy lets it.
        OptedOut,
        /// It uses its node's network.
        HostNetwork,
        /// It is the mirror of a file on its node.
        StaticPod,
        /// A container of its own has the sidecar's name.
        NameTaken,
        /// It is older than the policy.
        OlderThanPolicy,
        /// It was created while nothing was there to inject it.
        Missed,
    }
);

impl ConditionType {
    /// All of them, in the order of the status.
    pub const ALL: &[Self] = &[Self::Accepted, Self::Programmed, Self::Degraded];

    /// The word that a condition carries.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "Accepted",
            Self::Programmed => "Programmed",
            Self::Degraded => "Degraded",
        }
    }
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl EnforcedReason {
    /// Whether the revocation is enforced with this reason.
    #[must_use]
    pub const fn is_enforced(self) -> bool {
        matches!(self, Self::Enforced | Self::NoPods)
    }
}

impl AcceptedReason {
    /// Whether the policy is in force with this reason.
    #[must_use]
    pub const fn is_accepted(self) -> bool {
        matches!(self, Self::Accepted | Self::PartiallyConflicted)
    }
}
