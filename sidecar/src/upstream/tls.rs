//! TLS to the upstream: `SSLRequest`, the handshake, and the configuration that each `upstream.tls.mode` stands for.
//!
//! Authorities are read again for each connection and taken over when they have changed. Without `tls.caSecretRef`,
//! `VerifyFull` trusts the public authorities that are compiled in (Mozilla's list, by webpki-roots): the sidecar's image has
//! no store of its own to read. May not live here: the rules of verification (`verify`).

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bulkhead_crds::kinds::{Protocol, SecretRef, TlsMode};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::error::{ConnectError, Endpoint, UpstreamError};
use super::verify::{Authorities, Check, SelfSigned, Verifier};
use crate::secrets::{SecretBytes, Secrets};

/// `SSLRequest` (PostgreSQL, "Message Formats"): length 8, code 80877103.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// The application protocol that PostgreSQL 17 and later select.
const ALPN_POSTGRESQL: &[u8] = b"postgresql";

/// RFC 7301's registry: HTTP/1.1.
const ALPN_HTTP: &[u8] = b"http/1.1";

const CA_KEY: &str = "ca.crt";

/// TLS as one upstream's policy wants it.
pub(super) struct Tls {
    at: Arc<Endpoint>,
    protocol: Protocol,
    mode: TlsMode,
    name: ServerName<'static>,
    secrets: Arc<Secrets>,
    ca: Option<SecretRef>,
    provider: Arc<CryptoProvider>,
    current: Mutex<Option<Current>>,
}

/// The configuration in use, and the authorities that it was made from.
struct Current {
    ca: Option<SecretBytes>,
    config: Arc<ClientConfig>,
}

impl Tls {
    /// Checks what can be checked before a connection: the mode's needs, the name, and the authorities as they are now.
    pub(super) fn new(
        at: &Arc<Endpoint>,
        protocol: Protocol,
        mode: TlsMode,
        ca: Option<&SecretRef>,
        secrets: &Arc<Secrets>,
    ) -> Result<Self, UpstreamError> {
        if mode == TlsMode::VerifyCa && ca.is_none() {
            return Err(UpstreamError::NoAuthority { at: Arc::clone(at) });
        }
        let tls = Self {
            at: Arc::clone(at),
            protocol,
            mode,
            name: server_name(at)?,
            secrets: Arc::clone(secrets),
            ca: ca.cloned(),
            provider: Arc::new(aws_lc_rs::default_provider()),
            current: Mutex::new(None),
        };
        tls.config()?;
        Ok(tls)
    }

    /// Asks for TLS on a fresh connection where the protocol wants to be asked, and shakes hands. Not cancel-safe: the connection is useless then.
    pub(super) async fn negotiate(
        &self,
        mut tcp: TcpStream,
    ) -> Result<TlsStream<TcpStream>, ConnectError> {
        let config = self.config().map_err(|e| self.failed(e.to_string()))?;
        if self.protocol == Protocol::PostgreSQL {
            self.request(&mut tcp).await?;
        }
        TlsConnector::from(config)
            .connect(self.name.clone(), tcp)
            .await
            .map_err(|e| self.handshake_failed(&e))
    }

    /// `SSLRequest` and its one-byte answer. Whatever stands behind the `S` was sent by somebody who did not wait for the
    /// handshake: it would be read as if it had come through TLS (CVE-2021-23222), so it ends the connection. The text of an
    /// error at this point is not shown, because nobody vouches for it (CVE-2024-10977).
    async fn request(&self, tcp: &mut TcpStream) -> Result<(), ConnectError> {
        let lost = |e: io::Error| ConnectError::Protocol {
            at: Arc::clone(&self.at),
            stage: super::Stage::Tls,
            reason: format!("the connection was lost: {e}"),
            lost: true,
        };
        tcp.write_all(&SSL_REQUEST).await.map_err(lost)?;
        let mut answer = [0; 2];
        match tcp.read(&mut answer).await.map_err(lost)? {
            0 => Err(lost(io::ErrorKind::UnexpectedEof.into())),
            1 if answer[0] == b'S' => Ok(()),
            1 if answer[0] == b'N' => Err(self.failed(format!(
                "the server has no TLS: switch it on there, or set {} to Disable if the network between is trusted",
                self.at.field("upstream.tls.mode")
            ))),
            _ if answer[0] == b'S' => Err(self.failed(
                "unencrypted bytes stand behind the server's consent to TLS: somebody on the way may be inserting them".to_owned(),
            )),
            _ => Err(self.failed(
                "the server answered the request for TLS with something else: it is very old, full, or not PostgreSQL".to_owned(),
            )),
        }
    }

