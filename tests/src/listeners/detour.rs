//! A link on which a cancel request is lost from sight: its sender's connection is reset, and it reaches the server when the test
//! says so. Somebody between the two (a firewall, a balancer) does as much now and then.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::wait;

/// The code that a cancel request has where a startup message has its version.
const CANCEL_CODE: [u8; 4] = [4, 210, 22, 46];

/// A relay between the sidecar and its server.
#[derive(Debug)]
pub struct Detour {
    port: u16,
    target: u16,
    kept: Arc<Mutex<Vec<Vec<u8>>>>,
    task: JoinHandle<()>,
}

impl Detour {
    /// Listens, and carries every connection to `target` on loopback, but for cancel requests.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let kept = Arc::<Mutex<Vec<Vec<u8>>>>::default();
        let all = Arc::clone(&kept);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(carry(near, target, Arc::clone(&all)));
            }
        });
        Self {
            port,
            target,
            kept,
            task,
        }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Waits until a cancel request has come, and its connection has been reset.
    ///
    /// # Panics
    /// When none comes.
    pub async fn until_kept(&self) {
        wait::until("a cancel request", || async {
            !self.kept.lock().unwrap().is_empty()
        })
        .await;
    }

    /// Lets the server have what was kept, and waits until it has dealt with that.
    ///
    /// # Panics
    /// When the server cannot be reached.
    pub async fn deliver(&self) {
        let kept = std::mem::take(&mut *self.kept.lock().unwrap());
        for request in kept {
            let mut server = TcpStream::connect(("127.0.0.1", self.target))
                .await
                .unwrap();
            server.write_all(&request).await.unwrap();
            let mut said = Vec::new();
            let end = server.read_to_end(&mut said);
            wait::within("the server to close", end).await.unwrap();
        }
    }
}

impl Drop for Detour {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut near: TcpStream, target: u16, kept: Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut first = vec![0; 8];
    if near.read_exact(&mut first).await.is_err() {
        return;
    }
    if first[4..] == CANCEL_CODE {
        let length = u32::from_be_bytes([first[0], first[1], first[2], first[3]]) as usize;
        first.resize(length, 0);
        if near.read_exact(&mut first[8..]).await.is_ok() {
            let _ = near.set_zero_linger();
            drop(near);
            kept.lock().unwrap().push(first);
        }
        return;
    }
    let Ok(mut far) = TcpStream::connect(("127.0.0.1", target)).await else {
        return;
    };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    if far.write_all(&first).await.is_ok() {
        let _ = copy_bidirectional(&mut near, &mut far).await;
    }
}
