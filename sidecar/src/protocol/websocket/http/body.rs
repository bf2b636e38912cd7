//! Bodies: the peer's, passed on as they come, or a few words of our own.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Response;
use http_body_util::{Either, Full};
use hyper::body::{Body as Streamed, Frame, Incoming, SizeHint};

use super::super::handshake::passable_trailers;

/// What the client is sent.
pub(super) type Body = Either<Passed, Full<Bytes>>;

/// The body of a peer as the other one gets it: its trailers say nothing that its headers may not say.
#[derive(Debug)]
pub(super) struct Passed(pub(super) Incoming);

/// An answer of our own.
pub(super) fn own(response: Response<String>) -> Response<Body> {
    response.map(|text| Either::Right(Full::new(text.into())))
}

impl Streamed for Passed {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.0).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map(passable)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

fn passable(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            passable_trailers(&mut trailers);
            Frame::trailers(trailers)
        }
        Err(frame) => frame,
    }
}
