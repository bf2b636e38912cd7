//! A small model of PostgreSQL's server, and the queue held against it under random legal traffic.
//!
//! The model reads messages in order and answers as the server's main loop does: errors skip to Sync, a COPY swallows Sync,
//! ends of a COPY outside of one are passed over. Messages and answers travel with any delay.

use std::collections::VecDeque;

use proptest::prelude::*;

use super::super::*;
use super::{T, parse};

/// A statement as the server meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Rows,
    Empty,
    CopyOut,
    CopyIn,
    /// A COPY that is announced and fails before it reads anything, as one into a view does.
    CopyRefused,
    Fails,
}

/// A message to the server.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Message {
    Parse(bool),
    Bind(bool),
    DescribeStatement,
    DescribePortal,
    Execute(Work),
    Close,
    Sync,
    Query(Vec<Work>),
    FunctionCall(bool),
    CopyData(bool),
    CopyDone,
    CopyFail,
}

/// What happens next.
#[derive(Clone, Debug)]
enum Act {
    Send(Message),
    /// `Parse` and `Close` of the sidecar's own.
    Hidden(bool),
    Answer(Answer),
    /// A query of the sidecar's own, where it may send one.
    Own,
    /// The server reads that many messages.
    Read(usize),
    /// The sidecar reads that many answers.
    Deliver(usize),
}

/// Which COPY the server is in, and what of its query is left.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Copying {
    Extended,
    Simple(VecDeque<Work>),
}

#[derive(Clone, Debug, Default)]
struct Server {
    input: VecDeque<Message>,
    output: VecDeque<T>,
    skipping: bool,
    copying: Option<Copying>,
    /// Whether an extended batch has been begun and not ended by Sync.
    batch: bool,
}

impl Server {
    fn read(&mut self) -> bool {
        let Some(message) = self.input.pop_front() else {
            return false;
        };
        match self.copying.take() {
            Some(copying) => self.read_in_copy(message, copying),
            None if self.skipping && message != Message::Sync => {}
            None => self.answer(message),
        }
        true
    }

    fn read_in_copy(&mut self, message: Message, copying: Copying) {
        match (message, copying) {
            (Message::CopyData(true) | Message::Sync, copying) => self.copying = Some(copying),
            (Message::CopyDone, copying) => {
                self.output.push_back(T::CommandComplete);
                if let Copying::Simple(left) = copying {
                    self.run_query(left);
                }
            }
            (Message::CopyData(false) | Message::CopyFail, Copying::Extended) => self.fail(),
            (Message::CopyData(false) | Message::CopyFail, Copying::Simple(_)) => {
                self.output.extend([T::ErrorResponse, T::ReadyForQuery]);
            }
            (other, _) => panic!("the traffic is not legal: {other:?} in a COPY"),
        }
    }

    fn answer(&mut self, message: Message) {
        let extended = !matches!(
            message,
            Message::Sync
                | Message::Query(_)
                | Message::FunctionCall(_)
                | Message::CopyData(_)
                | Message::CopyDone
                | Message::CopyFail
        );
        self.batch |= extended;
        match message {
            Message::Parse(true) => self.output.push_back(T::ParseComplete),
            Message::Bind(true) => self.output.push_back(T::BindComplete),
            Message::Parse(false) | Message::Bind(false) | Message::Execute(Work::Fails) => {
                self.fail()
            }
            Message::DescribeStatement => self.output.extend([T::ParameterDescription, T::NoData]),
            Message::DescribePortal => self.output.push_back(T::RowDescription),
            Message::Close => self.output.push_back(T::CloseComplete),
            Message::Execute(Work::CopyIn) => {
                self.output.push_back(T::CopyInResponse);
                self.copying = Some(Copying::Extended);
            }
            Message::Execute(Work::CopyRefused) => {
                self.output.push_back(T::CopyInResponse);
                self.fail();
            }
            Message::Execute(work) => self.complete(work),
            Message::Query(works) => {
                self.batch = false;
                self.run_query(works.into());
            }
            Message::FunctionCall(works) => {
                self.batch = false;
                let answer = if works {
                    T::FunctionCallResponse
                } else {
                    T::ErrorResponse
                };
                self.output.extend([answer, T::ReadyForQuery]);
            }
            Message::Sync => {
                self.skipping = false;
                self.batch = false;
                self.output.push_back(T::ReadyForQuery);
            }
            Message::CopyData(_) | Message::CopyDone | Message::CopyFail => {}
        }
    }

