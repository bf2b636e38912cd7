//! Certificates and passwords that change while users are at work: nothing fails, or nothing does after a moment that has a bound.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bulkhead_tests::certificates::Authority;
use bulkhead_tests::postgres::{PASSWORD, Server};
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::wire::Wire;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;

use super::load::{Load, Pace};
use super::{policy, until_served};

/// Within this a changed secret counts for whoever connects.
const MOMENT: Duration = Duration::from_secs(3);

/// Clients whose server connections are made anew all the time.
const PACE: Pace = Pace {
    clients: 6,
    per_connection: 5,
    pause: Duration::from_millis(5),
};

/// The load goes on until a change must have taken effect everywhere.
async fn until_it_counts(load: &Load) {
    let start = Instant::now();
    while start.elapsed() < MOMENT {
        load.goes_on(5).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_upstreams_authority_and_certificate_are_rotated_under_load_without_a_failure() {
    // Given a server that is verified in full, and connections that are renewed five times a second,
    let server = Server::own();
    let next = Authority::new("Next authority");
    let both = format!("{}\n{}", Server::authority(), next.certificate());
    let policy = policy()
        .database("upstream: {host: localhost, tls: {mode: VerifyFull, caSecretRef: {name: ca}}}")
        .timeouts("lifetime: 200ms");
    let stage = Stage::on(&server, policy).start().await;
    let admin = stage.admin().await;
    let load = Load::start(&stage, PACE);
    load.goes_on(20).await;
    // when the sidecar is told of the new authority beside the old one, then the server gets its new certificate, and then
    // the old authority goes,
    stage.sidecar.write_secret("ca/ca.crt", &both);
    until_it_counts(&load).await;
    server.certify(&next.issue(&["localhost"]));
    admin.run("SELECT pg_reload_conf()").await;
    until_it_counts(&load).await;
    stage.sidecar.write_secret("ca/ca.crt", &next.certificate());
    until_it_counts(&load).await;
    // then nobody has noticed,
    let (failed, words) = load.failed();
    assert_eq!(failed, 0, "{words}");
    load.end().await;
    // and it was verified all the time: the old authority alone lets nobody in any more.
    stage.sidecar.write_secret("ca/ca.crt", Server::authority());
    wait::until("the old authority to be of no use", || async {
        let session = stage.try_options("-c bulkhead.user=late").await;
        let refused = match session {
            Ok(session) => session.simple_query("SELECT 1").await.is_err(),
            Err(_) => true,
        };
        wait::pause().await;
        refused
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_upstreams_password_is_rotated_under_load_and_breaks_no_transaction_that_had_begun() {
    let server = Server::own();
    let policy = policy().timeouts("lifetime: 200ms");
    let stage = Stage::on(&server, policy).start().await;
    let admin = stage.admin().await;
    let load = Load::start(&stage, PACE);
    load.goes_on(20).await;
    for password in ["next-password-of-the-role", PASSWORD] {
        // Whichever of the two is changed first, there is a moment in which they differ.
        admin
            .run(&format!("ALTER ROLE chat_app PASSWORD '{password}'"))
            .await;
        stage.sidecar.write_secret("db/password", password);
        let start = Instant::now();
        while start.elapsed() < MOMENT {
            load.goes_on(1).await;
        }
        let (before, _) = load.failed();
        load.goes_on(100).await;
        let (after, words) = load.failed();
        assert_eq!(after, before, "it still fails after {MOMENT:?}: {words}");
    }
    assert_eq!(load.broken(), 0, "{}", load.failed().1);
    load.end().await;
    until_served(&stage, "late").await;
}

/// One visit over TLS: the certificate that the sidecar has shown.
async fn visit(stage: &Stage, tls: &Arc<rustls::ClientConfig>) -> std::io::Result<Vec<u8>> {
    let stream = TcpStream::connect(("127.0.0.1", stage.sidecar.port())).await?;
    let connector = tokio_rustls::TlsConnector::from(Arc::clone(tls));
    let name = ServerName::try_from("localhost").unwrap();
    let stream = connector.connect(name, stream).await?;
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
    let mut wire = Wire::over(stream);
    wire.login(&[("user", "chat_app+alice"), ("database", &stage.database)])
        .await
        .map_err(|refusal| std::io::Error::other(format!("{refusal:?}")))?;
    let answer = wire.query("SELECT 'in'").await;
    assert_eq!(answer.value().as_deref(), Some("in"));
    Ok(shown)
}

fn trusting(authorities: &[&Authority]) -> Arc<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    for authority in authorities {
        let pem = authority.certificate();
        let root = CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        roots.add(root).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Arc::new(config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_listeners_certificate_is_rotated_under_load_without_a_failure() {
    let (old, new) = (Authority::new("Old"), Authority::new("New"));
    let identity = old.issue(&["localhost"]);
    let policy =
        policy().database("listen: {tls: Secret, tlsSecretRef: {name: own}, auth: {mode: Trust}}");
    let stage = Stage::with(policy)
        .secret("own/tls.crt", &identity.certificate)
        .secret("own/tls.key", &identity.key)
        .start()
        .await;
    let stage = Arc::new(stage);
    let tls = trusting(&[&old, &new]);
    let first = visit(&stage, &tls).await.unwrap();
    let over = Arc::new(AtomicBool::new(false));
    let visitors: Vec<_> = (0..3)
        .map(|_| {
            let (stage, tls, over) = (Arc::clone(&stage), Arc::clone(&tls), Arc::clone(&over));
            tokio::spawn(async move {
                let mut visits = 0;
                while !over.load(Ordering::Relaxed) {
                    visit(&stage, &tls).await.unwrap();
                    visits += 1;
                }
                visits
            })
        })
        .collect();
    // The two files change one after the other: in between they do not belong together, and the old ones stay in force.
    let next = new.issue(&["localhost"]);
    stage.sidecar.write_secret("own/tls.crt", &next.certificate);
    stage.sidecar.write_secret("own/tls.key", &next.key);
    wait::until("the new certificate to be shown", || async {
        visit(&stage, &tls).await.unwrap() != first
    })
    .await;
    over.store(true, Ordering::Relaxed);
    for visitor in visitors {
        assert!(visitor.await.unwrap() > 0);
    }
}
