//! The application: sends each message back.

use std::net::Ipv4Addr;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use super::frames::{self, CLOSE, PING, PONG};

/// RFC 6455, section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The path of those who write each message by a call of its own, and are answered so.
pub(crate) const SINGLY: &str = "/singly";

/// Bytes that a read gives at the most.
const READ: usize = 64 * 1024;

/// Serves until the process is ended.
pub(crate) async fn serve(port: u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, port).into()).unwrap();
    let listener = socket.listen(4096).unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            // A client may go at any time.
            let _ = converse(stream).await;
        });
    }
}

async fn converse(mut stream: TcpStream) -> std::io::Result<()> {
    let mut inbox = Vec::with_capacity(1024);
    let head = loop {
        if let Some(end) = inbox.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut inbox).await? == 0 {
            return Ok(());
        }
    };
    let text = std::str::from_utf8(&inbox[..head]).unwrap();
    let singly = text.split(' ').nth(1) == Some(SINGLY);
    stream.write_all(answer(text).as_bytes()).await?;
    inbox.drain(..head);
    let mut out = Vec::new();
    loop {
        let closes = echo(&mut inbox, &mut out);
        let mut rest = &out[..];
        while singly && let Some(frame) = frames::read(rest) {
            let (first, behind) = rest.split_at(frame.payload.end);
            stream.write_all(first).await?;
            rest = behind;
        }
        stream.write_all(rest).await?;
        out.clear();
        if closes {
            return stream.shutdown().await;
        }
        if inbox.is_empty() {
            // Idle sockets hold nothing.
            if inbox.capacity() > READ {
                inbox = Vec::new();
            }
            stream.readable().await?;
        }
        inbox.reserve(READ);
        if stream.read_buf(&mut inbox).await? == 0 {
            return Ok(());
        }
    }
}

fn answer(head: &str) -> String {
    let is_key = |line: &&str| line.to_ascii_lowercase().starts_with("sec-websocket-key:");
    let line = head.lines().find(is_key);
    let key = line
        .expect("an upgrade has a key")
        .split_once(':')
        .unwrap()
        .1;
    let hash = digest(
        &SHA1_FOR_LEGACY_USE_ONLY,
        format!("{}{GUID}", key.trim()).as_bytes(),
    );
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        BASE64_STANDARD.encode(hash)
    )
}

/// Answers each whole frame, and takes it out; whether one was a Close frame.
fn echo(inbox: &mut Vec<u8>, out: &mut Vec<u8>) -> bool {
    let (mut done, mut closes) = (0, false);
    while let Some(frame) = frames::read(&inbox[done..]) {
        let mask = frame.mask.expect("a client masks");
        let payload = &inbox[done..][frame.payload.clone()];
        let opcode = if frame.opcode == PING {
            PONG
        } else {
            frame.opcode
        };
        if frame.opcode != PONG {
            frames::write_header(out, opcode, payload.len(), None);
            let start = out.len();
            out.extend_from_slice(payload);
            frames::apply_mask(&mut out[start..], mask);
        }
        closes |= frame.opcode == CLOSE;
        done += frame.payload.end;
    }
    inbox.drain(..done);
    closes
}
