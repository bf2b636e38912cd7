//! Requests that mean ill, or that nobody would write.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use bulkhead_tests::clickhouse::{Server, Stage, trusted};

/// Sends bytes, and reads until the peer ends the connection or is silent.
fn exchange(stage: &Stage, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", stage.sidecar.port())).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(3)))
        .unwrap();
    stream.write_all(bytes).unwrap();
    let mut said = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => break,
            Ok(count) => said.extend_from_slice(&piece[..count]),
        }
    }
    String::from_utf8_lossy(&said).into_owned()
}

fn post(headers: &str, query: &str) -> String {
    let length = query.len();
    format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n{headers}\r\n{query}")
}

#[tokio::test]
async fn pipelined_requests_of_two_users_are_each_their_own() {
    let stage = Stage::start(&trusted());
    let alice = post("X-Bulkhead-User: alice\r\n", "SELECT 'for alice'");
    let bob = post(
        "X-Bulkhead-User: bob\r\nConnection: close\r\n",
        "SELECT 'for bob'",
    );
    let said = exchange(&stage, format!("{alice}{bob}").as_bytes());
    let (first, second) = (
        said.find("for alice").unwrap(),
        said.find("for bob").unwrap(),
    );
    assert!(first < second, "{said}");
    let users = stage.sidecar.command(&["users"]);
    let text = String::from_utf8_lossy(&users.stdout).into_owned();
    assert!(text.contains("alice") && text.contains("bob"), "{text}");
}

#[tokio::test]
async fn a_second_request_hidden_in_a_body_is_none() {
    let stage = Stage::start(&trusted());
    let hidden = post("X-Bulkhead-User: bob\r\n", "SELECT 'smuggled'");
    let request = format!(
        "POST / HTTP/1.1\r\nHost: x\r\nX-Bulkhead-User: alice\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n8\r\nSELECT 1\r\n0\r\n\r\n{hidden}",
        "8\r\nSELECT 1\r\n0\r\n\r\n".len() + hidden.len()
    );
    let said = exchange(&stage, request.as_bytes());
    assert!(!said.contains("smuggled\n"), "{said}");
    assert_eq!(Server::shared().running("smuggled"), 0);
}

#[tokio::test]
async fn a_chunked_query_is_a_query() {
    let stage = Stage::start(&trusted());
    let request = "POST / HTTP/1.1\r\nHost: x\r\nX-Bulkhead-User: alice\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nSELEC\r\n8\r\nT 6 * 7 \r\n0\r\n\r\n";
    let said = exchange(&stage, request.as_bytes());
    assert!(
        said.starts_with("HTTP/1.1 200") && said.contains("42"),
        "{said}"
    );
}

#[tokio::test]
async fn forged_headers_say_nothing() {
    let stage = Stage::start(&trusted());
    let headers = "X-Bulkhead-User: alice\r\nX-ClickHouse-Key: x\r\nX-ClickHouse-Quota: x\r\nX-ClickHouse-SSL-Certificate-Auth: on\r\nX-Forwarded-For: 10.0.0.1\r\nConnection: close, X-Bulkhead-User\r\n";
    let said = exchange(
        &stage,
        post(
            headers,
            "SELECT user FROM system.processes WHERE query LIKE '%/* forged */%' /* forged */",
        )
        .as_bytes(),
    );
    assert!(
        said.starts_with("HTTP/1.1 200") && said.contains("\napp\n"),
        "{said}"
    );
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_nobody_else_notices() {
    let stage = Stage::start(&trusted());
    let long = format!(
        "GET /?query={} HTTP/1.1\r\nHost: x\r\n\r\n",
        "x".repeat(200_000)
    );
    for (bytes, begins) in [
        (
            "GET /?query=SELECT+%zz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 400",
        ),
        ("\u{16}\u{3}\u{1}nonsense\r\n\r\n", "HTTP/1.1 400"),
        (
            "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
            "HTTP/1.1 400",
        ),
        (long.as_str(), "HTTP/1.1 4"),
    ] {
        let said = exchange(&stage, bytes.as_bytes());
        assert!(said.starts_with(begins), "{:.80}: {said}", bytes);
    }
    assert_eq!(stage.query("bob", "SELECT 1").await.rows(), "1");
}
