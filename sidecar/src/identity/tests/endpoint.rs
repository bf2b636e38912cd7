//! Keys at an address, from a real server: fetched when needed, once for all, not too often, and kept while it is away.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::signer::Signer;
use super::*;

/// A server of key sets: what it answers can be changed, its answers are counted and can be held back.
struct Server {
    address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    open: Arc<Semaphore>,
    asked: Arc<Semaphore>,
}

#[derive(Clone)]
struct Answer {
    status: u16,
    body: String,
    hits: usize,
}

impl Server {
    async fn start(keys: &[Value]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            answer: Arc::new(Mutex::new(Answer {
                status: 200,
                body: jwks(keys),
                hits: 0,
            })),
            open: Arc::new(Semaphore::new(1000)),
            asked: Arc::new(Semaphore::new(0)),
        };
        let (answer, open, asked) = (
            Arc::clone(&server.answer),
            Arc::clone(&server.open),
            Arc::clone(&server.asked),
        );
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, open, asked) =
                    (Arc::clone(&answer), Arc::clone(&open), Arc::clone(&asked));
                let service = service_fn(move |_: Request<Incoming>| {
                    let (answer, open, asked) =
                        (Arc::clone(&answer), Arc::clone(&open), Arc::clone(&asked));
                    async move {
                        asked.add_permits(1);
                        open.acquire().await.unwrap().forget();
                        let mut answer = answer.lock().unwrap();
                        answer.hits += 1;
                        let body = Full::new(Bytes::from(answer.body.clone()));
                        Ok::<_, Infallible>(
                            Response::builder()
                                .status(answer.status)
                                .body(body)
                                .unwrap(),
                        )
                    }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        server
    }

    fn verifier(&self) -> Verifier {
        verifier(&jwt_identity(at_uri(&format!(
            "http://{}/jwks.json",
            self.address
        ))))
    }

    fn answer(&self, status: u16, body: &str) {
        let mut answer = self.answer.lock().unwrap();
        answer.status = status;
        answer.body = body.into();
    }

    fn hits(&self) -> usize {
        self.answer.lock().unwrap().hits
    }
}

/// Claims that are good now: this file's tests go through the real clock.
fn fresh() -> Value {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs();
    claims_with(json!({"exp": now + 300}))
}

#[tokio::test]
async fn the_first_token_fetches_the_keys_and_the_next_does_not() {
    let (signer, other) = (Signer::ed25519("k1"), Signer::ed25519("k2"));
    let server = Server::start(&[signer.jwk(), other.jwk()]).await;
    let verifier = server.verifier();
    let signed = signer.token(&fresh());

    assert_eq!(
        verifier.verify_now(&token(&signed), SystemTime::now()),
        Err(VerifyOutcome::NeedsKeys)
    );
    assert_eq!(server.hits(), 0, "and it does not wait");
    assert_eq!(
        verifier
            .verify(&token(&signed))
            .await
            .unwrap()
            .user_id()
            .as_str(),
        "alice"
    );
    assert!(
        verifier
            .verify_now(&token(&signed), SystemTime::now())
            .is_ok()
    );
    assert!(
        verifier
            .verify(&token(&other.token(&fresh())))
            .await
            .is_ok()
    );
    assert_eq!(server.hits(), 1);
}

#[tokio::test]
async fn tokens_with_unknown_keys_cannot_make_the_sidecar_ask_again_and_again() {
    let signer = Signer::ed25519("k1");
    let server = Server::start(&[signer.jwk()]).await;
    let verifier = server.verifier();
    for n in 0..20 {
        let stranger = Signer::ed25519(&format!("stranger-{n}")).token(&fresh());
        let rejection = verifier.verify(&token(&stranger)).await.unwrap_err();
        assert_eq!(rejection.reason, RejectionReason::UnknownKey);
    }
    assert_eq!(server.hits(), 1);
}

#[tokio::test]
async fn a_hundred_clients_wait_for_one_fetch() {
    let signer = Signer::ed25519("k1");
    let server = Server::start(&[signer.jwk()]).await;
    server.open.forget_permits(1000);
    let verifier = Arc::new(server.verifier());
    let signed: Arc<str> = signer.token(&fresh()).into();
    let waiting: Vec<_> = (0..100)
        .map(|_| {
            let (verifier, signed) = (Arc::clone(&verifier), Arc::clone(&signed));
            tokio::spawn(async move { verifier.verify(&token(&signed)).await })
        })
        .collect();
    server.asked.acquire().await.unwrap().forget();
    server.open.add_permits(1);
    for client in waiting {
        assert!(client.await.unwrap().is_ok());
    }
    assert_eq!(
        server.hits(),
        1,
        "a second fetch would have had no permit, and would have failed the test by its timeout"
    );
}