    /// The configuration for the authorities as they are now.
    fn config(&self) -> Result<Arc<ClientConfig>, UpstreamError> {
        let ca = self.read_authorities()?;
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = current.as_ref()
            && current.ca == ca
        {
            return Ok(Arc::clone(&current.config));
        }
        let config = Arc::new(self.build(ca.as_ref())?);
        *current = Some(Current {
            ca,
            config: Arc::clone(&config),
        });
        Ok(config)
    }

    fn read_authorities(&self) -> Result<Option<SecretBytes>, UpstreamError> {
        let verifies = matches!(self.mode, TlsMode::VerifyCa | TlsMode::VerifyFull);
        self.ca
            .as_ref()
            .filter(|_| verifies)
            .map(|ca| self.secrets.read(&ca.name, CA_KEY))
            .transpose()
            .map_err(|e| self.bad_authority(e.to_string()))
    }

    fn build(&self, ca: Option<&SecretBytes>) -> Result<ClientConfig, UpstreamError> {
        let authorities = || ca.map_or_else(|| Ok(public()), |pem| self.authorities(pem));
        let check = match self.mode {
            TlsMode::Disable | TlsMode::Require => Check::Nothing,
            TlsMode::VerifyCa => Check::Issuer(authorities()?),
            TlsMode::VerifyFull => Check::IssuerAndName(authorities()?),
        };
        let verifier = Verifier {
            check,
            provider: Arc::clone(&self.provider),
        };
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(|e| UpstreamError::Tls {
                at: Arc::clone(&self.at),
                reason: e.to_string(),
            })?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        config.alpn_protocols = match self.protocol {
            Protocol::PostgreSQL => vec![ALPN_POSTGRESQL.to_vec()],
            Protocol::ClickHouse => vec![ALPN_HTTP.to_vec()],
            Protocol::Redis => Vec::new(),
        };
        Ok(config)
    }

    fn authorities(&self, pem: &SecretBytes) -> Result<Authorities, UpstreamError> {
        let exact: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem.expose())
            .collect::<Result<_, _>>()
            .map_err(|e| self.bad_authority(format!("key {CA_KEY} is not PEM: {e}")))?;
        let mut roots = RootCertStore::empty();
        let (taken, _) = roots.add_parsable_certificates(exact.iter().cloned());
        if taken == 0 {
            return Err(self.bad_authority(format!("key {CA_KEY} holds no usable certificate")));
        }
        Ok(Authorities { roots, exact })
    }

    fn bad_authority(&self, reason: String) -> UpstreamError {
        UpstreamError::Authority {
            at: Arc::clone(&self.at),
            reason,
        }
    }

    fn failed(&self, reason: String) -> ConnectError {
        ConnectError::Tls {
            at: Arc::clone(&self.at),
            reason,
        }
    }

    fn handshake_failed(&self, error: &io::Error) -> ConnectError {
        let Some(cause) = error.get_ref().and_then(|e| e.downcast_ref()) else {
            return ConnectError::Protocol {
                at: Arc::clone(&self.at),
                stage: super::Stage::Tls,
                reason: format!("the connection was lost: {error}"),
                lost: true,
            };
        };
        let mode = self.at.field("upstream.tls.mode");
        self.failed(match cause {
            rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            ) => format!(
                "{cause}: set {} to a name that the certificate has, or {mode} to VerifyCa",
                self.at.host_field()
            ),
            // The second: an authority of the same name with another key, as after its renewal.
            rustls::Error::InvalidCertificate(
                CertificateError::UnknownIssuer | CertificateError::BadSignature,
            ) => format!(
                "the certificate comes from an authority that is not trusted: put that authority's certificate into key {CA_KEY} of {}",
                self.at.field("upstream.tls.caSecretRef")
            ),
            rustls::Error::InvalidCertificate(CertificateError::Other(other))
                if other.0.is::<SelfSigned>() =>
            {
                format!(
                    "the certificate is self-signed, and not trusted: put it into key {CA_KEY} of {}",
                    self.at.field("upstream.tls.caSecretRef")
                )
            }
            rustls::Error::InvalidCertificate(_) => format!("{cause} (checked because {mode} is {:?})", self.mode),
            other => other.to_string(),
        })
    }
}

fn public() -> Authorities {
    Authorities {
        roots: webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
        exact: Vec::new(),
    }
}

/// The name in SNI and in the certificate: the host without brackets or a final dot.
fn server_name(at: &Arc<Endpoint>) -> Result<ServerName<'static>, UpstreamError> {
    if let Some(address) = super::resolve::literal(&at.host) {
        return Ok(ServerName::IpAddress(address.into()));
    }
    let host = at.host.strip_suffix('.').unwrap_or(&at.host);
    ServerName::try_from(host.to_owned()).map_err(|e| UpstreamError::Host {
        at: Arc::clone(at),
        host: host.chars().take(64).collect(),
        reason: e.to_string(),
    })
}
