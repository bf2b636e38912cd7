//! What a client has chosen for its connection. It belongs to the client, and a server connection is made to suit it before its work
//! begins there.

/// The version of the protocol (`HELLO`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Resp {
    /// RESP2, which every connection begins with.
    #[default]
    Two,
    /// RESP3.
    Three,
}

impl Resp {
    /// As `HELLO` has it.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Two => 2,
            Self::Three => 3,
        }
    }

    /// The version that `HELLO` names; none that exists, none here.
    #[must_use]
    pub const fn parse(text: &[u8]) -> Option<Self> {
        match text {
            b"2" => Some(Self::Two),
            b"3" => Some(Self::Three),
            _ => None,
        }
    }
}

/// What a client's name begins with that says who it works for (`CLIENT SETNAME bulkhead:ID`).
pub(super) const NAMES_USER: &[u8] = b"bulkhead:";

/// Databases that a client may select. A server has 16 unless its configuration says otherwise, and refuses those that it has not.
const MOST_DATABASES: u32 = 65_536;

/// The choices of one client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choices {
    /// The logical database (`SELECT`); none: the policy's.
    pub database: Option<u32>,
    /// The version of the protocol.
    pub resp: Resp,
    /// Its name (`CLIENT SETNAME`).
    pub name: Option<Box<[u8]>>,
    /// The library that it uses (`CLIENT SETINFO LIB-NAME`).
    pub library: Option<Box<[u8]>>,
}

impl Choices {
    /// What it is called in inventories: by its own name, else by its library's.
    #[must_use]
    pub fn application(&self) -> String {
        let name = self.name.as_deref().or(self.library.as_deref());
        String::from_utf8_lossy(name.unwrap_or_default()).into_owned()
    }
}

/// The number of a logical database.
#[must_use]
pub fn database_number(text: &[u8]) -> Option<u32> {
    let number = std::str::from_utf8(text).ok()?.parse().ok()?;
    (number < MOST_DATABASES).then_some(number)
}

/// Whether the server would take this for a client's name: no blanks, no line ends, nothing outside of ASCII's visible characters.
#[must_use]
pub fn is_name(text: &[u8]) -> bool {
    text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}
