//! What the operator and `inject` are told of the sidecar, and no policy says.

use clap::Args;

use super::values::{Id, id};
use crate::build::SidecarImage;

/// The sidecar's image where nobody names one: this release's.
const IMAGE: &str = concat!(
    "ghcr.io/bulkhead/bulkhead-sidecar:",
    env!("CARGO_PKG_VERSION")
);

/// The flags that say what is injected.
#[derive(Args, Clone, Debug)]
pub struct Sidecar {
    /// The sidecar's image
    #[arg(long, env = "BULKHEAD_SIDECAR_IMAGE", default_value = IMAGE, value_name = "IMAGE")]
    sidecar_image: String,
    /// When the sidecar's image is pulled; without it, as the API server chooses
    #[arg(long, env = "BULKHEAD_SIDECAR_PULL_POLICY", value_name = "POLICY")]
    sidecar_pull_policy: Option<String>,
    /// The user id of the sidecar, or `unset` where the platform assigns one (OpenShift)
    #[arg(
        long,
        env = "BULKHEAD_SIDECAR_RUN_AS_USER",
        default_value = "65532",
        value_name = "ID",
        value_parser = id
    )]
    sidecar_run_as_user: Id,
    /// The group id of the sidecar, or `unset` where the platform assigns one (OpenShift)
    #[arg(
        long,
        env = "BULKHEAD_SIDECAR_RUN_AS_GROUP",
        default_value = "65532",
        value_name = "ID",
        value_parser = id
    )]
    sidecar_run_as_group: Id,
}

impl Sidecar {
    /// The sidecar in a cluster of this DNS domain, as templates are rendered with it.
    #[must_use]
    pub fn image(&self, cluster_domain: &str) -> SidecarImage {
        let pull_policy = self.sidecar_pull_policy.clone();
        SidecarImage {
            image: self.sidecar_image.clone(),
            pull_policy: pull_policy.filter(|policy| !policy.is_empty()),
            run_as_user: self.sidecar_run_as_user.0,
            run_as_group: self.sidecar_run_as_group.0,
            cluster_domain: cluster_domain.to_owned(),
        }
    }
}
