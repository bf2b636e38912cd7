//! One client's socket: opened, and its messages written and held to what comes back.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::echo::SINGLY;
use super::frames::{self, CLOSE, MASK, PING, PONG, TEXT};

/// The key and its answer in RFC 6455, section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// Bytes that a read gives at the most.
const READ: usize = 64 * 1024;

/// Bytes of a message that are its number: sixteen hexadecimal digits.
const NUMBER: usize = 16;

/// The way to a proxy, and the users who take it.
#[derive(Clone)]
pub(crate) struct Way {
    port: u16,
    tokens: Rc<[String]>,
    /// Whether both ends write each message by a call of its own.
    singly: bool,
}

impl Way {
    /// The way by this port, with the tokens of a file.
    pub(crate) fn new(port: u16, tokens: &str) -> Self {
        let tokens = std::fs::read_to_string(tokens).expect("the file of tokens");
        let tokens = tokens.lines().map(str::to_owned).collect();
        Self {
            port,
            tokens,
            singly: false,
        }
    }

    /// The same for clients, and an application, that write each message by a call of its own.
    pub(crate) fn writing(self, singly: bool) -> Self {
        Self { singly, ..self }
    }

    /// A socket of the user `number`.
    pub(crate) async fn open(&self, number: usize) -> Socket {
        let token = &self.tokens[number % self.tokens.len()];
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))
            .await
            .expect("the proxy accepts");
        stream.set_nodelay(true).unwrap();
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: {KEY}\r\nAuthorization: Bearer {token}\r\n\r\n",
            if self.singly { SINGLY } else { "/ws" },
            self.port
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let count = stream.read_buf(&mut answer).await.unwrap();
            let so_far = String::from_utf8_lossy(&answer);
            assert!(count > 0, "the answer to an upgrade ends: {so_far}");
        }
        let answer = String::from_utf8(answer).unwrap();
        let granted = answer.starts_with("HTTP/1.1 101 ") && answer.contains(ACCEPT);
        assert!(granted, "an upgrade was refused: {answer}");
        Socket {
            stream,
            inbox: Vec::new(),
            outbox: Vec::new(),
            sent: 0,
            under_way: VecDeque::new(),
            next: (number as u64) << 40,
            singly: self.singly,
        }
    }

    /// Sockets of the users from the first on, a few of them at a time.
    pub(crate) async fn open_all(&self, count: usize) -> Vec<Socket> {
        let mut sockets = Vec::with_capacity(count);
        while sockets.len() < count {
            let from = sockets.len();
            let opening = (from..count.min(from + 64)).map(|number| self.open(number));
            sockets.extend(futures_util::future::join_all(opening).await);
        }
        sockets
    }
}

/// What every client says: masked, and as it comes back. Only its number differs.
pub(crate) struct Message {
    frame: Vec<u8>,
    echo: Vec<u8>,
    bytes: usize,
}

impl Message {
    /// A text of so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        assert!(bytes >= NUMBER, "a message has its number in it");
        let text: Vec<u8> = (b'a'..=b'z').cycle().take(bytes).collect();
        let (mut frame, mut echo) = (Vec::new(), Vec::new());
        frames::write_header(&mut frame, TEXT, bytes, Some(MASK));
        let start = frame.len();
        frame.extend_from_slice(&text);
        frames::apply_mask(&mut frame[start..], MASK);
        frames::write_header(&mut echo, TEXT, bytes, None);
        echo.extend_from_slice(&text);
        Self { frame, echo, bytes }
    }

    /// Appends it with its number.
    fn write(&self, out: &mut Vec<u8>, number: u64) {
        out.extend_from_slice(&self.frame);
        let start = out.len() - self.bytes;
        let digits = &mut out[start..start + NUMBER];
        digits.copy_from_slice(&in_digits(number));
        frames::apply_mask(digits, MASK);
    }

    /// Whether this payload is what comes back.
    fn is_echoed_by(&self, payload: &[u8], number: u64) -> bool {
        let text = &self.echo[self.echo.len() - self.bytes..];
        payload.len() == self.bytes
            && payload[..NUMBER] == in_digits(number)
            && payload[NUMBER..] == text[NUMBER..]
    }
}

