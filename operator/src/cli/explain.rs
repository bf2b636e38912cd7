//! `explain`: what a pod, a workload or a policy gets, each field with its origin; from files, or from a cluster.

mod choose;
mod gather;
mod show;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::cluster::{Cluster, block_on};
use super::{Error, manifests};

/// Shows the effective policy of a pod, a workload or a policy, each field with its origin.
#[derive(Args)]
#[command(after_help = "\
Examples:
  bulkhead-operator explain -f policy.yaml                                  every environment of the file, side by side
  bulkhead-operator explain -f policy.yaml --environment staging
  bulkhead-operator explain -f manifests/ deployment/chat --environment staging
  bulkhead-operator explain pod/chat-7d9f -n chat-staging                   from the cluster
  bulkhead-operator explain ipol/chat -n chat-staging")]
pub struct Arguments {
    /// What to explain: pod/NAME, deployment/NAME (or another workload), ipol/NAME; with files it may be left out where they hold one policy
    #[arg(value_name = "KIND/NAME", required_unless_present = "files")]
    target: Option<String>,
    /// Files or folders of manifests, in place of a cluster; `-` is standard input
    #[arg(short, long = "filename", value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The namespace; without it, that of the context, or of the files
    #[arg(short, long)]
    namespace: Option<String>,
    /// The environment, in place of the namespace's; several, apart by commas, are put side by side
    #[arg(long = "environment", value_delimiter = ',', value_name = "NAME")]
    environments: Vec<String>,
    /// The environment of a namespace that says none
    #[arg(long, default_value = "production", value_name = "NAME")]
    default_environment: String,
    #[command(flatten)]
    cluster: Cluster,
    /// What it looks like
    #[arg(short, long = "output", alias = "format", value_enum, default_value_t = Format::Text)]
    output: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// A table
    Text,
    /// One object, for scripts
    Json,
}

impl Arguments {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Error> {
        let target = self
            .target
            .as_deref()
            .map(gather::Target::parse)
            .transpose()?;
        let gathered = if self.files.is_empty() {
            let target = target.ok_or_else(|| {
                Error::Cluster("name what to explain, such as pod/NAME".to_owned())
            })?;
            block_on(async {
                let (client, namespace) = self.cluster.connect().await?;
                let namespace = self.namespace.clone().unwrap_or(namespace);
                gather::from_cluster(client, &namespace, &target).await
            })?
        } else {
            let (manifests, problems) = manifests::read(&self.files);
            if let Some(problem) = problems.first() {
                return Err(Error::Manifest(format!(
                    "{}:{}: {}",
                    problem.file, problem.line, problem.message
                )));
            }
            gather::from_files(&manifests, self.namespace.as_deref(), target.as_ref())?
        };
        let explained = choose::explained(gathered, &self.environments, &self.default_environment)?;
        let text = match self.output {
            Format::Text => show::text(&explained),
            Format::Json => show::json(&explained)?,
        };
        out.write_all(text.as_bytes())?;
        Ok(())
    }
}
