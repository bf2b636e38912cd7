//! `check`: whether an installation is as it should be, a line a check, each with what to do.

mod admission;
mod definitions;
mod operator;
mod outcome;
mod rights;
mod server;
mod upstreams;
mod webhooks;

use std::io::Write;
use std::path::PathBuf;

use bulkhead_crds::names::objects::MANAGER;
use clap::{Args, ValueEnum};

use super::Error;
use super::cluster::{Cluster, block_on};
use outcome::{Outcome, Status};

/// Checks the installation in a cluster, and whether the upstreams of a policy can be reached.
#[derive(Args)]
#[command(after_help = "Exit codes: 0 all is well; 1 something is not; 2 a wrong command line.")]
pub struct Arguments {
    #[command(flatten)]
    cluster: Cluster,
    /// The operator's namespace
    #[arg(long, default_value = "bulkhead-system", value_name = "NAME")]
    operator_namespace: String,
    /// The operator's Deployment
    #[arg(long, default_value = MANAGER, value_name = "NAME")]
    deployment: String,
    /// The operator's service account
    #[arg(long, default_value = MANAGER, value_name = "NAME")]
    service_account: String,
    /// Namespaces that the operator watches, apart by commas; without it, all of them
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    watch_namespaces: Vec<String>,
    /// A policy whose upstreams are to be reached from here
    #[arg(long, value_name = "FILE", requires = "environment")]
    policy: Option<PathBuf>,
    /// The environment to resolve the policy for
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// Where the policy's Secrets are: key K of Secret X is the file DIR/X/K
    #[arg(long, value_name = "DIR")]
    secrets: Option<PathBuf>,
    /// Leave the cluster alone, and reach the policy's upstreams only
    #[arg(long, requires = "policy")]
    upstreams_only: bool,
    /// What it looks like
    #[arg(short, long = "output", alias = "format", value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// A line a check
    Text,
    /// One object, for scripts
    Json,
}

impl Arguments {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Error> {
        let outcomes = block_on(async { Ok(self.outcomes().await) })?;
        let text = match self.output {
            Format::Text => outcome::text(&outcomes),
            Format::Json => outcome::json(&outcomes)?,
        };
        out.write_all(text.as_bytes())?;
        out.flush()?;
        let failed = outcomes
            .iter()
            .filter(|it| it.status == Status::Failed)
            .count();
        if failed > 0 {
            return Err(Error::Found(format!(
                "{failed} of {} checks failed",
                outcomes.len()
            )));
        }
        Ok(())
    }

    async fn outcomes(&self) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        if !self.upstreams_only {
            outcomes.extend(self.installation().await);
        }
        if let Some(policy) = &self.policy {
            let environment = self.environment.as_deref().unwrap_or_default();
            outcomes.extend(upstreams::all(policy, environment, self.secrets.as_deref()).await);
        }
        outcomes
    }

    async fn installation(&self) -> Vec<Outcome> {
        let client = match self.cluster.connect().await {
            Ok((client, _)) => client,
            Err(error) => {
                let hint = "name a kubeconfig by --kubeconfig, and a context by --context";
                return vec![Outcome::failed("server", error.to_string(), hint)];
            }
        };
        let mut outcomes = vec![server::version(&client).await];
        if outcomes[0].status == Status::Failed {
            return outcomes;
        }
        outcomes.extend(definitions::all(&client).await);
        outcomes.extend(admission::all(&client).await);
        outcomes.extend(webhooks::all(&client, &self.operator_namespace).await);
        let account = rights::Account {
            namespace: &self.operator_namespace,
            name: &self.service_account,
            watched: &self.watch_namespaces,
        };
        outcomes.push(rights::all(&client, &account).await);
        outcomes
            .push(operator::replicas(&client, &self.operator_namespace, &self.deployment).await);
        outcomes.push(operator::leader(&client, &self.operator_namespace).await);
        outcomes
    }
}
