//! Control messages: binary messages that begin with a prefix, beside the application's own. Numbers are big-endian.
//!
//! ```text
//! F5 62 6B 31 01 state reason window:4 buffer:4 count:8 token   WELCOME     to the client
//! F5 62 6B 31 02 count:8                                        ACK         both ways
//! F5 62 6B 31 03 reason                                         FINAL       to the client
//! F5 62 6B 31 04 token                                          CREDENTIAL  to the sidecar
//! F5 62 6B 31 04 state until:8 reason                           CREDENTIAL  to the client
//! F5 62 6B 31 F5 …                                              data that begins with F5, behind a prefix of its own
//! ```

use std::time::Duration;

/// What control messages begin with. `F5` stands in no UTF-8, and seldom at the start of anything else.
pub const PREFIX: [u8; 4] = *b"\xF5bk1";

/// The first byte of the prefix, and of what is escaped.
pub const MARK: u8 = PREFIX[0];

const WELCOME: u8 = 1;
const ACK: u8 = 2;
const FINAL: u8 = 3;
const CREDENTIAL: u8 = 4;

/// A count that is not known.
const UNKNOWN: u64 = u64::MAX;

/// What a client hears first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Welcome {
    /// The session is a new one.
    New,
    /// It goes on; so many of the client's messages have reached the application.
    Resumed(u64),
    /// The session that was asked for is gone, and this is a new one.
    Lost(LostReason, Option<u64>),
}

/// Why a session cannot be resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LostReason {
    /// Nothing is known of it: its window is over, or its pod.
    Unknown = 0,
    /// The application has ended it.
    Application = 1,
    /// More was said meanwhile than is kept.
    Buffer = 2,
    /// It lives in another pod, which cannot be reached.
    Unreachable = 3,
    /// It is another user's.
    User = 4,
}

/// Why a session that goes on will not survive its connection any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinalReason {
    /// A message is larger than `resume.buffer`.
    Message = 1,
    /// The client does not acknowledge.
    Unacknowledged = 2,
    /// `resume.totalBytes` of the pod are used up.
    Memory = 3,
}

/// A whole binary message of a client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received<'a> {
    /// The application's; escaped, where the first bytes have to go.
    Data(&'a [u8]),
    /// So many of the application's messages have arrived.
    Ack(u64),
    /// A fresh access token.
    Credential(&'a str),
    /// Nothing that this protocol has.
    Unknown,
}

/// Appends a WELCOME. `window` is given in whole milliseconds, `buffer` in bytes, both as far as 32 bits go.
pub fn write_welcome(
    out: &mut Vec<u8>,
    welcome: Welcome,
    window: Duration,
    buffer: u64,
    token: &str,
) {
    let (state, reason, count) = match welcome {
        Welcome::New => (0, 0, 0),
        Welcome::Resumed(count) => (1, 0, count),
        Welcome::Lost(reason, count) => (2, reason as u8, count.unwrap_or(UNKNOWN)),
    };
    begin(out, WELCOME);
    out.extend_from_slice(&[state, reason]);
    out.extend_from_slice(&clamped(window.as_millis()).to_be_bytes());
    out.extend_from_slice(&clamped(buffer.into()).to_be_bytes());
    out.extend_from_slice(&count.to_be_bytes());
    out.extend_from_slice(token.as_bytes());
}

/// Appends an ACK.
pub fn write_ack(out: &mut Vec<u8>, count: u64) {
    begin(out, ACK);
    out.extend_from_slice(&count.to_be_bytes());
}

/// Appends a FINAL.
pub fn write_final(out: &mut Vec<u8>, reason: FinalReason) {
    begin(out, FINAL);
    out.push(reason as u8);
}

/// Appends the answer to a CREDENTIAL: until when the one in force is good, in seconds of Unix time, 0 for ever; and why the new one was
/// refused, if it was.
pub fn write_credential(out: &mut Vec<u8>, until: u64, refused: Option<&str>) {
    begin(out, CREDENTIAL);
    out.push(u8::from(refused.is_some()));
    out.extend_from_slice(&until.to_be_bytes());
    out.extend_from_slice(refused.unwrap_or_default().as_bytes());
}

/// Reads a whole binary message of a client's, unmasked.
#[must_use]
pub fn read(payload: &[u8]) -> Received<'_> {
    let Some(rest) = payload.strip_prefix(&PREFIX) else {
        return Received::Data(payload);
    };
    let Some((kind, body)) = rest.split_first() else {
        return Received::Unknown;
    };
    match *kind {
        MARK => Received::Data(rest),
        ACK => <[u8; 8]>::try_from(body).map_or(Received::Unknown, |count| {
            Received::Ack(u64::from_be_bytes(count))
        }),
        CREDENTIAL => std::str::from_utf8(body).map_or(Received::Unknown, Received::Credential),
        _ => Received::Unknown,
    }
}

