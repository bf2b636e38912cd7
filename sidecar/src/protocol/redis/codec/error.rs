//! What breaks the protocol: by a client, in the server's own words, and by a server.

use thiserror::Error;

/// What is wrong with a client's bytes. Nobody can tell where its next command begins, so the connection ends after the error.
///
/// The texts are those of the server (`networking.c`), where it has one: clients and their tests know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// The number of arguments is no number, or above the limit.
    #[error("Protocol error: invalid multibulk length")]
    ArrayLength,
    /// More arguments than somebody may send who has not said who they are.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnidentifiedArrayLength,
    /// An argument that does not begin with `$`.
    #[error("Protocol error: expected '$', got '{}'", char::from(*.0))]
    Marker(u8),
    /// The length of an argument is no number, or above the limit.
    #[error("Protocol error: invalid bulk length")]
    BulkLength,
    /// A longer argument than somebody may send who has not said who they are.
    #[error("Protocol error: unauthenticated bulk length")]
    UnidentifiedBulkLength,
    /// An argument that does not end where its length says.
    #[error("Protocol error: an argument does not end with CR LF where its length says")]
    Unterminated,
    /// An inline command of more than 64 KiB.
    #[error("Protocol error: too big inline request")]
    InlineLength,
    /// An inline command with a quote that nothing closes, or with something right behind a closing quote.
    #[error("Protocol error: unbalanced quotes in request")]
    Quotes,
    /// An inline command with a NUL in it. The server would not find the line's end behind it, and wait for ever.
    #[error("Protocol error: a NUL in an inline request")]
    Nul,
    /// The first line or a header of an HTTP request: a browser was made to talk to this port.
    #[error("Protocol error: this is an HTTP request, and this port speaks Redis")]
    Http,
}

/// What is wrong with a server's bytes. The connection to it is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ReplyError {
    /// A type that neither RESP2 nor RESP3 has.
    #[error("the server sent a reply of the unknown type 0x{0:02x}")]
    Marker(u8),
    /// A length that is no number.
    #[error("the server sent a reply with a malformed length")]
    Length,
    /// Aggregates within aggregates, deeper than anybody reads.
    #[error("the server sent a reply that is nested more than {0} deep")]
    Depth(usize),
    /// A reply that does not have the form that its command's replies have.
    #[error("the server sent a reply to {command} that is not of its form: {problem}")]
    Form {
        /// What was asked for.
        command: &'static str,
        /// What is wrong.
        problem: &'static str,
    },
}
