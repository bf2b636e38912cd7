//! Without encryption: requests, splits, refusals.

use super::*;
use crate::protocol::postgres::message::MAX_STARTUP_LENGTH;

/// Lets the other side run until it waits for bytes.
async fn settle() {
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_start_up_may_come_in_pieces_cut_anywhere() {
    let packets = [
        GSSENC_REQUEST.to_vec(),
        SSL_REQUEST.to_vec(),
        startup(&[
            ("user", "chat"),
            ("options", "-c bulkhead.user=alice"),
            ("TimeZone", "UTC"),
        ]),
    ];
    for (cut_packet, packet) in packets.iter().enumerate() {
        for cut in 1..packet.len() {
            let (mut client, server) = unix();
            let receiving = tokio::spawn(receive(server, None));
            for (index, packet) in packets.iter().enumerate() {
                let at = if index == cut_packet {
                    cut
                } else {
                    packet.len()
                };
                client.write_all(&packet[..at]).await.unwrap();
                settle().await;
                client.write_all(&packet[at..]).await.unwrap();
                if index < 2 {
                    assert_eq!(client.read_u8().await.unwrap(), b'N');
                }
            }
            let login = login(receiving.await.unwrap().unwrap());
            assert_eq!(login.user, "chat");
            assert_eq!(login.asserted_user.as_deref(), Some("alice"));
            assert_eq!(
                login.parameters,
                [("TimeZone".to_owned(), "UTC".to_owned())]
            );
        }
    }
}

#[tokio::test]
async fn nothing_behind_the_start_up_packet_is_read() {
    let (mut client, server) = unix();
    let mut bytes = startup(&[("user", "chat")]);
    bytes.extend(b"next");
    client.write_all(&bytes).await.unwrap();
    let mut login = login(receive(server, None).await.unwrap());
    let mut next = [0; 4];
    login.stream.read_exact(&mut next).await.unwrap();
    assert_eq!(&next, b"next");
}

#[tokio::test]
async fn a_client_that_goes_away_is_no_failure_of_anybody() {
    let packet = startup(&[("user", "chat")]);
    for cut in 0..packet.len() {
        let (mut client, server) = unix();
        client.write_all(&packet[..cut]).await.unwrap();
        drop(client);
        let error = receive(server, None).await.unwrap_err();
        assert!(
            matches!(error, HandshakeError::Closed),
            "{cut} bytes: {error}"
        );
    }
}

#[tokio::test]
async fn another_protocol_hears_nothing() {
    for start in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01",
        b"\x00\x00\x00\x07",
        b"\x00\x00\x67\x15",
    ] {
        let (mut client, server) = unix();
        client.write_all(start).await.unwrap();
        let error = receive(server, None).await.unwrap_err();
        assert!(matches!(error, HandshakeError::Length(_)), "{error}");
        // A socket that is closed with bytes unread resets its peer, which then reads an error instead of an end.
        let mut heard = Vec::new();
        let _ = client.read_to_end(&mut heard).await;
        assert_eq!(heard, b"", "{start:?}");
    }
}

#[tokio::test]
async fn the_longest_packet_is_taken() {
    let longest = usize::try_from(MAX_STARTUP_LENGTH).unwrap();
    let padding = "x".repeat(longest - 8 - "user\0chat\0a.b\0\0\0".len());
    let packet = startup(&[("user", "chat"), ("a.b", &padding)]);
    assert_eq!(packet.len(), longest);
    let (mut client, server) = unix();
    client.write_all(&packet).await.unwrap();
    assert!(receive(server, None).await.is_ok());
}

