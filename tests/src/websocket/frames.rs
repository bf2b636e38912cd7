//! Frames (RFC 6455, section 5.2), written and read in the plainest way.

/// The mask of every masked frame of the tests; RFC 6455 asks for chance, and a test for the same bytes in each run.
pub const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// Continuation.
pub const CONTINUATION: u8 = 0;
/// Text.
pub const TEXT: u8 = 1;
/// Binary.
pub const BINARY: u8 = 2;
/// Close.
pub const CLOSE: u8 = 8;
/// Ping.
pub const PING: u8 = 9;
/// Pong.
pub const PONG: u8 = 10;

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Whether it is the last of its message.
    pub fin: bool,
    /// The three reserved bits.
    pub reserved: u8,
    /// The opcode.
    pub opcode: u8,
    /// The payload, unmasked.
    pub payload: Vec<u8>,
}

/// How a length is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// In as few bytes as it needs, which is the only legal way.
    Shortest,
    /// In 16 bits.
    Short,
    /// In 64 bits.
    Long,
}

impl Frame {
    /// A whole message, or a control frame.
    #[must_use]
    pub fn new(opcode: u8, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            fin: true,
            reserved: 0,
            opcode,
            payload: payload.into(),
        }
    }

    /// A text message.
    #[must_use]
    pub fn text(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(TEXT, payload)
    }

    /// A binary message.
    #[must_use]
    pub fn binary(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(BINARY, payload)
    }

    /// A continuation, the last one.
    #[must_use]
    pub fn continuation(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(CONTINUATION, payload)
    }

    /// A ping.
    #[must_use]
    pub fn ping(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(PING, payload)
    }

    /// A pong.
    #[must_use]
    pub fn pong(payload: impl Into<Vec<u8>>) -> Self {
        Self::new(PONG, payload)
    }

    /// A Close frame.
    #[must_use]
    pub fn close(code: u16, reason: &str) -> Self {
        Self::new(CLOSE, [&code.to_be_bytes()[..], reason.as_bytes()].concat())
    }

    /// The same with more to follow.
    #[must_use]
    pub fn part(mut self) -> Self {
        self.fin = false;
        self
    }

    /// The same with these reserved bits.
    #[must_use]
    pub fn reserved(mut self, bits: u8) -> Self {
        self.reserved = bits;
        self
    }

    /// As a client sends it.
    #[must_use]
    pub fn masked(&self) -> Vec<u8> {
        self.written(Some(MASK), Length::Shortest)
    }

    /// As a server sends it.
    #[must_use]
    pub fn plain(&self) -> Vec<u8> {
        self.written(None, Length::Shortest)
    }

    /// Its bytes, its length in a form of the test's choice.
    ///
    /// # Panics
    /// When the length does not fit the form.
    #[must_use]
    pub fn written(&self, mask: Option<[u8; 4]>, form: Length) -> Vec<u8> {
        let length = self.payload.len();
        let masks = if mask.is_some() { 0x80 } else { 0 };
        let mut out = vec![u8::from(self.fin) << 7 | self.reserved << 4 | self.opcode];
        match (form, length) {
            (Length::Shortest, 0..=125) => out.push(masks | u8::try_from(length).unwrap()),
            (Length::Shortest, 126..=65535) | (Length::Short, _) => {
                out.push(masks | 126);
                out.extend(u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                out.push(masks | 127);
                out.extend((length as u64).to_be_bytes());
            }
        }
        out.extend(mask.into_iter().flatten());
        let mask = mask.unwrap_or_default();
        out.extend(
            self.payload
                .iter()
                .enumerate()
                .map(|(at, byte)| byte ^ mask[at % 4]),
        );
        out
    }

    /// The frame at the front of `bytes` with its size, if it is whole.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let (first, second) = (*bytes.first()?, *bytes.get(1)?);
        let (length, mut at) = match second & 0x7F {
            126 => (
                u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)),
                4,
            ),
            127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
            short => (u64::from(short), 2),
        };
        let mut mask = [0; 4];
        if second & 0x80 != 0 {
            mask = bytes.get(at..at + 4)?.try_into().ok()?;
            at += 4;
        }
        let end = at.checked_add(usize::try_from(length).ok()?)?;
        let payload = bytes.get(at..end)?;
        let payload = payload
            .iter()
            .enumerate()
            .map(|(at, byte)| byte ^ mask[at % 4])
            .collect();
        let frame = Self {
            fin: first & 0x80 != 0,
            reserved: first >> 4 & 0b111,
            opcode: first & 0xF,
            payload,
        };
        Some((frame, end))
    }

    /// The code and the reason of a Close frame; 1005 where there is none (RFC 6455, section 7.1.5).
    ///
    /// # Panics
    /// When this is no Close frame, or has half a code.
    #[must_use]
    pub fn closes(&self) -> (u16, String) {
        assert_eq!(self.opcode, CLOSE, "{self:?}");
        if self.payload.is_empty() {
            return (1005, String::new());
        }
        let (code, reason) = self.payload.split_at(2);
        (
            u16::from_be_bytes(code.try_into().unwrap()),
            String::from_utf8(reason.to_vec()).unwrap(),
        )
    }

    /// The payload as text.
    #[must_use]
    pub fn as_text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}
