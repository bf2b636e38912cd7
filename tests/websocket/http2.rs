//! HTTP/2 without TLS, through the same port.

use aws_lc_rs::digest::{SHA256, digest};
use bulkhead_tests::policy::Policy;
use bulkhead_tests::programs;
use bulkhead_tests::tools::run;
use bulkhead_tests::websocket::{Kind, Server, SocketStage};
use serde_json::Value;

use super::plain::headers_in;
use super::streams::hex;

#[tokio::test]
async fn http2_without_tls_comes_through_as_http2() {
    let server = Server::start(Kind::Hypercorn).await;
    let stage = SocketStage::start(Policy::trusted().web_socket(""), server.port()).await;
    let body = "x".repeat(3 << 20);
    let sum = hex(digest(&SHA256, body.as_bytes()).as_ref());
    for (flag, version) in [("--http2-prior-knowledge", "2"), ("--http1.1", "1.1")] {
        let mut command = tokio::process::Command::new(programs::curl());
        command
            .args([
                "--silent",
                "--show-error",
                "--fail",
                flag,
                "--data-binary",
                "@-",
            ])
            .args([
                "-H",
                "Authorization: Bearer alice",
                "-H",
                "X-Bulkhead-User: mallory",
                "-H",
                "Sec-WebSocket-Protocol: chat, bulkhead.token.YWxpY2U",
            ])
            .args(["-w", "\n%{http_version} %{response_code}"])
            .arg(format!("http://127.0.0.1:{}/a/b?c", stage.port()));
        let said = run(command, &body).await.well();
        let (json, curls) = said.split_once('\n').unwrap();
        assert_eq!(curls, format!("{version} 200"));
        let said: Value = serde_json::from_str(json).unwrap();
        assert_eq!(said["version"], version);
        assert_eq!(said["method"], "POST");
        assert_eq!(said["path"], "/a/b");
        assert_eq!(said["size"], body.len());
        assert_eq!(said["sha256"], sum);
        let headers = headers_in(&said);
        assert_eq!(headers["x-bulkhead-user"], "alice");
        assert_eq!(headers["x-forwarded-for"], "127.0.0.1");
        let host = format!("127.0.0.1:{}", stage.port());
        assert_eq!(headers["x-forwarded-host"], host);
        assert_eq!(headers["sec-websocket-protocol"], "chat");
    }
}

#[tokio::test]
async fn many_http2_requests_at_once_each_have_their_own_user() {
    let server = Server::start(Kind::Hypercorn).await;
    let stage = SocketStage::start(Policy::trusted().web_socket(""), server.port()).await;
    let said = stage.python("http2_client.py", "user").await.well();
    assert_eq!(said.trim(), "well");
}
