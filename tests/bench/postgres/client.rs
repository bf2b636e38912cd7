//! One raw connection: a login without a password, simple queries, bodies passed over unread.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ROLE: &str = "bench";
const DATABASE: &str = "bench";
/// Protocol 3.0, as a startup message says it.
const PROTOCOL: i32 = 196_608;
/// What one read takes at the most.
const READ: usize = 256 * 1024;

/// Where clients connect to, and how they log in.
#[derive(Clone, Copy)]
pub(crate) struct Way {
    port: u16,
    named: bool,
}

impl Way {
    pub(crate) fn new(port: u16, who: &str) -> Self {
        assert!(
            matches!(who, "named" | "plain"),
            "{who:?} is neither named nor plain"
        );
        Self {
            port,
            named: who == "named",
        }
    }

    /// PostgreSQL itself, which knows the role alone.
    pub(crate) const fn direct(port: u16) -> Self {
        Self { port, named: false }
    }

    /// Logs in as this user, where the way names users.
    pub(crate) async fn connect(self, user: &str) -> Client {
        let role = if self.named {
            format!("{ROLE}+{user}")
        } else {
            ROLE.to_owned()
        };
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let mut client = Client {
            stream,
            unread: Vec::new(),
            last_row: Vec::new(),
        };
        let mut body = PROTOCOL.to_be_bytes().to_vec();
        for word in ["user", &role, "database", DATABASE, ""] {
            body.extend_from_slice(word.as_bytes());
            body.push(0);
        }
        let length = i32::try_from(body.len() + 4).unwrap();
        client
            .stream
            .write_all(&[&length.to_be_bytes(), body.as_slice()].concat())
            .await
            .unwrap();
        client.until_ready().await;
        client
    }
}

/// A simple query, as it goes on the wire.
pub(crate) fn query(text: &str) -> Vec<u8> {
    let length = i32::try_from(text.len() + 5).unwrap();
    let mut message = vec![b'Q'];
    message.extend_from_slice(&length.to_be_bytes());
    message.extend_from_slice(text.as_bytes());
    message.push(0);
    message
}

/// A connection that is ready for queries.
pub(crate) struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
    /// The last DataRow's body, where it came whole in one read.
    last_row: Vec<u8>,
}

impl Client {
    /// Sends a message that [`query`] has made, and gives the bytes that came until ReadyForQuery.
    pub(crate) async fn ask(&mut self, message: &[u8]) -> usize {
        self.stream.write_all(message).await.unwrap();
        self.until_ready().await
    }

    /// The one value of the last answer's last row, as a number.
    pub(crate) fn number(&self) -> i64 {
        // Columns (2 bytes), the value's length (4), the value.
        let text = self.last_row.get(6..).expect("a row has come");
        std::str::from_utf8(text).unwrap().parse().unwrap()
    }

    async fn until_ready(&mut self) -> usize {
        let mut walker = Walker::default();
        let mut came = 0;
        loop {
            if self.walk(&mut walker) {
                return came;
            }
            self.unread.reserve(READ);
            let count = self.stream.read_buf(&mut self.unread).await.unwrap();
            assert!(count > 0, "the connection was closed");
            came += count;
        }
    }

    /// Walks over what has come; true once ReadyForQuery has passed.
    fn walk(&mut self, walker: &mut Walker) -> bool {
        let mut at = walker.skip.min(self.unread.len());
        walker.skip -= at;
        while walker.skip == 0 && self.unread.len() - at >= 5 {
            let (tag, rest) = (self.unread[at], &self.unread[at + 1..]);
            let length = u32::from_be_bytes(rest[..4].try_into().unwrap()) as usize;
            let whole = length < rest.len() + 1;
            match tag {
                b'E' if !whole => break,
                b'E' => panic!("{}", String::from_utf8_lossy(&rest[4..length])),
                b'D' if whole && length < 64 => {
                    self.last_row.clear();
                    self.last_row.extend_from_slice(&rest[4..length]);
                }
                b'Z' if whole => {
                    self.unread.drain(..=at + length);
                    return true;
                }
                b'Z' => break,
                _ => {}
            }
            let here = (length + 1).min(self.unread.len() - at);
            walker.skip = length + 1 - here;
            at += here;
        }
        self.unread.drain(..at);
        false
    }
}

/// How many bytes of a message's body are still to come.
#[derive(Default)]
struct Walker {
    skip: usize,
}
