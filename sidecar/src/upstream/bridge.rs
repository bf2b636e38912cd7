//! A way for sqlx to ask questions over a connection that the sidecar's own [`Connector`] has made.
//!
//! sqlx would look the host up in the hosts file, where injection has put the sidecar's own alias, and would verify
//! certificates and store passwords by rules of its own. So it is given a listener on loopback for one connection, guarded by
//! a password that lives as long, and what it says is carried over an upstream connection that was dialled like every other.
//! May not live here: what is asked.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use aws_lc_rs::constant_time;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use super::connect::{ConnectRequest, Connector, Established};
use super::error::ConnectError;
use super::wire::take_string;

use crate::random;

/// Bytes of a startup or password message that are taken from whoever connects.
const MAX_MESSAGE: u32 = 10_000;

/// How long a caller may take to say who it is.
const ADMISSION: Duration = Duration::from_secs(1);

/// The version that stands in a startup message of protocol 3.0.
const PROTOCOL: u32 = 0x0003_0000;

/// A listener that lets one caller through.
pub(super) struct Bridge {
    listener: TcpListener,
    /// Where it listens.
    pub(super) port: u16,
    /// What the caller has to say.
    pub(super) password: String,
}

/// How a bridge ended without having carried a connection to its end.
#[derive(Debug)]
pub(super) enum BridgeError {
    /// The upstream.
    Connect(ConnectError),
    /// Loopback.
    Io(io::Error),
}

impl Bridge {
    pub(super) async fn open() -> io::Result<Self> {
        let mut secret = [0_u8; 32];
        random::fill(&mut secret).map_err(|_| io::Error::other("no randomness"))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        Ok(Self {
            port: listener.local_addr()?.port(),
            listener,
            password: secret.iter().map(|byte| format!("{byte:02x}")).collect(),
        })
    }

    /// Waits for the caller who knows the password, connects with the startup parameters that it sent, and carries bytes
    /// both ways until one side closes.
    pub(super) async fn carry(
        self,
        connector: &Connector,
        database: &str,
        role: &str,
        deadline: Instant,
    ) -> Result<(), BridgeError> {
        let (mut caller, parameters) = loop {
            let (mut caller, _) = self.listener.accept().await?;
            // Others on this machine may connect too; they get nothing, and do not end the wait.
            let admitted = timeout(ADMISSION, admit(&mut caller, &self.password)).await;
            if let Ok(Ok(Some(parameters))) = admitted {
                break (caller, parameters);
            }
        };
        let request = ConnectRequest {
            database,
            role,
            parameters: &parameters,
        };
        let connected = connector.connect(&request, deadline).await;
        let mut upstream = connected.map_err(BridgeError::Connect)?;
        caller.write_all(&greeting(&upstream)).await?;
        caller.write_all(&upstream.leftover).await?;
        // sqlx says goodbye and closes; that the socket ends is what was waited for.
        let _ = copy_bidirectional(&mut caller, &mut upstream.stream).await;
        Ok(())
    }
}

impl From<io::Error> for BridgeError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The startup parameters of a caller that gave the password; `None` for everybody else.
async fn admit(
    caller: &mut TcpStream,
    password: &str,
) -> io::Result<Option<Vec<(String, String)>>> {
    let Some(parameters) = read_body(caller).await?.and_then(startup_parameters) else {
        return Ok(None);
    };
    // AuthenticationCleartextPassword: both ends are this process.
    caller.write_all(b"R\0\0\0\x08\0\0\0\x03").await?;
    if caller.read_u8().await? != b'p' {
        return Ok(None);
    }
    let Some(mut given) = read_body(caller).await? else {
        return Ok(None);
    };
    let given = take_string(&mut given).unwrap_or_default();
    let same = constant_time::verify_slices_are_equal(given.as_bytes(), password.as_bytes());
    Ok(same.is_ok().then_some(parameters))
}

/// What follows a length; `None` where the length makes no sense.
async fn read_body(caller: &mut TcpStream) -> io::Result<Option<Bytes>> {
    let length = caller.read_u32().await?;
    if !(4..=MAX_MESSAGE).contains(&length) {
        return Ok(None);
    }
    let mut body = BytesMut::zeroed(length as usize - 4);
    caller.read_exact(&mut body).await?;
    Ok(Some(body.freeze()))
}

fn startup_parameters(mut body: Bytes) -> Option<Vec<(String, String)>> {
    if body.try_get_u32().ok()? != PROTOCOL {
        return None;
    }
    let mut parameters = Vec::new();
    loop {
        let name = take_string(&mut body)?;
        if name.is_empty() {
            return Some(parameters);
        }
        parameters.push((name, take_string(&mut body)?));
    }
}

/// `AuthenticationOk`, what the server told of itself, and `ReadyForQuery`.
fn greeting(upstream: &Established) -> Vec<u8> {
    let mut greeting = b"R\0\0\0\x08\0\0\0\0".to_vec();
    for (name, value) in &upstream.parameters {
        let length = u32::try_from(name.len() + value.len() + 6).unwrap_or(u32::MAX);
        greeting.push(b'S');
        greeting.extend_from_slice(&length.to_be_bytes());
        for text in [name, value] {
            greeting.extend_from_slice(text.as_bytes());
            greeting.push(0);
        }
    }
    greeting.extend_from_slice(b"Z\0\0\0\x05I");
    greeting
}
