//! An application in the hands of a test: it sees what the sidecar sends byte by byte, and answers what the test says.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::net::TcpListener;

use super::client::{header, read_headers};
use super::peer::Peer;
use crate::wait;

/// A port on which the sidecar finds its application.
#[derive(Debug)]
pub struct Application {
    listener: TcpListener,
    port: u16,
}

/// A request that has come to the application.
#[derive(Debug)]
pub struct Asked {
    /// The request line.
    pub line: String,
    /// The headers, in their order; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The connection, behind the head of the request.
    pub peer: Peer,
}

impl Application {
    /// Listens on a port of the kernel's choice.
    pub async fn listen() -> Self {
        Self::at(0).await
    }

    /// Listens on a port of the test's choice.
    ///
    /// # Panics
    /// When it is taken.
    pub async fn at(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        Self { listener, port }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The next connection, of which nothing has been read.
    ///
    /// # Panics
    /// When none comes.
    pub async fn accept(&self) -> Peer {
        let (stream, _) = wait::within("a connection of the sidecar's", self.listener.accept())
            .await
            .unwrap();
        Peer::application(stream)
    }

    /// The next request.
    pub async fn asked(&self) -> Asked {
        Asked::read(self.accept().await).await
    }

    /// The next WebSocket, accepted.
    pub async fn opened(&self) -> Peer {
        self.asked().await.upgrade("").await
    }
}

impl Asked {
    /// Reads the head of a request.
    ///
    /// # Panics
    /// When none comes.
    pub async fn read(mut peer: Peer) -> Self {
        let head = String::from_utf8(peer.until(b"\r\n\r\n").await).unwrap();
        let (line, headers) = head.split_once("\r\n").unwrap();
        Self {
            line: line.to_owned(),
            headers: read_headers(headers),
            peer,
        }
    }

    /// A header's values, put together.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        header(&self.headers, name)
    }

    /// Agrees to the WebSocket; `more` are further header lines, each with its end.
    pub async fn upgrade(self, more: &str) -> Peer {
        self.upgrade_and_say(more, b"").await
    }

    /// The same, with bytes that follow in the very segment of the answer.
    ///
    /// # Panics
    /// When the request has no key.
    pub async fn upgrade_and_say(mut self, more: &str, bytes: &[u8]) -> Peer {
        let key = self.header("sec-websocket-key").expect("a key");
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n{more}\r\n",
            accept_of(&key)
        );
        let all = [answer.as_bytes(), bytes].concat();
        self.peer.send_bytes(&all).await;
        self.peer
    }

    /// Answers with these bytes.
    pub async fn answer(mut self, bytes: &str) -> Peer {
        self.peer.send_bytes(bytes.as_bytes()).await;
        self.peer
    }
}

/// RFC 6455, section 4.2.2.
fn accept_of(key: &str) -> String {
    let both = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    BASE64_STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, both.as_bytes()))
}
