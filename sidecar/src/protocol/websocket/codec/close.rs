//! What a Close frame says (RFC 6455, sections 5.5.1 and 7.4; the IANA registry of close codes).

use super::Violation;
use super::frame::{MOST_CONTROL, Opcode, write_message};

/// The most bytes of a reason: what a control frame has room for behind the code.
const MOST_REASON: usize = MOST_CONTROL - 2;

/// What a Close frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close<'a> {
    code: Option<u16>,
    /// Why, in the sender's words.
    pub reason: &'a str,
}

impl<'a> Close<'a> {
    /// Normal closure.
    pub const NORMAL: u16 = 1000;
    /// The peer is going away, or has nothing more to say.
    pub const GOING_AWAY: u16 = 1001;
    /// The peer has broken the protocol.
    pub const PROTOCOL_ERROR: u16 = 1002;
    /// Stands for a Close frame without a code; never sent.
    pub const NO_STATUS: u16 = 1005;
    /// Stands for an end without a Close frame; never sent.
    pub const ABNORMAL: u16 = 1006;
    /// A payload that is not what its type says.
    pub const INVALID_PAYLOAD: u16 = 1007;
    /// Against the policy; coming again the same way would not help.
    pub const POLICY: u16 = 1008;
    /// A message above the limit.
    pub const MESSAGE_TOO_BIG: u16 = 1009;
    /// The service restarts: come again, after a moment of your own choosing.
    pub const SERVICE_RESTART: u16 = 1012;
    /// Overload: come again later.
    pub const TRY_AGAIN_LATER: u16 = 1013;
    /// The server behind this one has failed.
    pub const BAD_GATEWAY: u16 = 1014;
    /// The peer did not answer in time (registered with IANA).
    pub const TIMEOUT: u16 = 3008;

    /// Reads a Close frame's payload.
    ///
    /// # Errors
    /// Half a code, a code that may not be sent, a reason that is not UTF-8.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Violation> {
        let (code, reason) = match payload {
            [] => {
                return Ok(Self {
                    code: None,
                    reason: "",
                });
            }
            [_] => return Err(Violation::CloseLength),
            [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        };
        if !may_be_sent(code) {
            return Err(Violation::CloseCode(code));
        }
        let reason = std::str::from_utf8(reason).map_err(|_| Violation::CloseReason)?;
        Ok(Self {
            code: Some(code),
            reason,
        })
    }

    /// The code that answers a Close frame whose code was `code`: the same (RFC 6455, section 5.5.1), or one where there was none.
    #[must_use]
    pub const fn echo(code: u16) -> u16 {
        match code {
            Self::NO_STATUS => Self::NORMAL,
            code => code,
        }
    }

    /// The code; [`Self::NO_STATUS`] where there is none.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code.unwrap_or(Self::NO_STATUS)
    }
}

/// Whether a code may stand in a Close frame: the defined ones but those that only stand for something, and the ranges of libraries and
/// applications.
#[must_use]
const fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Appends a Close frame for a client. A reason that is too long is cut between two characters.
pub fn write_close(out: &mut Vec<u8>, code: u16, reason: &str) {
    write(out, code, reason, None);
}

/// The same for a server, masked.
pub fn write_masked_close(out: &mut Vec<u8>, code: u16, reason: &str, mask: u32) {
    write(out, code, reason, Some(mask));
}

fn write(out: &mut Vec<u8>, code: u16, reason: &str, mask: Option<u32>) {
    let reason = reason
        .get(..reason.floor_char_boundary(MOST_REASON))
        .unwrap_or_default();
    let code = code.to_be_bytes();
    write_message(out, Opcode::Close, &code, reason.as_bytes(), mask);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_may_be_sent_or_not_as_the_registry_says() {
        let rows = [
            (0, false),
            (999, false),
            (1000, true),
            (1003, true),
            (1004, false),
            (1005, false),
            (1006, false),
            (1007, true),
            (1011, true),
            (1014, true),
            (1015, false),
            (1016, false),
            (2999, false),
            (3000, true),
            (4999, true),
            (5000, false),
            (u16::MAX, false),
        ];
        for (code, sent) in rows {
            let parsed = Close::parse(&code.to_be_bytes()).map(|close| close.code());
            let expected = if sent {
                Ok(code)
            } else {
                Err(Violation::CloseCode(code))
            };
            assert_eq!(parsed, expected);
        }
    }

    #[test]
    fn a_payload_is_nothing_or_a_code_and_a_reason() {
        assert_eq!(Close::parse(b"").unwrap().code(), Close::NO_STATUS);
        assert_eq!(Close::parse(b"\x03"), Err(Violation::CloseLength));
        assert_eq!(Close::parse(b"\x03\xe8gone").unwrap().reason, "gone");
        assert_eq!(Close::parse(b"\x03\xe8\xff"), Err(Violation::CloseReason));
    }

    #[test]
    fn a_long_reason_is_cut_between_two_characters() {
        let mut out = Vec::new();
        write_close(&mut out, Close::POLICY, &"ü".repeat(100));
        assert_eq!(out[..2], [0x88, 2 + 122]);
        let close = Close::parse(&out[2..]).unwrap();
        assert_eq!((close.code(), close.reason.chars().count()), (1008, 61));
    }
}