fn begin(out: &mut Vec<u8>, kind: u8) {
    out.extend_from_slice(&PREFIX);
    out.push(kind);
}

fn clamped(number: u128) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
        let mut out = Vec::new();
        write(&mut out);
        out
    }

    #[test]
    fn each_message_is_as_it_is_documented_to_the_byte() {
        let welcome = |welcome| {
            written(|out| {
                write_welcome(out, welcome, Duration::from_secs(60), 256 * 1024, "abc");
            })
        };
        let head = b"\xF5bk1\x01";
        let sizes = [0, 0, 0xEA, 0x60, 0, 4, 0, 0];
        let rows = [
            (Welcome::New, [0, 0], 0),
            (Welcome::Resumed(7), [1, 0], 7),
            (Welcome::Lost(LostReason::Application, Some(9)), [2, 1], 9),
            (Welcome::Lost(LostReason::User, None), [2, 4], u64::MAX),
        ];
        for (state, codes, count) in rows {
            let expected = [&head[..], &codes, &sizes, &count.to_be_bytes(), b"abc"].concat();
            assert_eq!(welcome(state), expected, "{state:?}");
        }
        let ack = written(|out| write_ack(out, 258));
        assert_eq!(ack, b"\xF5bk1\x02\0\0\0\0\0\0\x01\x02");
        let last = written(|out| write_final(out, FinalReason::Memory));
        assert_eq!(last, b"\xF5bk1\x03\x03");
        let credential = written(|out| write_credential(out, 1, Some("no")));
        assert_eq!(credential, b"\xF5bk1\x04\x01\0\0\0\0\0\0\0\x01no");
        let credential = written(|out| write_credential(out, 0, None));
        assert_eq!(credential, b"\xF5bk1\x04\0\0\0\0\0\0\0\0\0");
    }

    #[test]
    fn what_a_client_sends_is_its_own_or_ours_and_never_both() {
        let rows: [(&[u8], Received<'_>); 11] = [
            (b"", Received::Data(b"")),
            (b"hello", Received::Data(b"hello")),
            // Data that only begins as the prefix does may stand as it is.
            (b"\xF5bk", Received::Data(b"\xF5bk")),
            (b"\xF5bk1\xF5x", Received::Data(b"\xF5x")),
            (b"\xF5bk1\xF5bk1\x02", Received::Data(b"\xF5bk1\x02")),
            (b"\xF5bk1", Received::Unknown),
            (b"\xF5bk1\x02\0\0\0\0\0\0\0\x05", Received::Ack(5)),
            (b"\xF5bk1\x02\0\0\0\0\0\0\0", Received::Unknown),
            (b"\xF5bk1\x04abc", Received::Credential("abc")),
            (b"\xF5bk1\x04\xFF", Received::Unknown),
            (b"\xF5bk1\x09", Received::Unknown),
        ];
        for (bytes, expected) in rows {
            assert_eq!(read(bytes), expected, "{bytes:?}");
        }
    }
}