#[tokio::test]
async fn a_client_that_goes_away_does_not_take_the_fetch_with_it() {
    let signer = Signer::ed25519("k1");
    let server = Server::start(&[signer.jwk()]).await;
    server.open.forget_permits(1000);
    let verifier = Arc::new(server.verifier());
    let signed: Arc<str> = signer.token(&fresh()).into();
    let verify = || {
        let (verifier, signed) = (Arc::clone(&verifier), Arc::clone(&signed));
        tokio::spawn(async move { verifier.verify(&token(&signed)).await })
    };

    let first = verify();
    server.asked.acquire().await.unwrap().forget();
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    let second = verify();
    server.open.add_permits(1);
    assert!(second.await.unwrap().is_ok());
    assert_eq!(server.hits(), 1);
}

#[tokio::test]
async fn while_the_server_is_away_nobody_new_comes_in_and_the_reason_is_told() {
    let signer = Signer::ed25519("k1");
    let server = Server::start(&[]).await;
    for (status, body) in [
        (503, String::new()),
        (301, String::new()),
        (200, "<html>".into()),
        (200, "x".repeat(MAX_JWKS + 1)),
    ] {
        server.answer(status, &body);
        let rejection = server
            .verifier()
            .verify(&token(&signer.token(&fresh())))
            .await
            .unwrap_err();
        assert_eq!(
            rejection.reason,
            RejectionReason::KeysUnavailable,
            "{status} {body:.10}"
        );
        assert!(rejection.hint.contains("log"), "{}", rejection.hint);
    }

    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let verifier = verifier(&jwt_identity(at_uri(&format!(
        "http://localhost:{}/",
        nobody.port()
    ))));
    let rejection = verifier
        .verify(&token(&signer.token(&fresh())))
        .await
        .unwrap_err();
    assert_eq!(rejection.reason, RejectionReason::KeysUnavailable);
}

#[tokio::test]
async fn a_shared_secret_in_public_is_no_key() {
    let signer = Signer::new(jsonwebtoken::Algorithm::HS256, "k1");
    let server = Server::start(&[signer.jwk()]).await;
    let rejection = server
        .verifier()
        .verify(&token(&signer.token(&fresh())))
        .await
        .unwrap_err();
    assert_eq!(rejection.reason, RejectionReason::KeysUnavailable);
}

#[tokio::test]
async fn the_refresher_takes_over_rotated_keys_keeps_stale_ones_and_ends_with_its_verifier() {
    let (old, new) = (Signer::ed25519("old"), Signer::ed25519("new"));
    let server = Server::start(&[old.jwk()]).await;
    let verifier = server.verifier();
    let endpoint = Arc::clone(verifier.endpoints().next().unwrap());
    let (before, after) = (old.token(&fresh()), new.token(&fresh()));

    // From here on the clock stands still while anything can run: waiting is done by yielding, which never lets it jump.
    tokio::time::pause();
    let refresher = tokio::spawn(verifier.refresher().unwrap());
    let fetched = async |times: usize| {
        while server.hits() < times || endpoint.is_fetching() {
            tokio::task::yield_now().await;
        }
    };
    fetched(1).await;
    assert!(
        verifier
            .verify_now(&token(&before), SystemTime::now())
            .is_ok()
    );

    server.answer(500, "");
    tokio::time::advance(Duration::from_secs(601)).await;
    fetched(2).await;
    assert!(
        verifier
            .verify_now(&token(&before), SystemTime::now())
            .is_ok(),
        "stale keys are better than none"
    );

    server.answer(200, &jwks(&[new.jwk()]));
    tokio::time::advance(Duration::from_secs(2)).await;
    fetched(3).await;
    assert!(
        verifier
            .verify_now(&token(&after), SystemTime::now())
            .is_ok()
    );
    let outcome = verifier.verify_now(&token(&before), SystemTime::now());
    assert_eq!(
        outcome,
        Err(VerifyOutcome::NeedsKeys),
        "the old key is gone, from the cache too"
    );

    drop((verifier, endpoint));
    refresher.await.unwrap();
}

#[tokio::test]
async fn a_new_revision_of_the_policy_starts_with_the_keys_of_the_last() {
    let signer = Signer::ed25519("k1");
    let server = Server::start(&[signer.jwk()]).await;
    let first = server.verifier();
    first.warm().await;
    server.answer(503, "");

    let second = server.verifier();
    second.take_over(&first);
    assert!(
        second
            .verify_now(&token(&signer.token(&fresh())), SystemTime::now())
            .is_ok()
    );

    let elsewhere = verifier(&jwt_identity(at_uri(&format!(
        "http://{}/other.json",
        server.address
    ))));
    elsewhere.take_over(&first);
    let outcome = elsewhere.verify_now(&token(&signer.token(&fresh())), SystemTime::now());
    assert_eq!(
        outcome,
        Err(VerifyOutcome::NeedsKeys),
        "another address is another authority"
    );
}
