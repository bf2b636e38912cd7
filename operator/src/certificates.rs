//! The webhooks' certificates: made here, or by somebody else; renewed with overlap; taken into use without a restart.
//!
//! ```text
//!   leader:         rotate (what is due) ─ make (keys and certificates) ─ stored (the Secret)     then install announces the authorities
//!   every replica:  follow (the Secret, or a folder) ─▶ shown (what a TLS handshake shows)
//! ```
//!
//! A new authority is announced to the API server beside the old one, in every webhook's `caBundle`, before a certificate of it is shown;
//! the old one stays in the bundle until it has expired by itself. So there is no moment at which a certificate is shown that somebody
//! does not trust, whichever replica shows which, and however late it learns.

pub mod follow;
pub mod make;
pub mod rotate;
pub mod shown;
pub mod stored;

use crate::settings::{Reach, Settings};

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// Making one.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// Reading one.
    #[error("not a certificate: {0}")]
    Read(String),
    /// A certificate and a key that cannot be used together.
    #[error("cannot use the certificate: {0}")]
    Use(#[from] rustls::Error),
    /// The API server.
    #[error("Secret {name}: {source}", name = bulkhead_crds::names::objects::WEBHOOK_CERTIFICATES)]
    Secret {
        /// What it says.
        source: Box<kube::Error>,
    },
    /// A file of the folder.
    #[error("{path}: {source}")]
    File {
        /// Its path.
        path: String,
        /// What is wrong with it.
        source: std::io::Error,
    },
}

impl From<kube::Error> for CertificateError {
    fn from(source: kube::Error) -> Self {
        Self::Secret {
            source: Box::new(source),
        }
    }
}

/// The names by which the API server knows the webhooks.
#[must_use]
pub fn names(settings: &Settings) -> Vec<String> {
    match settings.webhooks.reach() {
        Reach::Service(service) => {
            let short = format!("{service}.{}", settings.namespace);
            let full = format!("{short}.svc.{}", settings.cluster_domain);
            vec![format!("{short}.svc"), short, full]
        }
        Reach::Url(url) => vec![host(url).to_owned()],
    }
}

/// The host of `https://HOST[:PORT]`.
fn host(url: &str) -> &str {
    let authority = url.trim_start_matches("https://");
    if let Some((address, _)) = authority
        .strip_prefix('[')
        .and_then(|rest| rest.split_once(']'))
    {
        return address;
    }
    authority.split(':').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url_is_a_name_or_an_address_of_either_family() {
        assert_eq!(host("https://here:9443"), "here");
        assert_eq!(host("https://127.0.0.1:9443"), "127.0.0.1");
        assert_eq!(host("https://[::1]:9443"), "::1");
        assert_eq!(host("https://here"), "here");
    }
}
