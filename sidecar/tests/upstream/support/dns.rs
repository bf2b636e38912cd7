//! A DNS server that knows one name (RFC 1035, A records only).

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bulkhead_sidecar::upstream::Resolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// The server, and how often it was asked for an A record.
pub struct Dns {
    address: SocketAddr,
    pub asked: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl Dns {
    /// Answers every A question with `addresses` and `ttl` seconds, and everything without addresses with NXDOMAIN.
    pub async fn start(addresses: Vec<Ipv4Addr>, ttl: u32) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
                let (answer, is_a) = answer(&buffer[..length], &addresses, ttl);
                count.fetch_add(u32::from(is_a), Ordering::SeqCst);
                let _ = socket.send_to(&answer, client).await;
            }
        });
        Self {
            address,
            asked,
            task,
        }
    }

    pub fn resolver(&self) -> Resolver {
        let mut udp = ConnectionConfig::udp();
        udp.port = self.address.port();
        let server = NameServerConfig::new(self.address.ip(), true, vec![udp]);
        Resolver::with_config(ResolverConfig::from_parts(None, Vec::new(), vec![server]))
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(question: &[u8], addresses: &[Ipv4Addr], ttl: u32) -> (Vec<u8>, bool) {
    let end = 12 + question[12..].iter().position(|&b| b == 0).unwrap() + 5;
    let is_a = question[end - 4..end - 2] == [0, 1];
    let records = if is_a { addresses } else { &[] };
    let code = if addresses.is_empty() { 3 } else { 0 };
    let mut answer = question[..2].to_vec();
    answer.extend_from_slice(&[0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
    answer.extend_from_slice(&question[12..end]);
    for record in records {
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]);
        answer.extend_from_slice(&ttl.to_be_bytes());
        answer.extend_from_slice(&[0, 4]);
        answer.extend_from_slice(&record.octets());
    }
    (answer, is_a)
}
