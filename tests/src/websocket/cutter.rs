//! A network between a client and the sidecar that breaks connections, each after so many bytes as the dice say.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::dice::Dice;

/// A relay of bytes that resets connections.
#[derive(Debug)]
pub struct Cutter {
    port: u16,
    cuts: Arc<AtomicU64>,
    carrying: tokio::task::JoinHandle<()>,
}

impl Cutter {
    /// Listens before `target`. A connection is reset when it has carried as many bytes, both ways together, as the dice find in `life`;
    /// in what of a handshake, a frame or a message that is, is chance.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn before(target: u16, seed: u32, life: Range<u32>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let cuts = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&cuts);
        let mut dice = Dice(seed);
        let carrying = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let bytes = life.start + dice.below(life.end - life.start);
                let cuts = Arc::clone(&counted);
                tokio::spawn(async move {
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", target)).await
                        && carry(client, server, bytes as usize).await
                    {
                        cuts.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        Self {
            port,
            cuts,
            carrying,
        }
    }

    /// Where clients find it.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Connections that it has reset so far.
    #[must_use]
    pub fn cuts(&self) -> u64 {
        self.cuts.load(Ordering::Relaxed)
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

/// Carries `left` bytes, and resets both sides; false if one of them has ended before.
async fn carry(mut client: TcpStream, mut server: TcpStream, mut left: usize) -> bool {
    let (mut up, mut down) = ([0; 2048], [0; 2048]);
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    while left > 0 {
        let carried = tokio::select! {
            read = client.read(&mut up) => pass(read, &up, &mut server, left).await,
            read = server.read(&mut down) => pass(read, &down, &mut client, left).await,
        };
        let Some(bytes) = carried else {
            return false;
        };
        left -= bytes;
    }
    // A close with no time to linger is a reset: what is under way is gone.
    let _ = (client.set_zero_linger(), server.set_zero_linger());
    true
}

async fn pass(
    read: std::io::Result<usize>,
    buffer: &[u8],
    to: &mut TcpStream,
    left: usize,
) -> Option<usize> {
    let bytes = read.ok().filter(|bytes| *bytes > 0)?.min(left);
    to.write_all(&buffer[..bytes]).await.ok()?;
    Some(bytes)
}
