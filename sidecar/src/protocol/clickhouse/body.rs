//! Bodies: passed on piece by piece as they come, never kept whole.
//!
//! A client's body may have been looked at: what has been read of it stands in front. An answer goes through a channel with room for one
//! piece, because it may come from another worker's thread: as long as the client does not read, the server is not read either.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use thiserror::Error;
use tokio::sync::mpsc;

/// What a client is sent.
pub(super) type Answer = Either<Relayed, Full<Bytes>>;

/// Pieces of an answer that are on their way between two workers.
const ON_THEIR_WAY: usize = 1;

/// An answer that ends before its end: the client must not take what it has for the whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the answer was cut off")]
pub struct Cut;

/// The server's answer, as it arrives.
#[derive(Debug)]
pub struct Relayed {
    pieces: mpsc::Receiver<Result<Frame<Bytes>, Cut>>,
    /// Bytes that are still to come, where their number has been said.
    left: Option<u64>,
    over: bool,
    /// Whether the next thing said is that it was cut off.
    cut: bool,
}

/// The end of the channel at which the server is read.
pub(super) type Pieces = mpsc::Sender<Result<Frame<Bytes>, Cut>>;

impl Relayed {
    /// An answer of this size, and where its pieces go in. Where the sender is dropped before it has said that all is there, the client
    /// sees that it is not.
    pub(super) fn new(size: &SizeHint) -> (Pieces, Self) {
        let (sender, pieces) = mpsc::channel(ON_THEIR_WAY);
        let left = size.exact();
        let over = left == Some(0);
        let relayed = Self {
            pieces,
            left,
            over,
            cut: false,
        };
        (sender, relayed)
    }
}

/// Whether a piece holds nothing that a client of a database reads: no bytes, or trailers.
pub(super) fn says_nothing(frame: &Frame<Bytes>) -> bool {
    frame.data_ref().is_none_or(Bytes::is_empty)
}

/// Says that all of an answer is there.
pub(super) fn end() -> Result<Frame<Bytes>, Cut> {
    Ok(Frame::data(Bytes::new()))
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let piece = ready!(self.pieces.poll_recv(cx));
        Poll::Ready(match piece {
            Some(Ok(frame)) if frame.data_ref().is_some_and(Bytes::is_empty) => {
                self.over = true;
                None
            }
            Some(piece) => {
                let data = piece.as_ref().ok().and_then(Frame::data_ref);
                let read = data.map_or(0, |data| data.len() as u64);
                self.left = self.left.map(|left| left.saturating_sub(read));
                // Nobody waits for the end of what is all there.
                self.over = self.left == Some(0);
                Some(piece)
            }
            // Whoever writes drops what it has not written once it hears of an error: first it gets a turn to write.
            None if !self.cut => {
                self.cut = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            None => {
                self.over = true;
                Some(Err(Cut))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// What a client sends: what has been read of it, and the rest.
#[derive(Debug)]
pub struct Sent {
    first: Bytes,
    rest: Incoming,
}

impl Sent {
    /// Nothing of it has been read.
    pub(super) fn new(body: Incoming) -> Self {
        Self {
            first: Bytes::new(),
            rest: body,
        }
    }

    /// Reads its beginning, so many bytes at the most and no more than has come when the client pauses.
    ///
    /// # Errors
    /// The client has gone, or broken the protocol.
    pub(super) async fn look(&mut self, most: usize) -> hyper::Result<&[u8]> {
        const PAUSE: std::time::Duration = std::time::Duration::from_millis(250);
        let mut read = BytesMut::from(&self.first[..]);
        while read.len() < most && !self.rest.is_end_stream() {
            let Ok(frame) = tokio::time::timeout(PAUSE, self.rest.frame()).await else {
                break;
            };
            let Some(frame) = frame else { break };
            if let Ok(data) = frame?.into_data() {
                read.extend_from_slice(&data);
            }
        }
        self.first = read.freeze();
        Ok(&self.first)
    }

    /// What has been looked at, and whether that is all.
    pub(super) fn looked_at(&self) -> (&[u8], bool) {
        (&self.first, self.rest.is_end_stream())
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if !self.first.is_empty() {
            let first = std::mem::take(&mut self.first);
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        loop {
            let frame = ready!(Pin::new(&mut self.rest).poll_frame(cx));
            // Nothing reads the trailers of a query.
            if let Some(Ok(frame)) = &frame
                && frame.is_trailers()
            {
                continue;
            }
            return Poll::Ready(frame);
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let read = self.first.len() as u64;
        let rest = self.rest.size_hint();
        let mut size = SizeHint::new();
        size.set_lower(rest.lower().saturating_add(read));
        if let Some(upper) = rest.upper() {
            size.set_upper(upper.saturating_add(read));
        }
        size
    }
}

/// A body on its way to the server, and what has become of it.
#[derive(Debug)]
pub(super) struct Upload<B> {
    body: B,
    state: Rc<Cell<Uploaded>>,
}

/// How far an upload has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Uploaded {
    /// More is to come.
    #[default]
    Partly,
    /// All of it has been read.
    Whole,
    /// The client has gone in the middle.
    CutOff,
}

impl<B: Body> Upload<B> {
    pub(super) fn new(body: B) -> (Self, Rc<Cell<Uploaded>>) {
        let whole = body.is_end_stream();
        let state = Rc::new(Cell::new(if whole {
            Uploaded::Whole
        } else {
            Uploaded::Partly
        }));
        let shared = Rc::clone(&state);
        (Self { body, state }, shared)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Upload<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Err(_)) => self.state.set(Uploaded::CutOff),
            None => self.state.set(Uploaded::Whole),
            Some(Ok(_)) if self.body.is_end_stream() => self.state.set(Uploaded::Whole),
            Some(Ok(_)) => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer of the sidecar's own.
pub(super) fn own(text: String) -> Answer {
    Either::Right(Full::new(text.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_is_whole_where_its_end_has_been_said() {
        let (pieces, relayed) = Relayed::new(&SizeHint::new());
        tokio::spawn(async move {
            pieces.send(Ok(Frame::data("a".into()))).await.unwrap();
            pieces.send(Ok(Frame::data("b".into()))).await.unwrap();
            pieces.send(end()).await.unwrap();
        });
        assert_eq!(relayed.collect().await.unwrap().to_bytes(), "ab");
    }

    #[tokio::test]
    async fn an_answer_whose_end_nobody_says_is_cut_off() {
        let (pieces, mut relayed) = Relayed::new(&SizeHint::new());
        tokio::spawn(async move { pieces.send(Ok(Frame::data("a".into()))).await });
        assert!(relayed.frame().await.unwrap().is_ok());
        assert_eq!(relayed.frame().await.unwrap().unwrap_err(), Cut);
        assert!(relayed.frame().await.is_none());
    }

    #[tokio::test]
    async fn an_answer_whose_length_was_said_is_whole_without_an_end() {
        let (pieces, relayed) = Relayed::new(&SizeHint::with_exact(2));
        pieces.try_send(Ok(Frame::data("ab".into()))).unwrap();
        drop(pieces);
        assert_eq!(relayed.collect().await.unwrap().to_bytes(), "ab");
        let (_, nothing) = Relayed::new(&SizeHint::with_exact(0));
        assert!(nothing.is_end_stream());
    }

    #[tokio::test]
    async fn no_more_than_one_piece_waits() {
        let (pieces, _relayed) = Relayed::new(&SizeHint::new());
        pieces.try_send(Ok(Frame::data("a".into()))).unwrap();
        assert!(pieces.try_send(Ok(Frame::data("b".into()))).is_err());
    }
}
