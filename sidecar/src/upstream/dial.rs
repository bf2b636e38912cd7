//! Opening sockets: one address after the other, the next a moment after the last where it is slow to answer (RFC 8305).
//!
//! Lives here: the order, the stagger, and what became of each address. May not live here: names, deadlines (a caller drops
//! the future), and what is spoken on the socket.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::error::Attempt;
use super::socket;

/// How long an address has before the next is tried beside it ("Connection Attempt Delay").
const STAGGER: Duration = Duration::from_millis(250);

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl Address {
    /// The IP address, where it has one.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(address) => Some(address.ip()),
            Self::Unix(_) => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The addresses of one host that have not failed yet.
pub(super) struct Candidates {
    pending: VecDeque<SocketAddr>,
    patience: Duration,
    failed: Vec<Attempt>,
}

impl Candidates {
    pub(super) fn new(addresses: Vec<IpAddr>, port: u16, patience: Duration) -> Self {
        let pending = addresses.into_iter().map(|ip| SocketAddr::new(ip, port));
        Self {
            pending: pending.collect(),
            patience,
            failed: Vec::new(),
        }
    }

    /// Addresses that may still be tried.
    pub(super) fn left(&self) -> usize {
        self.pending.len()
    }

    /// What became of the others.
    pub(super) fn failed(&self) -> &[Attempt] {
        &self.failed
    }

    /// Records an address that accepted a connection and was of no use.
    pub(super) fn fail(&mut self, address: SocketAddr, reason: String) {
        let address = address.to_string();
        self.failed.push(Attempt { address, reason });
    }

    /// The next socket that connects; `None` when no address is left. Sockets still under way then are closed, and their
    /// addresses stay candidates. Dropping the future closes all of them.
    pub(super) async fn next(&mut self) -> Option<(SocketAddr, TcpStream)> {
        let mut racing = JoinSet::new();
        let mut under_way = Vec::new();
        loop {
            if let Some(address) = self.pending.pop_front() {
                under_way.push(address);
                let patience = self.patience;
                racing.spawn(async move { (address, tcp(address, patience).await) });
            }
            let (address, outcome) = tokio::select! {
                joined = racing.join_next() => match joined? {
                    Ok(finished) => finished,
                    // A task ends so only with its runtime.
                    Err(_) => continue,
                },
                () = tokio::time::sleep(STAGGER), if !self.pending.is_empty() => continue,
            };
            under_way.retain(|other| *other != address);
            match outcome {
                Ok(stream) => {
                    under_way
                        .into_iter()
                        .rev()
                        .for_each(|a| self.pending.push_front(a));
                    return Some((address, stream));
                }
                Err(e) => self.fail(address, e.to_string()),
            }
        }
    }
}

/// One TCP connection, set up before its first packet.
pub(super) async fn tcp(address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket::prepare(&SockRef::from(&socket), patience)?;
    socket.connect(address).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::net::TcpListener;

    /// Loopback addresses that differ, of which `good` alone listens.
    async fn one_that_listens() -> (TcpListener, IpAddr, u16) {
        let good = IpAddr::from([127, 0, 0, 3]);
        let listener = TcpListener::bind((good, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, good, port)
    }

    #[tokio::test]
    async fn an_address_that_refuses_is_passed_over_and_remembered() {
        let (_listener, good, port) = one_that_listens().await;
        let refusing = IpAddr::from([127, 0, 0, 2]);
        let mut candidates = Candidates::new(vec![refusing, good], port, Duration::from_secs(5));
        let (address, _socket) = candidates.next().await.unwrap();
        assert_eq!(address, SocketAddr::new(good, port));
        assert_eq!(candidates.failed()[0].address, format!("127.0.0.2:{port}"));
        assert!(candidates.next().await.is_none());
    }

    #[tokio::test]
    async fn no_address_is_no_socket() {
        let mut candidates = Candidates::new(Vec::new(), 1, Duration::from_secs(5));
        assert!(candidates.next().await.is_none());
    }

    #[tokio::test]
    async fn a_socket_gives_up_on_a_dead_peer_within_the_timeout() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let patience = Duration::from_secs(10);
        let stream = tcp(listener.local_addr().unwrap(), patience).await.unwrap();
        let socket = SockRef::from(&stream);
        assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(patience));
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(5));
    }
}
