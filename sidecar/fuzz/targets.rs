//! What must hold for any bytes, one function a decoder. The fuzz targets and `sidecar/tests/postgres_codec.rs` run the same.
//!
//! A function panics where something does not hold; that a decoder itself never panics is the first of these things.

use bulkhead_sidecar::protocol::postgres::codec::{HEADER_LENGTH, Header, peek};
use bulkhead_sidecar::protocol::postgres::handshake::{
    HandshakeError, ScramVerifier, login, options as switches,
};
use bulkhead_sidecar::protocol::postgres::message::{
    BindNames, CancelKey, CommandComplete, NoticeFields, ParameterStatus, Parse, Query,
    SaslInitialResponse, SaslResponse, StartupPacket, Target, TransactionStatus,
};
use bulkhead_sidecar::protocol::postgres::scram::Mechanism;
use bulkhead_sidecar::protocol::postgres::statement_text as text;

/// Walks the headers of a stream to its end, or to its first nonsense.
pub fn codec(mut stream: &[u8]) {
    while let Ok(Some(header)) = peek(stream) {
        assert_eq!(
            header.message_length(),
            HEADER_LENGTH + header.body_length()
        );
        if let Ok(tag) = header.frontend() {
            assert_eq!(tag.byte(), header.tag);
        }
        if let Ok(tag) = header.backend() {
            assert_eq!(tag.byte(), header.tag);
        }
        let Some(rest) = stream.get(header.message_length()..) else {
            return;
        };
        assert!(rest.len() < stream.len());
        stream = rest;
    }
}

/// Reads a body as each message of a client's. What can be written again is the same again.
pub fn frontend_messages(body: &[u8]) {
    if let Ok(query) = Query::read(body) {
        rewritten(body, |out| assert!(query.write(out).is_ok()));
    }
    if let Ok(parse) = Parse::read(body) {
        rewritten(body, |out| assert!(parse.write(out).is_ok()));
    }
    if let Ok(Some(names)) = BindNames::read(body) {
        assert!(names.rest_offset <= body.len());
        assert_eq!(BindNames::read(&body[..names.rest_offset]), Ok(Some(names)));
        assert_eq!(BindNames::read(&body[..names.rest_offset - 1]), Ok(None));
        rewritten(body, |out| {
            let length = u32::try_from(body.len() + 4).unwrap_or(u32::MAX);
            let header = Header { tag: b'B', length };
            assert!(names.write_head(header, names.statement, out).is_ok());
            out.extend_from_slice(&body[names.rest_offset..]);
        });
    }
    if let Ok(target) = Target::read(body) {
        rewritten(body, |out| target.write_close(out));
        rewritten(body, |out| target.write_describe(out));
    }
    if let Ok(initial) = SaslInitialResponse::read(body) {
        let data = initial.data.unwrap_or_default();
        assert_eq!(initial.mechanism.len() + 5 + data.len(), body.len());
    }
    let _ = SaslResponse::read(body);
}

/// Reads a body as each message of a server's. What can be written again is the same again.
pub fn backend_messages(body: &[u8]) {
    if let Ok(status) = ParameterStatus::read(body) {
        rewritten(body, |out| status.write(out));
    }
    if let Ok(complete) = CommandComplete::read(body) {
        rewritten(body, |out| complete.write(out));
    }
    if let Ok(key) = CancelKey::read(body) {
        rewritten(body, |out| key.write_backend_key_data(out));
    }
    if let Ok(fields) = NoticeFields::read(body) {
        let length: usize = fields.iter().map(|(_, text)| text.len() + 2).sum();
        assert_eq!(length + 1, body.len());
        let _ = (fields.sqlstate(), fields.is_fatal());
    }
    if let Ok(status) = TransactionStatus::read(body) {
        assert_eq!(body, [status as u8]);
    }
}

