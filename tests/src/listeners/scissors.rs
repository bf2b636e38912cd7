//! A link that ends at a chosen message of the server's: before it, inside of it, politely or by a reset.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// `SSLRequest`: its length and its code.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Where a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Messages of the server's that pass whole. An answer to `SSLRequest` is one, and of what is encrypted each read.
    pub after: usize,
    /// Bytes of the next one that pass too.
    pub inside: usize,
    /// Whether both sides see a reset, or an end.
    pub reset: bool,
}

/// Which connections are cut.
#[derive(Clone, Copy, Debug, Default)]
enum Blade {
    #[default]
    None,
    /// Every new one, unless its login ends before.
    Logins(Cut),
    /// The one on which the server says the next message, and so many more.
    Next(Cut),
}

/// A relay between the sidecar and its server.
#[derive(Debug)]
pub struct Scissors {
    port: u16,
    shared: Arc<Mutex<Shared>>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    blade: Blade,
    cuts: u32,
}

impl Scissors {
    /// Listens, and carries every connection to `target` on loopback.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn before(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::<Mutex<Shared>>::default();
        let all = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let shared = Arc::clone(&all);
                tokio::spawn(async move {
                    if let Ok(far) = TcpStream::connect(("127.0.0.1", target)).await {
                        let _ = (near.set_nodelay(true), far.set_nodelay(true));
                        Carrier::new(near, far, shared).carry().await;
                    }
                });
            }
        });
        Self { port, shared, task }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts every connection that is made from now on, unless its login ends before.
    pub fn cut_logins(&self, cut: Cut) {
        self.set(Blade::Logins(cut));
    }

    /// Cuts the connection on which the server says the next message.
    pub fn cut_next(&self, cut: Cut) {
        self.set(Blade::Next(cut));
    }

    /// Cuts nothing from now on; whether anything was cut since it was told to.
    pub fn spare(&self) -> bool {
        self.set(Blade::None) > 0
    }

    fn set(&self, blade: Blade) -> u32 {
        let mut shared = self.shared.lock().unwrap();
        shared.blade = blade;
        std::mem::take(&mut shared.cuts)
    }
}

impl Drop for Scissors {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Carrier {
    near: TcpStream,
    far: TcpStream,
    shared: Arc<Mutex<Shared>>,
    /// What the server has said and the sidecar has not been given.
    pending: Vec<u8>,
    /// Messages that have passed.
    passed: usize,
    logged_in: bool,
    /// Whether the client has asked for TLS, and how far that has got: each read counts as a message.
    opaque: bool,
}

impl Carrier {
    fn new(near: TcpStream, far: TcpStream, shared: Arc<Mutex<Shared>>) -> Self {
        Self {
            near,
            far,
            shared,
            pending: Vec::new(),
            passed: 0,
            logged_in: false,
            opaque: false,
        }
    }

    async fn carry(&mut self) {
        let (mut up, mut down) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
        loop {
            let alive = tokio::select! {
                read = self.near.read(&mut up) => self.ask(&up[..read.unwrap_or(0)]).await,
                read = self.far.read(&mut down) => self.answer(&down[..read.unwrap_or(0)]).await,
            };
            if !alive {
                return;
            }
        }
    }

    async fn ask(&mut self, bytes: &[u8]) -> bool {
        self.opaque |= self.passed == 0 && bytes == SSL_REQUEST;
        !bytes.is_empty() && self.far.write_all(bytes).await.is_ok()
    }

    async fn answer(&mut self, bytes: &[u8]) -> bool {
        self.pending.extend_from_slice(bytes);
        while let Some(length) = self.next_message() {
            if let Some(cut) = self.is_cut() {
                let inside = cut.inside.min(length - 1);
                let _ = self.near.write_all(&self.pending[..inside]).await;
                if cut.reset {
                    // A close with no time to linger.
                    let _ = (self.near.set_zero_linger(), self.far.set_zero_linger());
                }
                return false;
            }
            self.passed += 1;
            self.logged_in |= !self.opaque && self.pending[0] == b'Z';
            let rest = self.pending.split_off(length);
            let message = std::mem::replace(&mut self.pending, rest);
            if self.near.write_all(&message).await.is_err() {
                return false;
            }
        }
        !bytes.is_empty()
    }

    /// The length of the next message, if it is there as a whole.
    fn next_message(&self) -> Option<usize> {
        let pending = &self.pending;
        if self.opaque {
            return (!pending.is_empty()).then_some(pending.len());
        }
        let length = u32::from_be_bytes(pending.get(1..5)?.try_into().ok()?) as usize + 1;
        (pending.len() >= length).then_some(length)
    }

    /// Whether the connection ends with the message that comes now.
    fn is_cut(&self) -> Option<Cut> {
        let mut shared = self.shared.lock().unwrap();
        let cut = match &mut shared.blade {
            Blade::Logins(cut) if !self.logged_in && self.passed == cut.after => *cut,
            Blade::Next(cut) if cut.after == 0 => *cut,
            Blade::Next(cut) => {
                cut.after -= 1;
                return None;
            }
            _ => return None,
        };
        if matches!(shared.blade, Blade::Next(_)) {
            shared.blade = Blade::None;
        }
        shared.cuts += 1;
        Some(cut)
    }
}
