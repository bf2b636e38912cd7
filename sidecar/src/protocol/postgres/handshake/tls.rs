//! TLS of a listener: the certificate that clients see, and what channel binding needs to know of it.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::error::HandshakeError;
use crate::certificate::first_end;
use crate::upstream::binding::tls_server_end_point;

/// The application protocol by which a client says that it means PostgreSQL.
const ALPN: &[u8] = b"postgresql";

/// A certificate's hash, `tls-server-end-point` (RFC 5929, section 4).
pub type EndPoint = Arc<[u8]>;

/// A listener's certificate, key and settings. Cheap to clone.
#[derive(Clone)]
pub struct ListenTls {
    config: Arc<ServerConfig>,
    end_point: Option<EndPoint>,
    ends: Option<i64>,
}

/// The key stays out.
impl fmt::Debug for ListenTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ListenTls")
    }
}

impl ListenTls {
    /// Reads a chain (the listener's own certificate first) and its key, both in PEM. TLS 1.2 and 1.3; sessions are not
    /// resumed, as with PostgreSQL.
    ///
    /// # Errors
    /// No certificate, no key, or a key of another certificate.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, HandshakeError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(chain)
            .collect::<Result<_, _>>()
            .map_err(|error| unusable(&error))?;
        let end_point = chain
            .first()
            .and_then(|leaf| tls_server_end_point(leaf))
            .map(EndPoint::from);
        if chain.is_empty() {
            return Err(HandshakeError::Certificate(
                "no certificate in it".to_owned(),
            ));
        }
        let ends = first_end(&chain);
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| unusable(&error))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| unusable(&error))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Self {
            config: Arc::new(config),
            end_point,
            ends,
        })
    }

    /// The same for another protocol than PostgreSQL's, with the name that clients may ask for it by in ALPN, if it has one.
    #[must_use]
    pub fn speaking(self, alpn: Option<&[u8]>) -> Self {
        let mut config = ServerConfig::clone(&self.config);
        config.alpn_protocols = alpn.map(<[u8]>::to_vec).into_iter().collect();
        Self {
            config: Arc::new(config),
            ..self
        }
    }

    /// The certificate's hash; `None` where its signature has no single hash function, so that nothing can be bound.
    #[must_use]
    pub const fn end_point(&self) -> Option<&EndPoint> {
        self.end_point.as_ref()
    }

    /// When the first of the chain expires, in seconds since the epoch.
    #[must_use]
    pub const fn ends(&self) -> Option<i64> {
        self.ends
    }

    /// The server's side of a TLS handshake. Not cancel safe: dropping it closes the socket.
    ///
    /// # Errors
    /// Whatever is wrong with the client's TLS; it has been sent an alert.
    pub(crate) async fn accept(
        &self,
        socket: TcpStream,
    ) -> Result<TlsStream<TcpStream>, HandshakeError> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.config));
        acceptor.accept(socket).await.map_err(HandshakeError::Tls)
    }
}

/// Whether a client has said that it means PostgreSQL. Required where no `SSLRequest` has said so.
pub(super) fn means_postgresql(stream: &TlsStream<TcpStream>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(ALPN)
}

/// The library's errors name what is wrong with a file and hold nothing of a key.
fn unusable(error: &dyn fmt::Display) -> HandshakeError {
    HandshakeError::Certificate(error.to_string())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;

    fn pem() -> (String, String) {
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["db.internal".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem())
    }

    #[test]
    fn a_certificate_and_its_key_are_enough() {
        let (cert, key) = pem();
        let tls = ListenTls::from_pem(cert.as_bytes(), key.as_bytes()).unwrap();
        assert_eq!(tls.end_point().map(|hash| hash.len()), Some(32));
        assert_eq!(format!("{tls:?}"), "ListenTls");
    }

    #[test]
    fn what_does_not_belong_together_is_refused() {
        let (cert, key) = pem();
        let (_, other) = pem();
        assert!(ListenTls::from_pem(cert.as_bytes(), other.as_bytes()).is_err());
        assert!(ListenTls::from_pem(b"", key.as_bytes()).is_err());
        assert!(ListenTls::from_pem(cert.as_bytes(), b"").is_err());
        assert!(ListenTls::from_pem(cert.as_bytes(), cert.as_bytes()).is_err());
    }
}
