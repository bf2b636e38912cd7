//! Where the webhooks are, and what they show to the API server.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;

use super::SettingsError;
use super::values::{address, span};

/// The flags of the webhooks.
#[derive(Args, Clone, Debug)]
pub struct Webhooks {
    /// Where webhooks are served
    #[arg(
        long = "webhook",
        env = "BULKHEAD_WEBHOOK",
        default_value = ":9443",
        value_parser = address,
        value_name = "ADDRESS"
    )]
    pub address: SocketAddr,
    /// The Service by which the API server reaches the webhooks
    #[arg(
        long = "webhook-service",
        env = "BULKHEAD_WEBHOOK_SERVICE",
        default_value = "bulkhead-operator",
        value_name = "NAME"
    )]
    service: String,
    /// The URL (https, without a path) by which the API server reaches the webhooks, in place of a Service: an operator outside the cluster
    #[arg(long = "webhook-url", env = "BULKHEAD_WEBHOOK_URL", value_name = "URL")]
    url: Option<String>,
    /// Certificates that somebody else renews (cert-manager): a folder with tls.crt, tls.key and ca.crt; without it, the operator makes its own
    #[arg(
        long = "certificates",
        env = "BULKHEAD_CERTIFICATES",
        value_name = "DIR"
    )]
    folder: Option<PathBuf>,
    /// How long an authority of the operator's own lives
    #[arg(
        long,
        env = "BULKHEAD_AUTHORITY_LIFETIME",
        default_value = "8760h",
        value_parser = span,
        value_name = "SPAN"
    )]
    authority_lifetime: Duration,
    /// How long a certificate of the operator's own lives; it is renewed after two thirds of that
    #[arg(
        long,
        env = "BULKHEAD_CERTIFICATE_LIFETIME",
        default_value = "2160h",
        value_parser = span,
        value_name = "SPAN"
    )]
    certificate_lifetime: Duration,
}

/// How the API server reaches the webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach<'a> {
    /// By a Service of the operator's namespace.
    Service(&'a str),
    /// By a URL without a path.
    Url(&'a str),
}

/// Where the webhooks' certificates come from, and how long they live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Certificates<'a> {
    /// The operator's own.
    Own {
        /// How long an authority lives.
        authority: Duration,
        /// How long a certificate lives.
        certificate: Duration,
    },
    /// A folder with `tls.crt`, `tls.key` and, where the operator is to announce it, `ca.crt`.
    Folder(&'a Path),
}

impl Webhooks {
    /// How the API server reaches them.
    #[must_use]
    pub fn reach(&self) -> Reach<'_> {
        self.url.as_deref().map_or_else(
            || Reach::Service(&self.service),
            |url| Reach::Url(url.trim_end_matches('/')),
        )
    }

    /// Where their certificates come from.
    #[must_use]
    pub fn certificates(&self) -> Certificates<'_> {
        self.folder.as_deref().map_or(
            Certificates::Own {
                authority: self.authority_lifetime,
                certificate: self.certificate_lifetime,
            },
            Certificates::Folder,
        )
    }

    pub(super) fn check(&self) -> Result<(), SettingsError> {
        let (certificate, authority) = (self.certificate_lifetime, self.authority_lifetime);
        if certificate < Duration::from_secs(3) {
            return Err(SettingsError::CertificateTooShort(certificate.into()));
        }
        if certificate > authority / 3 {
            return Err(SettingsError::CertificateTooLong {
                certificate: certificate.into(),
                authority: authority.into(),
            });
        }
        let Some(url) = &self.url else {
            return Ok(());
        };
        let host = url
            .strip_prefix("https://")
            .map(|rest| rest.trim_end_matches('/'));
        if host.is_none_or(|host| host.is_empty() || host.contains(['/', '?', '#', '@'])) {
            return Err(SettingsError::WebhookUrl(url.clone()));
        }
        Ok(())
    }
}
