//! `lint`: what is wrong, unwise or open in policies and the objects around them, before a cluster sees them.

mod around;
mod examine;
mod report;
mod sarif;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Error, manifests};

/// Judges policies, and looks for ways round them in workloads, Services and NetworkPolicies, and for LimitRanges in their way.
#[derive(Args)]
#[command(
    after_help = "Exit codes: 0 nothing wrong; 1 errors, with --strict warnings too; 2 a wrong command line."
)]
pub struct Arguments {
    /// Files or folders of manifests; `-` is standard input
    #[arg(short, long = "filename", value_name = "FILE", required = true, num_args = 1..)]
    files: Vec<PathBuf>,
    /// The namespace of objects that name none
    #[arg(short, long, default_value = "default")]
    namespace: String,
    /// The environment by which ways round are looked for, where the files have no namespace that says; without it, the policy's base
    #[arg(long, value_name = "NAME", default_value = "")]
    environment: String,
    /// The cluster's DNS domain
    #[arg(long, default_value = "cluster.local", value_name = "DOMAIN")]
    cluster_domain: String,
    /// What the findings look like
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Fail upon warnings too
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// A line a finding
    Text,
    /// One object, for scripts
    Json,
    /// SARIF 2.1.0, for code scanning
    Sarif,
}

impl Arguments {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Error> {
        let (manifests, problems) = manifests::read(&self.files);
        let circumstances = examine::Circumstances {
            namespace: &self.namespace,
            environment: &self.environment,
            cluster_domain: &self.cluster_domain,
        };
        let findings = examine::all(&manifests, &problems, &circumstances);
        let text = match self.format {
            Format::Text => report::text(&findings),
            Format::Json => report::json(&findings)?,
            Format::Sarif => sarif::document(&findings)?,
        };
        out.write_all(text.as_bytes())?;
        out.flush()?;
        let (errors, warnings) = report::count(&findings);
        if errors > 0 || (self.strict && warnings > 0) {
            return Err(Error::Found(report::counted(errors, warnings)));
        }
        Ok(())
    }
}
