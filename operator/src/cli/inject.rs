//! `inject`: manifests in, injected manifests out, as the API server would have it. Offline: the policies are in files too.

mod document;
mod pods;
mod sources;
mod yaml;

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use super::manifests::{self, Manifest, Problem};
use super::{Error, inject::sources::Sources};
use crate::settings::Sidecar;

/// Injects the sidecar into the pods of manifests, as the API server would.
#[derive(Args)]
#[command(after_help = "\
Examples:
  bulkhead-operator inject -f deployment.yaml --policy policy.yaml --environment staging | kubectl apply -f -
  helm template chat ./chart | bulkhead-operator inject -f - --policy policy.yaml
  kubectl get injectiontemplates -n chat -o yaml | bulkhead-operator inject -f deployment.yaml --policy -     what that cluster would do

Manifests are printed as they came, but for workloads that a policy selects. What was done to each workload is told on standard error.")]
pub struct Arguments {
    /// Files or folders of manifests; `-` is standard input. Policies and templates among them count as if named by --policy
    #[arg(short, long = "filename", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// Files or folders of IsolationPolicies, or of the InjectionTemplates of a cluster, which are not printed
    #[arg(long = "policy", value_name = "FILE", num_args = 1..)]
    policies: Vec<PathBuf>,
    /// The namespace of workloads that name none. A policy that names none is one of every namespace
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// The environment, in place of what the label of a Namespace among the manifests says
    #[arg(long, value_name = "NAME")]
    environment: Option<String>,
    /// The environment of namespaces that say none
    #[arg(long, default_value = "production", value_name = "NAME")]
    default_environment: String,
    /// The cluster's DNS domain
    #[arg(long, default_value = "cluster.local", value_name = "DOMAIN")]
    cluster_domain: String,
    #[command(flatten)]
    sidecar: Sidecar,
}

impl Arguments {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Error> {
        let (printed, mut problems) = manifests::read(&self.files);
        let (beside, more) = manifests::read(&self.policies);
        problems.extend(more);
        refuse(&problems)?;
        let sources = Sources::read(&printed, &beside, self.circumstances()).map_err(told)?;
        let documents = document::all(&printed, &sources, &self.namespace).map_err(told)?;
        out.write_all(documents.text.as_bytes())?;
        out.flush()?;
        let mut aside = io::stderr().lock();
        for line in &documents.told {
            writeln!(aside, "{line}")?;
        }
        Ok(())
    }

    fn circumstances(&self) -> sources::Circumstances {
        sources::Circumstances {
            environment: self.environment.clone(),
            default_environment: self.default_environment.clone(),
            sidecar: self.sidecar.image(&self.cluster_domain),
        }
    }
}

/// What is wrong with a field of a manifest.
fn wrong(manifest: &Manifest, path: &str, message: impl std::fmt::Display) -> Problem {
    let at = if path.is_empty() {
        String::new()
    } else {
        format!("{path}: ")
    };
    Problem {
        file: manifest.file.clone(),
        line: manifest.line_of(path),
        message: format!("{} {}: {at}{message}", manifest.kind(), manifest.name()),
    }
}

fn refuse(problems: &[Problem]) -> Result<(), Error> {
    if problems.is_empty() {
        return Ok(());
    }
    Err(told(problems.to_vec()))
}

/// Everything that is wrong at once, a line each. Nothing is printed then: half of the manifests would be applied.
fn told(problems: Vec<Problem>) -> Error {
    let lines: Vec<String> = problems
        .iter()
        .map(|it| format!("{}:{}: {}", it.file, it.line, it.message))
        .collect();
    Error::Manifest(lines.join("\n"))
}

#[cfg(test)]
mod tests;
