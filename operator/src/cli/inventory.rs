//! `inventory`: which applications name their users and which do not, from the policies' status, and what to do next about each.

mod next;
mod rows;
mod show;

use std::io::Write;

use bulkhead_crds::kinds::IsolationPolicy;
use clap::{Args, ValueEnum};
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};

use super::Error;
use super::cluster::{Cluster, block_on};
use rows::Row;

/// Shows which applications name their users and which do not, while their policies are in mode Audit, and what to do next.
#[derive(Args)]
#[command(after_help = "\
The numbers are of the pods that live now, each since it has started. `claimed` is what a comment or the application's name says: it is
counted and never believed, and mode Enforce would refuse it. See docs/migration.md.

Examples:
  bulkhead-operator inventory -n chat-staging
  bulkhead-operator inventory -A --unattributed                  who is left, in the whole cluster
  bulkhead-operator inventory -A -o csv > inventory.csv          for a spreadsheet")]
pub struct Arguments {
    /// The namespace; without it, that of the context
    #[arg(short, long)]
    namespace: Option<String>,
    /// Every namespace
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    all_namespaces: bool,
    /// One policy alone
    #[arg(long, value_name = "NAME")]
    policy: Option<String>,
    /// Only those that name nobody, or a placeholder
    #[arg(long)]
    unattributed: bool,
    #[command(flatten)]
    cluster: Cluster,
    /// What it looks like
    #[arg(short, long = "output", alias = "format", value_enum, default_value_t = Format::Table)]
    output: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// A table for people
    Table,
    /// One object, for scripts
    Json,
    /// RFC 4180, for spreadsheets: text that one would take for a formula begins with an apostrophe
    Csv,
}

impl Arguments {
    pub(super) fn run(&self, out: &mut impl Write) -> Result<(), Error> {
        let mut policies = block_on(async {
            let (client, namespace) = self.cluster.connect().await?;
            let namespace = self.namespace.clone().unwrap_or(namespace);
            self.policies(client, &namespace).await
        })?;
        policies.sort_by_key(|policy| (policy.namespace(), policy.name_any()));
        let rows = rows::of(&policies, self.unattributed);
        let text = match self.output {
            Format::Table => show::table(&policies, &rows),
            Format::Json => show::json(&policies, &rows)?,
            Format::Csv => show::csv(&rows),
        };
        out.write_all(text.as_bytes())?;
        Ok(())
    }

    async fn policies(
        &self,
        client: Client,
        namespace: &str,
    ) -> Result<Vec<IsolationPolicy>, Error> {
        let api: Api<IsolationPolicy> = if self.all_namespaces {
            Api::all(client)
        } else {
            Api::namespaced(client, namespace)
        };
        let mut policies = api.list(&ListParams::default()).await?.items;
        if let Some(name) = &self.policy {
            policies.retain(|policy| policy.name_any() == *name);
            if policies.is_empty() {
                return Err(Error::Found(format!("there is no policy {name}")));
            }
        }
        Ok(policies)
    }
}
