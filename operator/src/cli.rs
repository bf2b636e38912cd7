//! What the binary can be asked to do.

mod check;
mod cluster;
mod completions;
mod crds;
mod explain;
mod inject;
mod inventory;
mod lint;
mod manifests;
mod objects;
mod run;
mod uninstall;

use std::io::{self, Write};

use clap::{Parser, Subcommand};

/// Operates Bulkhead in a Kubernetes cluster.
#[derive(Parser)]
#[command(name = "bulkhead-operator", version)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Checks the installation in a cluster, and whether the upstreams of a policy can be reached
    Check(check::Arguments),
    /// Prints what a shell needs to complete this command line
    Completions(completions::Arguments),
    /// Prints the CustomResourceDefinitions, for `kubectl apply -f -`
    Crds(crds::Arguments),
    /// Shows the effective policy of a pod, a workload or a policy, each field with its origin
    Explain(explain::Arguments),
    /// Injects the sidecar into the pods of manifests, as the API server would: manifests in, injected manifests out
    Inject(inject::Arguments),
    /// Shows which applications name their users and which do not, while their policies are in mode Audit
    Inventory(inventory::Arguments),
    /// Judges policies in files, and looks for ways round them in workloads, Services and NetworkPolicies
    Lint(lint::Arguments),
    /// Runs the operator, until SIGTERM
    Run(Box<run::Arguments>),
    /// Takes away what the operator has installed in the API server, whether or not it still runs
    Uninstall(uninstall::Arguments),
}

impl Arguments {
    /// Does what was asked, and writes what it has to say to `out`.
    ///
    /// # Errors
    /// Those of the subcommand.
    pub fn run(&self, out: &mut impl Write) -> Result<(), Error> {
        match &self.command {
            Command::Check(arguments) => arguments.run(out),
            Command::Completions(arguments) => arguments.run(out),
            Command::Crds(arguments) => arguments.run(out),
            Command::Explain(arguments) => arguments.run(out),
            Command::Inject(arguments) => arguments.run(out),
            Command::Inventory(arguments) => arguments.run(out),
            Command::Lint(arguments) => arguments.run(out),
            Command::Run(arguments) => arguments.run(),
            Command::Uninstall(arguments) => arguments.run(out),
        }
    }
}

/// Why a subcommand failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The definition is not representable as YAML.
    #[error("cannot write the definition as YAML: {0}")]
    Yaml(#[from] serde_yaml::Error),
    /// The definition is not representable as JSON.
    #[error("cannot write the definition as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// Something that was looked for was found, and has been told; this is how much.
    #[error("{0}")]
    Found(String),
    /// A manifest, or what was said of it on the command line.
    #[error("{0}")]
    Manifest(String),
    /// The way to the cluster.
    #[error("cannot reach a cluster: {0}")]
    Cluster(String),
    /// What the API server says.
    #[error("{0}")]
    Api(#[from] kube::Error),
    /// The run of the operator.
    #[error(transparent)]
    Run(#[from] crate::process::Error),
    /// The output's other end.
    #[error("cannot write the output: {0}")]
    Output(#[from] io::Error),
}
