//! The application's messages on their way to a client that may lose its connection: kept, as frames, until it has acknowledged them.
//!
//! ```text
//!          acknowledged │ sent       │ to be sent      │ not whole
//! base ─────────────────┼────────────┼─────────────────┼──────────→
//!                     first        sent              whole        end
//! ```
//!
//! The client is given whole messages only, so that the sidecar's own can stand between any two of them, and so that what is sent again
//! begins where a message does.

use std::collections::VecDeque;

/// Messages that are kept.
#[derive(Debug, Default)]
pub struct Kept {
    /// Their frames; the first byte is the one at `base`.
    bytes: VecDeque<u8>,
    /// Bytes of the session before those.
    base: u64,
    /// Bytes that the client has been given on its present connection, or one before.
    sent: u64,
    /// Where the last whole message ends.
    whole: u64,
    /// Where the last message ends that the client has been given whole, on its present connection.
    gap: u64,
    /// The messages that have not been acknowledged.
    messages: VecDeque<Message>,
    /// How many have been acknowledged.
    acknowledged: u64,
    /// How many of the messages have been sent whole.
    sent_whole: usize,
    /// Whether what is sent is let go of at once: the session will not be resumed.
    lets_go: bool,
}

/// What each message takes beside its bytes, however short it is.
pub const MESSAGE_BYTES: usize = size_of::<Message>();

#[derive(Clone, Copy, Debug)]
struct Message {
    end: u64,
    event: Option<usize>,
}

/// A count that cannot be: of messages that were never sent, or that were acknowledged long ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WrongCount;

impl Kept {
    /// Puts bytes of the message under way at the end.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// The message under way is whole; `event` is the critical event that it is.
    pub fn finish(&mut self, event: Option<usize>) {
        self.whole = self.end();
        let end = self.whole;
        self.messages.push_back(Message { end, event });
    }

    /// Forgets what has come of the message under way.
    pub fn drop_partial(&mut self) {
        let whole = self.whole.saturating_sub(self.base);
        self.bytes.truncate(whole as usize);
    }

