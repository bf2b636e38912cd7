//! What the relay holds between two sockets: borrowed buffers, an inbox a side and an outbox a side.
//!
//! An idle connection holds no buffer: the inbox borrows one from the worker's [`Slab`] only for as long as it has unread
//! bytes, and the outbox for as long as its peer has not taken them. The buffer that was given back last is lent first: it is
//! the one that the processor still has in its cache. Memory is bounded because a side is not read while
//! the other side's outbox is not empty; nothing here knows a protocol.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of one buffer of the slab: what one `read` takes at the most. A message of 16 KiB fits with its header, so that it is one read and one
/// write, not two.
pub const BUFFER_BYTES: usize = 16 * 1024 + 32;

/// Buffers that are kept when nobody holds them; more are given back to the allocator.
const SPARE_BUFFERS: usize = 64;

/// The buffers of one worker.
#[derive(Clone, Debug, Default)]
pub struct Slab(Rc<Free>);

#[derive(Debug, Default)]
struct Free {
    /// Of full length, so that a read may write anywhere in them.
    inboxes: RefCell<Vec<Vec<u8>>>,
    /// Empty, so that a message is written behind the one before.
    outboxes: RefCell<Vec<Vec<u8>>>,
}

impl Slab {
    /// A buffer of [`BUFFER_BYTES`]; its whole length may be written to.
    fn lend_inbox(&self) -> Vec<u8> {
        let kept = self.0.inboxes.borrow_mut().pop();
        kept.unwrap_or_else(|| vec![0; BUFFER_BYTES])
    }

    /// Takes a buffer back; one that has grown goes to the allocator instead.
    fn take_inbox(&self, buffer: Vec<u8>) {
        let mut free = self.0.inboxes.borrow_mut();
        if buffer.len() == BUFFER_BYTES && free.len() < SPARE_BUFFERS {
            free.push(buffer);
        }
    }

    /// An empty buffer with room for [`BUFFER_BYTES`].
    fn lend_outbox(&self) -> Vec<u8> {
        let kept = self.0.outboxes.borrow_mut().pop();
        kept.unwrap_or_else(|| Vec::with_capacity(BUFFER_BYTES))
    }

    /// Takes a buffer back; one that has grown goes to the allocator instead.
    fn take_outbox(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut free = self.0.outboxes.borrow_mut();
        if buffer.capacity() == BUFFER_BYTES && free.len() < SPARE_BUFFERS {
            free.push(buffer);
        }
    }
}

