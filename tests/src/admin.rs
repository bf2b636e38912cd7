//! What a process serves on its admin port: plain HTTP, on loopback or in a pod.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, TcpStream};

use crate::PATIENCE;
use crate::metrics::Metrics;

/// The status and body of a GET; none when nobody answers.
#[must_use]
pub fn get(port: u16, path: &str) -> Option<(u16, String)> {
    get_from(Ipv4Addr::LOCALHOST.into(), port, path)
}

/// The same, of a process at another address.
#[must_use]
pub fn get_from(address: IpAddr, port: u16, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect((address, port)).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: bulkhead\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

/// The metrics of this moment.
///
/// # Panics
/// When they are not served.
#[must_use]
pub fn metrics(port: u16) -> Metrics {
    let (status, body) = get(port, "/metrics").expect("an answer from /metrics");
    assert_eq!(status, 200, "{body}");
    Metrics::read(body)
}
