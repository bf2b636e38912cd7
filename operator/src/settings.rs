//! What `bulkhead-operator run` can be told: flags, each with an environment variable, and once each.
//!
//! - [`Flags`]: the settings as they were written.
//! - [`Settings`]: what holds for a run; of the sidecar and of the webhooks in files of their own.

mod sidecar;
mod values;
mod webhooks;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bulkhead_crds::names;
use clap::{Args, ValueEnum};

use crate::logs::LogFormat;
pub use sidecar::Sidecar;
use values::{address, cluster_name, filled, span};
pub use webhooks::{Certificates, Reach, Webhooks};

/// The settings as they were written, which may contradict each other, and leave out what the connection tells.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(flatten)]
    written: Settings,
}

/// What holds for one run of the operator; nothing in it changes.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// The kubeconfig to connect with; without it, the pod's service account, or else what kubectl would take
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The operator's own namespace, where its Lease and its certificates live; by default the connection's
    #[arg(
        long,
        env = "BULKHEAD_NAMESPACE",
        default_value = "",
        hide_default_value = true
    )]
    pub namespace: String,
    /// What this replica is called in the Lease; by default the host's name. A random suffix is added
    #[arg(
        long,
        env = "POD_NAME",
        default_value = "",
        hide_default_value = true,
        value_name = "NAME"
    )]
    pub identity: String,
    /// The environment of namespaces without the label `bulkhead.dev/environment`
    #[arg(
        long,
        env = "BULKHEAD_DEFAULT_ENVIRONMENT",
        default_value = "production",
        value_name = "NAME"
    )]
    pub default_environment: String,
    /// Namespaces to watch, apart by commas; without it, all of them
    #[arg(
        long,
        env = "BULKHEAD_WATCH_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMES"
    )]
    pub watch_namespaces: Vec<String>,
    /// Namespaces in which no policy has an effect, beside kube-system and the operator's own, apart by commas
    #[arg(
        long,
        env = "BULKHEAD_EXCLUDED_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMES"
    )]
    pub excluded_namespaces: Vec<String>,
    /// The cluster's DNS domain
    #[arg(
        long,
        env = "BULKHEAD_CLUSTER_DOMAIN",
        default_value = "cluster.local",
        value_name = "DOMAIN"
    )]
    pub cluster_domain: String,
    /// What this cluster is called among others: lower-case letters, digits and hyphens. Context tokens name it in their issuer
    #[arg(
        long,
        env = "BULKHEAD_CLUSTER_NAME",
        default_value = "",
        hide_default_value = true,
        value_parser = cluster_name,
        value_name = "NAME"
    )]
    pub cluster_name: String,
    /// What the operator is told of the sidecar
    #[command(flatten)]
    pub sidecar: Sidecar,
    /// Upstream hosts and networks that policies may name although they are barred by default, apart by commas
    #[arg(
        long,
        env = "BULKHEAD_ALLOWED_UPSTREAMS",
        value_delimiter = ',',
        value_name = "HOSTS"
    )]
    pub allowed_upstreams: Vec<String>,
    /// Whether to look, by metadata alone, at the Secrets that a policy names: do they exist, and do they allow it
    #[arg(
        long,
        env = "BULKHEAD_CHECK_SECRETS",
        default_value_t = true,
        action = clap::ArgAction::Set,
        value_name = "BOOL"
    )]
    pub check_secrets: bool,
    /// Policies that are reconciled at one time
    #[arg(
        long,
        env = "BULKHEAD_CONCURRENCY",
        default_value_t = 4,
        value_parser = clap::value_parser!(u16).range(1..=64),
        value_name = "COUNT"
    )]
    pub concurrency: u16,
    /// Who injects: the API server by policy (1.36 and later), or a webhook
    #[arg(
        long,
        env = "BULKHEAD_INJECTION_ENGINE",
        value_enum,
        default_value_t = Engine::Auto
    )]
    pub injection_engine: Engine,
    /// Where metrics and health are served
    #[arg(
        long,
        env = "BULKHEAD_ADMIN",
        default_value = ":8080",
        value_parser = address,
        value_name = "ADDRESS"
    )]
    pub admin: SocketAddr,
    /// The webhooks
    #[command(flatten)]
    pub webhooks: Webhooks,
    /// How long a replica that has gone silent still counts as the leader
    #[arg(
        long,
        env = "BULKHEAD_LEASE_DURATION",
        default_value = "15s",
        value_parser = span,
        value_name = "SPAN"
    )]
    pub lease_duration: Duration,
    /// How often what the operator has installed in the API server is compared with what it should be
    #[arg(
        long,
        env = "BULKHEAD_REPAIR_INTERVAL",
        default_value = "10s",
        value_parser = span,
        value_name = "SPAN"
    )]
    pub repair_interval: Duration,
    /// The least time between two evictions of a policy with `injection.missed: Evict`; as long must what injects have stood, and the pod have
    /// been there
    #[arg(
        long,
        env = "BULKHEAD_EVICTION_INTERVAL",
        default_value = "30s",
        value_parser = span,
        value_name = "SPAN"
    )]
    pub eviction_interval: Duration,
    /// How long requests may take to finish once the process has been told to end
    #[arg(
        long,
        env = "BULKHEAD_DRAIN",
        default_value = "10s",
        value_parser = span,
        value_name = "SPAN"
    )]
    pub drain: Duration,
    /// error, warn, info, debug, trace, or a list such as `info,bulkhead_operator=debug`
    #[arg(
        long,
        env = "BULKHEAD_LOG",
        default_value = "info",
        value_name = "FILTER"
    )]
    log: String,
    /// What a line of the log looks like
    #[arg(long, env = "BULKHEAD_LOG_FORMAT", value_enum, default_value_t = LogFormat::Json)]
    log_format: LogFormat,
}

