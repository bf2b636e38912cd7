//! What is refused is refused before the upgrade, with the status that says why and what to do.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::tokens::{Signer, key_set, seconds_from_now};
use bulkhead_tests::wait;
use bulkhead_tests::websocket::client::KEY;
use bulkhead_tests::websocket::{Application, Asking, SocketStage};
use jsonwebtoken::Algorithm;
use serde_json::json;

/// A stage whose application is never asked.
async fn stage_of(policy: Policy) -> (Application, SocketStage) {
    let application = Application::listen().await;
    let stage = SocketStage::start(policy, application.port()).await;
    (application, stage)
}

#[tokio::test]
async fn a_handshake_that_breaks_the_standard_is_refused_with_its_status() {
    let (_application, stage) = stage_of(Policy::trusted().web_socket("")).await;
    let good = || Asking::upgrade("/ws").bearer("alice");
    let rows: [(&str, Asking, u16); 11] = [
        ("a POST", good().line("POST /ws HTTP/1.1").body(""), 400),
        ("HTTP/1.0", good().line("GET /ws HTTP/1.0"), 400),
        ("no key", good().without("Sec-WebSocket-Key"), 400),
        (
            "a short key",
            good().with("Sec-WebSocket-Key", "c2hvcnQ="),
            400,
        ),
        (
            "no base64",
            good().with("Sec-WebSocket-Key", "no base64, not at all!"),
            400,
        ),
        ("two keys", good().header("Sec-WebSocket-Key", KEY), 400),
        ("no Connection", good().without("Connection"), 400),
        (
            "another Connection",
            good().with("Connection", "keep-alive"),
            400,
        ),
        ("no version", good().without("Sec-WebSocket-Version"), 426),
        (
            "an old version",
            good().with("Sec-WebSocket-Version", "8"),
            426,
        ),
        ("no Host", good().without("Host"), 400),
    ];
    for (name, asking, status) in rows {
        let answer = stage.ask(&asking).await;
        if status == 426 {
            let version = answer.header("sec-websocket-version");
            assert_eq!(version.as_deref(), Some("13"), "{name}");
        }
        assert_eq!(answer.header("retry-after"), None, "{name}");
        let (is, text) = answer.refused().await;
        assert_eq!(is, status, "{name}: {text}");
        assert!(!text.is_empty(), "{name}");
    }
    let labels = [("protocol", "websocket"), ("outcome", "protocol_error")];
    stage
        .until_metric("bulkhead_connections_total", &labels, 11.0)
        .await;
}

#[tokio::test]
async fn a_handshake_may_be_written_in_every_legal_way() {
    let (application, stage) = stage_of(Policy::trusted().web_socket("")).await;
    let good = || Asking::upgrade("/ws").bearer("alice");
    for asking in [
        good().with("Connection", "keep-alive, Upgrade"),
        good().with("Connection", "uPGRADE"),
        good().with("Upgrade", "WebSocket"),
        good().with("Authorization", "bearer alice"),
        good().line("GET http://chat.example/ws HTTP/1.1"),
        good().line("GET /a/%2F/ws?room=%20&x HTTP/1.1"),
    ] {
        let (answer, _peer) = tokio::join!(stage.ask(&asking), application.opened());
        let _ = answer.opened();
    }
}

#[tokio::test]
async fn without_a_valid_token_there_is_a_401_that_says_how_to_bring_one() {
    let signer = Signer::new("one", Algorithm::ES256);
    let policy = Policy::jwt(
        "{jwks: {secretRef: {name: keys}}, issuer: 'https://issuer.test', audiences: [chat]}",
    );
    let application = Application::listen().await;
    let stage = SocketStage::with(policy.web_socket(""), application.port())
        .secret("keys/jwks.json", &key_set(&[&signer]))
        .start()
        .await;
    let claims = |exp| {
        signer
            .sign(&json!({"sub": "alice", "iss": "https://issuer.test", "aud": "chat", "exp": exp}))
    };
    let upgrade = || Asking::upgrade("/ws");
    for (name, asking, challenge) in [
        ("nothing", upgrade(), "Bearer"),
        (
            "no bearer",
            upgrade().header("Authorization", "Basic YTpi"),
            "Bearer",
        ),
        (
            "rubbish",
            upgrade().bearer("rubbish"),
            "Bearer error=\"invalid_token\"",
        ),
        (
            "expired",
            upgrade().bearer(&claims(seconds_from_now(-90))),
            "Bearer error=\"invalid_token\"",
        ),
        (
            "a stranger's",
            upgrade().bearer(&Signer::new("two", Algorithm::ES256).token("alice")),
            "Bearer error=\"invalid_token\"",
        ),
    ] {
        let answer = stage.ask(&asking).await;
        let told = answer.header("www-authenticate");
        assert_eq!(told.as_deref(), Some(challenge), "{name}");
        let (status, text) = answer.refused().await;
        assert_eq!(status, 401, "{name}: {text}");
        assert!(text.contains("Authorization: Bearer"), "{name}: {text}");
    }
    // A good one is let in, and the application learns whose it is.
    let token = claims(seconds_from_now(60));
    let asking = upgrade().bearer(&token);
    let asked = async {
        let asked = application.asked().await;
        assert_eq!(asked.header("x-bulkhead-user").as_deref(), Some("alice"));
        asked.upgrade("").await
    };
    let (answer, _peer) = tokio::join!(stage.ask(&asking), asked);
    let _ = answer.opened();
    assert!(!stage.sidecar.log.text().contains(&token));
}