/// Reads the bytes behind a start-up packet's length, and answers what cannot be read.
pub fn start_up(body: &[u8]) {
    match StartupPacket::read(body) {
        Ok(StartupPacket::Startup(startup)) => match login::Request::read(&startup) {
            Ok(request) => {
                assert!(!request.user.is_empty() && !request.database.is_empty());
                let reserved = |name: &str| name.to_ascii_lowercase().starts_with("bulkhead.");
                assert!(request.parameters.iter().all(|(name, _)| !reserved(name)));
            }
            Err(error) => answered(&error),
        },
        Ok(StartupPacket::Cancel(key)) => {
            let mut out = Vec::new();
            key.write_backend_key_data(&mut out);
            assert_eq!(out.get(HEADER_LENGTH..), body.get(4..));
        }
        Ok(_) => {}
        Err(error) => answered(&error.into()),
    }
}

/// Unfolds an `options` text.
pub fn options(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    match switches::unfold(text) {
        Ok(settings) => {
            let length: usize = settings
                .iter()
                .map(|(name, value)| name.len() + value.len())
                .sum();
            assert!(length <= text.len());
        }
        Err(error) => answered(&error.into()),
    }
}

/// Both messages of a SCRAM client, divided by a NUL. Nobody gets in without the password.
pub fn scram(data: &[u8]) {
    static VERIFIER: std::sync::LazyLock<ScramVerifier> =
        std::sync::LazyLock::new(|| ScramVerifier::new("a password that no fuzzer guesses"));
    let mut messages = data.splitn(2, |byte| *byte == 0);
    let first = messages.next().unwrap_or_default();
    let last = messages.next().unwrap_or_default();
    for (mechanism, end_point) in [
        (Mechanism::ScramSha256, None),
        (Mechanism::ScramSha256Plus, Some(&b"certificate"[..])),
    ] {
        if let Ok(challenge) = VERIFIER.challenge(mechanism, end_point, first, "nonce") {
            assert!(challenge.finish(last).is_err());
        }
    }
}

/// What the grammars recognise, the traits show.
pub fn statement_text(data: &[u8]) {
    let traits = text::classify(data);
    if let Some(set) = text::parse_set(data) {
        assert!(traits.sets_parameter() && !traits.is_multi());
        assert!(!set.name.is_empty());
    }
    if text::transaction_control(data).is_some() {
        assert!(traits.controls_transaction() && !traits.is_multi());
    }
    if let Some(known) = text::answered_statements(data) {
        assert!(known.len() < 2 || traits.is_multi());
    }
    // Whatever has a name of ours written out says something, or hides it.
    let setting = Some("app.current_user_id");
    let named = [&b"SET bulkhead.user = 'x' "[..], data].concat();
    assert_ne!(text::read_naming(&named, setting), text::Mention::Nothing);
    let _ = text::read_naming(data, setting);
    // Nothing that follows hides a SET, and a text in which everything is sought says of every SET that it is one.
    let sets = [&b"SET work_mem = 1;"[..], data].concat();
    let work_mem = text::Sets::Parameter("work_mem".to_owned());
    let found = text::sets_one_of(&sets, |name| name == "work_mem");
    assert_eq!(found, Some(work_mem));
    if text::parse_set(data).is_some_and(|set| set.value.is_some()) {
        assert!(text::sets_one_of(data, |_| true).is_some());
    }
    if text::deallocated_name(data).is_some() {
        assert!(traits.deallocates() && !traits.is_multi());
    }
}

fn rewritten(body: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
    let mut out = Vec::new();
    write(&mut out);
    assert_eq!(out.get(HEADER_LENGTH..), Some(body));
    let length = peek(&out).map(|header| header.map(Header::message_length));
    assert_eq!(length, Ok(Some(out.len())));
}

fn answered(error: &HandshakeError) {
    let Some(response) = error.response() else {
        return;
    };
    let mut out = Vec::new();
    response.write(&mut out);
    let body = out.get(HEADER_LENGTH..).unwrap_or_default();
    assert!(NoticeFields::read(body).is_ok_and(|fields| fields.is_fatal()));
}
