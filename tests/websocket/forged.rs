//! What a client cannot make the application believe, in upgrades and in every other request.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::websocket::application::Asked;
use bulkhead_tests::websocket::{Answer, Application, Asking, SocketStage};

/// A trusting policy with `entry` in its WebSocket entry, and the application behind it.
async fn stage_with(entry: &str, spec: &str) -> (Application, SocketStage) {
    let application = Application::listen().await;
    let policy = Policy::trusted().web_socket(entry).spec(spec);
    let stage = SocketStage::start(policy, application.port()).await;
    (application, stage)
}

/// What the application is asked by a request that is no upgrade, and what the client gets.
async fn passed(
    application: &Application,
    stage: &SocketStage,
    asking: &Asking,
) -> (Asked, Answer) {
    let answering = async {
        let mut asked = application.asked().await;
        // Closed, so that the next request comes by a connection of its own.
        let answer = b"HTTP/1.1 204 No Content\r\nX-Answer: yes\r\nConnection: close\r\n\r\n";
        asked.peer.send_bytes(answer).await;
        asked
    };
    let (answer, asked) = tokio::join!(stage.ask(asking), answering);
    assert_eq!(answer.header("x-answer").as_deref(), Some("yes"));
    (asked, answer)
}

/// What the application is asked by an upgrade that it takes.
async fn opened(application: &Application, stage: &SocketStage, asking: &Asking) -> Asked {
    let answering = async {
        let asked = application.asked().await;
        Asked {
            line: asked.line.clone(),
            headers: asked.headers.clone(),
            peer: asked.upgrade("").await,
        }
    };
    let (answer, asked) = tokio::join!(stage.ask(asking), answering);
    let _ = answer.opened();
    asked
}

const FORGED: [&str; 5] = [
    "X-Bulkhead-User",
    "X_Bulkhead_User",
    "x-bulkhead_context",
    "x.bulkhead.user",
    "X-BULKHEAD-ANYTHING",
];

/// Headers by which the application judges, and which a client tries to have removed on the way.
const JUDGED: [&str; 4] = ["Cookie", "Authorization", "X-Forwarded-For", "Host"];

fn forged(mut asking: Asking) -> Asking {
    for name in FORGED {
        asking = asking.header(name, "mallory");
    }
    asking = asking
        .bearer("alice")
        .header("Cookie", "theme=dark")
        .header("X-Forwarded-For", "203.0.113.7")
        .header("X-Hop", "for this hop only");
    for name in JUDGED {
        asking = asking.header("Connection", name);
    }
    asking.header("Connection", "X-Hop, X-Bulkhead-User")
}

fn is_true(asked: &Asked) {
    assert_eq!(asked.header("x-bulkhead-user").as_deref(), Some("alice"));
    let values = asked.headers.iter().map(|(_, value)| value.as_str());
    assert!(values.clone().all(|value| value != "mallory"), "{asked:?}");
    for name in JUDGED {
        assert!(asked.header(name).is_some(), "{name} is missing: {asked:?}");
    }
    assert_eq!(asked.header("host").as_deref(), Some("chat.example"));
    assert_eq!(asked.header("x-hop"), None);
    let chain = asked.header("x-forwarded-for");
    assert_eq!(chain.as_deref(), Some("203.0.113.7, 127.0.0.1"));
}