#[tokio::test]
async fn a_placeholder_is_nobody() {
    let (_application, stage) = stage_of(Policy::trusted().web_socket("")).await;
    for nobody in [
        "undefined",
        "null",
        "anonymous",
        "00000000-0000-0000-0000-000000000000",
    ] {
        let asking = Asking::upgrade("/ws").bearer(nobody);
        assert_eq!(stage.ask(&asking).await.status, 401, "{nobody}");
    }
}

#[tokio::test]
async fn origins_and_paths_are_the_policys() {
    let policy = Policy::trusted()
        .web_socket("{paths: [/ws, /socket.io/], allowedOrigins: ['https://chat.example']}");
    let (application, stage) = stage_of(policy).await;
    let at = |path: &str| Asking::upgrade(path).bearer("alice");
    for (asking, status, field) in [
        (
            at("/ws").header("Origin", "https://evil.example"),
            403,
            "allowedOrigins",
        ),
        (
            at("/ws").header("Origin", "http://chat.example"),
            403,
            "allowedOrigins",
        ),
        (at("/ws").header("Origin", "null"), 403, "allowedOrigins"),
        (at("/other"), 404, "paths"),
        (at("/socket.io"), 404, "paths"),
        (at("/"), 404, "paths"),
    ] {
        let (is, text) = stage.ask(&asking).await.refused().await;
        assert_eq!(is, status, "{asking:?}: {text}");
        assert!(text.contains(field), "{text}");
    }
    for asking in [
        at("/ws").header("Origin", "https://chat.example"),
        at("/ws/room?x=1"),
        at("/socket.io/?EIO=4"),
    ] {
        let (answer, _peer) = tokio::join!(stage.ask(&asking), application.opened());
        let _ = answer.opened();
    }
}

#[tokio::test]
async fn a_full_user_is_rejected_where_the_policy_says_so_and_let_in_again_later() {
    let policy = Policy::trusted().web_socket("limits: {connectionsPerUser: 2, whenFull: Reject}");
    let (application, stage) = stage_of(policy).await;
    let asking = Asking::upgrade("/ws").bearer("alice");
    let mut open = Vec::new();
    for _ in 0..2 {
        let (client, peer) = tokio::join!(stage.open("alice"), application.opened());
        open.push((client, peer));
    }
    let answer = stage.ask(&asking).await;
    assert_eq!(answer.header("retry-after").as_deref(), Some("10"));
    let (status, text) = answer.refused().await;
    assert_eq!(status, 429);
    let field = "webSockets[chat].limits.connectionsPerUser = 2";
    assert!(text.contains(field), "{text}");
    // Another user is not concerned, and a place that is left is a place.
    let (_client, _peer) = tokio::join!(stage.open("bob"), application.opened());
    drop(open.pop());
    stage.until_metric("bulkhead_connections", &[], 2.0).await;
    wait::until("alice's place", || async {
        let opening = async { stage.ask(&asking).await.status };
        tokio::select! {
            status = opening => status == 101,
            () = async { let _peer = application.opened().await; std::future::pending().await } => false,
        }
    })
    .await;
    let labels = [("outcome", "limited")];
    assert!(stage.sidecar.metric("bulkhead_connections_total", &labels) >= 1.0);
}

#[tokio::test]
async fn the_oldest_socket_gives_way_by_default() {
    let policy = Policy::trusted().web_socket("limits: {connectionsPerUser: 2}");
    let (application, stage) = stage_of(policy).await;
    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(tokio::join!(stage.open("alice"), application.opened()));
    }
    let (third, _third_peer) = tokio::join!(stage.open("alice"), application.opened());
    let (mut first, mut first_peer) = open.remove(0);
    let (code, reason) = first.closed().await;
    assert_eq!(code, 1008);
    assert!(reason.contains("limits.connectionsPerUser = 2"), "{reason}");
    assert_eq!(first_peer.closed().await.0, 1001);
    stage.until_closes("1008", "sidecar", 1.0).await;
    stage.until_metric("bulkhead_connections", &[], 2.0).await;
    drop((third, open));
}

