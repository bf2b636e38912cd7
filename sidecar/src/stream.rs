//! One byte stream, whatever carries it: TCP, TLS over TCP, or a Unix socket.
//!
//! Both sides of the sidecar use it, so that the relay is written once and dispatches by an enum, never by a trait object.

mod unix;

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{client, server};

pub use unix::UnixSocket;

/// A connected byte stream.
#[derive(Debug)]
pub enum Stream {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixSocket),
    /// TLS, with the sidecar as the server (a client connection).
    TlsServer(Box<server::TlsStream<TcpStream>>),
    /// TLS, with the sidecar as the client (an upstream connection).
    TlsClient(Box<client::TlsStream<TcpStream>>),
    /// None any more: it reads as ended, and takes nothing.
    Gone,
}

impl Stream {
    /// A Unix socket that the runtime has accepted or connected.
    ///
    /// # Errors
    /// What the system says, where it cannot be registered anew.
    pub fn unix(socket: UnixStream) -> io::Result<Self> {
        UnixSocket::take_over(socket).map(Self::Unix)
    }

    /// The TCP socket underneath, where there is one.
    #[must_use]
    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Tcp(tcp) => Some(tcp),
            Self::Unix(_) | Self::Gone => None,
            Self::TlsServer(tls) => Some(tls.get_ref().0),
            Self::TlsClient(tls) => Some(tls.get_ref().0),
        }
    }

    /// Whether the bytes are encrypted on the wire.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        matches!(self, Self::TlsServer(_) | Self::TlsClient(_))
    }

    /// Whether the runtime knows that nothing has come: one atomic load, where a read would enter a waker. `false` is no
    /// answer, and TLS has none, because it may hold bytes that have come.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let ready = match self {
            Self::Tcp(tcp) => tcp.try_io(Interest::READABLE, || Ok(())),
            Self::Unix(unix) => return unix.is_quiet(),
            Self::TlsServer(_) | Self::TlsClient(_) | Self::Gone => return false,
        };
        ready.is_err()
    }

    /// Moves the socket's registration to the runtime that this is called in. Until then the runtime that opened it hears of
    /// every readiness first, and wakes the other one by a system call.
    ///
    /// # Errors
    /// No file descriptor is left for the moment in which there are two.
    pub fn settle_here(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => settle_tcp(tcp),
            Self::Unix(unix) => unix.settle_here(),
            Self::TlsServer(tls) => settle_tcp(tls.get_mut().0),
            Self::TlsClient(tls) => settle_tcp(tls.get_mut().0),
            Self::Gone => Ok(()),
        }
    }
}

fn settle_tcp(tcp: &mut TcpStream) -> io::Result<()> {
    let socket: std::net::TcpStream = tcp.as_fd().try_clone_to_owned()?.into();
    *tcp = TcpStream::from_std(socket)?;
    Ok(())
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_read(cx, buf),
            Self::Unix(io) => io.poll_read(cx, buf),
            Self::TlsServer(io) => Pin::new(io).poll_read(cx, buf),
            Self::TlsClient(io) => Pin::new(io).poll_read(cx, buf),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_write(cx, buf),
            Self::Unix(io) => io.poll_write(cx, buf),
            Self::TlsServer(io) => Pin::new(io).poll_write(cx, buf),
            Self::TlsClient(io) => Pin::new(io).poll_write(cx, buf),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Self::Unix(io) => io.poll_write_vectored(cx, bufs),
            Self::TlsServer(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Self::TlsClient(io) => Pin::new(io).poll_write_vectored(cx, bufs),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(io) => io.is_write_vectored(),
            Self::Unix(_) => true,
            Self::TlsServer(io) => io.is_write_vectored(),
            Self::TlsClient(io) => io.is_write_vectored(),
            Self::Gone => false,
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_flush(cx),
            Self::TlsServer(io) => Pin::new(io).poll_flush(cx),
            Self::TlsClient(io) => Pin::new(io).poll_flush(cx),
            Self::Unix(_) | Self::Gone => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(io) => Pin::new(io).poll_shutdown(cx),
            Self::Unix(io) => Poll::Ready(io.shutdown()),
            Self::TlsServer(io) => Pin::new(io).poll_shutdown(cx),
            Self::TlsClient(io) => Pin::new(io).poll_shutdown(cx),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}
