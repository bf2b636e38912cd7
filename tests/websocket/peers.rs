//! A client that comes back to another pod than the one where its session lives: the one passes it on to the other, or serves it as a new one.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead_operator::certificates::stored::Stored;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::processes::free_port;
use bulkhead_tests::websocket::application::Asked;
use bulkhead_tests::websocket::frames::CLOSE;
use bulkhead_tests::websocket::{Answer, Asking, Frame, Peer};
use bulkhead_tests::{PATIENCE, wait};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::pods::{Pod, Shared, derived, next_of_application, token};

/// Longer than a pod that cannot be reached, or does not answer, is waited for.
const GIVEN_UP: Duration = Duration::from_secs(8);

/// A client at `pod` with this token, and the request that reaches the application of `at`.
async fn come_back(pod: &Pod, token: &str, at: &Pod) -> (Peer, Asked) {
    let asking = Pod::returning("alice", token);
    let asked = async {
        let asked = at.application.asked().await;
        let (line, headers) = (asked.line.clone(), asked.headers.clone());
        let peer = asked.upgrade("").await;
        Asked {
            line,
            headers,
            peer,
        }
    };
    let (answer, asked) = tokio::join!(pod.stage.ask(&asking), asked);
    (answer.opened(), asked)
}

#[tokio::test]
async fn a_client_that_comes_to_another_pod_reaches_its_own() {
    let shared = Shared::of_operator();
    let (here, there) = tokio::join!(shared.pod(), shared.pod());
    let (mut client, asked) = come_back(&here, &shared.token(there.peers), &there).await;
    // The application cannot tell.
    assert_eq!(asked.line, "GET /ws HTTP/1.1");
    assert_eq!(asked.header("host").as_deref(), Some("chat.example"));
    assert_eq!(asked.header("x-bulkhead-user").as_deref(), Some("alice"));
    assert_eq!(
        asked.header("x-forwarded-for").as_deref(),
        Some("127.0.0.1")
    );
    for ours in ["x-bulkhead-entry", "x-bulkhead-client"] {
        assert_eq!(asked.header(ours), None);
    }
    let mut application = asked.peer;
    for size in [1, 125, 70_000, 1 << 18] {
        let text = "x".repeat(size);
        client.send(Frame::text(text.clone())).await;
        assert_eq!(application.next().await.as_text(), text);
        application.send(Frame::text(text.clone())).await;
        let back = next_of_application(&mut client).await;
        assert_eq!(back.as_text(), text);
    }
    application.send(Frame::close(4321, "over")).await;
    let (closed, ()) = tokio::join!(client.closed(), async {
        drop(application.frame().await);
    });
    assert_eq!(closed, (4321, "over".to_owned()));
    here.until_relays("relayed", 1.0).await;
    let accepted = [("outcome", "accepted")];
    let counted = |pod: &Pod| {
        pod.stage
            .sidecar
            .metric("bulkhead_connections_total", &accepted)
    };
    assert_eq!((counted(&here), counted(&there)), (0.0, 1.0));
}

#[tokio::test]
async fn a_token_of_ones_own_is_not_passed_on() {
    let shared = Shared::of_operator();
    let here = shared.pod().await;
    let (_client, _asked) = come_back(&here, &shared.token(here.peers), &here).await;
    for outcome in ["relayed", "refused", "unreachable", "silent"] {
        assert!(here.relays(outcome).abs() < 0.5, "{outcome}");
    }
}

#[tokio::test]
async fn a_forged_token_makes_nobody_dial() {
    let shared = Shared::of_operator();
    let here = shared.pod().await;
    let trap = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = trap.local_addr().unwrap().port();
    let good = shared.token(port);
    let mut cut = good.clone();
    cut.pop();
    for forged in [token(&derived(&[0; 32]), port), cut, "A".repeat(67)] {
        let (_client, _asked) = come_back(&here, &forged, &here).await;
    }
    let dialled = tokio::time::timeout(Duration::from_millis(300), trap.accept()).await;
    assert!(dialled.is_err(), "somebody has dialled");
    // The good one does.
    let (dialled, _) = tokio::join!(
        wait::within("a dial", trap.accept()),
        come_back(&here, &good, &here)
    );
    drop(dialled);
}

