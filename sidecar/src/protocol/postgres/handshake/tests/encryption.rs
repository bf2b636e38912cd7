//! TLS: asked for, and from the first byte.

use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

/// A listener's certificate, and a client that trusts it and offers these application protocols.
pub(super) fn certificate(protocols: &[&[u8]]) -> (ListenTls, TlsConnector) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = signing_key.serialize_pem();
    let tls = ListenTls::from_pem(cert.pem().as_bytes(), key.as_bytes()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    (tls, TlsConnector::from(Arc::new(config)))
}

pub(super) async fn encrypt(connector: TlsConnector, socket: TcpStream) -> TlsStream<TcpStream> {
    let name = ServerName::try_from("localhost").unwrap();
    connector.connect(name, socket).await.unwrap()
}

/// Asks for TLS, which is given.
async fn ask(client: &mut TcpStream) {
    client.write_all(SSL_REQUEST).await.unwrap();
    assert_eq!(client.read_u8().await.unwrap(), b'S');
}

/// What comes of a start-up packet that is sent encrypted.
async fn logged_in(
    client: &mut TlsStream<TcpStream>,
    receiving: JoinHandle<Result<Arrival, HandshakeError>>,
) -> Box<Login> {
    let packet = startup(&[("user", "chat")]);
    client.write_all(&packet).await.unwrap();
    login(receiving.await.unwrap().unwrap())
}

#[tokio::test]
async fn tls_is_given_to_those_who_ask() {
    let (tls, connector) = certificate(&[]);
    let (mut client, server) = tcp().await;
    let end_point = tls.end_point().cloned();
    let receiving = tokio::spawn(async move { receive(server, Some(&tls)).await });
    ask(&mut client).await;
    let mut client = encrypt(connector, client).await;
    let login = logged_in(&mut client, receiving).await;
    assert!(login.stream.is_tls());
    assert!(end_point.is_some());
    assert_eq!(login.end_point, end_point);
}

#[tokio::test]
async fn a_plain_login_stays_possible_beside_it() {
    let (tls, _) = certificate(&[]);
    let (mut client, server) = tcp().await;
    client
        .write_all(&startup(&[("user", "chat")]))
        .await
        .unwrap();
    let login = login(receive(server, Some(&tls)).await.unwrap());
    assert!(!login.stream.is_tls());
    assert!(login.end_point.is_none());
}

#[tokio::test]
async fn nothing_is_negotiated_inside_of_tls() {
    for request in [SSL_REQUEST, GSSENC_REQUEST] {
        let (tls, connector) = certificate(&[]);
        let (mut client, server) = tcp().await;
        let receiving = tokio::spawn(async move { receive(server, Some(&tls)).await });
        client.write_all(SSL_REQUEST).await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'S');
        let mut client = encrypt(connector, client).await;
        client.write_all(request).await.unwrap();
        let (code, _) = refusal(&mut client).await;
        assert_eq!(code, SqlState::PROTOCOL_VIOLATION);
        let error = receiving.await.unwrap().unwrap_err();
        assert!(matches!(error, HandshakeError::Repeated(_)), "{error}");
    }
}

#[tokio::test]
async fn plaintext_pushed_in_before_tls_never_becomes_part_of_it() {
    let (tls, _) = certificate(&[]);
    let (mut client, server) = tcp().await;
    let bytes = [SSL_REQUEST, &startup(&[("user", "mallory")])[..]].concat();
    client.write_all(&bytes).await.unwrap();
    let error = receive(server, Some(&tls)).await.unwrap_err();
    assert!(
        matches!(error, HandshakeError::EarlyBytes("SSLRequest")),
        "{error}"
    );
}

#[tokio::test]
async fn direct_tls_says_that_it_means_postgresql() {
    let (tls, connector) = certificate(&[b"postgresql"]);
    let (client, server) = tcp().await;
    let receiving = tokio::spawn(async move { receive(server, Some(&tls)).await });
    let mut client = encrypt(connector, client).await;
    let login = logged_in(&mut client, receiving).await;
    assert!(login.stream.is_tls());
    assert!(login.end_point.is_some());
}

#[tokio::test]
async fn direct_tls_without_a_protocol_is_refused() {
    let (tls, connector) = certificate(&[]);
    let (client, server) = tcp().await;
    let receiving = tokio::spawn(async move { receive(server, Some(&tls)).await });
    let mut client = encrypt(connector, client).await;
    let (code, message) = refusal(&mut client).await;
    assert_eq!(code, SqlState::PROTOCOL_VIOLATION);
    assert!(message.contains("postgresql"), "{message}");
    let error = receiving.await.unwrap().unwrap_err();
    assert!(
        matches!(error, HandshakeError::NoApplicationProtocol),
        "{error}"
    );
}

#[tokio::test]
async fn a_cancel_request_may_be_encrypted() {
    let (tls, connector) = certificate(&[]);
    let (mut client, server) = tcp().await;
    let receiving = tokio::spawn(async move { receive(server, Some(&tls)).await });
    ask(&mut client).await;
    let mut client = encrypt(connector, client).await;
    let mut packet = Vec::new();
    CancelKey::new(7, b"abcd")
        .unwrap()
        .write_cancel_request(&mut packet);
    client.write_all(&packet).await.unwrap();
    let arrival = receiving.await.unwrap().unwrap();
    assert!(matches!(arrival, Arrival::Cancel(key, _) if key.process_id() == 7));
}
