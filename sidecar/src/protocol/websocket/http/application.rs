//! The way to the application, in the same pod.

use std::cell::RefCell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::body::Passed;
use super::front::Here;

/// How long an unused connection is kept: shorter than uvicorn and Node keep theirs (5 s), so that a request does not meet one that is
/// being closed.
const KEPT: Duration = Duration::from_secs(4);

/// Connections that are kept.
const MOST_KEPT: usize = 64;

/// Between two attempts at an application that does not accept yet.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
/// The same, once it has taken its time.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Where an application in the same pod may listen, the usual first.
const HOSTS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::LOCALHOST),
    IpAddr::V6(Ipv6Addr::LOCALHOST),
];

/// The way to one port of the application, from one worker.
#[derive(Debug)]
pub struct Application {
    dial: Dial,
    http1: Client<Dial, Passed>,
    http2: RefCell<Option<http2::SendRequest<Passed>>>,
}

/// Opens connections to the port, whatever the address says.
#[derive(Clone, Copy, Debug)]
struct Dial {
    port: u16,
}

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// Nobody accepts connections.
    Unreachable(io::Error),
    /// The application accepted, and then gave no answer that HTTP knows.
    Broken(Box<dyn std::error::Error + Send + Sync>),
}

impl Application {
    /// The way to this port.
    #[must_use]
    pub fn new(port: u16) -> Self {
        let dial = Dial { port };
        let http1 = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(KEPT)
            .pool_max_idle_per_host(MOST_KEPT)
            .http1_preserve_header_case(true)
            .build(dial);
        Self {
            dial,
            http1,
            http2: RefCell::default(),
        }
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.dial.port
    }

    /// A connection of its own, waited for until `deadline` where the application does not accept yet.
    ///
    /// # Errors
    /// What the last attempt met.
    pub(super) async fn dial(&self, deadline: Instant) -> io::Result<TcpStream> {
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match self.dial.connect().await {
                Ok(stream) => return Ok(stream),
                Err(error) => error,
            };
            if Instant::now() + pause > deadline {
                return Err(error);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    /// Asks for an upgrade on a connection of its own.
    ///
    /// # Errors
    /// The application gave no answer.
    pub(super) async fn upgrade(
        &self,
        stream: TcpStream,
        request: Request<Empty<Bytes>>,
    ) -> hyper::Result<Response<Incoming>> {
        let (mut sender, connection) = http1::Builder::new()
            .preserve_header_case(true)
            .handshake(TokioIo::new(stream))
            .await?;
        spawn_local(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "the application has ended an upgrade");
            }
        });
        sender.send_request(request).await
    }

    /// Passes a request of HTTP/1 on, by a connection that is there or a new one.
    ///
    /// # Errors
    /// See [`Unanswered`].
    pub(super) async fn send(
        &self,
        request: Request<Passed>,
    ) -> Result<Response<Incoming>, Unanswered> {
        self.http1.request(request).await.map_err(|error| {
            if error.is_connect() {
                return Unanswered::Unreachable(io::Error::other(error));
            }
            Unanswered::Broken(error.into())
        })
    }

    /// The same for HTTP/2, all by one connection.
    ///
    /// # Errors
    /// See [`Unanswered`].
    pub(super) async fn send_http2(
        &self,
        request: Request<Passed>,
    ) -> Result<Response<Incoming>, Unanswered> {
        let broken = |error: hyper::Error| Unanswered::Broken(error.into());
        let known = self
            .http2
            .borrow()
            .clone()
            .filter(|sender| !sender.is_closed());
        let mut sender = match known {
            Some(sender) => sender,
            None => {
                let stream = self.dial.connect().await.map_err(Unanswered::Unreachable)?;
                let (sender, connection) = http2::Builder::new(Here)
                    .timer(TokioTimer::new())
                    .handshake(TokioIo::new(stream))
                    .await
                    .map_err(broken)?;
                spawn_local(async move {
                    if let Err(error) = connection.await {
                        tracing::debug!(%error, "the application has ended an HTTP/2 connection");
                    }
                });
                *self.http2.borrow_mut() = Some(sender.clone());
                sender
            }
        };
        sender.ready().await.map_err(broken)?;
        sender.send_request(request).await.map_err(broken)
    }
}

impl Dial {
    async fn connect(self) -> io::Result<TcpStream> {
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        for host in HOSTS {
            match TcpStream::connect(SocketAddr::new(host, self.port)).await {
                Ok(stream) => {
                    stream.set_nodelay(true)?;
                    return Ok(stream);
                }
                // The first one's word is the one that says something: many pods have no IPv6.
                Err(error) if host.is_ipv4() => last = error,
                Err(_) => {}
            }
        }
        Err(last)
    }
}

impl tower_service::Service<Uri> for Dial {
    type Response = TokioIo<TcpStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let dial = *self;
        Box::pin(async move { dial.connect().await.map(TokioIo::new) })
    }
}