#[tokio::test]
async fn nobody_is_who_they_say_in_our_headers_and_no_hop_takes_away_what_the_application_goes_by()
{
    let (application, stage) = stage_with("", "{}").await;
    is_true(&opened(&application, &stage, &forged(Asking::upgrade("/ws"))).await);
    for method in ["GET", "DELETE"] {
        let asking = forged(Asking::request(method, "/api"));
        is_true(&passed(&application, &stage, &asking).await.0);
    }
    // Without a user there is none, whatever the client says.
    let nobody = FORGED
        .iter()
        .fold(Asking::request("GET", "/api"), |asking, name| {
            asking.header(name, "mallory")
        });
    let (asked, _) = passed(&application, &stage, &nobody).await;
    assert!(
        !format!("{:?}", asked.headers).contains("mallory"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn an_upgrade_with_a_body_or_two_origins_is_none() {
    let (_application, stage) = stage_with("", "{}").await;
    let good = || Asking::upgrade("/ws").bearer("alice");
    for asking in [
        good().body("five!"),
        good().header("Transfer-Encoding", "chunked"),
        good()
            .header("Origin", "https://chat.example")
            .header("Origin", "https://evil.example"),
        good().header("Sec-WebSocket-Protocol", "chat, chat"),
        good().header("Sec-WebSocket-Protocol", "not a token"),
    ] {
        assert_eq!(stage.ask(&asking).await.status, 400, "{asking:?}");
    }
}

#[tokio::test]
async fn two_tokens_are_nobody_and_only_an_enforced_policy_refuses_them() {
    let cookie = "tokens: [{source: Cookie, key: session}]";
    let twice = |asking: Asking| asking.header("Cookie", "session=alice; session=bob");
    let once = |asking: Asking| asking.header("Cookie", "session=alice; name=Ülle");

    let (application, stage) = stage_with(cookie, "{}").await;
    assert_eq!(stage.ask(&twice(Asking::upgrade("/ws"))).await.status, 400);
    let asked = opened(&application, &stage, &once(Asking::upgrade("/ws"))).await;
    assert_eq!(asked.header("x-bulkhead-user").as_deref(), Some("alice"));
    // Requests that are no upgrades need nobody, so they come without one.
    let (asked, _) = passed(&application, &stage, &twice(Asking::request("GET", "/"))).await;
    assert_eq!(asked.header("x-bulkhead-user"), None);

    let (application, stage) = stage_with(cookie, "mode: Audit").await;
    let asked = opened(&application, &stage, &twice(Asking::upgrade("/ws"))).await;
    assert_eq!(asked.header("x-bulkhead-user"), None);
    let reason = [("reason", "malformed")];
    stage
        .until_metric("bulkhead_identity_rejections_total", &reason, 1.0)
        .await;
    // Nor is a page of another origin refused there that comes with the user's cookie.
    let foreign = once(Asking::upgrade("/ws")).header("Origin", "https://evil.example");
    let asked = opened(&application, &stage, &foreign).await;
    assert_eq!(asked.header("x-bulkhead-user").as_deref(), Some("alice"));
    assert!(
        stage
            .sidecar
            .log
            .text()
            .contains("in mode Enforce it is refused")
    );
}

#[tokio::test]
async fn where_a_user_is_required_only_a_named_pages_preflight_comes_without() {
    let entry = "{plainHttp: Require, allowedOrigins: ['https://chat.example'], tokens: [{source: Query, key: token}]}";
    let (application, stage) = stage_with(entry, "{}").await;
    let answer = stage.ask(&Asking::request("GET", "/api")).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.header("www-authenticate").as_deref(), Some("Bearer"));
    let (asked, _) = passed(
        &application,
        &stage,
        &Asking::request("GET", "/api?token=alice&x=1"),
    )
    .await;
    assert_eq!(asked.line, "GET /api?x=1 HTTP/1.1");
    assert_eq!(asked.header("x-bulkhead-user").as_deref(), Some("alice"));

    let preflight = |origin: &str| {
        Asking::request("OPTIONS", "/api?token=")
            .header("Origin", origin)
            .header("Access-Control-Request-Method", "PUT")
    };
    let (asked, _) = passed(&application, &stage, &preflight("https://chat.example")).await;
    assert_eq!(asked.line, "OPTIONS /api HTTP/1.1");
    assert_eq!(asked.header("x-bulkhead-user"), None);
    assert_eq!(
        stage.ask(&preflight("https://evil.example")).await.status,
        403
    );
    let forged = Asking::request("OPTIONS", "/api").header("Origin", "https://chat.example");
    assert_eq!(stage.ask(&forged).await.status, 401, "no preflight");
}

#[tokio::test]
async fn trailers_pass_in_both_directions() {
    let (application, stage) = stage_with("", "{}").await;
    let asking = Asking::request("POST", "/upload")
        .header("Trailer", "X-Checksum, X-Bulkhead-User, X-Forwarded-For")
        .header("TE", "trailers")
        .header("Connection", "TE")
        .header("Transfer-Encoding", "chunked");
    let mut bytes = asking.bytes();
    bytes.extend(b"5\r\nhello\r\n0\r\nX-Checksum: abc\r\nX-Bulkhead-User: mallory\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n");
    let answering = async {
        let mut asked = application.asked().await;
        let body = asked.peer.until(b"0\r\n").await;
        assert!(body.ends_with(b"hello\r\n0\r\n"), "{body:?}");
        let trailers = String::from_utf8(asked.peer.until(b"\r\n\r\n").await).unwrap();
        let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Done\r\n\r\n2\r\nok\r\n0\r\nX-Done: yes\r\n\r\n";
        asked.peer.send_bytes(answer).await;
        trailers
    };
    let asks = async {
        let stream = tokio::net::TcpStream::connect(("127.0.0.1", stage.port()))
            .await
            .unwrap();
        let mut peer = bulkhead_tests::websocket::Peer::client(stream);
        peer.send_bytes(&bytes).await;
        let mut answer = Answer::read(peer).await;
        assert_eq!(answer.status, 200);
        String::from_utf8(answer.peer.until(b"yes\r\n\r\n").await).unwrap()
    };
    let (answer, trailers) = tokio::join!(asks, answering);
    assert_eq!(trailers.to_lowercase(), "x-checksum: abc\r\n\r\n");
    assert!(
        answer.to_lowercase().ends_with("0\r\nx-done: yes\r\n\r\n"),
        "{answer:?}"
    );
}