    fn run_query(&mut self, mut works: VecDeque<Work>) {
        while let Some(work) = works.pop_front() {
            match work {
                Work::Fails => {
                    self.output.push_back(T::ErrorResponse);
                    break;
                }
                Work::CopyRefused => {
                    self.output.extend([T::CopyInResponse, T::ErrorResponse]);
                    break;
                }
                Work::CopyIn => {
                    self.output.push_back(T::CopyInResponse);
                    self.copying = Some(Copying::Simple(works));
                    return;
                }
                work => self.complete(work),
            }
        }
        self.output.push_back(T::ReadyForQuery);
    }

    fn complete(&mut self, work: Work) {
        match work {
            Work::Empty => self.output.push_back(T::EmptyQueryResponse),
            Work::CopyOut => {
                self.output.extend([
                    T::CopyOutResponse,
                    T::CopyData,
                    T::CopyDone,
                    T::CommandComplete,
                ]);
            }
            Work::Rows | Work::CopyIn | Work::CopyRefused | Work::Fails => {
                self.output
                    .extend([T::DataRow, T::NoticeResponse, T::CommandComplete]);
            }
        }
    }

    fn fail(&mut self) {
        self.output.push_back(T::ErrorResponse);
        self.skipping = true;
    }

    /// Whether it owes nothing, now and after it has read everything that is on its way.
    fn owes_nothing(&self) -> bool {
        let mut later = self.clone();
        while later.read() {}
        later.output.is_empty() && !later.skipping && !later.batch && later.copying.is_none()
    }
}

/// The sidecar's side: what it sends, the queue that it keeps, and what its client has yet to send for its COPYs.
#[derive(Default)]
struct Sidecar {
    replies: Replies,
    server: Server,
    copies_to_end: usize,
    /// The two sides do not agree any more: the connection has been closed.
    lost: bool,
}

impl Sidecar {
    fn act(&mut self, act: Act) {
        match act {
            Act::Send(message) => self.client_sends(message),
            Act::Hidden(works) if self.copies_to_end == 0 && !self.replies.is_skipping() => {
                self.replies.push(Expect::Evict(1));
                self.server.input.push_back(Message::Close);
                self.replies.push(Expect::Parse {
                    statement: None,
                    name: None,
                    hidden: true,
                });
                self.server.input.push_back(Message::Parse(works));
            }
            Act::Answer(answer) if !self.replies.is_skipping() => {
                self.replies.push(Expect::Answer(answer));
            }
            Act::Own
                if self.copies_to_end == 0 && !self.replies.unsynced && !self.replies.skipping =>
            {
                self.replies.push(Expect::Own);
                self.server
                    .input
                    .push_back(Message::Query(vec![Work::Rows]));
            }
            Act::Hidden(_) | Act::Answer(_) | Act::Own => {}
            Act::Read(count) => {
                for _ in 0..count {
                    self.server.read();
                }
            }
            Act::Deliver(count) => {
                for _ in 0..count {
                    self.deliver();
                }
            }
        }
        while self.replies.take_answer().is_some() {}
        if self.replies.is_settled() && !self.lost {
            assert!(
                self.server.owes_nothing(),
                "settled, and yet the server owes something: {:?}",
                self.server
            );
        }
    }

    /// A client that keeps to the protocol sends nothing but data between a COPY and its end.
    fn client_sends(&mut self, message: Message) {
        let of_copy = matches!(
            message,
            Message::CopyData(_) | Message::CopyDone | Message::CopyFail
        );
        if self.copies_to_end > 0 && !of_copy {
            return;
        }
        if self.replies.is_skipping() && message != Message::Sync {
            if of_copy && !matches!(message, Message::CopyData(_)) {
                self.copies_to_end = self.copies_to_end.saturating_sub(1);
            }
            return;
        }
        match &message {
            Message::Parse(_) => self.replies.push(parse()),
            Message::Bind(_) => self.replies.push(Expect::Bind),
            Message::DescribeStatement => self.replies.push(Expect::DescribeStatement),
            Message::DescribePortal => self.replies.push(Expect::DescribePortal),
            Message::Close => self.replies.push(Expect::Close),
            Message::Sync if self.replies.is_copying_in() => {
                self.replies.withhold_sync();
                return;
            }
            Message::Sync => self.replies.push_sync(),
            Message::FunctionCall(_) => self.replies.push(Expect::FunctionCall),
            Message::Execute(work) => {
                self.copies_to_end += usize::from(is_copy(*work));
                self.replies.push(Expect::Execute(None));
            }
            Message::Query(works) => {
                self.copies_to_end += works.iter().filter(|work| is_copy(**work)).count();
                self.replies.push(Expect::Query(None));
            }
            Message::CopyData(_) => {}
            Message::CopyDone | Message::CopyFail => {
                self.copies_to_end = self.copies_to_end.saturating_sub(1);
                self.replies.push_copy_end();
            }
        }
        self.server.input.push_back(message);
    }