/// Who injects the sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    /// The API server where it can, else the webhook.
    Auto,
    /// The API server, by a MutatingAdmissionPolicy.
    Policy,
    /// The webhook.
    Webhook,
}

/// What cannot be.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Less than leader election can work with.
    #[error("--lease-duration {0} is too short: write 3s or more")]
    LeaseTooShort(names::Duration),
    /// A certificate that would outlive its authority.
    #[error(
        "--certificate-lifetime {certificate} is too long for --authority-lifetime {authority}: write at most a third of it"
    )]
    CertificateTooLong {
        /// The certificate's.
        certificate: names::Duration,
        /// The authority's.
        authority: names::Duration,
    },
    /// Lifetimes of nothing.
    #[error("--certificate-lifetime {0} is too short: write 3s or more")]
    CertificateTooShort(names::Duration),
    /// Not a URL that a webhook can have.
    #[error(
        "--webhook-url {0} must start with https:// and have a host, an optional port, and no path"
    )]
    WebhookUrl(String),
    /// A span of nothing, where something is to be done every so often.
    #[error("--repair-interval must be longer than 0s")]
    RepairInterval,
    /// Less than an API server needs to take up a template.
    #[error("--eviction-interval {0} is too short: write 2s or more")]
    EvictionInterval(names::Duration),
}

impl Flags {
    /// The filter and the format of the log.
    #[must_use]
    pub fn log(&self) -> (&str, LogFormat) {
        (&self.written.log, self.written.log_format)
    }

    /// The kubeconfig to connect with.
    #[must_use]
    pub fn kubeconfig(&self) -> Option<&Path> {
        self.written.kubeconfig.as_deref()
    }

    /// The settings; `connected_to` is the namespace that the connection came with, for where none is named.
    ///
    /// # Errors
    /// [`SettingsError`] for what contradicts itself.
    pub fn settings(&self, connected_to: &str) -> Result<Settings, SettingsError> {
        let mut settings = self.written.clone();
        settings.check()?;
        if settings.namespace.is_empty() {
            connected_to.clone_into(&mut settings.namespace);
        }
        settings.identity = identity(&settings.identity);
        let own = ["kube-system".to_owned(), settings.namespace.clone()];
        settings.excluded_namespaces.extend(own);
        settings.excluded_namespaces = filled(settings.excluded_namespaces);
        settings.excluded_namespaces.sort();
        settings.excluded_namespaces.dedup();
        settings.watch_namespaces = filled(settings.watch_namespaces);
        settings.allowed_upstreams = filled(settings.allowed_upstreams);
        Ok(settings)
    }
}

