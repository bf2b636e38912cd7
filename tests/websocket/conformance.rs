//! RFC 6455, case by case: what is legal passes byte for byte, both ways, and what is not ends with the right code.
//!
//! Each case is a row: its name, who sends, the bytes, how many of them pass, and the close code that follows. [`legal`] and [`illegal`]
//! are the tables; here they are run through the real sidecar, between a client and an application that are both the test's. The legal
//! ones of a client are also sent to a real server, directly and through the sidecar: both must answer the same bytes.

mod illegal;
mod legal;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::websocket::frames::{BINARY, CLOSE};
use bulkhead_tests::websocket::{Application, Asking, Frame, Kind, Peer, Server, SocketStage};

/// The fewest cases that the tables may have.
const FEWEST: usize = 150;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    Client,
    Application,
}

/// A row.
#[derive(Clone, Debug)]
struct Case {
    name: String,
    sender: Sender,
    /// Whether permessage-deflate is agreed on.
    deflates: bool,
    bytes: Vec<u8>,
    /// How many of the bytes the other end gets.
    passes: usize,
    /// The code that the client is told; none where the socket goes on.
    code: Option<u16>,
}

impl Case {
    /// A row of what is legal: all passes.
    fn legal(name: impl Into<String>, sender: Sender, frames: &[Frame]) -> Self {
        let bytes: Vec<u8> = frames.iter().flat_map(|it| sender.writes(it)).collect();
        Self {
            name: name.into(),
            sender,
            deflates: false,
            passes: bytes.len(),
            bytes,
            code: None,
        }
    }

    /// A row of what is not: `before` passes, `wrong` does not.
    fn illegal(
        name: impl Into<String>,
        sender: Sender,
        before: &[Frame],
        wrong: impl Into<Vec<u8>>,
    ) -> Self {
        let mut case = Self::legal(name, sender, before);
        case.bytes.extend(wrong.into());
        case.code = Some(1002);
        case
    }

    /// The same with permessage-deflate.
    fn deflating(mut self) -> Self {
        self.deflates = true;
        self
    }

    /// The same with another code.
    fn code(mut self, code: u16) -> Self {
        self.code = Some(code);
        self
    }
}

impl Sender {
    const BOTH: [Self; 2] = [Self::Client, Self::Application];

    fn writes(self, frame: &Frame) -> Vec<u8> {
        match self {
            Self::Client => frame.masked(),
            Self::Application => frame.plain(),
        }
    }
}

/// A sidecar before an application of the test's.
async fn world() -> (Application, SocketStage) {
    let application = Application::listen().await;
    let policy = Policy::trusted().web_socket("limits: {messagesPerSecond: 1000000}");
    let stage = SocketStage::start(policy, application.port()).await;
    (application, stage)
}

/// Both ends of a socket: the sender's first.
async fn ends(
    case: &Case,
    user: &str,
    application: &Application,
    stage: &SocketStage,
) -> (Peer, Peer) {
    let mut asking = Asking::upgrade("/ws").bearer(user);
    let mut agreed = "";
    if case.deflates {
        asking = asking.header("Sec-WebSocket-Extensions", "permessage-deflate");
        agreed = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    }
    let answering = async { application.asked().await.upgrade(agreed).await };
    let (answer, peer) = tokio::join!(stage.ask(&asking), answering);
    let client = answer.opened();
    match case.sender {
        Sender::Client => (client, peer),
        Sender::Application => (peer, client),
    }
}

/// How the bytes come: at once, one by one, or in pieces that end in the middle of things.
fn pieces(bytes: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut ways = vec![vec![bytes], bytes.chunks(1000).collect()];
    if bytes.len() < 400 {
        ways.push(bytes.chunks(1).collect());
        ways.push(bytes.chunks(3).collect());
    }
    ways
}

