//! What `bulkhead-operator run` can be told: flags, each with an environment variable, and the plain value that they become.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bulkhead_crds::names;
use clap::{Args, ValueEnum};

use crate::logs::LogFormat;

/// The sidecar's image where nobody names one: this release's.
pub(crate) const SIDECAR_IMAGE: &str = concat!(
    "ghcr.io/bulkhead/bulkhead-sidecar:",
    env!("CARGO_PKG_VERSION")
);

/// The flags of `run`.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    /// The kubeconfig to connect with; without it, the pod's service account, or else what kubectl would take
    #[arg(long, env = "KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// The operator's own namespace, where its Lease and its certificates live; by default the connection's
    #[arg(long, env = "BULKHEAD_NAMESPACE")]
    namespace: Option<String>,
    /// What this replica is called in the Lease; by default the host's name. A random suffix is added
    #[arg(long, env = "POD_NAME", value_name = "NAME")]
    identity: Option<String>,
    /// The environment of namespaces without the label `bulkhead.dev/environment`
    #[arg(
        long,
        env = "BULKHEAD_DEFAULT_ENVIRONMENT",
        default_value = "production",
        value_name = "NAME"
    )]
    default_environment: String,
    /// Namespaces to watch, apart by commas; without it, all of them
    #[arg(
        long,
        env = "BULKHEAD_WATCH_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMES"
    )]
    watch_namespaces: Vec<String>,
    /// Namespaces in which no policy has an effect, beside kube-system and the operator's own, apart by commas
    #[arg(
        long,
        env = "BULKHEAD_EXCLUDED_NAMESPACES",
        value_delimiter = ',',
        value_name = "NAMES"
    )]
    excluded_namespaces: Vec<String>,
    /// The cluster's DNS domain
    #[arg(
        long,
        env = "BULKHEAD_CLUSTER_DOMAIN",
        default_value = "cluster.local",
        value_name = "DOMAIN"
    )]
    cluster_domain: String,
    /// The sidecar's image
    #[arg(long, env = "BULKHEAD_SIDECAR_IMAGE", default_value = SIDECAR_IMAGE, value_name = "IMAGE")]
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
    /// Upstream hosts and networks that policies may name although they are barred by default, apart by commas
    #[arg(
        long,
        env = "BULKHEAD_ALLOWED_UPSTREAMS",
        value_delimiter = ',',
        value_name = "HOSTS"
    )]
    allowed_upstreams: Vec<String>,
    /// Whether to look, by metadata alone, at the Secrets that a policy names: do they exist, and do they allow it
    #[arg(
        long,
        env = "BULKHEAD_CHECK_SECRETS",
        default_value_t = true,
        action = clap::ArgAction::Set,
        value_name = "BOOL"
    )]
    check_secrets: bool,
    /// Policies that are reconciled at one time
    #[arg(
        long,
        env = "BULKHEAD_CONCURRENCY",
        default_value_t = 4,
        value_parser = clap::value_parser!(u16).range(1..=64),
        value_name = "COUNT"
    )]
    concurrency: u16,
    /// Who injects: the API server by policy (1.36 and later), or a webhook
    #[arg(
        long,
        env = "BULKHEAD_INJECTION_ENGINE",
        value_enum,
        default_value_t = Engine::Auto
    )]
    injection_engine: Engine,
    /// Where metrics and health are served
    #[arg(
        long,
        env = "BULKHEAD_ADMIN",
        default_value = ":8080",
        value_parser = address,
        value_name = "ADDRESS"
    )]
    admin: SocketAddr,
    /// Where webhooks are served
    #[arg(
        long,
        env = "BULKHEAD_WEBHOOK",
        default_value = ":9443",
        value_parser = address,
        value_name = "ADDRESS"
    )]
    webhook: SocketAddr,
    /// The Service by which the API server reaches the webhooks
    #[arg(
        long,
        env = "BULKHEAD_WEBHOOK_SERVICE",
        default_value = "bulkhead-operator",
        value_name = "NAME"
    )]
    webhook_service: String,
    /// The URL (https, without a path) by which the API server reaches the webhooks, in place of a Service: an operator outside the cluster
    #[arg(long, env = "BULKHEAD_WEBHOOK_URL", value_name = "URL")]
    webhook_url: Option<String>,
    /// Certificates that somebody else renews (cert-manager): a folder with tls.crt, tls.key and ca.crt; without it, the operator makes its own
    #[arg(long, env = "BULKHEAD_CERTIFICATES", value_name = "DIR")]
    certificates: Option<PathBuf>,
    /// How long an authority of the operator's own lives
    #[arg(
        long,
        env = "BULKHEAD_AUTHORITY_LIFETIME",
        default_value = "8760h",
        value_name = "SPAN"
    )]
    authority_lifetime: names::Duration,
    /// How long a certificate of the operator's own lives; it is renewed after two thirds of that
    #[arg(
        long,
        env = "BULKHEAD_CERTIFICATE_LIFETIME",
        default_value = "2160h",
        value_name = "SPAN"
    )]
    certificate_lifetime: names::Duration,
    /// How long a replica that has gone silent still counts as the leader
    #[arg(
        long,
        env = "BULKHEAD_LEASE_DURATION",
        default_value = "15s",
        value_name = "SPAN"
    )]
    lease_duration: names::Duration,
    /// How often what the operator has installed in the API server is compared with what it should be
    #[arg(
        long,
        env = "BULKHEAD_REPAIR_INTERVAL",
        default_value = "10s",
        value_name = "SPAN"
    )]
    repair_interval: names::Duration,
    /// The least time between two evictions of a policy with `injection.missed: Evict`; as long must what injects have stood, and the pod have
    /// been there
    #[arg(
        long,
        env = "BULKHEAD_EVICTION_INTERVAL",
        default_value = "30s",
        value_name = "SPAN"
    )]
    eviction_interval: names::Duration,
    /// How long requests may take to finish once the process has been told to end
    #[arg(
        long,
        env = "BULKHEAD_DRAIN",
        default_value = "10s",
        value_name = "SPAN"
    )]
    drain: names::Duration,
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

