//! One frame's header (RFC 6455, section 5.2), and the frames that the sidecar sends itself.

use super::Violation;
use super::mask::apply_mask;

/// The most bytes of a control frame's payload (RFC 6455, section 5.5).
pub(super) const MOST_CONTROL: usize = 125;

/// The most that a length of two bytes can say.
const MOST_IN_TWO: u64 = u16::MAX as u64;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// The next part of a message.
    Continuation,
    /// The first part of a text message.
    Text,
    /// The first part of a binary message.
    Binary,
    /// The sender's last frame.
    Close,
    /// Is anybody there?
    Ping,
    /// Yes, or a sign of life without a question.
    Pong,
}

impl Opcode {
    const fn of(bits: u8) -> Result<Self, Violation> {
        Ok(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xA => Self::Pong,
            reserved => return Err(Violation::ReservedOpcode(reserved)),
        })
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xA,
        }
    }

    /// Whether it is one of Close, Ping and Pong.
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// A frame's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Whether it is the last frame of its message.
    pub fin: bool,
    /// The three reserved bits, RSV1 the highest of them (4).
    pub reserved: u8,
    /// What it is.
    pub opcode: Opcode,
    /// By what its payload is masked.
    pub mask: Option<[u8; 4]>,
    /// Bytes of its payload, at most 2^63 - 1.
    pub length: u64,
    /// Bytes of the header itself, 2 to 14.
    pub size: usize,
}

impl Header {
    /// The header of a frame that is a whole message, or a control frame.
    #[must_use]
    pub const fn whole(opcode: Opcode, length: u64, mask: Option<[u8; 4]>) -> Self {
        let short = match length {
            0..126 => 2,
            126..=MOST_IN_TWO => 4,
            _ => 10,
        };
        Self {
            fin: true,
            reserved: 0,
            opcode,
            mask,
            length,
            size: short + if mask.is_some() { 4 } else { 0 },
        }
    }

    /// Appends it, with its length in the shortest form.
    pub fn write(&self, out: &mut Vec<u8>) {
        let masked = if self.mask.is_some() { 0x80 } else { 0 };
        out.push(u8::from(self.fin) << 7 | self.reserved << 4 | self.opcode.bits());
        match self.length {
            0..126 => out.push(masked | self.length as u8),
            126..=MOST_IN_TWO => {
                out.push(masked | 126);
                out.extend_from_slice(&(self.length as u16).to_be_bytes());
            }
            _ => {
                out.push(masked | 127);
                out.extend_from_slice(&self.length.to_be_bytes());
            }
        }
        out.extend_from_slice(self.mask.as_ref().map_or(&[], |mask| mask));
    }
}

/// Reads a header from the front of `bytes`; none where more bytes are needed.
///
/// # Errors
/// What RFC 6455 forbids whoever sends it: reserved opcodes, lengths that are not in their shortest form, control frames that are
/// fragmented or long. Masks, reserved bits and the order of frames are the walker's to judge.
#[inline]
pub fn parse_header(bytes: &[u8]) -> Result<Option<Header>, Violation> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    let (fin, reserved) = (first & 0x80 != 0, first >> 4 & 0x7);
    let opcode = Opcode::of(first & 0xF)?;
    let short = second & 0x7F;
    if opcode.is_control() {
        if !fin {
            return Err(Violation::FragmentedControl);
        }
        if usize::from(short) > MOST_CONTROL {
            return Err(Violation::LongControl);
        }
    }
    let Some((length, rest, mut size)) = read_length(short, rest)? else {
        return Ok(None);
    };
    let mut mask = None;
    if second & 0x80 != 0 {
        let Some(key) = rest.first_chunk::<4>() else {
            return Ok(None);
        };
        mask = Some(*key);
        size += 4;
    }
    Ok(Some(Header {
        fin,
        reserved,
        opcode,
        mask,
        length,
        size,
    }))
}

type Length<'a> = (u64, &'a [u8], usize);

/// The length in its one, three or nine bytes, what stands behind it, and the size of the header up to there.
#[inline]
fn read_length(short: u8, rest: &[u8]) -> Result<Option<Length<'_>>, Violation> {
    match short {
        126 => {
            let Some((bytes, rest)) = rest.split_first_chunk::<2>() else {
                return Ok(None);
            };
            let length = u64::from(u16::from_be_bytes(*bytes));
            if length < 126 {
                return Err(Violation::Length);
            }
            Ok(Some((length, rest, 4)))
        }
        127 => {
            let Some((bytes, rest)) = rest.split_first_chunk::<8>() else {
                return Ok(None);
            };
            let length = u64::from_be_bytes(*bytes);
            if length <= MOST_IN_TWO || length >> 63 != 0 {
                return Err(Violation::Length);
            }
            Ok(Some((length, rest, 10)))
        }
        short => Ok(Some((u64::from(short), rest, 2))),
    }
}

