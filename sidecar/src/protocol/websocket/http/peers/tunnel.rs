//! Carries bytes between a client and the pod where its session lives. What they are is those two's business: pings, limits and goodbyes
//! come from there.
//!
//! A side is not read while the other takes nothing, and a buffer is held for as long only: that is what bounds the memory of a tunnel.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::downcast;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use super::super::front::Front;
use crate::relay::{Inbox, Slab};
use crate::stream::Stream;

/// How long the second of two ends is waited for.
const LINGER: Duration = Duration::from_secs(5);

/// Carries bytes until both sides have ended, or this pod leaves: a client that is cut off comes back by another one.
pub(super) async fn run(front: Front, client: OnUpgrade, other: OnUpgrade) {
    let process = &front.worker.process;
    let _open = process.open();
    let patience = front.entry.force_now().settings.handshake;
    let both = async { tokio::try_join!(client, other) };
    let Ok(Ok((client, other))) = timeout(patience, both).await else {
        return;
    };
    let Some(mut tunnel) = Tunnel::between(&front.worker.slab, client, other) else {
        // Both were made of these streams here.
        tracing::error!("an upgraded connection is not the stream that it was made of");
        return;
    };
    let mut leaving = front.worker.leaving.subscribe();
    let left = async {
        let _ = leaving.wait_for(|leaving| *leaving).await;
        let moment = front.worker.jitter.part_of(process.drain_period());
        tokio::time::sleep(moment).await;
    };
    tokio::select! {
        () = tunnel.carry() => {}
        () = left => {}
    }
}

/// Two streams whose bytes go from one to the other.
struct Tunnel<A, B> {
    client: A,
    other: B,
    up: Way,
    down: Way,
}

/// What is under way in one direction.
struct Way {
    inbox: Inbox,
    /// Whether something was written that TLS may still hold back.
    is_held: bool,
    /// Whether nothing more comes.
    has_ended: bool,
    /// Whether the receiver knows.
    is_told: bool,
}

impl Tunnel<Stream, Stream> {
    /// The streams of which hyper has made these, and what it has read of them too far.
    fn between(slab: &Slab, client: Upgraded, other: Upgraded) -> Option<Self> {
        let client = downcast::<TokioIo<Stream>>(client).ok()?;
        let other = other.downcast::<TokioIo<Stream>>().ok()?;
        let up = Way::new(slab, &client.read_buf);
        let down = Way::new(slab, &other.read_buf);
        Some(Self {
            client: client.io.into_inner(),
            other: other.io.into_inner(),
            up,
            down,
        })
    }
}

impl<A, B> Tunnel<A, B>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    /// Carries until both have ended; the second one is waited for a while.
    async fn carry(&mut self) {
        poll_fn(|cx| either(self.poll(cx))).await;
        let rest = poll_fn(|cx| both(self.poll(cx)));
        // Whoever has not ended by then is cut off.
        let _ = timeout(LINGER, rest).await;
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> [Poll<()>; 2] {
        let Self {
            client,
            other,
            up,
            down,
        } = self;
        [up.poll(client, other, cx), down.poll(other, client, cx)]
    }
}

fn either(ways: [Poll<()>; 2]) -> Poll<()> {
    let ready = ways.iter().any(Poll::is_ready);
    if ready {
        Poll::Ready(())
    } else {
        Poll::Pending
    }
}

fn both(ways: [Poll<()>; 2]) -> Poll<()> {
    let ready = ways.iter().all(Poll::is_ready);
    if ready {
        Poll::Ready(())
    } else {
        Poll::Pending
    }
}

impl Way {
    fn new(slab: &Slab, early: &[u8]) -> Self {
        let mut inbox = Inbox::new(slab.clone());
        inbox.preload(early);
        Self {
            inbox,
            is_held: false,
            has_ended: false,
            is_told: false,
        }
    }

    /// Moves what can be moved. Ready when the sender has ended and the receiver has been told, or takes nothing any more: what that one
    /// still says is the other way's.
    fn poll<A, B>(&mut self, from: &mut A, to: &mut B, cx: &mut Context<'_>) -> Poll<()>
    where
        A: AsyncRead + Unpin,
        B: AsyncWrite + Unpin,
    {
        while !self.is_told {
            if let Err(error) = ready!(self.step(from, to, cx)) {
                tracing::debug!(%error, "a tunnel to another pod has ended");
                self.is_told = true;
            }
        }
        Poll::Ready(())
    }

    /// One read or one write.
    fn step<A, B>(&mut self, from: &mut A, to: &mut B, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        A: AsyncRead + Unpin,
        B: AsyncWrite + Unpin,
    {
        let to = Pin::new(to);
        if !self.inbox.is_empty() {
            let written = ready!(to.poll_write(cx, self.inbox.bytes()))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.inbox.consume(written);
            self.is_held = true;
        } else if self.has_ended {
            ready!(to.poll_shutdown(cx))?;
            self.is_told = true;
        } else if let Poll::Ready(read) = self.inbox.poll_fill(from, cx) {
            // One that is cut off has ended too.
            self.has_ended = matches!(read, Ok(0) | Err(_));
        } else {
            if self.is_held {
                ready!(to.poll_flush(cx))?;
                self.is_held = false;
            }
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests;