/// How the API server reaches the webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// By a Service of the operator's namespace.
    Service(String),
    /// By a URL without a path.
    Url(String),
}

/// Where the webhooks' certificates come from, and how long they live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Certificates {
    /// The operator's own.
    Own {
        /// How long an authority lives.
        authority: Duration,
        /// How long a certificate lives.
        certificate: Duration,
    },
    /// A folder with `tls.crt`, `tls.key` and, where the operator is to announce it, `ca.crt`.
    Folder(PathBuf),
}

/// What holds for one run of the operator; nothing in it changes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The kubeconfig, or none for what is found.
    pub kubeconfig: Option<PathBuf>,
    /// The operator's own namespace.
    pub namespace: String,
    /// This process, in the Lease: unique among all that ever were.
    pub identity: String,
    /// The environment of namespaces without a label.
    pub default_environment: String,
    /// The namespaces to watch; empty is all.
    pub watch_namespaces: Vec<String>,
    /// Namespaces in which no policy has an effect: the operator's own and kube-system are among them.
    pub excluded_namespaces: Vec<String>,
    /// The cluster's DNS domain.
    pub cluster_domain: String,
    /// The sidecar's image.
    pub sidecar_image: String,
    /// When it is pulled; none leaves it to the API server.
    pub sidecar_pull_policy: Option<String>,
    /// The sidecar's user id, or none where the platform assigns it.
    pub sidecar_run_as_user: Option<i64>,
    /// The sidecar's group id, or none where the platform assigns it.
    pub sidecar_run_as_group: Option<i64>,
    /// Upstreams that policies may name although they are barred by default.
    pub allowed_upstreams: Vec<String>,
    /// Whether the metadata of Secrets that a policy names is looked at.
    pub check_secrets: bool,
    /// Policies reconciled at one time.
    pub concurrency: u16,
    /// Who injects.
    pub injection_engine: Engine,
    /// Where metrics and health are served.
    pub admin: SocketAddr,
    /// Where webhooks are served.
    pub webhook: SocketAddr,
    /// How the API server reaches them.
    pub reach: Reach,
    /// Where their certificates come from.
    pub certificates: Certificates,
    /// How long a silent leader still counts.
    pub lease_duration: Duration,
    /// How often what is installed is compared with what should be.
    pub repair_interval: Duration,
    /// The least time between two evictions of one policy; as long must what injects have stood, and the pod have been there.
    pub eviction_interval: Duration,
    /// How long requests may take to finish at the end.
    pub drain: Duration,
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
        (&self.log, self.log_format)
    }

    /// The kubeconfig to connect with.
    #[must_use]
    pub fn kubeconfig(&self) -> Option<&std::path::Path> {
        self.kubeconfig.as_deref()
    }

    /// The settings; `connected_to` is the namespace that the connection came with, for where none is named.
    ///
    /// # Errors
    /// [`SettingsError`] for what contradicts itself.
    pub fn settings(&self, connected_to: &str) -> Result<Settings, SettingsError> {
        self.check()?;
        let namespace = self
            .namespace
            .clone()
            .unwrap_or_else(|| connected_to.to_owned());
        let mut excluded_namespaces = self.excluded_namespaces.clone();
        excluded_namespaces.extend(["kube-system".to_owned(), namespace.clone()]);
        excluded_namespaces.retain(|name| !name.is_empty());
        excluded_namespaces.sort();
        excluded_namespaces.dedup();
        Ok(Settings {
            kubeconfig: self.kubeconfig.clone(),
            namespace,
            identity: identity(self.identity.as_deref()),
            default_environment: self.default_environment.clone(),
            watch_namespaces: named(&self.watch_namespaces),
            excluded_namespaces,
            cluster_domain: self.cluster_domain.clone(),
            sidecar_image: self.sidecar_image.clone(),
            sidecar_pull_policy: self.sidecar_pull_policy.clone().filter(|it| !it.is_empty()),
            sidecar_run_as_user: self.sidecar_run_as_user.0,
            sidecar_run_as_group: self.sidecar_run_as_group.0,
            allowed_upstreams: named(&self.allowed_upstreams),
            check_secrets: self.check_secrets,
            concurrency: self.concurrency,
            injection_engine: self.injection_engine,
            admin: self.admin,
            webhook: self.webhook,
            reach: self.webhook_url.as_ref().map_or_else(
                || Reach::Service(self.webhook_service.clone()),
                |url| Reach::Url(url.trim_end_matches('/').to_owned()),
            ),
            certificates: self.certificates.clone().map_or_else(
                || Certificates::Own {
                    authority: self.authority_lifetime.get(),
                    certificate: self.certificate_lifetime.get(),
                },
                Certificates::Folder,
            ),
            lease_duration: self.lease_duration.get(),
            repair_interval: self.repair_interval.get(),
            eviction_interval: self.eviction_interval.get(),
            drain: self.drain.get(),
        })
    }

    fn check(&self) -> Result<(), SettingsError> {
        if self.lease_duration.get() < Duration::from_secs(3) {
            return Err(SettingsError::LeaseTooShort(self.lease_duration));
        }
        let (certificate, authority) = (self.certificate_lifetime, self.authority_lifetime);
        if certificate.get() < Duration::from_secs(3) {
            return Err(SettingsError::CertificateTooShort(certificate));
        }
        if certificate.get() > authority.get() / 3 {
            return Err(SettingsError::CertificateTooLong {
                certificate,
                authority,
            });
        }
        if self.repair_interval.is_zero() {
            return Err(SettingsError::RepairInterval);
        }
        if self.eviction_interval.get() < Duration::from_secs(2) {
            return Err(SettingsError::EvictionInterval(self.eviction_interval));
        }
        if let Some(url) = &self.webhook_url {
            let host = url
                .strip_prefix("https://")
                .map(|rest| rest.trim_end_matches('/'));
            if host.is_none_or(|host| host.is_empty() || host.contains(['/', '?', '#', '@'])) {
                return Err(SettingsError::WebhookUrl(url.clone()));
            }
        }
        Ok(())
    }
}