impl Settings {
    fn check(&self) -> Result<(), SettingsError> {
        if self.lease_duration < Duration::from_secs(3) {
            return Err(SettingsError::LeaseTooShort(self.lease_duration.into()));
        }
        if self.repair_interval.is_zero() {
            return Err(SettingsError::RepairInterval);
        }
        if self.eviction_interval < Duration::from_secs(2) {
            return Err(SettingsError::EvictionInterval(
                self.eviction_interval.into(),
            ));
        }
        self.webhooks.check()
    }
}

/// A name that no other process has had: a replica that was restarted under its old name must not take its predecessor's lease for
/// its own, for that one may still be writing.
fn identity(name: &str) -> String {
    let mut bytes = [0_u8; 5];
    // Only uniqueness rests on it; where the system has no randomness to give, the process id has to do.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        bytes[..4].copy_from_slice(&std::process::id().to_le_bytes());
    }
    let suffix: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let host = std::env::var("HOSTNAME").unwrap_or_default();
    let names = [name, &host, "bulkhead-operator"];
    let name = names.iter().find(|name| !name.is_empty()).unwrap_or(&name);
    format!("{name}_{suffix}")
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn settings(arguments: &[&str]) -> Result<Settings, SettingsError> {
        let line = ["run"].iter().chain(arguments);
        Line::try_parse_from(line).unwrap().flags.settings("here")
    }

    #[test]
    fn without_flags_the_operator_stands_in_the_namespace_that_it_is_connected_to() {
        let settings = settings(&[]).unwrap();
        assert_eq!(settings.namespace, "here");
        assert_eq!(settings.excluded_namespaces, ["here", "kube-system"]);
        assert_eq!(settings.admin.port(), 8080);
        assert_eq!(
            settings.webhooks.reach(),
            Reach::Service("bulkhead-operator")
        );
        assert_eq!(settings.sidecar.image(".").run_as_user, Some(65532));
        assert!(settings.watch_namespaces.is_empty());
    }

    #[test]
    fn two_processes_of_one_name_are_two() {
        let of = || settings(&["--identity", "one"]).unwrap().identity;
        assert_ne!(of(), of());
        assert!(of().starts_with("one_"));
    }

    #[test]
    fn a_platform_that_assigns_ids_leaves_them_unset() {
        let settings = settings(&["--sidecar-run-as-user", "unset"]).unwrap();
        assert_eq!(settings.sidecar.image(".").run_as_user, None);
        assert_eq!(settings.sidecar.image(".").run_as_group, Some(65532));
    }

    #[test]
    fn what_contradicts_itself_is_refused_with_the_flag_that_does() {
        for (arguments, flag) in [
            (vec!["--lease-duration", "1s"], "--lease-duration"),
            (
                vec![
                    "--certificate-lifetime",
                    "9h",
                    "--authority-lifetime",
                    "10h",
                ],
                "--certificate-lifetime",
            ),
            (vec!["--webhook-url", "http://here"], "--webhook-url"),
            (vec!["--webhook-url", "https://here/path"], "--webhook-url"),
            (vec!["--repair-interval", "0s"], "--repair-interval"),
            (vec!["--eviction-interval", "1s"], "--eviction-interval"),
        ] {
            let refused = settings(&arguments).unwrap_err().to_string();
            assert!(refused.contains(flag), "{refused}");
        }
    }

    #[test]
    fn what_is_set_to_nothing_is_not_set() {
        let nothing = [
            "--namespace=",
            "--watch-namespaces=",
            "--excluded-namespaces=,a",
            "--identity=",
        ];
        let settings = settings(&nothing).unwrap();
        assert_eq!(settings.namespace, "here");
        assert_eq!(settings.excluded_namespaces, ["a", "here", "kube-system"]);
        assert!(settings.watch_namespaces.is_empty() && !settings.identity.starts_with('_'));
    }
}