/// Appends a Ping for a client.
pub fn write_ping(out: &mut Vec<u8>, payload: &[u8]) {
    write_control(out, Opcode::Ping, payload, None);
}

/// Appends a Pong for a client.
pub fn write_pong(out: &mut Vec<u8>, payload: &[u8]) {
    write_control(out, Opcode::Pong, payload, None);
}

/// The same for a server, masked.
pub fn write_masked_pong(out: &mut Vec<u8>, payload: &[u8], mask: u32) {
    write_control(out, Opcode::Pong, payload, Some(mask));
}

/// Appends a whole message in one frame, whose payload is `prefix` and what stands behind it; masked for a server, not for a client.
pub fn write_message(
    out: &mut Vec<u8>,
    opcode: Opcode,
    prefix: &[u8],
    payload: &[u8],
    mask: Option<u32>,
) {
    let mask = mask.map(u32::to_be_bytes);
    let length = prefix.len() + payload.len();
    Header::whole(opcode, length as u64, mask).write(out);
    let start = out.len();
    out.extend_from_slice(prefix);
    out.extend_from_slice(payload);
    if let Some(mask) = mask {
        apply_mask(out.get_mut(start..).unwrap_or_default(), mask, 0);
    }
}

/// Appends a control frame. What it has no room for is cut off.
pub(super) fn write_control(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: Option<u32>) {
    let payload = payload.get(..MOST_CONTROL).unwrap_or(payload);
    write_message(out, opcode, &[], payload, mask);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(bytes: &[u8]) -> Result<Option<Header>, Violation> {
        parse_header(bytes)
    }

    #[test]
    fn each_form_of_a_length_is_read_and_only_its_shortest() {
        let length =
            |bytes: &[u8]| header(bytes).map(|header| header.map(|it| (it.length, it.size)));
        assert_eq!(length(&[0x82, 0]), Ok(Some((0, 2))));
        assert_eq!(length(&[0x82, 125]), Ok(Some((125, 2))));
        assert_eq!(length(&[0x82, 126, 0, 126]), Ok(Some((126, 4))));
        assert_eq!(length(&[0x82, 126, 0, 125]), Err(Violation::Length));
        let long = |value: u64| [&[0x82, 127][..], &value.to_be_bytes()].concat();
        assert_eq!(length(&long(65536)), Ok(Some((65536, 10))));
        assert_eq!(length(&long(65535)), Err(Violation::Length));
        assert_eq!(length(&long(u64::MAX >> 1)), Ok(Some((u64::MAX >> 1, 10))));
        assert_eq!(length(&long(1 << 63)), Err(Violation::Length));
    }

    #[test]
    fn a_header_that_is_not_whole_asks_for_more() {
        let whole = [0x81, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4];
        for cut in 0..whole.len() {
            assert_eq!(header(&whole[..cut]), Ok(None), "{cut}");
        }
        let parsed = header(&whole).unwrap().unwrap();
        assert_eq!((parsed.mask, parsed.size), (Some([1, 2, 3, 4]), 14));
    }

    #[test]
    fn control_frames_are_short_and_whole_and_other_opcodes_are_reserved() {
        for opcode in [0x8, 0x9, 0xA] {
            assert!(header(&[0x80 | opcode, 125]).is_ok());
            assert_eq!(header(&[opcode, 0]), Err(Violation::FragmentedControl));
            assert_eq!(header(&[0x80 | opcode, 126]), Err(Violation::LongControl));
            assert_eq!(header(&[0x80 | opcode, 127]), Err(Violation::LongControl));
        }
        for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
            assert_eq!(
                header(&[0x80 | opcode, 0]),
                Err(Violation::ReservedOpcode(opcode))
            );
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        let mut out = Vec::new();
        write_ping(&mut out, b"hello");
        assert_eq!(out, b"\x89\x05hello");
        out.clear();
        write_masked_pong(&mut out, b"hello", 0x0102_0304);
        let parsed = header(&out).unwrap().unwrap();
        let mut payload = out[parsed.size..].to_vec();
        apply_mask(&mut payload, parsed.mask.unwrap(), 0);
        assert_eq!((parsed.length, payload.as_slice()), (5, &b"hello"[..]));
    }
}