    /// Bytes that are kept, with [`MESSAGE_BYTES`] for each message.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() + self.messages.len() * MESSAGE_BYTES
    }

    /// Whether nothing is kept.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes of the message under way.
    #[must_use]
    pub fn partial(&self) -> usize {
        (self.end() - self.whole) as usize
    }

    /// The next bytes for the client; as many as lie together.
    #[must_use]
    pub fn unsent(&self) -> &[u8] {
        self.unsent_to(if self.lets_go { self.end() } else { self.whole })
    }

    /// Those of them that belong to the next message, or to the one that has been begun: something waits for the gap behind it.
    #[must_use]
    pub fn unsent_to_gap(&self) -> &[u8] {
        let message = self.messages.get(self.sent_whole);
        message.map_or_else(|| self.unsent(), |message| self.unsent_to(message.end))
    }

    fn unsent_to(&self, end: u64) -> &[u8] {
        let (from, to) = ((self.sent - self.base) as usize, (end - self.base) as usize);
        let (front, back) = self.bytes.as_slices();
        if from < front.len() {
            return front.get(from..to.min(front.len())).unwrap_or_default();
        }
        let (from, to) = (from - front.len(), to - front.len());
        back.get(from..to).unwrap_or_default()
    }

    /// So many of them have been written.
    pub fn wrote(&mut self, count: usize) {
        self.sent += count as u64;
        while let Some(message) = self.messages.get(self.sent_whole)
            && message.end <= self.sent
        {
            self.gap = message.end;
            self.sent_whole += 1;
        }
    }

    /// Whether the client has been given whole messages.
    #[must_use]
    pub const fn is_between_messages(&self) -> bool {
        self.sent == self.gap
    }

    /// Whether a part of a message that is not whole has gone: the client can be sent no other one until the rest has.
    #[must_use]
    pub const fn is_mid_stream(&self) -> bool {
        self.lets_go && self.sent > self.whole
    }

    /// How many messages the client has acknowledged, and how many have been sent to it whole.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (
            self.acknowledged,
            self.acknowledged + self.sent_whole as u64,
        )
    }

    /// Whether a client may have `count` messages of the session, and all the others are still kept.
    #[must_use]
    pub fn has_sent(&self, count: u64) -> bool {
        let (acknowledged, sent) = self.counts();
        (acknowledged..=sent).contains(&count)
    }

    /// The client has `count` messages of the session: they are let go of. Calls `delivered` with each critical event among them.
    ///
    /// # Errors
    /// They were never sent, or it had said before that it has more.
    pub fn acknowledge(
        &mut self,
        count: u64,
        mut delivered: impl FnMut(usize),
    ) -> Result<(), WrongCount> {
        if self.lets_go {
            return Ok(());
        }
        if !self.has_sent(count) {
            return Err(WrongCount);
        }
        for _ in self.acknowledged..count {
            self.forget_first(&mut delivered);
        }
        Ok(())
    }

    /// The client has come back with `count` messages: what it lacks is to be sent once more.
    ///
    /// # Errors
    /// It has never been sent so many, or has said before that it has more.
    pub fn rewind(&mut self, count: u64, delivered: impl FnMut(usize)) -> Result<(), WrongCount> {
        self.acknowledge(count, delivered)?;
        self.sent = self.base;
        self.gap = self.base;
        self.sent_whole = 0;
        Ok(())
    }

    /// Keeps nothing any more that has been sent: the session will not be resumed.
    pub fn let_go(&mut self) {
        self.lets_go = true;
    }

    /// Whether it does.
    #[must_use]
    pub const fn lets_go(&self) -> bool {
        self.lets_go
    }

    /// Lets go of what has been sent, where nothing is kept. Calls `delivered` with each critical event.
    pub fn trim_sent(&mut self, mut delivered: impl FnMut(usize)) {
        if !self.lets_go {
            return;
        }
        while self.sent_whole > 0 {
            self.forget_first(&mut delivered);
        }
        if self.sent > self.base {
            self.cut(self.sent);
        }
    }

    /// Takes out the critical events that the client has not acknowledged, and will not.
    pub fn take_events(&mut self) -> impl Iterator<Item = usize> {
        self.messages.drain(..).filter_map(|message| message.event)
    }

    fn forget_first(&mut self, delivered: &mut impl FnMut(usize)) {
        let Some(message) = self.messages.pop_front() else {
            return;
        };
        if let Some(event) = message.event {
            delivered(event);
        }
        self.acknowledged += 1;
        self.sent_whole = self.sent_whole.saturating_sub(1);
        self.cut(message.end);
    }

    fn cut(&mut self, to: u64) {
        let count = to.saturating_sub(self.base) as usize;
        self.bytes.drain(..count.min(self.bytes.len()));
        self.base = self.base.max(to);
        self.sent = self.sent.max(self.base);
        if self.bytes.is_empty() {
            // A session that is idle holds nothing.
            self.bytes = VecDeque::new();
        }
    }

    fn end(&self) -> u64 {
        self.base + self.bytes.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kept(messages: &[&[u8]]) -> Kept {
        let mut kept = Kept::default();
        for message in messages {
            kept.push(message);
            kept.finish(None);
        }
        kept
    }

    fn send_all(kept: &mut Kept) -> Vec<u8> {
        let mut out = Vec::new();
        while !kept.unsent().is_empty() {
            out.extend_from_slice(kept.unsent());
            let count = kept.unsent().len();
            kept.wrote(count);
        }
        out
    }

    fn nothing(_: usize) {}

    #[test]
    fn whole_messages_go_and_stay_until_they_are_acknowledged() {
        let mut kept = kept(&[b"one", b"two"]);
        kept.push(b"thr");
        assert_eq!(send_all(&mut kept), b"onetwo");
        assert!(kept.is_between_messages());
        assert_eq!((kept.counts(), kept.len()), ((0, 2), 9 + 2 * MESSAGE_BYTES));
        kept.acknowledge(1, nothing).unwrap();
        assert_eq!((kept.counts(), kept.len()), ((1, 2), 6 + MESSAGE_BYTES));
        kept.push(b"ee");
        kept.finish(None);
        assert_eq!(send_all(&mut kept), b"three");
        kept.acknowledge(3, nothing).unwrap();
        assert!(kept.is_empty());
    }

    #[test]
    fn whoever_comes_back_is_sent_what_they_lack() {
        let mut kept = kept(&[b"one", b"two", b"three"]);
        kept.wrote(4);
        assert!(!kept.is_between_messages());
        kept.rewind(1, nothing).unwrap();
        assert!(kept.is_between_messages());
        assert_eq!(send_all(&mut kept), b"twothree");
        kept.rewind(1, nothing).unwrap();
        assert_eq!(send_all(&mut kept), b"twothree");
        kept.rewind(3, nothing).unwrap();
        assert_eq!(send_all(&mut kept), b"");
    }

    #[test]
    fn counts_that_cannot_be_are_refused() {
        let mut kept = kept(&[b"one", b"two"]);
        kept.wrote(3);
        assert_eq!(kept.acknowledge(2, nothing), Err(WrongCount));
        assert_eq!(kept.acknowledge(1, nothing), Ok(()));
        assert_eq!(kept.acknowledge(0, nothing), Err(WrongCount));
        assert_eq!(kept.rewind(2, nothing), Err(WrongCount));
    }

    #[test]
    fn an_event_is_delivered_when_it_is_acknowledged_and_only_once() {
        let mut kept = Kept::default();
        for event in [None, Some(4), Some(2)] {
            kept.push(b"x");
            kept.finish(event);
        }
        send_all(&mut kept);
        let mut seen = Vec::new();
        kept.rewind(1, |event| seen.push(event)).unwrap();
        assert!(seen.is_empty());
        send_all(&mut kept);
        kept.acknowledge(2, |event| seen.push(event)).unwrap();
        assert_eq!(seen, [4]);
        assert_eq!(kept.take_events().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn what_is_let_go_of_goes_in_parts_and_is_gone() {
        let mut kept = kept(&[b"one"]);
        kept.push(b"par");
        assert_eq!(kept.partial(), 3);
        kept.let_go();
        assert_eq!(send_all(&mut kept), b"onepar");
        kept.trim_sent(nothing);
        assert!(kept.is_empty() && !kept.is_between_messages());
        kept.push(b"tial");
        kept.finish(None);
        assert_eq!(send_all(&mut kept), b"tial");
        kept.trim_sent(nothing);
        assert!(kept.is_between_messages());
        assert_eq!(kept.counts(), (2, 2));
    }

    #[test]
    fn a_message_that_cannot_be_read_leaves_nothing_behind() {
        let mut kept = kept(&[b"one"]);
        kept.push(b"bad");
        kept.drop_partial();
        assert_eq!((send_all(&mut kept), kept.partial()), (b"one".to_vec(), 0));
    }

    proptest! {
        /// However often the connection is lost and wherever, a client that counts gets every message once and in order.
        #[test]
        fn nothing_is_lost_and_nothing_comes_twice(steps in prop::collection::vec((0u8..4, 1usize..9), 1..200)) {
            let mut kept = Kept::default();
            let (mut said, mut heard, mut connection) = (0u8, Vec::new(), Vec::new());
            for (step, size) in steps {
                match step {
                    0 => {
                        // A message says how long it is, and which.
                        let mut message = vec![said; size + 1];
                        message[0] = size as u8;
                        kept.push(&message);
                        kept.finish(None);
                        said += 1;
                    }
                    1 => {
                        let count = kept.unsent().len().min(size);
                        connection.extend_from_slice(&kept.unsent()[..count]);
                        kept.wrote(count);
                        while let Some(&size) = connection.first()
                            && connection.len() > usize::from(size)
                        {
                            let mut message = connection.drain(..=usize::from(size));
                            heard.extend(message.next_back());
                        }
                    }
                    2 => kept.acknowledge(heard.len() as u64, nothing).unwrap(),
                    _ => {
                        connection.clear();
                        kept.rewind(heard.len() as u64, nothing).unwrap();
                        prop_assert!(kept.is_between_messages());
                    }
                }
                prop_assert_eq!(&heard, &(0..heard.len() as u8).collect::<Vec<u8>>());
                prop_assert_eq!(kept.is_between_messages(), connection.is_empty());
            }
            kept.rewind(heard.len() as u64, nothing).unwrap();
            send_all(&mut kept);
            prop_assert_eq!(kept.counts(), (heard.len() as u64, u64::from(said)));
            kept.acknowledge(said.into(), nothing).unwrap();
            prop_assert!(kept.is_empty());
        }
    }
}