#[tokio::test]
async fn a_pod_that_is_gone_or_silent_or_foreign_leaves_its_client_a_new_socket() {
    let shared = Shared::of_operator();
    let foreigners = shared.with_foreign_certificate();
    let (here, foreign) = tokio::join!(shared.pod(), foreigners.pod());
    let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let silent = (silent.local_addr().unwrap().port(), silent);
    for (what, port, count) in [
        ("gone", free_port(), 1.0),
        ("silent", silent.0, 2.0),
        ("foreign", foreign.peers, 3.0),
    ] {
        let start = Instant::now();
        let (mut client, asked) = come_back(&here, &shared.token(port), &here).await;
        wait::no_longer_than(GIVEN_UP, start);
        let mut application = asked.peer;
        application.send(Frame::text(what)).await;
        assert_eq!(next_of_application(&mut client).await.as_text(), what);
        here.until_relays("unreachable", count).await;
    }
    let (port, speechless) = speechless(&shared).await;
    let start = Instant::now();
    let (_client, _asked) = come_back(&here, &shared.token(port), &here).await;
    wait::no_longer_than(GIVEN_UP, start);
    here.until_relays("silent", 1.0).await;
    wait::within("the given up connection to end", speechless)
        .await
        .unwrap();
    // Nor does the foreigner's door open to ours: nobody has come to its application.
    let accepted = [("outcome", "accepted")];
    let counted = foreign
        .stage
        .sidecar
        .metric("bulkhead_connections_total", &accepted);
    assert!(counted.abs() < 0.5);
}

#[tokio::test]
async fn the_other_pod_judges_for_itself() {
    let shared = Shared::of_operator();
    let strict = Policy::trusted().web_socket("allowedOrigins: ['https://chat.example']");
    let (here, there) = tokio::join!(shared.pod(), shared.pod_with(free_port(), strict, "2s"));
    // A user who is nobody is nobody everywhere.
    let nobody = Pod::returning("alice", &shared.token(there.peers)).without("Authorization");
    let (status, _) = here.stage.ask(&nobody).await.refused().await;
    assert_eq!(status, 401);
    here.until_relays("refused", 1.0).await;
    // A page that may not there is served here, as a new one.
    let asking = Pod::returning("alice", &shared.token(there.peers))
        .header("Origin", "https://evil.example");
    let (answer, _peer) = tokio::join!(here.stage.ask(&asking), here.application.opened());
    drop(answer.opened());
    here.until_relays("refused", 2.0).await;
}

#[tokio::test]
async fn a_pod_that_dies_or_leaves_ends_the_sockets_that_it_has_passed_on_and_those_that_are_passed_on_to_it()
 {
    let shared = Shared::of_operator();
    let ((mut here, mut there), (mut third, _)) =
        tokio::join!(async { tokio::join!(shared.pod(), shared.pod()) }, async {
            tokio::join!(shared.pod(), async {})
        });
    let (mut by_leaver, _at_there) = come_back(&here, &shared.token(there.peers), &there).await;
    let (mut by_third, _also_there) = come_back(&third, &shared.token(there.peers), &there).await;
    here.stage.sidecar.terminate();
    // No Close frame: for the client this is a loss, after which it comes back.
    assert!(ends_without_close(&mut by_leaver).await);
    here.stage.sidecar.ends_well(PATIENCE);
    there.stage.sidecar.kill();
    assert!(ends_without_close(&mut by_third).await);
    let _ = there.stage.sidecar.wait(PATIENCE);
    third.stage.sidecar.terminate();
    third.stage.sidecar.ends_well(PATIENCE);
}

async fn ends_without_close(client: &mut Peer) -> bool {
    while let Some(frame) = client.frame_if_whole().await {
        if frame.opcode == CLOSE {
            return false;
        }
    }
    true
}

/// What the door of a pod answers to somebody who believes `believed` and shows `shown`; none where it does not listen to them.
async fn at_the_door(believed: &Shared, shown: &Shared, port: u16, asking: &Asking) -> Option<u16> {
    let mut stream = knock(believed, shown, port).await.ok()?;
    stream.write_all(&asking.bytes()).await.ok()?;
    let mut answer = [0; 12];
    let read = wait::within("an answer", stream.read_exact(&mut answer)).await;
    read.ok()?;
    let text = String::from_utf8_lossy(&answer);
    Some(text.strip_prefix("HTTP/1.1 ").unwrap().parse().unwrap())
}

async fn knock(
    believed: &Shared,
    shown: &Shared,
    port: u16,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let (roots, chain, key) = of_pem(&believed.certificates, &shown.certificates);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)
        .unwrap();
    let tcp = TcpStream::connect(("127.0.0.1", port)).await?;
    let name = ServerName::try_from("chat.peers.bulkhead.dev").unwrap();
    TlsConnector::from(Arc::new(config))
        .connect(name, tcp)
        .await
}

type Parts = (
    rustls::RootCertStore,
    Vec<CertificateDer<'static>>,
    PrivateKeyDer<'static>,
);

fn of_pem(believed: &Stored, shown: &Stored) -> Parts {
    let mut roots = rustls::RootCertStore::empty();
    let read = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
    roots.add(read(&believed.authorities)).unwrap();
    let key = PrivateKeyDer::from_pem_slice(shown.shown.key.as_bytes()).unwrap();
    (roots, vec![read(&shown.shown.certificate)], key)
}

/// A pod that shakes hands and says nothing.
async fn speechless(shared: &Shared) -> (u16, tokio::task::JoinHandle<()>) {
    let (_, chain, key) = of_pem(&shared.certificates, &shared.certificates);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut stream = TlsAcceptor::from(Arc::new(config))
            .accept(tcp)
            .await
            .unwrap();
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all).await;
    });
    (port, task)
}

