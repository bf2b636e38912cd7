//! The server: a task a connection, and an end that lets requests finish.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;

use crate::routes::answer;
use crate::{Database, Room};

/// How long a client may take to send the head of a request.
const PATIENCE: Duration = Duration::from_secs(10);
/// After an accept that failed, usually for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves the API on `listener` until `stop` is over, then finishes the requests that have begun. Nothing bounds how long that takes but
/// the policy's timeouts, and the pod's grace period.
pub async fn serve(listener: TcpListener, database: Database, stop: impl Future<Output = ()>) {
    let connections = GracefulShutdown::new();
    let room = Room::default();
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
        let (database, room) = (database.clone(), room.clone());
        let service = service_fn(move |request| {
            let (database, room) = (database.clone(), room.clone());
            async move { Ok::<_, Infallible>(answer(request, &database, &room).await) }
        });
        let mut http = auto::Builder::new(TokioExecutor::new()).http1_only();
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(PATIENCE);
        let connection = http
            .serve_connection_with_upgrades(TokioIo::new(stream), service)
            .into_owned();
        // A client that goes away in mid-answer is no news.
        tokio::spawn(connections.watch(connection));
    }
    drop(listener);
    connections.shutdown().await;
}