fn in_digits(number: u64) -> [u8; NUMBER] {
    std::array::from_fn(|at| b"0123456789abcdef"[(number >> (60 - 4 * at)) as usize & 0xF])
}

/// A socket of one user's.
pub(crate) struct Socket {
    stream: TcpStream,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    sent: usize,
    /// The messages that have not come back: their numbers, and when they were written.
    under_way: VecDeque<(u64, Instant)>,
    next: u64,
    singly: bool,
}

impl Socket {
    /// Puts a message behind what is to be written.
    pub(crate) fn say(&mut self, message: &Message, now: Instant) {
        message.write(&mut self.outbox, self.next);
        self.under_way.push_back((self.next, now));
        self.next += 1;
    }

    /// Writes and reads until echoes have come. Tells of each how long it took; how many there were.
    pub(crate) async fn hear(
        &mut self,
        message: &Message,
        mut tell: impl FnMut(Duration),
    ) -> usize {
        loop {
            self.exchange().await;
            let now = Instant::now();
            let heard = self.take(message, |since| tell(now - since));
            if heard > 0 {
                return heard;
            }
        }
    }

    /// Answers pings for as long as nothing else is asked.
    pub(crate) async fn keep(&mut self, message: &Message) {
        loop {
            self.exchange().await;
            assert_eq!(self.take(message, |_| ()), 0, "nothing was said");
        }
    }

    /// Says goodbye, and waits for the answer and the end of the stream.
    pub(crate) async fn close(mut self) {
        let code = 1000_u16.to_be_bytes();
        frames::write_header(&mut self.outbox, CLOSE, code.len(), Some(MASK));
        let start = self.outbox.len();
        self.outbox.extend_from_slice(&code);
        frames::apply_mask(&mut self.outbox[start..], MASK);
        self.stream.write_all(&self.outbox).await.unwrap();
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, [0x80 | CLOSE, 2, code[0], code[1]], "a Close frame");
    }

    /// Writes what waits, and reads once.
    async fn exchange(&mut self) {
        self.inbox.reserve(READ);
        let (mut reader, mut writer) = self.stream.split();
        loop {
            let mut waits = &self.outbox[self.sent..];
            if self.singly
                && let Some(frame) = frames::read(waits)
            {
                waits = &waits[..frame.payload.end];
            }
            tokio::select! {
                biased;
                count = writer.write(waits), if !waits.is_empty() => {
                    self.sent += count.expect("the proxy takes what is said");
                }
                count = reader.read_buf(&mut self.inbox) => {
                    assert!(count.unwrap() > 0, "the proxy has ended a socket");
                    break;
                }
            }
            if self.sent == self.outbox.len() {
                self.outbox.clear();
                self.sent = 0;
            }
        }
    }

    /// Takes the frames that are there: echoes are held to what was said, pings answered.
    fn take(&mut self, message: &Message, mut tell: impl FnMut(Instant)) -> usize {
        let (mut done, mut heard) = (0, 0);
        while let Some(frame) = frames::read(&self.inbox[done..]) {
            let payload = &self.inbox[done..][frame.payload.clone()];
            match frame.opcode {
                TEXT => {
                    let (number, since) = self.under_way.pop_front().expect("it was said");
                    assert!(
                        message.is_echoed_by(payload, number),
                        "a message has changed"
                    );
                    tell(since);
                    heard += 1;
                }
                PING => {
                    frames::write_header(&mut self.outbox, PONG, payload.len(), Some(MASK));
                    let start = self.outbox.len();
                    self.outbox.extend_from_slice(payload);
                    frames::apply_mask(&mut self.outbox[start..], MASK);
                }
                other => panic!("a frame of opcode {other} has come"),
            }
            done += frame.payload.end;
        }
        self.inbox.drain(..done);
        heard
    }
}
