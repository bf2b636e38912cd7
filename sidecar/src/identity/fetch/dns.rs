//! The names of a key set's hosts.

use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use hickory_resolver::TokioResolver;
use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

/// Names through the sidecar's own resolver: the pod's host aliases lead back to the sidecar, and a static binary has no
/// other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dns;

impl Service<Name> for Dns {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        Box::pin(async move {
            // Answered here, so that a plain http address can never lead away from this machine.
            if name.as_str().eq_ignore_ascii_case("localhost") {
                let here = [
                    IpAddr::from(Ipv4Addr::LOCALHOST),
                    IpAddr::from(Ipv6Addr::LOCALHOST),
                ];
                return Ok(here.map(|ip| SocketAddr::new(ip, 0)).to_vec().into_iter());
            }
            let resolver = TokioResolver::builder_tokio()
                .and_then(|builder| builder.build())
                .map_err(io::Error::other)?;
            let found = resolver
                .lookup_ip(name.as_str())
                .await
                .map_err(io::Error::other)?;
            Ok(found
                .iter()
                .map(|ip| SocketAddr::new(ip, 0))
                .collect::<Vec<_>>()
                .into_iter())
        })
    }
}
