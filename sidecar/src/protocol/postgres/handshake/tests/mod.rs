//! Start-ups over real sockets: what a client sends, in one piece or in many, and what it hears.

mod authentication;
mod conversation;
mod encryption;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::*;
use crate::protocol::postgres::error_response::SqlState;
use crate::protocol::postgres::message::{Field, NoticeFields, StartupMessage};

const SSL_REQUEST: &[u8] = b"\x00\x00\x00\x08\x04\xd2\x16\x2f";
const GSSENC_REQUEST: &[u8] = b"\x00\x00\x00\x08\x04\xd2\x16\x30";

fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    StartupMessage::write(ProtocolVersion::V3_0, parameters, &mut out);
    out
}

fn unix() -> (UnixStream, Stream) {
    let (client, server) = UnixStream::pair().unwrap();
    (client, Stream::unix(server).unwrap())
}

async fn tcp() -> (TcpStream, Stream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (server, _) = listener.accept().await.unwrap();
    (client, Stream::Tcp(server))
}

/// Everything that the other side still sends, to its end.
async fn rest(client: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// The one error that a refused client hears: its SQLSTATE and message.
async fn refusal(client: &mut (impl AsyncReadExt + Unpin)) -> (SqlState, String) {
    let bytes = rest(client).await;
    assert_eq!(bytes.first(), Some(&b'E'), "{bytes:?}");
    let fields = NoticeFields::read(&bytes[5..]).unwrap();
    assert!(fields.is_fatal());
    let message = String::from_utf8(fields.get(Field::Message).unwrap().to_vec()).unwrap();
    (SqlState::new(*fields.sqlstate().unwrap()), message)
}

fn login(arrival: Arrival) -> Box<Login> {
    match arrival {
        Arrival::Login(login) => login,
        Arrival::Cancel(..) => panic!("a cancel request"),
    }
}
