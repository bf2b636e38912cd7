//! Listening sockets: what every door of the sidecar is opened with.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

/// Listens on an address; port 0 lets the kernel choose. `backlog` connections wait for a busy listener.
///
/// # Errors
/// What the operating system says: the address is in use, or not this host's, or the port needs a privilege.
pub fn listen(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() && address.ip().is_unspecified() {
        // The host may have it otherwise (`net.ipv6.bindv6only`).
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Ok(socket.into())
}

/// Listens on a port of all addresses of both families, or of IPv4 where the host has no other.
///
/// # Errors
/// See [`listen`].
pub fn listen_everywhere(port: u16, backlog: i32) -> io::Result<TcpListener> {
    listen((Ipv6Addr::UNSPECIFIED, port).into(), backlog).or_else(|error| match error.kind() {
        // These would be said of IPv4 too.
        io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied => Err(error),
        // The kernel knows no IPv6.
        _ => listen((Ipv4Addr::UNSPECIFIED, port).into(), backlog),
    })
}
