//! Requests that are no WebSockets, through the same port: as they would go without a sidecar, and with the user's name on them.

use std::collections::BTreeMap;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::processes::free_port;
use bulkhead_tests::websocket::{Answer, Application, Asking, Kind, Peer, Server, SocketStage};
use serde_json::Value;
use tokio::net::TcpStream;

pub(crate) async fn starlette(entry: &str) -> (Server, SocketStage) {
    let server = Server::start(Kind::Starlette).await;
    let policy = Policy::trusted().web_socket(entry);
    let stage = SocketStage::start(policy, server.port()).await;
    (server, stage)
}

pub(crate) async fn connected(stage: &SocketStage) -> Peer {
    Peer::client(
        TcpStream::connect(("127.0.0.1", stage.port()))
            .await
            .unwrap(),
    )
}

/// The headers that the application says it was given, names in lower case.
pub(crate) fn headers_in(said: &Value) -> BTreeMap<String, String> {
    let pairs = said["headers"].as_array().unwrap().iter();
    pairs
        .map(|pair| {
            let name = pair[0].as_str().unwrap().to_lowercase();
            (name, pair[1].as_str().unwrap().to_owned())
        })
        .collect()
}

async fn whoami(stage: &SocketStage, asking: &Asking) -> (Value, BTreeMap<String, String>) {
    let mut answer = stage.ask(asking).await;
    assert_eq!(answer.status, 200);
    let said: Value = serde_json::from_str(&answer.body().await).unwrap();
    let headers = headers_in(&said);
    (said, headers)
}

#[tokio::test]
async fn a_request_arrives_as_it_was_sent_with_the_user_on_it() {
    let (_server, stage) = starlette("").await;
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let asking = Asking::request(method, "/whoami?a=1&b=%2F+%C3%BC&a=2")
            .bearer("alice")
            .header("X-Bulkhead-User", "mallory")
            .header("X-Bulkhead-Context", "forged")
            .header("X-Kept", "as it was")
            .header("Cookie", "a=b; c=d")
            .body("the body");
        let (said, headers) = whoami(&stage, &asking).await;
        let of = |name: &str| headers.get(name).map(String::as_str);
        assert_eq!(said["method"], method);
        assert_eq!(said["path"], "/whoami");
        assert_eq!(said["query"], "a=1&b=%2F+%C3%BC&a=2");
        assert_eq!(said["body"], "the body");
        assert_eq!(of("x-bulkhead-user"), Some("alice"));
        assert_eq!(of("x-bulkhead-context").unwrap().split('.').count(), 3);
        assert_eq!(of("x-kept"), Some("as it was"));
        assert_eq!(of("cookie"), Some("a=b; c=d"));
        assert_eq!(of("host"), Some("chat.example"));
        assert_eq!(of("x-forwarded-for"), Some("127.0.0.1"));
        assert_eq!(of("x-forwarded-host"), Some("chat.example"));
        assert_eq!(of("x-forwarded-proto"), Some("http"));
        assert_eq!(of("content-length"), Some("8"));
    }
}

#[tokio::test]
async fn what_concerns_one_hop_goes_no_further() {
    let (_server, stage) = starlette("").await;
    let asking = Asking::request("GET", "/whoami")
        .bearer("alice")
        .header(
            "Connection",
            "keep-alive, X-Hop, x-bulkhead-user, authorization",
        )
        .header("X-Hop", "for the sidecar")
        .header("Keep-Alive", "timeout=5")
        .header("Proxy-Authorization", "Basic YTpi")
        .header("Proxy-Connection", "keep-alive")
        .header("TE", "gzip")
        .header("Upgrade", "h2c");
    let (_, headers) = whoami(&stage, &asking).await;
    for gone in [
        "x-hop",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "upgrade",
    ] {
        assert!(!headers.contains_key(gone), "{gone} in {headers:?}");
    }
    assert_eq!(headers["x-bulkhead-user"], "alice");

    // And of an answer likewise.
    let application = Application::listen().await;
    let stage = SocketStage::start(Policy::trusted().web_socket(""), application.port()).await;
    let said = "HTTP/1.1 200 OK\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nX-Kept: 2\r\n\
                Set-Cookie: a=b\r\nSet-Cookie: c=d\r\nContent-Length: 2\r\n\r\nok";
    let asking = Asking::request("GET", "/");
    let answering = async { application.asked().await.answer(said).await };
    let (mut answer, _peer) = tokio::join!(stage.ask(&asking), answering);
    for gone in ["x-hop", "keep-alive"] {
        assert_eq!(answer.header(gone), None);
    }
    assert_eq!(answer.header("x-kept").as_deref(), Some("2"));
    let cookies = answer
        .headers
        .iter()
        .filter(|(name, _)| name == "set-cookie");
    assert_eq!(cookies.count(), 2);
    assert_eq!(answer.body().await, "ok");
}

