//! `/healthz`, `/readyz` and `/metrics`, over plain HTTP.
//!
//! Ready is a replica that can answer reviews. Who leads has nothing to do with it: every replica serves.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::metrics::Metrics;

/// Connections at one time: a scraper, the kubelet, and room.
const CONNECTIONS: usize = 64;

/// How long the headers of a request may take, and how long a connection may live.
const HEADERS: Duration = Duration::from_secs(5);
const LIFETIME: Duration = Duration::from_secs(120);

/// What stands between this replica and being ready; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Marks>);

#[derive(Debug, Default)]
struct Marks {
    certificate: AtomicBool,
    draining: AtomicBool,
}

impl Readiness {
    /// There is a certificate to show.
    pub fn certificate_loaded(&self) {
        self.0.certificate.store(true, Ordering::Relaxed);
    }

    /// The process is about to end.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    /// What keeps this replica from being ready, or none.
    #[must_use]
    pub fn missing(&self) -> Option<&'static str> {
        if self.0.draining.load(Ordering::Relaxed) {
            return Some("draining");
        }
        if !self.0.certificate.load(Ordering::Relaxed) {
            return Some("waiting for the webhooks' certificate");
        }
        None
    }
}

/// Serves until it is dropped.
///
/// # Errors
/// Those of accepting a connection that concern the listener.
pub async fn serve(
    listener: TcpListener,
    readiness: Readiness,
    metrics: Metrics,
) -> std::io::Result<Infallible> {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            // Never: nobody closes it.
            return std::future::pending().await;
        };
        let (stream, _) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                crate::server::pause_after(&error).await;
                continue;
            }
        };
        let (readiness, metrics) = (readiness.clone(), metrics.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| {
                let reply = answer(&request, &readiness, &metrics);
                async { Ok::<_, Infallible>(reply) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADERS)
                .max_header_size(16 * 1024)
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away ends nothing but its connection.
            let _ = tokio::time::timeout(LIFETIME, connection).await;
            drop(place);
        });
    }
}

/// Opens the port.
///
/// # Errors
/// Those of the system; the message names the address.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    match TcpListener::bind(address).await {
        // A host without IPv6 has all its addresses in the other family.
        Err(_) if address.ip() == std::net::Ipv6Addr::UNSPECIFIED => {
            TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    }
    .map_err(|error| {
        std::io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

fn answer(
    request: &Request<Incoming>,
    readiness: &Readiness,
    metrics: &Metrics,
) -> Response<Full<Bytes>> {
    if request.method() != Method::GET && request.method() != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "GET alone\n");
    }
    match request.uri().path() {
        "/healthz" => text(StatusCode::OK, "ok\n"),
        "/readyz" => match readiness.missing() {
            None => text(StatusCode::OK, "ok\n"),
            Some(missing) => text(StatusCode::SERVICE_UNAVAILABLE, missing),
        },
        "/metrics" => match metrics.expose() {
            Ok(exposition) => {
                let mut reply = text(StatusCode::OK, exposition);
                reply.headers_mut().insert(
                    CONTENT_TYPE,
                    HeaderValue::from_static(prometheus::TEXT_FORMAT),
                );
                reply
            }
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        },
        _ => text(StatusCode::NOT_FOUND, "/healthz, /readyz, /metrics\n"),
    }
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut reply = Response::new(Full::new(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    reply
}