#[tokio::test]
async fn one_user_too_many_comes_again_later() {
    let policy = Policy::trusted()
        .web_socket("")
        .spec("limits: {maxUsers: 1}");
    let (application, stage) = stage_of(policy).await;
    let (_client, _peer) = tokio::join!(stage.open("alice"), application.opened());
    let answer = stage.ask(&Asking::upgrade("/ws").bearer("bob")).await;
    assert_eq!(answer.header("retry-after").as_deref(), Some("10"));
    let (status, text) = answer.refused().await;
    assert_eq!(status, 503);
    assert!(text.contains("limits.maxUsers"), "{text}");
}

#[tokio::test]
async fn in_audit_nobody_is_refused_and_everybody_counted() {
    let policy = Policy::trusted().web_socket("").spec("mode: Audit");
    let (application, stage) = stage_of(policy).await;
    let asking = Asking::upgrade("/ws").header("X-Bulkhead-User", "mallory");
    let asked = async {
        let asked = application.asked().await;
        assert_eq!(asked.header("x-bulkhead-user"), None);
        assert_eq!(asked.header("x-bulkhead-context"), None);
        asked.upgrade("").await
    };
    let (answer, _peer) = tokio::join!(stage.ask(&asking), asked);
    let _client = answer.opened();
    let websocket = [("protocol", "websocket")];
    stage
        .until_metric("bulkhead_unattributed_total", &websocket, 1.0)
        .await;
    let labels = [("reason", "missing")];
    stage
        .until_metric("bulkhead_identity_rejections_total", &labels, 1.0)
        .await;
    let inventory = [
        websocket[0],
        ("attribution", "unattributed"),
        ("application", ""),
    ];
    stage
        .until_metric("bulkhead_inventory_connections_total", &inventory, 1.0)
        .await;
}

#[tokio::test]
async fn the_applications_own_refusal_is_the_clients_answer() {
    let (application, stage) = stage_of(Policy::trusted().web_socket("")).await;
    let asking = Asking::upgrade("/ws").bearer("alice");
    let answering = async {
        let refusal = "HTTP/1.1 409 Conflict\r\nX-Why: taken\r\nContent-Length: 8\r\n\r\nnot here";
        application.asked().await.answer(refusal).await
    };
    let (mut answer, _peer) = tokio::join!(stage.ask(&asking), answering);
    assert_eq!(answer.status, 409);
    assert_eq!(answer.header("x-why").as_deref(), Some("taken"));
    assert_eq!(answer.body().await, "not here");
    stage.until_metric("bulkhead_connections", &[], 0.0).await;
}

#[tokio::test]
async fn an_application_that_speaks_no_websocket_is_a_bad_gateway() {
    let (application, stage) = stage_of(Policy::trusted().web_socket("")).await;
    let asking = Asking::upgrade("/ws").bearer("alice");
    let start = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    let good = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    for (name, said) in [
        ("no accept", format!("{start}\r\n")),
        (
            "another accept",
            format!("{start}Sec-WebSocket-Accept: AAAALMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"),
        ),
        (
            "a subprotocol of its own",
            format!("{start}{good}Sec-WebSocket-Protocol: mqtt\r\n\r\n"),
        ),
        (
            "an extension of its own",
            format!("{start}{good}Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        ),
        ("rubbish", "SSH-2.0-OpenSSH\r\n\r\n".to_owned()),
    ] {
        let answering = async { application.asked().await.answer(&said).await };
        let (answer, _peer) = tokio::join!(stage.ask(&asking), answering);
        let (status, text) = answer.refused().await;
        assert_eq!(status, 502, "{name}: {text}");
    }
    // One that hangs up says nothing at all.
    let (answer, ()) = tokio::join!(stage.ask(&asking), async {
        drop(application.asked().await)
    });
    assert_eq!(answer.refused().await.0, 502);
}

#[tokio::test]
async fn an_application_that_is_silent_is_waited_for_as_long_as_the_policy_says() {
    let policy = Policy::trusted().web_socket("timeouts: {handshake: 300ms}");
    let (application, stage) = stage_of(policy).await;
    let asking = Asking::upgrade("/ws").bearer("alice");
    let (answer, _asked) = tokio::join!(stage.ask(&asking), application.asked());
    let (status, text) = answer.refused().await;
    assert_eq!(status, 504);
    assert!(
        text.contains("webSockets[chat].timeouts.handshake = 300ms"),
        "{text}"
    );
    let labels = [("kind", "handshake")];
    stage
        .until_metric("bulkhead_timeouts_total", &labels, 1.0)
        .await;
}
