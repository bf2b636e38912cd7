//! One address before several, which takes each connection to the next of them.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The address. Connections that stand outlive it.
#[derive(Debug)]
pub struct Front {
    /// Its port, on 127.0.0.1.
    pub port: u16,
    task: JoinHandle<()>,
}

impl Front {
    /// Before these, in this order.
    ///
    /// # Panics
    /// When there is no port left.
    pub async fn of(behind: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            for next in behind.into_iter().cycle() {
                let (mut client, _) = listener.accept().await.unwrap();
                tokio::spawn(async move {
                    if let Ok(mut stream) = TcpStream::connect(next).await {
                        // Either may be lost at any moment: that is what the tests are about.
                        let _ = copy_bidirectional(&mut client, &mut stream).await;
                    }
                });
            }
        });
        Self { port, task }
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}
