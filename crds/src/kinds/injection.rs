//! How a policy changes the pods that it selects.

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::{Missed, OptOut, PortClosing};

/// What injection adds to the application's containers.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Inject {
    /// Environment variables, for an application that is told where its database is rather than finding it by a host alias
    /// (`PGHOST: 127.0.0.1`). Default: none.
    #[schemars(extend("maxProperties" = 32), transform = super::bounds::bound_values)]
    pub env: Option<BTreeMap<String, String>>,
}

/// Which pods the sidecar is injected into.
#[serde_with::skip_serializing_none]
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Injection {
    /// Whether a pod's annotation may keep the sidecar out: `Allowed` or `Denied`. Default: `Allowed` in mode `Audit`, `Denied` in mode
    /// `Enforce`.
    pub opt_out: Option<OptOut>,
    /// What becomes of a pod that was made while nothing was there to inject it: `Report` counts it in the status, `Evict` has the operator
    /// evict it too, one at a time and through disruption budgets, so that its controller makes it anew with the sidecar. A pod without a
    /// controller that replaces it, a Job's, and one that is older than the policy are never evicted. Default: `Report`.
    pub missed: Option<Missed>,
    /// What keeps clients from the port of the application whose name a WebSocket listener takes over (`listen.takesOver`): `Generate` has the
    /// operator make a NetworkPolicy, in mode `Enforce`, that admits everything to injected pods but that port, unless another NetworkPolicy
    /// is over them already; with `None` the application has to listen on 127.0.0.1. Default: `Generate`.
    pub network_policy: Option<PortClosing>,
}
