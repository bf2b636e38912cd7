//! A server that follows a script, for answers that no honest server gives.

use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What the server does, one after the other; at the end it closes the connection.
#[derive(Clone, Debug)]
pub enum Do {
    /// Read a startup packet (`SSLRequest`, startup, cancel): a length and the rest.
    ReadStartup,
    /// Read one tagged message.
    ReadMessage,
    /// Read something, whatever it is.
    ReadAnything,
    /// Write these bytes.
    Write(Vec<u8>),
    /// Play a SCRAM exchange to its end, with a signature that does not fit, and let the client in.
    ForgeScram,
    /// Say nothing more, until the client has gone.
    Hang,
    /// Write these bytes again and again, until the client has gone.
    Flood(Vec<u8>),
}

/// A listening script. Every connection gets it from the start.
pub struct Fake {
    pub port: u16,
    task: JoinHandle<()>,
}

impl Fake {
    pub async fn start(script: Vec<Do>) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), script).await
    }

    pub async fn start_at(address: SocketAddr, script: Vec<Do>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(follow(script.clone(), client));
            }
        });
        Self { port, task }
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn follow(script: Vec<Do>, mut client: TcpStream) {
    for step in script {
        let done = match step {
            Do::ReadStartup => read_rest(&mut client).await,
            Do::ReadMessage => match client.read_u8().await {
                Ok(_) => read_rest(&mut client).await,
                Err(_) => None,
            },
            Do::ReadAnything => client.read(&mut [0; 1024]).await.ok().map(|_| ()),
            Do::ForgeScram => forge_scram(&mut client).await,
            Do::Write(bytes) => client.write_all(&bytes).await.ok(),
            Do::Hang => {
                let mut gone = Vec::new();
                let _ = client.read_to_end(&mut gone).await;
                None
            }
            Do::Flood(bytes) => {
                while client.write_all(&bytes).await.is_ok() {}
                None
            }
        };
        if done.is_none() {
            return;
        }
    }
}

async fn forge_scram(client: &mut TcpStream) -> Option<()> {
    client
        .write_all(&auth(10, b"SCRAM-SHA-256\0\0"))
        .await
        .ok()?;
    client.read_u8().await.ok()?;
    let length = client.read_u32().await.ok()?;
    let mut opening = vec![0; length as usize - 4];
    client.read_exact(&mut opening).await.ok()?;
    let opening = String::from_utf8(opening).ok()?;
    let nonce = opening.rsplit("r=").next()?;
    let challenge = format!("r={nonce}more,s=AAAA,i=1");
    client
        .write_all(&auth(11, challenge.as_bytes()))
        .await
        .ok()?;
    client.read_u8().await.ok()?;
    read_rest(client).await?;
    let verifier = format!("v={}=", "A".repeat(43));
    let forged = [auth(12, verifier.as_bytes()), auth_ok(), ready()].concat();
    client.write_all(&forged).await.ok()
}

async fn read_rest(client: &mut TcpStream) -> Option<()> {
    let length = client.read_u32().await.ok()?;
    let mut rest = vec![0; (length as usize).checked_sub(4)?];
    client.read_exact(&mut rest).await.ok().map(|_| ())
}

/// A tagged message.
pub fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut message = vec![tag];
    message.extend_from_slice(&(body.len() as u32 + 4).to_be_bytes());
    message.extend_from_slice(body);
    message
}

/// `AuthenticationOk`.
pub fn auth_ok() -> Vec<u8> {
    message(b'R', &[0, 0, 0, 0])
}

/// An authentication request of this kind.
pub fn auth(kind: u32, rest: &[u8]) -> Vec<u8> {
    message(b'R', &[&kind.to_be_bytes()[..], rest].concat())
}

/// `ReadyForQuery`, idle.
pub fn ready() -> Vec<u8> {
    message(b'Z', b"I")
}
