use std::fs;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::worker::fixtures::within;

const BOTH: [ExtendedKeyUsagePurpose; 2] = [
    ExtendedKeyUsagePurpose::ServerAuth,
    ExtendedKeyUsagePurpose::ClientAuth,
];

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A pod of the namespace `shop` that believes `believed` and shows a certificate of `authority` for `name`.
fn pod_as(
    believed: &[&Authority],
    authority: &Authority,
    name: &str,
    uses: &[ExtendedKeyUsagePurpose],
    has_expired: bool,
) -> PeerTls {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.extended_key_usages = uses.to_vec();
    if has_expired {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    }
    let chain = params.signed_by(&key, authority).unwrap().pem();
    let believed: String = believed.iter().map(|it| it.pem()).collect();
    read(&[
        ("ca.crt", &believed),
        ("tls.crt", &chain),
        ("tls.key", &key.serialize_pem()),
    ])
    .unwrap()
    .unwrap()
}

fn pod(believed: &[&Authority], authority: &Authority) -> PeerTls {
    pod_as(believed, authority, "shop.peers.bulkhead.dev", &BOTH, false)
}

/// What is read from a Secret of these files.
fn read(files: &[(&str, &str)]) -> Result<Option<PeerTls>, PeerTlsError> {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join(PEER_CERTIFICATES);
    fs::create_dir(&folder).unwrap();
    for (name, text) in files {
        fs::write(folder.join(name), text).unwrap();
    }
    PeerTls::read(&Secrets::new(Some(directory.path().to_owned())), "shop")
}

/// Whether a word of `from` reaches `to`.
async fn reaches(from: &PeerTls, to: &PeerTls) -> bool {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let says = async {
        let tcp = TcpStream::connect(address).await.unwrap();
        let mut stream = from.connect(tcp).await?;
        stream.write_all(b"word").await?;
        // A server that refuses says so after the client's side of the handshake is over (RFC 8446, section 4.4).
        stream.read_exact(&mut [0; 4]).await
    };
    let hears = async {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut stream = to.accept(tcp).await?;
        stream.read_exact(&mut [0; 4]).await?;
        stream.write_all(b"word").await?;
        stream.shutdown().await
    };
    let (said, heard) = within(async { tokio::join!(says, hears) }).await;
    assert_eq!(said.is_ok(), heard.is_ok(), "{said:?} {heard:?}");
    heard.is_ok()
}

#[tokio::test]
async fn pods_of_one_authority_know_each_other_and_while_it_turns() {
    let (old, new) = (authority(), authority());
    let before = pod(&[&old], &old);
    let announced = pod(&[&new, &old], &old);
    let after = pod(&[&new, &old], &new);
    for (from, to, known) in [
        (&before, &before, true),
        (&before, &announced, true),
        (&announced, &before, true),
        (&announced, &after, true),
        (&after, &announced, true),
        (&before, &after, false),
        (&after, &before, false),
    ] {
        assert_eq!(reaches(from, to).await, known);
    }
}

#[tokio::test]
async fn who_is_no_pod_of_the_namespace_is_refused_both_ways() {
    let (ours, foreign) = (authority(), authority());
    let name = "shop.peers.bulkhead.dev";
    let good = pod(&[&ours], &ours);
    for (what, stranger, calls, answers) in [
        ("a foreign authority", pod(&[&ours], &foreign), false, false),
        (
            "another namespace",
            pod_as(&[&ours], &ours, "bank.peers.bulkhead.dev", &BOTH, false),
            false,
            false,
        ),
        (
            "expired",
            pod_as(&[&ours], &ours, name, &BOTH, true),
            false,
            false,
        ),
        (
            "a server's certificate",
            pod_as(&[&ours], &ours, name, &BOTH[..1], false),
            false,
            true,
        ),
        (
            "a client's certificate",
            pod_as(&[&ours], &ours, name, &BOTH[1..], false),
            true,
            false,
        ),
    ] {
        assert_eq!(reaches(&stranger, &good).await, calls, "{what} calls");
        assert_eq!(reaches(&good, &stranger).await, answers, "{what} answers");
    }
}

#[tokio::test]
async fn who_shows_no_certificate_is_refused() {
    let ours = authority();
    let good = pod(&[&ours], &ours);
    let mut roots = RootCertStore::empty();
    roots.add(ours.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let nobody = PeerTls {
        connector: TlsConnector::from(Arc::new(config)),
        ..good.clone()
    };
    assert!(!reaches(&nobody, &good).await);
}

#[test]
fn what_is_not_all_there_is_nothing_and_what_is_broken_is_told() {
    let ours = authority();
    let key = KeyPair::generate().unwrap().serialize_pem();
    let pem = ours.pem();
    assert!(read(&[]).unwrap().is_none());
    assert!(
        read(&[("ca.crt", &pem), ("tls.crt", &pem)])
            .unwrap()
            .is_none()
    );
    let other_key = read(&[("ca.crt", &pem), ("tls.crt", &pem), ("tls.key", &key)]);
    let text = other_key.unwrap_err().to_string();
    assert!(text.contains("bulkhead-peers"), "{text}");
    for broken in ["", "junk"] {
        let files = [("ca.crt", broken), ("tls.crt", &pem), ("tls.key", &key)];
        assert!(read(&files).is_err(), "{broken:?}");
    }
}
