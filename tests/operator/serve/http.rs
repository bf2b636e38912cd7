//! A client of the webhooks that is not the API server, and says what it likes. It trusts what the operator has stored, and no more.

use std::sync::Arc;

use bulkhead_tests::cluster::ControlPlane;
use bulkhead_tests::operator::{NAMESPACE, Operator};
use k8s_openapi::api::core::v1::Secret;
use kube::Api;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub struct Client {
    port: u16,
    tls: TlsConnector,
}

impl Client {
    /// A client that trusts the authorities in the operator's Secret.
    pub async fn of(cluster: &ControlPlane, operator: &Operator) -> Self {
        let secrets: Api<Secret> = Api::namespaced(cluster.client(), NAMESPACE);
        let secret = secrets.get("bulkhead-webhook-certificates").await.unwrap();
        Self::trusting(operator.webhook(), &secret.data.unwrap()["ca.crt"].0)
    }

    /// A client that trusts the authorities in this PEM text.
    pub fn trusting(port: u16, authorities: &[u8]) -> Self {
        let mut roots = RootCertStore::empty();
        for authority in CertificateDer::pem_slice_iter(authorities) {
            roots.add(authority.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            port,
            tls: TlsConnector::from(Arc::new(config)),
        }
    }

    /// A TLS connection; an error is what the handshake says.
    pub async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        self.tls.connect(name, stream).await
    }

    pub async fn post(&self, path: &str, body: &[u8]) -> (u16, String) {
        self.send("POST", path, body).await
    }

    pub async fn send(&self, method: &str, path: &str, body: &[u8]) -> (u16, String) {
        let mut stream = self.connect().await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: bulkhead\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        // A server that has heard enough answers and closes before all is sent.
        let _ = stream.write_all(head.as_bytes()).await;
        let _ = stream.write_all(body).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        (
            status.unwrap_or_else(|| panic!("no answer to {method} {path:.20}: {head:?}")),
            body.to_owned(),
        )
    }
}
