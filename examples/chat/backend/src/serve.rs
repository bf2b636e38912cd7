//! The server: a task a connection, and an end that lets requests finish.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;

use crate::Database;
use crate::routes::answer;

/// How long a client may take to send the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// After an accept that failed, usually for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves the API on `listener` until `stop` is over, then finishes the requests that have begun. Nothing bounds how long that takes but
/// the policy's timeouts, and the pod's grace period.
pub async fn serve(listener: TcpListener, database: Database, stop: impl Future<Output = ()>) {
    let connections = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let stream = tokio::select! {
            () = &mut stop => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    eprintln!("accept failed: {error}");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            },
        };
        let database = database.clone();
        let service = service_fn(move |request| {
            let database = database.clone();
            async move { Ok::<_, Infallible>(answer(request, &database).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE)
            .serve_connection(TokioIo::new(stream), service);
        // A client that goes away in mid-answer is no news.
        tokio::spawn(connections.watch(connection));
    }
    drop(listener);
    connections.shutdown().await;
}
