//! What is in the messages that the sidecar reads or writes itself, one small family a file.
//!
//! Readers take a body (the bytes behind the header, whose length [`super::codec`] has bounded) and borrow from it. Writers
//! append a whole message, header included, to a `Vec<u8>`. Nothing here touches a socket or decides anything. Messages that
//! pass through unread (`DataRow`, `CopyData` and the like) have no file.
//!
//! Source: PostgreSQL documentation, "Frontend/Backend Protocol", "Message Formats".

mod acknowledge;
mod authentication;
mod bind;
mod cancel_key;
mod command_complete;
mod copy;
mod cursor;
pub(in crate::protocol::postgres) mod frame;
mod negotiate;
mod notice;
mod parameter_status;
mod parse;
mod query;
mod ready_for_query;
mod row;
mod startup;
mod target;

pub use acknowledge::{bind_complete, close_complete, flush, no_data, parse_complete, sync};
pub use authentication::{
    MAX_SASL, SaslInitialResponse, SaslResponse, authentication_cleartext_password,
    authentication_ok, authentication_sasl, authentication_sasl_continue,
    authentication_sasl_final,
};
pub use bind::{Bind, BindNames, query_with_text};
pub use cancel_key::CancelKey;
pub use command_complete::CommandComplete;
pub use copy::copy_fail;
pub use negotiate::NegotiateProtocolVersion;
pub use notice::{Field, NoticeFields};
pub use parameter_status::ParameterStatus;
pub use parse::Parse;
pub use query::Query;
pub use ready_for_query::{TransactionStatus, ready_for_query};
pub use row::{
    Column, Format, Type, data_row, data_row_of, empty_query_response, parameter_description,
    row_description,
};
pub use startup::{
    MALFORMED_CANCEL, MAX_STARTUP_LENGTH, MIN_STARTUP_LENGTH, Parameter, ProtocolVersion,
    StartupMessage, StartupPacket, startup_packet,
};
pub use target::{Target, TargetKind};
