//! A client's request, header by header, and what it is answered.

use tokio::net::TcpStream;

use super::peer::Peer;
use crate::wait;

/// The key of RFC 6455, section 1.3.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
/// What it is answered with.
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A request in the making.
#[derive(Clone, Debug)]
pub struct Asking {
    line: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// What a request was answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, in their order; names in lower case.
    pub headers: Vec<(String, String)>,
    /// The connection, behind the head of the answer.
    pub peer: Peer,
}

impl Asking {
    /// A request for a WebSocket at `path`, in good order.
    #[must_use]
    pub fn upgrade(path: &str) -> Self {
        Self::request("GET", path)
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", KEY)
    }

    /// A request of HTTP/1.1 at `path`.
    #[must_use]
    pub fn request(method: &str, path: &str) -> Self {
        Self {
            line: format!("{method} {path} HTTP/1.1"),
            headers: Vec::new(),
            body: Vec::new(),
        }
        .header("Host", "chat.example")
    }

    /// The same with another request line.
    #[must_use]
    pub fn line(mut self, line: &str) -> Self {
        line.clone_into(&mut self.line);
        self
    }

    /// The same with one header more.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same without a header.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self
    }

    /// The same with another value of a header.
    #[must_use]
    pub fn with(self, name: &str, value: &str) -> Self {
        self.without(name).header(name, value)
    }

    /// The same with a bearer token: a user's bare id where the policy trusts one.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// The same with a body, and its length.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        let length = self.body.len().to_string();
        self.with("Content-Length", &length)
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = format!("{}\r\n", self.line).into_bytes();
        for (name, value) in &self.headers {
            out.extend(format!("{name}: {value}\r\n").bytes());
        }
        out.extend(b"\r\n");
        out.extend(&self.body);
        out
    }

    /// Sends it to a port of loopback by a connection of its own, and reads the head of the answer.
    ///
    /// # Panics
    /// When nobody listens, or there is no answer.
    pub async fn send(&self, port: u16) -> Answer {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        self.send_by(Peer::client(stream)).await
    }

    /// The same by a connection that is there.
    pub async fn send_by(&self, mut peer: Peer) -> Answer {
        peer.send_bytes(&self.bytes()).await;
        Answer::read(peer).await
    }
}

impl Answer {
    /// Reads the head of an answer.
    ///
    /// # Panics
    /// When there is none.
    pub async fn read(mut peer: Peer) -> Self {
        let head = String::from_utf8(peer.until(b"\r\n\r\n").await).unwrap();
        let (line, headers) = head.split_once("\r\n").unwrap();
        let status = line.split(' ').nth(1).unwrap().parse().unwrap();
        Self {
            status,
            headers: read_headers(headers),
            peer,
        }
    }

    /// A header's values, put together.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        header(&self.headers, name)
    }

    /// The body, whose length must have been told.
    ///
    /// # Panics
    /// When it does not come.
    pub async fn body(&mut self) -> String {
        let length = self.header("content-length").expect("a length");
        let body = self.peer.bytes(length.parse().unwrap()).await;
        String::from_utf8(body).unwrap()
    }

    /// The WebSocket.
    ///
    /// # Panics
    /// When the request was not answered with one.
    #[must_use]
    pub fn opened(self) -> Peer {
        assert_eq!(self.status, 101, "{:?}", self.headers);
        let accept = self.header("sec-websocket-accept");
        assert_eq!(accept.as_deref(), Some(ACCEPT));
        self.peer
    }

    /// What a refusal says: the status, and the text.
    ///
    /// # Panics
    /// When it has no text.
    pub async fn refused(mut self) -> (u16, String) {
        let body = wait::within("a refusal's text", self.body()).await;
        (self.status, body)
    }
}

/// Header lines, names in lower case.
pub(super) fn read_headers(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect()
}

/// A header's values, put together.
pub(super) fn header(headers: &[(String, String)], name: &str) -> Option<String> {
    let values: Vec<&str> = headers
        .iter()
        .filter(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
        .collect();
    (!values.is_empty()).then(|| values.join(", "))
}
