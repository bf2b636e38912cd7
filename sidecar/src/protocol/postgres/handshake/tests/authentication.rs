//! SCRAM over a socket, with the client that tokio-postgres uses.

use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
use tokio::io::AsyncWrite;

use super::encryption::{certificate, encrypt};
use super::*;

/// A message of the client's.
fn message(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[b'p'][..], &length.to_be_bytes(), body].concat()
}

fn initial(mechanism: &str, data: Option<&[u8]>) -> Vec<u8> {
    let length = data.map_or(-1, |data| i32::try_from(data.len()).unwrap());
    message(
        &[
            mechanism.as_bytes(),
            &[0],
            &length.to_be_bytes(),
            data.unwrap_or_default(),
        ]
        .concat(),
    )
}

/// The code and the data of the next authentication request.
async fn request(client: &mut (impl AsyncReadExt + Unpin)) -> (u32, Vec<u8>) {
    assert_eq!(client.read_u8().await.unwrap(), b'R');
    let length = client.read_u32().await.unwrap();
    let code = client.read_u32().await.unwrap();
    let mut data = vec![0; length as usize - 8];
    client.read_exact(&mut data).await.unwrap();
    (code, data)
}

/// Logs in like libpq does; the server's last word is verified.
async fn log_in(
    client: &mut (impl AsyncReadExt + AsyncWrite + Unpin),
    mechanism: &str,
    password: &str,
    binding: ChannelBinding,
) {
    let mut scram = ScramSha256::new(password.as_bytes(), binding);
    client
        .write_all(&initial(mechanism, Some(scram.message())))
        .await
        .unwrap();
    let (code, server_first) = request(client).await;
    assert_eq!(code, 11);
    scram.update(&server_first).unwrap();
    client.write_all(&message(scram.message())).await.unwrap();
    let (code, server_final) = request(client).await;
    assert_eq!(code, 12);
    scram.finish(&server_final).unwrap();
}

fn scram() -> ClientAuth {
    ClientAuth::Scram(ScramVerifier::new("secret"))
}

#[tokio::test]
async fn trust_asks_for_nothing() {
    let (mut client, mut server) = unix();
    authenticate(&mut server, &ClientAuth::Trust, None)
        .await
        .unwrap();
    drop(server);
    assert_eq!(rest(&mut client).await, b"");
}

#[tokio::test]
async fn the_right_password_is_let_in() {
    let (mut client, mut server) = unix();
    let authenticating =
        tokio::spawn(async move { authenticate(&mut server, &scram(), None).await });
    let (code, offered) = request(&mut client).await;
    assert_eq!((code, &offered[..]), (10, &b"SCRAM-SHA-256\0\0"[..]));
    log_in(
        &mut client,
        "SCRAM-SHA-256",
        "secret",
        ChannelBinding::unsupported(),
    )
    .await;
    authenticating.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_channel_is_bound_where_there_is_one() {
    let (tls, connector) = certificate(&[b"postgresql"]);
    let end_point = tls.end_point().unwrap().to_vec();
    let (client, server) = tcp().await;
    let authenticating = tokio::spawn(async move {
        let mut login = login(receive(server, Some(&tls)).await.unwrap());
        authenticate(&mut login.stream, &scram(), login.end_point.as_deref()).await
    });
    let mut client = encrypt(connector, client).await;
    client
        .write_all(&startup(&[("user", "chat")]))
        .await
        .unwrap();
    let (_, offered) = request(&mut client).await;
    assert_eq!(&offered[..], b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0");
    let binding = ChannelBinding::tls_server_end_point(end_point);
    log_in(&mut client, "SCRAM-SHA-256-PLUS", "secret", binding).await;
    authenticating.await.unwrap().unwrap();
}

/// Sends these messages, each but the first after the server has answered the one before, and gives back what the client
/// hears at last.
async fn refused(end_point: Option<&'static [u8]>, messages: &[Vec<u8>]) -> (SqlState, String) {
    let (mut client, mut server) = unix();
    let authenticating =
        tokio::spawn(async move { authenticate(&mut server, &scram(), end_point).await });
    for message in messages {
        request(&mut client).await;
        client.write_all(message).await.unwrap();
    }
    let heard = refusal(&mut client).await;
    authenticating.await.unwrap().unwrap_err();
    heard
}

#[tokio::test]
async fn a_wrong_password_hears_postgresql_s_code() {
    let (mut client, mut server) = unix();
    let authenticating =
        tokio::spawn(async move { authenticate(&mut server, &scram(), None).await });
    request(&mut client).await;
    let mut scram = ScramSha256::new(b"guess", ChannelBinding::unsupported());
    client
        .write_all(&initial("SCRAM-SHA-256", Some(scram.message())))
        .await
        .unwrap();
    let (_, server_first) = request(&mut client).await;
    scram.update(&server_first).unwrap();
    client.write_all(&message(scram.message())).await.unwrap();
    let (code, text) = refusal(&mut client).await;
    assert_eq!(code, SqlState::INVALID_PASSWORD);
    assert_eq!(text, "bulkhead: password authentication failed");
    authenticating.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_downgrade_is_refused() {
    let first = initial("SCRAM-SHA-256", Some(b"y,,n=,r=abc"));
    let (code, _) = refused(Some(b"certificate"), &[first]).await;
    assert_eq!(code, SqlState::INVALID_AUTHORIZATION);
}

#[tokio::test]
async fn what_is_no_exchange_is_a_protocol_violation() {
    let first = initial("SCRAM-SHA-256", Some(b"n,,n=,r=abc"));
    for messages in [
        vec![initial(
            "SCRAM-SHA-256-PLUS",
            Some(b"p=tls-server-end-point,,n=,r=abc"),
        )],
        vec![initial("PLAIN", Some(b"\0chat\0secret"))],
        vec![initial("SCRAM-SHA-256", Some(b"nonsense"))],
        vec![b"Q\x00\x00\x00\x0dSELECT 1\x00".to_vec()],
        vec![first.clone(), message(b"nonsense")],
        vec![initial("SCRAM-SHA-256", None), message(b"nonsense")],
    ] {
        let (code, _) = refused(None, &messages).await;
        assert_eq!(code, SqlState::PROTOCOL_VIOLATION);
    }
}

#[tokio::test]
async fn a_long_message_is_refused_by_its_header() {
    let (mut client, mut server) = unix();
    let authenticating =
        tokio::spawn(async move { authenticate(&mut server, &scram(), None).await });
    request(&mut client).await;
    client.write_all(b"p\x00\x00\x04\x05").await.unwrap();
    let (code, _) = refusal(&mut client).await;
    assert_eq!(code, SqlState::PROTOCOL_VIOLATION);
    authenticating.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn the_first_data_may_come_late() {
    let (mut client, mut server) = unix();
    let authenticating =
        tokio::spawn(async move { authenticate(&mut server, &scram(), None).await });
    request(&mut client).await;
    client
        .write_all(&initial("SCRAM-SHA-256", None))
        .await
        .unwrap();
    assert_eq!(request(&mut client).await, (11, Vec::new()));
    let mut scram = ScramSha256::new(b"secret", ChannelBinding::unsupported());
    client.write_all(&message(scram.message())).await.unwrap();
    let (_, server_first) = request(&mut client).await;
    scram.update(&server_first).unwrap();
    client.write_all(&message(scram.message())).await.unwrap();
    request(&mut client).await;
    authenticating.await.unwrap().unwrap();
}