/// Runs a row, its bytes sent in `pieces`.
async fn holds(case: &Case, pieces: &[&[u8]], from: &mut Peer, to: &mut Peer) {
    let sending = async {
        for piece in pieces {
            // Whoever has been told to go may find the connection ended.
            let sent = from.try_send(piece).await;
            assert!(sent.is_ok() || case.code.is_some(), "{case:?}");
        }
    };
    let (passed, ()) = tokio::join!(to.bytes(case.passes), sending);
    assert!(
        passed == case.bytes[..case.passes],
        "{}: other bytes",
        case.name
    );
    let Some(code) = case.code else {
        // Nothing was added: the next thing is what is sent next.
        if !matches!(case.bytes.first(), Some(first) if first & 0xF == CLOSE) {
            from.send(Frame::pong("the end")).await;
            assert_eq!(to.next().await, Frame::pong("the end"), "{}", case.name);
        }
        return;
    };
    let (sender, receiver) = tokio::join!(from.closed(), to.closed());
    let (client, application, culprit, told) = match case.sender {
        // To an application that has done nothing wrong its client is what has gone away.
        Sender::Client => (sender, receiver, "the client: ", 1001),
        Sender::Application => (receiver, sender, "the application: ", code),
    };
    assert_eq!(client.0, code, "{}: {client:?}", case.name);
    assert_eq!(application.0, told, "{}: {application:?}", case.name);
    for reason in [client.1, application.1] {
        assert!(reason.starts_with(culprit), "{}: {reason}", case.name);
    }
}

async fn all_hold(cases: &[Case]) {
    let (application, stage) = world().await;
    for (number, case) in cases.iter().enumerate() {
        for (way, pieces) in pieces(&case.bytes).iter().enumerate() {
            let user = format!("case-{number}-{way}");
            let (mut from, mut to) = ends(case, &user, &application, &stage).await;
            holds(case, pieces, &mut from, &mut to).await;
        }
    }
}

#[tokio::test]
async fn what_is_legal_passes_byte_for_byte() {
    all_hold(&legal::cases()).await;
}

#[tokio::test]
async fn what_is_illegal_ends_with_the_right_code() {
    all_hold(&illegal::cases()).await;
}

#[test]
fn there_are_cases_enough_and_each_has_a_name_of_its_own() {
    let all: Vec<Case> = [legal::cases(), illegal::cases()].concat();
    assert!(all.len() >= FEWEST, "{}", all.len());
    let mut names: Vec<(&str, bool)> = all
        .iter()
        .map(|case| (case.name.as_str(), case.sender == Sender::Client))
        .collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[tokio::test]
async fn a_real_server_answers_the_same_bytes_through_the_sidecar() {
    let server = Server::start(Kind::Websockets).await;
    let policy = Policy::trusted().web_socket("limits: {messagesPerSecond: 1000000}");
    let stage = SocketStage::start(policy, server.port()).await;
    let cases = legal::cases();
    let of_clients = cases.iter().filter(|case| case.sender == Sender::Client);
    for (number, case) in of_clients.enumerate() {
        let mut answers = Vec::new();
        for port in [server.port(), stage.port()] {
            let mut asking = Asking::upgrade("/ws").bearer(&format!("case-{number}"));
            if case.deflates {
                // Without context, so that equal messages are equal bytes.
                let offer =
                    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
                asking = asking.header("Sec-WebSocket-Extensions", offer);
            }
            let mut client = asking.send(port).await.opened();
            client.send_bytes(&case.bytes).await;
            answers.push(answer_to(&mut client, messages_in(&case.bytes)).await);
        }
        assert!(answers[0] == answers[1], "{}: {answers:?}", case.name);
    }
}

/// How many whole messages these bytes are.
fn messages_in(mut bytes: &[u8]) -> usize {
    let mut messages = 0;
    while let Some((frame, size)) = Frame::read(bytes) {
        messages += usize::from(ends_a_message(&frame));
        bytes = &bytes[size..];
    }
    messages
}

fn ends_a_message(frame: &Frame) -> bool {
    frame.fin && frame.opcode <= BINARY
}

/// What a server answers to its end: it is asked to close when it has answered so many messages, because it may answer a Close before
/// the messages in front of it.
async fn answer_to(client: &mut Peer, mut messages: usize) -> Vec<Frame> {
    let mut said = Vec::new();
    while messages > 0
        && let Some(frame) = client.frame().await
    {
        messages -= usize::from(ends_a_message(&frame));
        said.push(frame);
    }
    let _ = client.try_send(&Frame::close(1000, "").masked()).await;
    while let Some(frame) = client.frame().await {
        said.push(frame);
    }
    said
}