/// Bytes that a peer has sent and nobody has dealt with.
#[derive(Debug)]
pub struct Inbox {
    slab: Slab,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Inbox {
    /// An empty inbox, holding nothing.
    #[must_use]
    pub const fn new(slab: Slab) -> Self {
        Self {
            slab,
            buffer: Vec::new(),
            start: 0,
            end: 0,
        }
    }

    /// Where its buffers come from.
    #[must_use]
    pub fn slab(&self) -> Slab {
        self.slab.clone()
    }

    /// The unread bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// How many bytes are unread.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether nothing is unread.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Marks the first `count` unread bytes as dealt with, and gives the buffer back when none are left.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
            if !self.buffer.is_empty() {
                self.slab.take_inbox(std::mem::take(&mut self.buffer));
            }
        }
    }

    /// Takes `count` bytes out from behind the first `at`: they are dealt with, and those before them are not.
    pub fn remove(&mut self, at: usize, count: usize) {
        let at = at.min(self.len());
        let count = count.min(self.len() - at);
        let (from, to) = (self.start + at, self.start + at + count);
        // The shorter part is moved: what a peer has not taken yet, mostly nothing, or what has come behind.
        if at <= self.end - to {
            self.buffer
                .copy_within(self.start..from, self.start + count);
            self.consume(count);
        } else {
            self.buffer.copy_within(to..self.end, from);
            self.end -= count;
            self.consume(0);
        }
    }

    /// Puts bytes that somebody else has already read in front of what comes next.
    pub fn preload(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.make_room(bytes.len());
        self.buffer[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Makes sure that a message of `total` bytes fits, so that [`Inbox::poll_fill`] can complete it.
    pub fn reserve(&mut self, total: usize) {
        let missing = total.saturating_sub(self.len());
        self.make_room(missing);
    }

    /// Reads once. `Ok(0)` is the peer's end of stream.
    ///
    /// Cancel safe: a buffer is borrowed for the call, and held afterwards only if bytes have arrived.
    ///
    /// # Errors
    /// What the socket says.
    pub fn poll_fill<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.make_room(1);
        let mut target = ReadBuf::new(&mut self.buffer[self.end..]);
        let outcome = Pin::new(stream).poll_read(cx, &mut target);
        let count = target.filled().len();
        self.end += count;
        if count == 0 {
            self.consume(0);
        }
        outcome.map_ok(|()| count)
    }

    fn make_room(&mut self, count: usize) {
        if self.buffer.is_empty() {
            self.buffer = self.slab.lend_inbox();
        }
        if self.buffer.len() - self.end >= count.max(1) {
            return;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        if self.buffer.len() - self.end < count.max(1) {
            self.buffer.resize(self.end + count, 0);
        }
    }
}

impl Drop for Inbox {
    fn drop(&mut self) {
        if !self.buffer.is_empty() {
            self.slab.take_inbox(std::mem::take(&mut self.buffer));
        }
    }
}

/// Bytes on their way to a peer.
#[derive(Debug)]
pub struct Outbox {
    slab: Slab,
    buffer: Vec<u8>,
    sent: usize,
}

impl Outbox {
    /// An empty outbox, holding nothing.
    #[must_use]
    pub const fn new(slab: Slab) -> Self {
        Self {
            slab,
            buffer: Vec::new(),
            sent: 0,
        }
    }

    /// Whether the peer has been given everything.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Bytes that are held: what waits, and what has gone ahead of it in the same buffer.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Puts bytes at the end of what waits.
    pub fn push(&mut self, bytes: &[u8]) {
        self.writer().extend_from_slice(bytes);
    }

    /// Where message writers append.
    pub fn writer(&mut self) -> &mut Vec<u8> {
        if self.buffer.capacity() == 0 {
            self.buffer = self.slab.lend_outbox();
        }
        &mut self.buffer
    }

    /// Whether the peer has been given a part of what waits.
    #[must_use]
    pub const fn is_begun(&self) -> bool {
        self.sent > 0
    }

    /// What the peer has not been given.
    #[must_use]
    pub fn unsent(&self) -> &[u8] {
        self.buffer.get(self.sent..).unwrap_or_default()
    }

    /// Drops what the peer has not been given.
    pub fn discard(&mut self) {
        self.sent = 0;
        self.buffer.clear();
    }

    /// Writes until the peer has everything or takes no more.
    ///
    /// Cancel safe: what has been written is remembered.
    ///
    /// # Errors
    /// What the socket says; `WriteZero` where it takes nothing.
    pub fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.buffer.capacity() == 0 {
            return Poll::Ready(Ok(()));
        }
        while self.sent < self.buffer.len() {
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, &self.buffer[self.sent..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written;
        }
        // Only TLS holds something back, and then keeps the buffer until that has gone too.
        ready!(Pin::new(stream).poll_flush(cx))?;
        self.sent = 0;
        self.slab.take_outbox(std::mem::take(&mut self.buffer));
        Poll::Ready(Ok(()))
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        if self.buffer.capacity() > 0 {
            self.slab.take_outbox(std::mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(inbox: &mut Inbox, mut from: &[u8]) -> usize {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match inbox.poll_fill(&mut from, &mut cx) {
            Poll::Ready(Ok(count)) => count,
            other => panic!("a slice is always ready: {other:?}"),
        }
    }

    #[test]
    fn an_inbox_gives_its_buffer_back_when_it_is_empty() {
        let slab = Slab::default();
        let mut inbox = Inbox::new(slab.clone());
        assert_eq!(fill(&mut inbox, b"abc"), 3);
        assert!(slab.0.inboxes.borrow().is_empty());
        inbox.consume(3);
        assert_eq!(slab.0.inboxes.borrow().len(), 1);
    }

    #[test]
    fn an_end_of_stream_leaves_no_buffer_behind() {
        let slab = Slab::default();
        let mut inbox = Inbox::new(slab.clone());
        assert_eq!(fill(&mut inbox, b""), 0);
        assert_eq!(slab.0.inboxes.borrow().len(), 1);
    }

    #[test]
    fn an_inbox_grows_to_the_message_that_must_be_whole() {
        let mut inbox = Inbox::new(Slab::default());
        inbox.preload(&[7; 10]);
        inbox.consume(4);
        inbox.reserve(BUFFER_BYTES * 2);
        let rest = vec![9; BUFFER_BYTES * 2 - 6];
        assert_eq!(fill(&mut inbox, &rest), rest.len());
        assert_eq!(inbox.len(), BUFFER_BYTES * 2);
        assert_eq!(&inbox.bytes()[..7], &[7, 7, 7, 7, 7, 7, 9]);
    }

    #[test]
    fn bytes_are_taken_out_from_behind_others() {
        let mut inbox = Inbox::new(Slab::default());
        inbox.preload(b"clearedPONGrest");
        inbox.remove(7, 4);
        assert_eq!(inbox.bytes(), b"clearedrest");
        inbox.remove(7, 4);
        assert_eq!(inbox.bytes(), b"cleared");
        inbox.remove(0, 7);
        assert!(inbox.is_empty());
        inbox.remove(3, 3);
        assert!(inbox.is_empty());
    }

    #[test]
    fn an_outbox_keeps_what_the_peer_has_not_taken() {
        let mut outbox = Outbox::new(Slab::default());
        outbox.push(b"hello");
        let mut sink = Vec::new();
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(outbox.poll_flush(&mut sink, &mut cx).is_ready());
        assert_eq!(sink, b"hello");
        assert!(outbox.is_empty());
    }
}
