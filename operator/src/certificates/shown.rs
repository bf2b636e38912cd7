//! What a TLS handshake shows, replaced in place.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use arc_swap::ArcSwapOption;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::CertificateError;
use super::make::{self, Identity};

/// The certificate in use; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shown(Arc<ArcSwapOption<CertifiedKey>>);

impl Shown {
    /// Shows this one from the next handshake on; connections that stand stay as they are. Returns when it expires, in seconds since 1970.
    ///
    /// # Errors
    /// A certificate or a key that cannot be read, and a key of another certificate; what was shown before stays.
    pub fn show(&self, identity: &Identity) -> Result<i64, CertificateError> {
        let read = |error: rustls::pki_types::pem::Error| CertificateError::Read(error.to_string());
        let chain = CertificateDer::pem_slice_iter(identity.certificate.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(read)?;
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).map_err(read)?;
        let provider = aws_lc_rs::default_provider();
        let certified = CertifiedKey::from_der(chain, key, &provider)?;
        let expires = make::facts(&identity.certificate)?.expires;
        self.0.store(Some(Arc::new(certified)));
        let seconds = expires.duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(i64::try_from(seconds.as_secs()).unwrap_or(i64::MAX))
    }

    /// A TLS server that shows whatever is shown at the time.
    ///
    /// # Errors
    /// None in practice: the protocol versions are the provider's own.
    pub fn server(&self) -> Result<ServerConfig, CertificateError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.load_full()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::super::make::Purpose;
    use super::*;

    #[test]
    fn a_key_of_another_certificate_is_refused_and_what_was_shown_stays() {
        let (now, hour) = (SystemTime::now(), Duration::from_secs(3600));
        let authority = make::authority("test", now, hour).unwrap();
        let issue =
            || make::issue(&authority, Purpose::Server, &["here".to_owned()], now, hour).unwrap();
        let (one, two) = (issue(), issue());
        let shown = Shown::default();
        shown.show(&one).unwrap();
        let before = shown.0.load_full().unwrap();
        let mixed = Identity {
            certificate: two.certificate,
            key: one.key,
        };
        assert!(shown.show(&mixed).is_err());
        assert!(Arc::ptr_eq(&before, &shown.0.load_full().unwrap()));
    }
}
