//! TLS between the pods of a namespace: both sides show a certificate of one authority, which issues for nothing else.

use std::fmt;
use std::io;
use std::sync::Arc;

use bulkhead_crds::names::objects::{PEER_CERTIFICATES, peer_name};
use rustls::client::{Resumption, verify_server_name};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use thiserror::Error;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::certificate::first_end;
use crate::secrets::{SecretBytes, SecretError, Secrets};

/// Why there is no TLS to other pods.
#[derive(Debug, Error)]
pub enum PeerTlsError {
    /// The Secret is there and cannot be read.
    #[error("other pods: {0}")]
    Secret(#[from] SecretError),
    /// What it holds cannot be used. The library's errors say nothing of a key.
    #[error("other pods: {PEER_CERTIFICATES}: {0}")]
    Certificate(String),
}

/// What this pod shows to others, and whom it believes. Cheap to clone.
#[derive(Clone)]
pub struct PeerTls {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
    name: ServerName<'static>,
    ends: Option<i64>,
}

impl fmt::Debug for PeerTls {
    /// The key stays out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerTls({:?})", self.name)
    }
}

impl PeerTls {
    /// Reads what the operator has issued to the pods of a namespace; none where it has not, or not yet.
    ///
    /// # Errors
    /// It is there and cannot be used.
    pub fn read(secrets: &Secrets, namespace: &str) -> Result<Option<Self>, PeerTlsError> {
        let part = |key: &str| match secrets.read(PEER_CERTIFICATES, key) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(PeerTlsError::from(error)),
        };
        let (Some(authorities), Some(chain), Some(key)) =
            (part("ca.crt")?, part("tls.crt")?, part("tls.key")?)
        else {
            return Ok(None);
        };
        let made = Self::from_pem(&authorities, &chain, &key, namespace);
        made.map(Some).map_err(PeerTlsError::Certificate)
    }

    fn from_pem(
        authorities: &SecretBytes,
        chain: &SecretBytes,
        key: &SecretBytes,
        namespace: &str,
    ) -> Result<Self, String> {
        let says = |error: &dyn fmt::Display| error.to_string();
        let chain = certificates(chain).map_err(|error| says(&error))?;
        let key = PrivateKeyDer::from_pem_slice(key.expose()).map_err(|error| says(&error))?;
        let mut roots = RootCertStore::empty();
        for authority in certificates(authorities).map_err(|error| says(&error))? {
            roots.add(authority).map_err(|error| says(&error))?;
        }
        let name = ServerName::try_from(peer_name(namespace)).map_err(|error| says(&error))?;
        let ends = first_end(&chain);
        let (roots, provider) = (Arc::new(roots), Arc::new(aws_lc_rs::default_provider()));
        let server = server_config(&roots, &provider, chain.clone(), key.clone_key())
            .map_err(|error| says(&error))?;
        let client = client_config(&roots, &provider, chain, key).map_err(|error| says(&error))?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(server)),
            connector: TlsConnector::from(Arc::new(client)),
            name,
            ends,
        })
    }

    /// When the first of the certificates that this pod shows expires, in seconds since the epoch.
    #[must_use]
    pub const fn ends(&self) -> Option<i64> {
        self.ends
    }

    /// Another pod's connection. Not cancel safe: dropping it closes the socket.
    ///
    /// # Errors
    /// Whoever it is shows no certificate of a pod of this namespace.
    pub(super) async fn accept(&self, tcp: TcpStream) -> io::Result<server::TlsStream<TcpStream>> {
        let stream = self.acceptor.accept(tcp).await?;
        let shown = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let leaf = shown.first().ok_or(io::ErrorKind::PermissionDenied)?;
        // The chain has been verified; that it is a pod's, only its name says.
        ParsedCertificate::try_from(leaf)
            .and_then(|leaf| verify_server_name(&leaf, &self.name))
            .map_err(io::Error::other)?;
        Ok(stream)
    }

    /// Shakes hands with another pod. Not cancel safe: dropping it closes the socket.
    ///
    /// # Errors
    /// Whoever is there shows no certificate of a pod of this namespace, or does not take this pod's.
    pub(super) async fn connect(&self, tcp: TcpStream) -> io::Result<client::TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), tcp).await
    }
}

fn certificates(
    pem: &SecretBytes,
) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
    CertificateDer::pem_slice_iter(pem.expose()).collect()
}

/// A certificate is looked at for every connection: nothing is resumed.
fn server_config(
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn client_config(
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13])?
        .with_root_certificates(Arc::clone(roots))
        .with_client_auth_cert(chain, key)?;
    config.resumption = Resumption::disabled();
    Ok(config)
}

#[cfg(test)]
mod tests;