    fn deliver(&mut self) {
        if let Some(tag) = self.server.output.pop_front() {
            let step = self.replies.step(tag, drop);
            let lost = !matches!(&step, Ok(step) if !matches!(step, Step::Unsolicited));
            assert!(
                !lost || self.replies.is_doubtful(),
                "{tag:?} gives {step:?}"
            );
            self.lost |= lost;
            if self.replies.take_due_sync() {
                self.replies.push_sync();
                self.server.input.push_back(Message::Sync);
            }
            while self.replies.take_answer().is_some() {}
        }
    }

    /// Everything is ended, read and answered.
    fn rest(&mut self) {
        while self.copies_to_end > 0 {
            self.act(Act::Send(Message::CopyDone));
        }
        self.act(Act::Send(Message::Sync));
        while !self.server.input.is_empty() || !self.server.output.is_empty() {
            self.act(Act::Read(1));
            self.act(Act::Deliver(1));
        }
    }
}

fn is_copy(work: Work) -> bool {
    matches!(work, Work::CopyIn | Work::CopyRefused)
}

fn works() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.9)
}

fn work() -> impl Strategy<Value = Work> {
    prop_oneof![
        4 => Just(Work::Rows),
        1 => Just(Work::Empty),
        1 => Just(Work::CopyOut),
        3 => Just(Work::CopyIn),
        1 => Just(Work::CopyRefused),
        1 => Just(Work::Fails),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        2 => works().prop_map(Message::Parse),
        2 => works().prop_map(Message::Bind),
        1 => Just(Message::DescribeStatement),
        1 => Just(Message::DescribePortal),
        3 => work().prop_map(Message::Execute),
        1 => Just(Message::Close),
        4 => Just(Message::Sync),
        2 => prop::collection::vec(work(), 1..4).prop_map(Message::Query),
        1 => works().prop_map(Message::FunctionCall),
        2 => works().prop_map(Message::CopyData),
        3 => Just(Message::CopyDone),
        1 => Just(Message::CopyFail),
    ]
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        10 => message().prop_map(Act::Send),
        1 => works().prop_map(Act::Hidden),
        1 => prop::sample::select(&[Answer::ParseComplete(None), Answer::CloseComplete(None), Answer::Deallocated(None)][..])
            .prop_map(Act::Answer),
        1 => Just(Act::Own),
        4 => (1usize..4).prop_map(Act::Read),
        4 => (1usize..4).prop_map(Act::Deliver),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn a_settled_queue_means_that_the_server_owes_nothing_and_the_other_way_round(
        acts in prop::collection::vec(act(), 1..60),
    ) {
        let mut sidecar = Sidecar::default();
        for act in acts {
            sidecar.act(act);
        }
        sidecar.rest();
        let (settled, doubtful) = (sidecar.replies.is_settled(), sidecar.replies.is_doubtful());
        prop_assert!(settled != doubtful, "nothing is left, and yet: {:?}", sidecar.replies);
    }
}

/// Sends these at once, reads what has been announced, and says what the server owes when the queue is settled.
fn settled_while_owed(before: &[Message], after: &[Message]) -> bool {
    let mut sidecar = Sidecar::default();
    let send = |sidecar: &mut Sidecar, messages: &[Message]| {
        for message in messages {
            sidecar.copies_to_end = 0;
            sidecar.client_sends(message.clone());
        }
    };
    send(&mut sidecar, before);
    while sidecar.server.read() {}
    while !sidecar.server.output.is_empty() {
        sidecar.deliver();
    }
    send(&mut sidecar, after);
    while sidecar.server.read() {}
    while !sidecar.server.output.is_empty() {
        sidecar.deliver();
        if sidecar.replies.is_settled() && !sidecar.server.owes_nothing() {
            return true;
        }
    }
    false
}

#[test]
fn a_sync_that_a_failed_copy_may_not_have_swallowed_keeps_the_connection_with_its_client() {
    use Message::{CopyData, CopyDone, Execute, Query, Sync};
    let bad = CopyData(false);
    assert!(!settled_while_owed(
        &[Execute(Work::CopyIn)],
        &[bad.clone(), Sync, CopyDone, Sync]
    ));
    assert!(!settled_while_owed(
        &[Query(vec![Work::CopyIn])],
        &[bad, Sync, CopyDone]
    ));
}