#[tokio::test]
async fn the_policy_says_what_becomes_of_requests_without_a_user() {
    for (plain, without, with) in [
        ("Attach", Some(None), Some("alice")),
        ("Ignore", Some(None), None),
        ("Require", None, Some("alice")),
    ] {
        let (_server, stage) = starlette(&format!("plainHttp: {plain}")).await;
        let asking = Asking::request("GET", "/whoami").header("X-Bulkhead-User", "mallory");
        match without {
            Some(user) => {
                let (_, headers) = whoami(&stage, &asking).await;
                assert_eq!(headers.get("x-bulkhead-user"), user, "{plain}");
            }
            None => {
                let answer = stage.ask(&asking).await;
                assert_eq!(answer.status, 401, "{plain}");
                assert_eq!(answer.header("www-authenticate").as_deref(), Some("Bearer"));
            }
        }
        let (_, headers) = whoami(&stage, &asking.bearer("alice")).await;
        let user = headers.get("x-bulkhead-user").map(String::as_str);
        assert_eq!(user, with, "{plain}");
    }
}

#[tokio::test]
async fn one_connection_serves_many_requests_each_with_its_own_user() {
    let (_server, stage) = starlette("").await;
    let mut peer = connected(&stage).await;
    for number in 0..20 {
        let user = format!("user-{}", number % 3);
        let mut answer = Asking::request("GET", "/whoami")
            .bearer(&user)
            .send_by(peer)
            .await;
        let said: Value = serde_json::from_str(&answer.body().await).unwrap();
        assert_eq!(headers_in(&said)["x-bulkhead-user"], user);
        peer = answer.peer;
    }
    // Two at once, answered in their order.
    let two: Vec<u8> = ["alice", "bob"]
        .iter()
        .flat_map(|user| Asking::request("GET", "/whoami").bearer(user).bytes())
        .collect();
    peer.send_bytes(&two).await;
    for user in ["alice", "bob"] {
        let mut answer = Answer::read(peer).await;
        let said: Value = serde_json::from_str(&answer.body().await).unwrap();
        assert_eq!(headers_in(&said)["x-bulkhead-user"], user);
        peer = answer.peer;
    }
    // And a WebSocket at the end of it.
    let asking = Asking::upgrade("/ws").bearer("carol");
    let _ = asking.send_by(peer).await.opened();
}

#[tokio::test]
async fn who_asks_for_the_end_of_the_connection_gets_it() {
    let (_server, stage) = starlette("").await;
    let asking = Asking::request("GET", "/whoami").header("Connection", "close");
    let mut answer = stage.ask(&asking).await;
    answer.body().await;
    assert_eq!(answer.header("connection").as_deref(), Some("close"));
    assert_eq!(answer.peer.rest().await, b"");
    // HTTP/1.0 knows nothing else.
    let old = Asking::request("GET", "/whoami").line("GET /whoami HTTP/1.0");
    let mut answer = stage.ask(&old).await;
    assert_eq!(answer.status, 200);
    answer.body().await;
    assert_eq!(answer.peer.rest().await, b"");
}

#[tokio::test]
async fn the_applications_own_errors_are_the_clients() {
    let (_server, stage) = starlette("").await;
    for status in [400, 401, 404, 418, 429, 500, 503] {
        let mut answer = stage
            .ask(&Asking::request("GET", &format!("/status/{status}")))
            .await;
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("retry-after").as_deref(), Some("77"));
        assert_eq!(answer.header("www-authenticate"), None);
        assert_eq!(answer.body().await, "as the application says");
    }
    assert_eq!(
        stage.ask(&Asking::request("GET", "/nowhere")).await.status,
        404
    );
}

#[tokio::test]
async fn an_application_that_is_down_is_a_503_and_one_that_says_nothing_a_502() {
    let stage = SocketStage::start(Policy::trusted().web_socket(""), free_port()).await;
    let answer = stage.ask(&Asking::request("GET", "/")).await;
    assert_eq!(answer.header("retry-after").as_deref(), Some("1"));
    let (status, text) = answer.refused().await;
    assert_eq!(status, 503, "{text}");

    let application = Application::listen().await;
    let stage = SocketStage::start(Policy::trusted().web_socket(""), application.port()).await;
    let asking = Asking::request("POST", "/").body("x");
    let hanging_up = async { drop(application.asked().await) };
    let (answer, ()) = tokio::join!(stage.ask(&asking), hanging_up);
    assert_eq!(answer.refused().await.0, 502);
}