/// A number, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Id(pub(crate) Option<i64>);

pub(crate) fn id(text: &str) -> Result<Id, String> {
    if text.is_empty() || text == "unset" {
        return Ok(Id(None));
    }
    let number = text.parse::<i64>().ok().filter(|number| *number > 0);
    number
        .map(|number| Id(Some(number)))
        .ok_or_else(|| "write a number above 0, or `unset`".to_owned())
}

/// `:PORT` is every address, of both families where the host has both.
fn address(text: &str) -> Result<SocketAddr, String> {
    let whole = match text.strip_prefix(':') {
        Some(port) => format!("[::]:{port}"),
        None => text.to_owned(),
    };
    whole
        .parse()
        .map_err(|_| "write ADDRESS:PORT or :PORT".to_owned())
}

/// An environment variable that is set to nothing is a list of nothing.
fn named(list: &[String]) -> Vec<String> {
    list.iter()
        .filter(|name| !name.is_empty())
        .cloned()
        .collect()
}

/// A name that no other process has had: a replica that was restarted under its old name must not take its predecessor's lease for
/// its own, for that one may still be writing.
fn identity(name: Option<&str>) -> String {
    let mut bytes = [0_u8; 5];
    // Only uniqueness rests on it; where the system has no randomness to give, the process id has to do.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        bytes[..4].copy_from_slice(&std::process::id().to_le_bytes());
    }
    let suffix: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let name = name
        .map(str::to_owned)
        .or_else(|| std::env::var("HOSTNAME").ok())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "bulkhead-operator".to_owned());
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
        assert_eq!(settings.reach, Reach::Service("bulkhead-operator".into()));
        assert_eq!(settings.sidecar_run_as_user, Some(65532));
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
        assert_eq!(settings.sidecar_run_as_user, None);
        assert_eq!(settings.sidecar_run_as_group, Some(65532));
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
    fn an_address_may_be_a_port_alone() {
        assert_eq!(address(":9443").unwrap().to_string(), "[::]:9443");
        assert_eq!(address("127.0.0.1:1").unwrap().to_string(), "127.0.0.1:1");
        assert!(address("9443").is_err());
    }
}
