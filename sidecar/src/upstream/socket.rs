//! Settings of an upstream TCP socket: no delay, keep-alive, and how long unacknowledged data is waited for.
//!
//! Lives here: the numbers, and why they are so. May not live here: opening sockets.

use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use crate::stream::Stream;

/// Bytes that may be sent in one batch while the user timeout is armed; see [`arm_user_timeout`].
///
/// Half of the receive window that Linux opens by default, so that data below it is acknowledged whether the server reads
/// it or not.
pub const USER_TIMEOUT_ALLOWANCE: u64 = 32 * 1024;

/// The longest silence on an idle connection before the first keep-alive probe.
const MAX_KEEPALIVE: Duration = Duration::from_secs(60);

/// Sets a socket up before it is connected. `patience` is `timeouts.connect`.
///
/// A dead peer of an idle connection is found by keep-alive within `patience` and a probe interval (a second at least), one
/// that leaves data unacknowledged by `TCP_USER_TIMEOUT` (`tcp(7)`). Measured between two network namespaces whose link was
/// cut, with 10 s: 9.8 s idle, 10.5 s with data under way.
pub(super) fn prepare(socket: &SockRef<'_>, patience: Duration) -> io::Result<()> {
    let second = Duration::from_secs(1);
    let idle = (patience / 2).clamp(second, MAX_KEEPALIVE);
    let interval = (patience / 8).clamp(second, MAX_KEEPALIVE);
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_keepalive(
        &TcpKeepalive::new()
            .with_time(idle)
            .with_interval(interval)
            .with_retries(4),
    )?;
    socket.set_tcp_user_timeout(Some(patience))
}

/// Arms the user timeout of an established connection (`Some(timeouts.connect)`), or takes it off (`None`).
///
/// It is armed when a connection is made. Linux also ends a connection whose peer is alive, but has not *read* for so long
/// (a full window counts as untransmitted data; measured on 6.18: a 2 s timeout ended such a connection after 2.5 s). A
/// `COPY` that waits for a lock, or a long pipeline behind a slow statement, is exactly that. So whoever has forwarded more
/// than [`USER_TIMEOUT_ALLOWANCE`] bytes since the last `ReadyForQuery` takes it off, leaves the guard to the statement's
/// own timeout, and arms it again at the next `ReadyForQuery`.
///
/// A Unix socket has no such timeout: nothing happens.
///
/// # Errors
/// What the kernel said.
pub fn arm_user_timeout(stream: &Stream, patience: Option<Duration>) -> io::Result<()> {
    stream.tcp().map_or(Ok(()), |tcp| {
        SockRef::from(tcp).set_tcp_user_timeout(patience)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpStream, UnixStream};

    #[tokio::test]
    async fn the_user_timeout_is_taken_off_and_armed_again() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let tcp = TcpStream::connect(listener.local_addr().unwrap()).await;
        let stream = Stream::Tcp(tcp.unwrap());
        let armed = || {
            let socket = SockRef::from(stream.tcp().unwrap());
            socket.tcp_user_timeout().unwrap().filter(|t| !t.is_zero())
        };
        let patience = Some(Duration::from_secs(10));
        arm_user_timeout(&stream, patience).unwrap();
        assert_eq!(armed(), patience);
        arm_user_timeout(&stream, None).unwrap();
        assert_eq!(armed(), None);
        arm_user_timeout(&stream, patience).unwrap();
        assert_eq!(armed(), patience);
    }

    #[tokio::test]
    async fn a_unix_socket_has_none() {
        let (one, _other) = UnixStream::pair().unwrap();
        arm_user_timeout(&Stream::unix(one).unwrap(), Some(Duration::from_secs(1))).unwrap();
    }
}
