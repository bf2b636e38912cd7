//! One exchange of HTTP on a connection that belongs to somebody else: the head, the answer, and the bytes back untouched.
//!
//! The connection is borrowed, so nothing runs behind the caller's back: whoever waits for an answer drives the connection meanwhile, and
//! whoever stops waiting has it back. It is of use for another exchange where [`Exchange::give_back`] says so.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderValue;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use crate::stream::Stream;

/// Lines of an answer's head: progress may be told in as many as `settings` allows, and the rest is a few.
const HEADERS: usize = 1024;

/// Bytes of an answer's head, and so of what is read at one time.
const BUFFER: usize = 256 * 1024;

/// How long a connection may take from the end of an answer to being ready for the next request.
const TURN_ROUND: Duration = Duration::from_secs(1);

type Connection<'a, B> = http1::Connection<TokioIo<&'a mut Stream>, B>;

/// An exchange under way.
#[derive(Debug)]
pub(super) struct Exchange<'a, B: Body + 'static> {
    sender: http1::SendRequest<B>,
    /// None once it has ended.
    connection: Option<Connection<'a, B>>,
}

impl<'a, B> Exchange<'a, B>
where
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// An exchange on this connection.
    ///
    /// # Errors
    /// The connection has gone.
    pub(super) async fn begin(stream: &'a mut Stream) -> hyper::Result<Self> {
        let (sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .max_headers(HEADERS)
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(stream))
            .await?;
        Ok(Self {
            sender,
            connection: Some(connection),
        })
    }

    /// Sends the request, and waits for the head of its answer. Cancel safe in so far as the connection is of no use afterwards.
    ///
    /// # Errors
    /// The connection is lost, the client's body, or what comes is no HTTP.
    pub(super) async fn head(&mut self, request: Request<B>) -> hyper::Result<Response<Incoming>> {
        let sending = self.sender.send_request(request);
        driving(&mut self.connection, sending).await
    }

    /// The next piece of an answer's body. Cancel safe.
    pub(super) async fn piece(
        &mut self,
        body: &mut Incoming,
    ) -> Option<hyper::Result<Frame<Bytes>>> {
        driving(&mut self.connection, body.frame()).await
    }

    /// Waits for something else, and lets the connection go on meanwhile. Cancel safe.
    pub(super) async fn during<F: Future>(&mut self, other: F) -> F::Output {
        driving(&mut self.connection, other).await
    }

    /// Ends the exchange after the last piece: whether the connection is ready for another one.
    pub(super) async fn give_back(mut self) -> bool {
        let sender = &mut self.sender;
        let ready = poll_fn(|cx| sender.poll_ready(cx));
        let ready = timeout(TURN_ROUND, driving(&mut self.connection, ready)).await;
        let Some(connection) = self.connection.filter(|_| matches!(ready, Ok(Ok(())))) else {
            return false;
        };
        connection.into_parts().read_buf.is_empty()
    }
}

/// Waits for `wanted`, and lets the connection go on, which `wanted` needs. A connection that ends is not asked again: who waits for it
/// hears of that by what it waits for.
async fn driving<B, F>(connection: &mut Option<Connection<'_, B>>, wanted: F) -> F::Output
where
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    F: Future,
{
    let mut wanted = pin!(wanted);
    poll_fn(|cx| {
        if let Poll::Ready(output) = wanted.as_mut().poll(cx) {
            return Poll::Ready(output);
        }
        let Some(driven) = connection else {
            return Poll::Pending;
        };
        if Pin::new(driven).poll(cx).is_ready() {
            *connection = None;
        }
        // It may just have brought about what is waited for.
        wanted.as_mut().poll(cx)
    })
    .await
}

/// For how long a server keeps a connection that it is not asked anything on (`Keep-Alive: timeout=N`), less a second for the way: none
/// where it does not say.
pub(super) fn kept_for(keep_alive: Option<&HeaderValue>) -> Option<Duration> {
    let text = keep_alive?.to_str().ok()?;
    let timeout = text.split(',').find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("timeout").then_some(value)
    })?;
    let seconds: u64 = timeout.trim().parse().ok()?;
    Some(Duration::from_secs(seconds.saturating_sub(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_how_long_it_keeps_a_connection() {
        for (said, kept) in [
            ("timeout=3", Some(2)),
            ("timeout=10, max=9999", Some(9)),
            ("max=5,Timeout = 30", Some(29)),
            ("timeout=0", Some(0)),
            ("max=5", None),
            ("timeout=x", None),
        ] {
            let value = HeaderValue::from_static(said);
            let kept = kept.map(Duration::from_secs);
            assert_eq!(kept_for(Some(&value)), kept, "{said}");
        }
        assert_eq!(kept_for(None), None);
    }
}
