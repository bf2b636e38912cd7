//! A client whose session survives its connections: it counts, acknowledges, and sends again what has not arrived.

use std::collections::VecDeque;

use super::client::Asking;
use super::frames::{BINARY, CLOSE, Frame, PING, TEXT};
use super::peer::Peer;

/// What control messages begin with.
const PREFIX: [u8; 4] = *b"\xF5bk1";

/// A client with a session.
#[derive(Debug)]
pub struct Resumer {
    /// The sidecar that it asks next.
    pub port: u16,
    path: String,
    user: String,
    peer: Peer,
    /// What it was greeted with.
    pub greeting: Greeting,
    received: u64,
    acknowledged: u64,
    /// Messages of its own that the application may not have.
    unsent: VecDeque<Frame>,
    /// How many of them it has for certain.
    arrived: u64,
}

/// What a client is told first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// 0 for a new session, 1 for one that goes on, 2 for a new one because that which was asked for is gone.
    pub state: u8,
    /// Why it is gone.
    pub reason: u8,
    /// Within how many milliseconds of a loss the client may come back.
    pub window: u32,
    /// Bytes that are kept for it.
    pub buffer: u32,
    /// How many of its messages have reached the application.
    pub count: u64,
    /// What it comes back with.
    pub token: String,
}

/// What came next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Came {
    /// A message of the application's.
    Message(Vec<u8>),
    /// The session will not survive its connection any more.
    Final(u8),
    /// A Close frame.
    Closed(u16, String),
    /// The connection has ended.
    Lost,
}

impl Resumer {
    /// A new session of `user`.
    ///
    /// # Panics
    /// When it is refused, or the sidecar does not resume.
    pub async fn open(port: u16, user: &str) -> Self {
        Self::open_at(port, "/ws", user).await
    }

    /// The same at another path.
    pub async fn open_at(port: u16, path: &str, user: &str) -> Self {
        Self::opened(port, path, user, None).await
    }

    async fn opened(port: u16, path: &str, user: &str, session: Option<(&str, u64)>) -> Self {
        let mut offer = "bulkhead.resume.v1, bulkhead.v1".to_owned();
        if let Some((token, count)) = session {
            offer = format!("{offer}, bulkhead.session.{token}.{count}");
        }
        let asking = Asking::upgrade(path)
            .bearer(user)
            .header("Sec-WebSocket-Protocol", &offer);
        // A session may end in the moment in which its client comes back: then there is no greeting, and the client asks again.
        let (peer, greeting) = loop {
            let answer = asking.send(port).await;
            let selected = answer.header("sec-websocket-protocol");
            assert_eq!(selected.as_deref(), Some("bulkhead.resume.v1"));
            let mut peer = answer.opened();
            match peer.frame_if_whole().await {
                Some(frame) => break (peer, greeted(&frame)),
                None => assert!(session.is_some(), "a new session is greeted"),
            }
        };
        Self {
            port,
            path: path.to_owned(),
            user: user.to_owned(),
            peer,
            greeting,
            received: session.map_or(0, |(_, count)| count),
            acknowledged: 0,
            unsent: VecDeque::new(),
            arrived: 0,
        }
    }

    /// Sends a message.
    pub async fn send(&mut self, frame: Frame) {
        self.unsent.push_back(frame.clone());
        // Should the connection be lost, it is sent on the next one.
        let _ = self.peer.try_send(&frame.masked()).await;
    }

    /// What comes next. Acknowledges as the protocol asks, and now and then sooner.
    pub async fn next(&mut self) -> Came {
        loop {
            let Some(frame) = self.peer.frame_if_whole().await else {
                return Came::Lost;
            };
            match frame.opcode {
                CLOSE => {
                    let (code, reason) = frame.closes();
                    return Came::Closed(code, reason);
                }
                PING => self.answer(Frame::pong(frame.payload)).await,
                BINARY | TEXT => {
                    if let Some(came) = self.read(frame).await {
                        return came;
                    }
                }
                _ => {}
            }
        }
    }

    /// The next message.
    ///
    /// # Panics
    /// When something else comes.
    pub async fn message(&mut self) -> Vec<u8> {
        match self.next().await {
            Came::Message(message) => message,
            other => panic!("{other:?} instead of a message"),
        }
    }

    async fn read(&mut self, frame: Frame) -> Option<Came> {
        let control = frame.payload.strip_prefix(&PREFIX);
        let payload = match control {
            Some([0xF5, ..]) => frame.payload[PREFIX.len()..].to_vec(),
            Some([2, count @ ..]) => {
                self.arrived_up_to(u64::from_be_bytes(count.try_into().unwrap()));
                return None;
            }
            Some([3, reason]) => return Some(Came::Final(*reason)),
            Some(other) => panic!("a control message of no known kind: {other:?}"),
            None => frame.payload,
        };
        self.received += 1;
        if self.received - self.acknowledged >= 32 {
            self.acknowledge().await;
        }
        Some(Came::Message(payload))
    }

    /// Says how many messages have come.
    pub async fn acknowledge(&mut self) {
        self.acknowledged = self.received;
        let message = [&PREFIX[..], &[2], &self.received.to_be_bytes()].concat();
        self.answer(Frame::binary(message)).await;
    }

    async fn answer(&mut self, frame: Frame) {
        let _ = self.peer.try_send(&frame.masked()).await;
    }

    fn arrived_up_to(&mut self, count: u64) {
        assert!(count >= self.arrived, "{count} after {}", self.arrived);
        for _ in self.arrived..count {
            self.unsent.pop_front().expect("a message that was sent");
        }
        self.arrived = count;
    }

    /// Ends the connection at once, with all that is on its way, and comes back on another one: what has not arrived is sent again. The
    /// greeting says whether the session goes on.
    pub async fn come_back(self) -> Self {
        let (token, received) = (self.greeting.token.clone(), self.received);
        self.peer.reset();
        let session = Some((token.as_str(), received));
        let mut next = Self::opened(self.port, &self.path, &self.user, session).await;
        if next.greeting.state != 1 {
            next.received = 0;
            return next;
        }
        (next.unsent, next.arrived) = (self.unsent, self.arrived);
        next.arrived_up_to(next.greeting.count);
        for frame in next.unsent.clone() {
            next.answer(frame).await;
        }
        next
    }

    /// The same without leaving: the old connection stays open, and is given back.
    pub async fn come_twice(self) -> (Self, Peer) {
        let session = Some((self.greeting.token.as_str(), self.received));
        let next = Self::opened(self.port, &self.path, &self.user, session).await;
        (next, self.peer)
    }

    /// Leaves for good.
    pub async fn close(mut self) {
        self.answer(Frame::close(1000, "")).await;
        let _ = self.peer.rest().await;
    }

    /// Ends the connection without a word.
    pub fn reset(self) {
        self.peer.reset();
    }
}

fn greeted(frame: &Frame) -> Greeting {
    let body = frame.payload.strip_prefix(b"\xF5bk1\x01").unwrap();
    let number = |from: usize| u32::from_be_bytes(body[from..from + 4].try_into().unwrap());
    Greeting {
        state: body[0],
        reason: body[1],
        window: number(2),
        buffer: number(6),
        count: u64::from_be_bytes(body[10..18].try_into().unwrap()),
        token: String::from_utf8(body[18..].to_vec()).unwrap(),
    }
}
