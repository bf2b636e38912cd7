//! Upstreams that misbehave: one that never answers, one that says what the test wrote down, and links that can be cut, frozen, or
//! cut at a chosen message.

mod detour;
mod scissors;

pub use detour::Detour;
pub use scissors::{Cut, Scissors};

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Accepts and never says a word.
#[derive(Debug)]
pub struct Silent {
    port: u16,
    task: JoinHandle<()>,
}

impl Silent {
    /// Starts to listen.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut held = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        Self { port, task }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Silent {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers the first bytes of every connection with the same bytes, then waits for the other side to close.
#[derive(Debug)]
pub struct Scripted {
    port: u16,
    heard: Arc<std::sync::Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Scripted {
    /// Starts to listen; `answer` is said to whatever comes first.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn listen(answer: Vec<u8>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(std::sync::Mutex::new(Vec::new()));
        let ears = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (answer, ears) = (answer.clone(), Arc::clone(&ears));
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    let mut answered = false;
                    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                        ears.lock().unwrap().extend_from_slice(&buffer[..count]);
                        if !answered {
                            answered = true;
                            let _ = stream.write_all(&answer).await;
                        }
                    }
                });
            }
        });
        Self { port, heard, task }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Everything that was said to it.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn heard(&self) -> Vec<u8> {
        self.heard.lock().unwrap().clone()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A TCP link to a real server that can be frozen (bytes stop, nothing is closed) or cut.
#[derive(Debug)]
pub struct Link {
    port: u16,
    frozen: watch::Sender<bool>,
    holes: watch::Sender<u32>,
    cuts: watch::Sender<u32>,
    task: JoinHandle<()>,
}

impl Link {
    /// Listens, and carries every connection to `target` on loopback.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn to(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (frozen, flow) = watch::channel(false);
        let (holes, hole) = watch::channel(0);
        let (cuts, cut) = watch::channel(0);
        let task = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let flow = Flow::new(&flow, &hole);
                tokio::spawn(carry(near, target, flow, cut.clone()));
            }
        });
        Self {
            port,
            frozen,
            holes,
            cuts,
            task,
        }
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Lets no byte through any more, in either direction, as a router that lost its table does.
    pub fn freeze(&self) {
        self.frozen.send_replace(true);
    }

    /// Lets bytes through again.
    pub fn thaw(&self) {
        self.frozen.send_replace(false);
    }

    /// Swallows, on every connection that there is, whatever comes from either side: nobody hears of it. New ones are carried. A
    /// balancer that has forgotten its connections does as much.
    pub fn black_hole(&self) {
        self.holes.send_modify(|holes| *holes += 1);
    }

    /// Closes every connection.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whether bytes of one connection pass.
#[derive(Clone)]
struct Flow {
    frozen: watch::Receiver<bool>,
    holes: watch::Receiver<u32>,
    /// The holes that there were when it began.
    before: u32,
}

impl Flow {
    fn new(frozen: &watch::Receiver<bool>, holes: &watch::Receiver<u32>) -> Self {
        let before = *holes.borrow();
        Self {
            frozen: frozen.clone(),
            holes: holes.clone(),
            before,
        }
    }

    /// Waits until bytes pass, for ever where the connection ends in a hole; false when the link has gone.
    async fn open(&mut self) -> bool {
        if self.frozen.wait_for(|frozen| !frozen).await.is_err() {
            return false;
        }
        if *self.holes.borrow() != self.before {
            std::future::pending::<()>().await;
        }
        true
    }
}

async fn carry(near: TcpStream, target: u16, mut flow: Flow, mut cut: watch::Receiver<u32>) {
    cut.mark_unchanged();
    let relay = async {
        flow.open().await;
        let Ok(far) = TcpStream::connect(("127.0.0.1", target)).await else {
            return;
        };
        let (near_in, near_out) = near.into_split();
        let (far_in, far_out) = far.into_split();
        tokio::join!(
            one_way(near_in, far_out, flow.clone()),
            one_way(far_in, near_out, flow)
        );
    };
    tokio::select! {
        () = relay => {}
        _ = cut.changed() => {}
    }
}

async fn one_way(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut flow: Flow) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else {
            return;
        };
        if !flow.open().await || to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// An HTTP server that serves one document, counts the requests, and may be given another document.
#[derive(Debug)]
pub struct Documents {
    port: u16,
    body: watch::Sender<String>,
    requests: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

impl Documents {
    /// Serves `body` to whoever asks.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn serve(body: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (body, current) = watch::channel(body);
        let requests = Arc::new(AtomicU32::new(0));
        let count = Arc::clone(&requests);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let body = current.borrow().clone();
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    // A GET fits into one read on loopback.
                    let _ = stream.read(&mut [0; 4096]).await;
                    let length = body.len();
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
                         Connection: close\r\n\r\n{body}"
                    );
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        Self {
            port,
            body,
            requests,
            task,
        }
    }

    /// Its address.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("http://127.0.0.1:{}/jwks.json", self.port)
    }

    /// How often it was asked.
    #[must_use]
    pub fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// Serves `body` from now on.
    pub fn replace(&self, body: String) {
        self.body.send_replace(body);
    }
}

impl Drop for Documents {
    fn drop(&mut self) {
        self.task.abort();
    }
}
