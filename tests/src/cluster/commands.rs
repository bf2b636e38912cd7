//! kubectl and helm against a cluster.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use super::{Cluster, program};
use crate::tools::{Said, run_within};

/// The longest that a command may take: `kubectl wait` and `helm install --wait` bring limits of their own.
const COMMAND: Duration = Duration::from_secs(180);

impl Cluster {
    /// Runs kubectl as the cluster's administrator.
    pub async fn kubectl(&self, arguments: &[&str]) -> Said {
        self.kubectl_with(arguments, "").await
    }

    /// Runs kubectl with `input` on its standard input, such as `apply -f -` reads.
    pub async fn kubectl_with(&self, arguments: &[&str], input: &str) -> Said {
        self.run("kubectl", self.kubeconfig(), arguments, input)
            .await
    }

    /// Runs kubectl with a kubeconfig of [`Cluster::kubeconfig_as`] or [`Cluster::service_account`].
    pub async fn kubectl_by(&self, kubeconfig: &Path, arguments: &[&str], input: &str) -> Said {
        self.run("kubectl", kubeconfig, arguments, input).await
    }

    /// Runs helm as the cluster's administrator.
    pub async fn helm(&self, arguments: &[&str]) -> Said {
        self.run("helm", self.kubeconfig(), arguments, "").await
    }

    async fn run(&self, name: &str, kubeconfig: &Path, arguments: &[&str], input: &str) -> Said {
        let mut command = Command::new(program(name));
        command
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            // Both keep caches and settings at home, and those of the person who runs the tests are not ours.
            .env("HOME", self.folder())
            .env_remove("XDG_CACHE_HOME")
            .env_remove("XDG_CONFIG_HOME")
            .env_remove("XDG_DATA_HOME");
        run_within(command, input, COMMAND).await
    }
}