#[tokio::test]
async fn nothing_is_passed_on_twice_and_nothing_but_a_session_of_its_own_comes_through_the_door() {
    let shared = Shared::of_operator();
    let (one, two) = tokio::join!(shared.pod(), shared.pod());
    let of = |token: &str| {
        Pod::returning("alice", token)
            .header("x-bulkhead-entry", "chat")
            .header("x-bulkhead-client", "10.1.2.3")
    };
    let (own, others) = (shared.token(one.peers), shared.token(two.peers));
    for (what, asking) in [
        ("another pod's session", of(&others)),
        ("no session", of(&own).without("Sec-WebSocket-Protocol")),
        (
            "a forged session",
            of(&token(&derived(&[0; 32]), one.peers)),
        ),
        ("no entry", of(&own).without("x-bulkhead-entry")),
        (
            "an unknown entry",
            of(&own).with("x-bulkhead-entry", "nosuch"),
        ),
        ("no client", of(&own).without("x-bulkhead-client")),
        (
            "a client that is none",
            of(&own).with("x-bulkhead-client", "x"),
        ),
        ("a request", Asking::request("GET", "/").bearer("alice")),
    ] {
        let answer = at_the_door(&shared, &shared, one.peers, &asking).await;
        assert_eq!(answer, Some(421), "{what}");
    }
    assert!(two.relays("relayed").abs() < 0.5 && one.relays("relayed").abs() < 0.5);
    let good = of(&own);
    let asked = async {
        let asked = one.application.asked().await;
        let client = asked.header("x-forwarded-for");
        (client, asked.upgrade("").await)
    };
    let (status, (client, _peer)) =
        tokio::join!(at_the_door(&shared, &shared, one.peers, &good), asked);
    assert_eq!((status, client.as_deref()), (Some(101), Some("10.1.2.3")));
    // Whoever has no certificate, or a foreign one, is not even heard.
    let foreign = shared.with_foreign_certificate();
    let answer = at_the_door(&shared, &foreign, one.peers, &good).await;
    assert_eq!(answer, None);
    let plain = TcpStream::connect(("127.0.0.1", one.peers)).await.unwrap();
    let mut plain = Peer::client(plain);
    plain.send_bytes(&good.bytes()).await;
    let heard = plain.rest().await;
    assert!(!heard.starts_with(b"HTTP"), "{heard:?}");
    // What a client says of our headers counts nothing.
    let asking = of(&own).with("x-bulkhead-client", "6.6.6.6");
    let asked = async {
        let asked = one.application.asked().await;
        let client = asked.header("x-forwarded-for");
        (client, asked.upgrade("").await)
    };
    let (answer, (client, _peer)): (Answer, _) = tokio::join!(one.stage.ask(&asking), asked);
    drop(answer.opened());
    assert_eq!(client.as_deref(), Some("127.0.0.1"));
}

#[tokio::test]
async fn certificates_turn_without_a_restart() {
    let shared = Shared::of_operator();
    let (here, there) = tokio::join!(shared.pod(), shared.pod());
    let token = shared.token(there.peers);
    let (_client, _asked) = come_back(&here, &token, &there).await;
    let next = shared.with_foreign_certificate();
    let believed = format!(
        "{}{}",
        next.certificates.authorities, shared.certificates.authorities
    );
    let write = |pod: &Pod, authorities: &str, shows: &Shared| {
        let shown = &shows.certificates.shown;
        for (file, text) in [
            ("ca.crt", authorities),
            ("tls.crt", &shown.certificate),
            ("tls.key", &shown.key),
        ] {
            let name = format!("bulkhead-peers/{file}");
            pod.stage.sidecar.write_secret(&name, text);
        }
    };
    // The new authority is believed by both,
    for pod in [&here, &there] {
        write(pod, &believed, &shared);
        until_let_in(&shared, &next, pod).await;
    }
    let (_client, _asked) = come_back(&here, &token, &there).await;
    // then the first of them shows a certificate of it,
    write(&here, &believed, &next);
    until_let_in(&next, &shared, &here).await;
    let (_client, _asked) = come_back(&here, &token, &there).await;
    // then the other, and the old one is believed no more.
    write(&there, &next.certificates.authorities, &next);
    until_let_in(&next, &next, &there).await;
    let (_client, _asked) = come_back(&here, &token, &there).await;
    let asking = Asking::request("GET", "/");
    let answer = at_the_door(&next, &shared, there.peers, &asking).await;
    assert_eq!(answer, None);
    here.until_relays("relayed", 4.0).await;
}

/// Waits until a pod is believed by who believes `believed`, and believes who shows `shown`.
async fn until_let_in(believed: &Shared, shown: &Shared, pod: &Pod) {
    wait::until("a certificate to be read", || async {
        let asking = Asking::request("GET", "/");
        let answer = at_the_door(believed, shown, pod.peers, &asking).await;
        answer == Some(421)
    })
    .await;
}
