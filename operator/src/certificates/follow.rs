//! Taking a new certificate into use: every replica looks at the Secret, or at the folder, every so often.
//!
//! It reads that one Secret by its name rather than watching it, for which the right to `get` one name is enough. Being late is no harm:
//! what was shown before is valid for a third of its life when its successor comes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use kube::Client;
use tokio::time::sleep;

use super::CertificateError;
use super::make::Identity;
use super::shown::Shown;
use super::stored;
use crate::health::Readiness;
use crate::metrics::Metrics;
use crate::settings::{Certificates, Settings};

/// How often to look where certificates live for months.
const OFTEN: Duration = Duration::from_secs(10);

/// Where a replica's certificate comes from.
#[derive(Clone)]
pub enum Source {
    /// The operator's Secret in this namespace.
    Secret {
        /// To read it by.
        client: Client,
        /// The operator's own namespace.
        namespace: String,
    },
    /// A folder that somebody else writes to.
    Folder(PathBuf),
}

impl Source {
    /// Where these settings have it come from.
    #[must_use]
    pub fn of(settings: &Settings, client: &Client) -> Self {
        match settings.webhooks.certificates() {
            Certificates::Folder(folder) => Self::Folder(folder.to_owned()),
            Certificates::Own { .. } => Self::Secret {
                client: client.clone(),
                namespace: settings.namespace.clone(),
            },
        }
    }

    async fn identity(&self) -> Result<Option<Identity>, CertificateError> {
        match self {
            Self::Secret { client, namespace } => Ok(stored::read(client, namespace)
                .await?
                .stored
                .map(|stored| stored.shown)),
            Self::Folder(folder) => Ok(Some(Identity {
                certificate: file(folder, "tls.crt").await?,
                key: file(folder, "tls.key").await?,
            })),
        }
    }
}

/// How often to look at certificates that live this long.
#[must_use]
pub fn interval(certificates: Certificates<'_>) -> Duration {
    match certificates {
        Certificates::Own { certificate, .. } => OFTEN.min(certificate / 20),
        Certificates::Folder(_) => OFTEN,
    }
}

/// Shows what the source has, and whatever it has later. Never returns.
pub async fn follow(
    source: Source,
    interval: Duration,
    shown: Shown,
    readiness: Readiness,
    metrics: Metrics,
) {
    let mut current: Option<Identity> = None;
    let mut complained = String::new();
    loop {
        let looked = match source.identity().await {
            Ok(Some(identity)) if current.as_ref() != Some(&identity) => {
                shown.show(&identity).map(|expires| {
                    metrics.certificate_expires(expires);
                    readiness.certificate_loaded();
                    tracing::info!(expires, "showing a new certificate");
                    current = Some(identity);
                })
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        let complaint = looked
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default();
        if !complaint.is_empty() && complaint != complained {
            tracing::warn!(error = complaint, "no new certificate");
        }
        complained = complaint;
        // Until there is one at all, nothing else can happen.
        let pause = if current.is_none() {
            interval.min(Duration::from_millis(250))
        } else {
            interval
        };
        sleep(pause).await;
    }
}

/// The authorities that a folder comes with, to be announced; none where it has no `ca.crt`, and somebody else announces them.
///
/// # Errors
/// A file that is there and cannot be read.
pub async fn announced_by(folder: &Path) -> Result<Option<String>, CertificateError> {
    match file(folder, "ca.crt").await {
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => Ok(Some(text)),
        Err(CertificateError::File { source, .. })
            if source.kind() == std::io::ErrorKind::NotFound =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

async fn file(folder: &Path, name: &str) -> Result<String, CertificateError> {
    let path = folder.join(name);
    tokio::fs::read_to_string(&path)
        .await
        .map_err(|source| CertificateError::File {
            path: path.display().to_string(),
            source,
        })
}