#[tokio::test]
async fn each_request_comes_once() {
    for (request, name) in [
        (SSL_REQUEST, "SSLRequest"),
        (GSSENC_REQUEST, "GSSENCRequest"),
    ] {
        let (mut client, server) = unix();
        let receiving = tokio::spawn(receive(server, None));
        client.write_all(request).await.unwrap();
        assert_eq!(client.read_u8().await.unwrap(), b'N');
        client.write_all(request).await.unwrap();
        let (code, message) = refusal(&mut client).await;
        assert_eq!(code, SqlState::PROTOCOL_VIOLATION);
        assert!(message.contains(name), "{message}");
        let error = receiving.await.unwrap().unwrap_err();
        assert!(matches!(error, HandshakeError::Repeated(_)), "{error}");
    }
}

#[tokio::test]
async fn bytes_behind_a_request_are_an_attack() {
    for request in [SSL_REQUEST, GSSENC_REQUEST] {
        let (mut client, server) = unix();
        let bytes = [request, &startup(&[("user", "mallory")])[..1]].concat();
        client.write_all(&bytes).await.unwrap();
        let error = receive(server, None).await.unwrap_err();
        assert!(matches!(error, HandshakeError::EarlyBytes(_)), "{error}");
        let (code, _) = refusal(&mut client).await;
        assert_eq!(code, SqlState::PROTOCOL_VIOLATION);
    }
}

#[tokio::test]
async fn a_cancel_request_brings_its_key() {
    let key = CancelKey::new(7, &[5; 32]).unwrap();
    let (mut client, server) = unix();
    let mut packet = Vec::new();
    key.write_cancel_request(&mut packet);
    client.write_all(&packet).await.unwrap();
    match receive(server, None).await.unwrap() {
        Arrival::Cancel(received, _) => assert!(received.matches(&key)),
        Arrival::Login(_) => panic!("a login"),
    }
}

#[tokio::test]
async fn a_refused_client_hears_why() {
    let cases: [(Vec<u8>, &str, &str); 4] = [
        (
            startup(&[("database", "db")]),
            "28000",
            "bulkhead: no PostgreSQL user name",
        ),
        (
            startup(&[("user", "a"), ("options", "-d 5")]),
            "0A000",
            "bulkhead: argument 1 of options",
        ),
        (
            startup(&[("user", "a"), ("options", "x")]),
            "42601",
            "bulkhead: argument 1 of options",
        ),
        (
            b"\x00\x00\x00\x0d\x00\x03\x00\x00user\x00".to_vec(),
            "08P01",
            "bulkhead: malformed start-up packet",
        ),
    ];
    for (packet, code, beginning) in cases {
        let (mut client, server) = unix();
        client.write_all(&packet).await.unwrap();
        receive(server, None).await.unwrap_err();
        let (heard, message) = refusal(&mut client).await;
        assert_eq!(heard.to_string(), code);
        assert!(message.starts_with(beginning), "{message}");
    }
}

#[tokio::test]
async fn a_newer_client_hears_what_is_spoken_here() {
    let (mut client, server) = unix();
    let mut packet = Vec::new();
    let version = ProtocolVersion {
        major: 3,
        minor: 9999,
    };
    StartupMessage::write(version, &[("user", "chat"), ("_pq_.x", "1")], &mut packet);
    client.write_all(&packet).await.unwrap();
    let login = login(receive(server, None).await.unwrap());
    assert_eq!(login.protocol, ProtocolVersion::V3_2);
    drop(login);
    assert_eq!(
        rest(&mut client).await,
        b"v\x00\x00\x00\x13\x00\x03\x00\x02\x00\x00\x00\x01_pq_.x\x00"
    );
}

#[tokio::test]
async fn a_database_called_like_the_user_is_the_role_s() {
    let named = |database: &str| startup(&[("user", "chat+alice"), ("database", database)]);
    for (packet, expected) in [
        (startup(&[("user", "chat+alice")]), "chat"),
        (named("chat+alice"), "chat"),
        (named("shop"), "shop"),
    ] {
        let (mut client, server) = unix();
        client.write_all(&packet).await.unwrap();
        let login = login(receive(server, None).await.unwrap());
        let (role, id) = split_role(&login.user);
        assert_eq!((role, id), ("chat", Some("alice")));
        assert_eq!(login.database_for(role), expected);
    }
}
