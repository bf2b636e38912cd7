//! `uninstall`: what the operator has installed in the API server is taken away again.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::Error;
use crate::process;

/// Takes away what the operator has installed in the API server: bindings, then policies, then webhooks.
#[derive(Args)]
pub struct Arguments {
    /// The kubeconfig to connect with; without it, the pod's service account, or else what kubectl would take
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The operator's own namespace; by default the connection's
    #[arg(long, env = "BULKHEAD_NAMESPACE")]
    namespace: Option<String>,
}

impl Arguments {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Error> {
        let removed = process::uninstall(self.kubeconfig.as_deref(), self.namespace.as_deref())?;
        for object in &removed {
            writeln!(out, "removed {object}")?;
        }
        if removed.is_empty() {
            writeln!(out, "nothing is installed")?;
        }
        Ok(())
    }
}
