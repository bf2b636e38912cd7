//! Bodies: streamed both ways, whole or seen to be cut off, and ended with whoever reads them.

use aws_lc_rs::digest::{SHA256, digest};
use bulkhead_tests::policy::Policy;
use bulkhead_tests::websocket::{Answer, Application, Asking, Peer, SocketStage};
use serde_json::Value;
use tokio::net::TcpStream;

use super::plain::{connected, starlette};

/// Bytes as a digest is written.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A sidecar before an application of the test's.
async fn raw() -> (Application, SocketStage) {
    let application = Application::listen().await;
    let stage = SocketStage::start(Policy::trusted().web_socket(""), application.port()).await;
    (application, stage)
}

#[tokio::test]
async fn events_arrive_when_they_are_sent() {
    let (_server, stage) = starlette("").await;
    let mut answer = stage.ask(&Asking::request("GET", "/events")).await;
    assert_eq!(answer.status, 200);
    let kind = answer.header("content-type").unwrap();
    assert!(kind.starts_with("text/event-stream"), "{kind}");
    // The first is here before the application has been allowed to write the last.
    answer.peer.until(b"data: first\n\n").await;
    let release = Asking::request("POST", "/release").body("");
    assert_eq!(stage.ask(&release).await.status, 204);
    answer.peer.until(b"data: last\n\n").await;
    answer.peer.until(b"0\r\n\r\n").await;
}

#[tokio::test]
async fn an_upload_is_streamed_and_whole() {
    // The application has the beginning while the client still has the rest,
    let application = Application::listen().await;
    let stage = SocketStage::start(Policy::trusted().web_socket(""), application.port()).await;
    let mut client = connected(&stage).await;
    let head = "POST /upload HTTP/1.1\r\nHost: chat.example\r\nContent-Length: 100000\r\n\r\n";
    client.send_bytes(head.as_bytes()).await;
    client.send_bytes(&[b'a'; 40_000]).await;
    let mut asked = application.asked().await;
    assert_eq!(asked.header("content-length").as_deref(), Some("100000"));
    assert_eq!(asked.peer.bytes(40_000).await, [b'a'; 40_000]);
    client.send_bytes(&[b'b'; 60_000]).await;
    assert_eq!(asked.peer.bytes(60_000).await, [b'b'; 60_000]);
    asked
        .answer("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert_eq!(Answer::read(client).await.status, 201);

    // and what arrives at a real one is what was sent, with a length or in chunks.
    let (_server, stage) = starlette("").await;
    let body: Vec<u8> = (0..8 << 20).map(|at: u32| (at % 253) as u8).collect();
    let sum = hex(digest(&SHA256, &body).as_ref());
    let chunked = {
        let mut bytes = Asking::request("POST", "/upload")
            .header("Transfer-Encoding", "chunked")
            .bytes();
        for chunk in body.chunks(100_000) {
            bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
            bytes.extend(chunk);
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"0\r\n\r\n");
        bytes
    };
    let whole = Asking::request("POST", "/upload")
        .body(body.clone())
        .bytes();
    for bytes in [whole, chunked] {
        let mut peer = connected(&stage).await;
        peer.send_bytes(&bytes).await;
        let said: Value = serde_json::from_str(&Answer::read(peer).await.body().await).unwrap();
        assert_eq!(said["size"], body.len());
        assert_eq!(said["sha256"], sum);
    }
}

#[tokio::test]
async fn a_download_is_whole() {
    let (_server, stage) = starlette("").await;
    let mut answer = stage.ask(&Asking::request("GET", "/download/8")).await;
    assert_eq!(answer.header("content-length").as_deref(), Some("8388608"));
    let body = answer.peer.bytes(8 << 20).await;
    assert!(
        body.iter()
            .enumerate()
            .all(|(at, byte)| usize::from(*byte) == at % 256)
    );
    // The head alone says as much.
    let head = Asking::request("HEAD", "/download/8").header("Connection", "close");
    let mut answer = stage.ask(&head).await;
    assert_eq!(answer.header("content-length").as_deref(), Some("8388608"));
    assert_eq!(answer.peer.rest().await, b"");
}

#[tokio::test]
async fn a_body_that_ends_with_its_connection_is_whole() {
    let (application, stage) = raw().await;
    let asking = Asking::request("GET", "/").header("Connection", "close");
    let answering = async {
        let said = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nas much as there is";
        drop(application.asked().await.answer(said).await);
    };
    let (mut answer, ()) = tokio::join!(stage.ask(&asking), answering);
    let body = String::from_utf8(answer.peer.rest().await).unwrap();
    assert!(body.contains("as much as there is"), "{body}");
}

#[tokio::test]
async fn a_body_that_is_cut_off_is_not_passed_on_as_a_whole_one() {
    let (application, stage) = raw().await;
    let asking = Asking::request("GET", "/");
    let answering = async {
        let said = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this";
        drop(application.asked().await.answer(said).await);
    };
    let (mut answer, ()) = tokio::join!(stage.ask(&asking), answering);
    assert_eq!(answer.header("content-length").as_deref(), Some("100"));
    assert!(answer.peer.rest().await.len() < 100);

    let answering = async {
        let said = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nonly\r\n";
        drop(application.asked().await.answer(said).await);
    };
    let (mut answer, ()) = tokio::join!(stage.ask(&asking), answering);
    let body = answer.peer.rest().await;
    assert!(
        !body.ends_with(b"0\r\n\r\n"),
        "the end of chunks that has not come"
    );
}

#[tokio::test]
async fn trailers_reach_who_asks_for_them() {
    let (application, stage) = raw().await;
    let asking = Asking::request("GET", "/")
        .header("TE", "trailers")
        .header("Connection", "TE");
    let answering = async {
        let asked = application.asked().await;
        assert_eq!(asked.header("te").as_deref(), Some("trailers"));
        let said = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n";
        asked.answer(said).await
    };
    let (mut answer, _peer) = tokio::join!(stage.ask(&asking), answering);
    let body = answer.peer.until(b"\r\n\r\n").await;
    let body = String::from_utf8(body).unwrap().to_lowercase();
    assert!(body.contains("x-sum: 7"), "{body}");
}

#[tokio::test]
async fn a_client_that_goes_away_ends_what_the_application_does_for_it() {
    let (application, stage) = raw().await;
    let asking = Asking::request("GET", "/events");
    let answering = async {
        let said = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n";
        application.asked().await.answer(said).await
    };
    let (mut answer, mut peer) = tokio::join!(stage.ask(&asking), answering);
    answer.peer.until(b"ok").await;
    drop(answer);
    assert_eq!(peer.rest().await, b"");
}

#[tokio::test]
async fn an_application_that_closes_its_connections_without_a_word_loses_no_request() {
    let (application, stage) = raw().await;
    let serving = tokio::spawn(async move {
        for _ in 0..100 {
            let said = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            drop(application.asked().await.answer(said).await);
        }
    });
    let stream = TcpStream::connect(("127.0.0.1", stage.port()))
        .await
        .unwrap();
    let mut peer = Peer::client(stream);
    for number in 0..100 {
        let mut answer = Asking::request("GET", "/").send_by(peer).await;
        assert_eq!(answer.status, 200, "request {number}");
        assert_eq!(answer.body().await, "ok");
        peer = answer.peer;
    }
    serving.await.unwrap();
}
