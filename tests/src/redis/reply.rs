//! A reply as a tree, read by other means than the sidecar's.

/// A reply of RESP2 or RESP3.
#[derive(Clone, Debug, PartialEq)]
pub enum Reply {
    /// A null of any kind.
    Null,
    /// A status, a number, a boolean: a line, with what it begins with.
    Line(char, String),
    /// An error.
    Error(String),
    /// A string of bytes.
    Bytes(Vec<u8>),
    /// An array, a set, or a push.
    List(Vec<Reply>),
    /// A map, in the order that it came in.
    Map(Vec<(Reply, Reply)>),
}

impl Reply {
    /// The reply at the front of some bytes, and how many it has; none where it has not come whole.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let marker = char::from(bytes[0]);
        let line = String::from_utf8_lossy(&bytes[1..end]).into_owned();
        let after = end + 2;
        let number = || line.parse::<i64>().expect("a length");
        let reply = match marker {
            '+' | ':' | ',' | '(' | '#' => Self::Line(marker, line),
            '-' => Self::Error(line),
            '_' => Self::Null,
            '$' | '=' | '!' | '*' | '~' | '>' | '%' if number() < 0 => Self::Null,
            '$' | '=' | '!' => {
                let len = usize::try_from(number()).unwrap();
                let body = bytes.get(after..after + len)?;
                bytes.get(after + len..after + len + 2)?;
                return Some((Self::Bytes(body.to_vec()), after + len + 2));
            }
            '*' | '~' | '>' => {
                let (elements, len) = several(&bytes[after..], number())?;
                return Some((Self::List(elements), after + len));
            }
            '%' => {
                let (elements, len) = several(&bytes[after..], 2 * number())?;
                let pairs = elements
                    .chunks(2)
                    .map(|two| (two[0].clone(), two[1].clone()));
                return Some((Self::Map(pairs.collect()), after + len));
            }
            marker => panic!("a reply of type {marker:?}"),
        };
        Some((reply, after))
    }

    /// The elements of a list, or nothing.
    #[must_use]
    pub fn elements(&self) -> &[Self] {
        match self {
            Self::List(elements) => elements,
            _ => &[],
        }
    }

    /// The text of a string or of a line, or nothing.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Self::Line(_, line) | Self::Error(line) => line.clone(),
            _ => String::new(),
        }
    }

    /// Whether it is an error.
    #[must_use]
    pub const fn is_error(&self) -> bool {
        matches!(self, Self::Error(_))
    }
}

fn several(bytes: &[u8], count: i64) -> Option<(Vec<Reply>, usize)> {
    let mut at = 0;
    let mut elements = Vec::new();
    for _ in 0..count {
        let (element, len) = Reply::parse(bytes.get(at..)?)?;
        elements.push(element);
        at += len;
    }
    Some((elements, at))
}
