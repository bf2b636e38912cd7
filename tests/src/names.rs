//! A name server whose answers a test changes while they are used (RFC 1035, A records over UDP).

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// Seconds for which an answer holds.
const TTL: u32 = 1;

type Names = Arc<Mutex<HashMap<String, Vec<Ipv4Addr>>>>;

/// The name server.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    names: Names,
    task: Option<JoinHandle<()>>,
}

impl NameServer {
    /// Starts to answer. It knows no name yet.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let names = Names::default();
        let known = Arc::clone(&names);
        let task = tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
                if let Some(answer) = answer(&buffer[..length], &known) {
                    let _ = socket.send_to(&answer, client).await;
                }
            }
        });
        Self {
            address,
            names,
            task: Some(task),
        }
    }

    /// Where it is, as the sidecar's `--name-server` takes it.
    #[must_use]
    pub fn flag(&self) -> String {
        self.address.to_string()
    }

    /// From now on the name has these addresses, and no others.
    ///
    /// # Panics
    /// Never.
    pub fn set(&self, name: &str, addresses: &[[u8; 4]]) {
        let addresses = addresses.iter().map(|it| Ipv4Addr::from(*it)).collect();
        self.names
            .lock()
            .unwrap()
            .insert(name.to_owned(), addresses);
    }

    /// Answers nobody any more.
    pub fn fall_silent(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.fall_silent();
    }
}

fn answer(question: &[u8], names: &Names) -> Option<Vec<u8>> {
    let (name, end) = name_of(question)?;
    let is_a = question.get(end..end + 2)? == [0, 1];
    let end = end + 4;
    let names = names.lock().unwrap();
    let known = names.get(&name);
    let code = if known.is_some() { 0 } else { 3 };
    let records = known.filter(|_| is_a).map_or(&[][..], Vec::as_slice);
    let count = u8::try_from(records.len()).ok()?;
    let mut answer = question.get(..2)?.to_vec();
    answer.extend_from_slice(&[0x81, 0x80 | code, 0, 1, 0, count, 0, 0, 0, 0]);
    answer.extend_from_slice(question.get(12..end)?);
    for record in records {
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1]);
        answer.extend_from_slice(&TTL.to_be_bytes());
        answer.extend_from_slice(&[0, 4]);
        answer.extend_from_slice(&record.octets());
    }
    Some(answer)
}

/// The name that is asked for, and where it ends.
fn name_of(question: &[u8]) -> Option<(String, usize)> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*question.get(at)?);
        at += 1;
        if length == 0 {
            return Some((labels.join("."), at));
        }
        let label = question.get(at..at + length)?;
        labels.push(String::from_utf8_lossy(label).to_lowercase());
        at += length;
    }
}
