//! What a server says: one message, and the messages up to some point.

use std::ops::Deref;

use crate::refusal::Refusal;

/// One message of the server.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Its type.
    pub tag: u8,
    /// What follows type and length.
    pub body: Vec<u8>,
}

/// The messages of the server up to some point.
#[derive(Clone, Debug)]
pub struct Replies(pub(super) Vec<Message>);

impl Message {
    /// A message's body as text up to its first zero, as `CommandComplete` has it.
    #[must_use]
    pub fn text(&self) -> String {
        let end = self
            .body
            .iter()
            .position(|byte| *byte == 0)
            .unwrap_or(self.body.len());
        String::from_utf8_lossy(&self.body[..end]).into_owned()
    }

    /// The columns of a `DataRow`.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn columns(&self) -> Vec<Option<String>> {
        let mut rest = &self.body[2..];
        let count = u16::from_be_bytes([self.body[0], self.body[1]]);
        (0..count)
            .map(|_| {
                let (length, after) = rest.split_at(4);
                rest = after;
                let length =
                    usize::try_from(i32::from_be_bytes(length.try_into().unwrap())).ok()?;
                let (value, after) = rest.split_at(length);
                rest = after;
                Some(String::from_utf8_lossy(value).into_owned())
            })
            .collect()
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.tag {
            b'E' | b'N' => write!(
                f,
                "{} {:?}",
                char::from(self.tag),
                Refusal::from_body(&self.body)
            ),
            tag => {
                let shown = &self.body[..self.body.len().min(60)];
                write!(
                    f,
                    "{} {:?}",
                    char::from(tag),
                    String::from_utf8_lossy(shown)
                )
            }
        }
    }
}

impl Replies {
    /// Messages that were received one by one.
    #[must_use]
    pub fn of_messages(messages: &[Message]) -> Self {
        Self(messages.to_vec())
    }

    /// The types of the messages, in order: `TDCZ` is the answer to `SELECT 1`. What may come at any time is left out.
    #[must_use]
    pub fn tags(&self) -> String {
        self.0
            .iter()
            .map(|message| char::from(message.tag))
            .filter(|tag| !matches!(tag, 'N' | 'S' | 'A'))
            .collect()
    }

    /// The rows, as text.
    #[must_use]
    pub fn rows(&self) -> Vec<Vec<Option<String>>> {
        self.of(b'D').map(Message::columns).collect()
    }

    /// The first column of the first row.
    ///
    /// # Panics
    /// When there is no row.
    #[must_use]
    pub fn value(&self) -> Option<String> {
        let rows = self.rows();
        rows.first().unwrap_or_else(|| panic!("no row in {self:?}"))[0].clone()
    }

    /// The command tags.
    #[must_use]
    pub fn commands(&self) -> Vec<String> {
        self.of(b'C').map(Message::text).collect()
    }

    /// The one error.
    ///
    /// # Panics
    /// When there is none, or more than one.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        let errors: Vec<_> = self.of(b'E').collect();
        assert_eq!(errors.len(), 1, "one error was expected: {self:?}");
        Refusal::from_body(&errors[0].body)
    }

    /// The transaction status of the last `ReadyForQuery`: `I`, `T` or `E`.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn status(&self) -> char {
        let ready = self.of(b'Z').last();
        char::from(
            ready
                .unwrap_or_else(|| panic!("no ReadyForQuery in {self:?}"))
                .body[0],
        )
    }

    /// The messages of type `tag`.
    pub fn of(&self, tag: u8) -> impl Iterator<Item = &Message> {
        self.0.iter().filter(move |message| message.tag == tag)
    }
}

impl Deref for Replies {
    type Target = [Message];

    fn deref(&self) -> &[Message] {
        &self.0
    }
}
