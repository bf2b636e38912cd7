//! The table of messages: the byte that each begins with, and how long it can be.

/// The largest length that PostgreSQL accepts from a client.
pub const MAX_FRONTEND_LENGTH: u32 = 0x3fff_fffe;

/// The largest length that a server can send: a string of the server's greatest size, and the length itself.
pub const MAX_BACKEND_LENGTH: u32 = 0x4000_0003;

/// The largest length that PostgreSQL accepts for messages that carry no data.
const SMALL: u32 = 10_000;

/// The largest length that libpq accepts for messages that are short by nature.
const SMALL_FROM_SERVER: u32 = 30_000;

/// The largest authentication message that PostgreSQL accepts (a GSSAPI token; SASL and passwords are far shorter).
const AUTHENTICATION: u32 = 65_535;

/// The largest column or parameter count that sixteen bits can say.
const MAX_COUNT: u32 = 0xffff;

macro_rules! tags {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $byte:literal, $min:expr, $max:expr;)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $byte),+ }

        impl $name {
            /// Every tag, in the order of the protocol's documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The tag of this byte; `None` where the protocol has none.
            #[inline]
            #[must_use]
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte {
                    $($byte => Some(Self::$variant),)+
                    _ => None,
                }
            }

            /// The byte on the wire.
            #[inline]
            #[must_use]
            pub const fn byte(self) -> u8 {
                self as u8
            }

            /// The shortest and the longest length that this message can have, the length's own four bytes included.
            #[inline]
            #[must_use]
            pub const fn bounds(self) -> (u32, u32) {
                match self {
                    $(Self::$variant => ($min, $max),)+
                }
            }
        }
    };
}

tags!(
    /// What a client sends, start-up packets apart.
    FrontendTag {
        /// Binds values to a prepared statement.
        Bind = b'B', 4 + 1 + 1 + 2 + 2 + 2, MAX_FRONTEND_LENGTH;
        /// Closes a statement or a portal.
        Close = b'C', 4 + 1 + 1, SMALL;
        /// A piece of a COPY; both directions use this byte.
        CopyData = b'd', 4, MAX_FRONTEND_LENGTH;
        /// The end of a COPY.
        CopyDone = b'c', 4, 4;
        /// A COPY given up by the client, with the reason.
        CopyFail = b'f', 4 + 1, SMALL;
        /// Asks for the form of a statement or a portal.
        Describe = b'D', 4 + 1 + 1, SMALL;
        /// Runs a portal.
        Execute = b'E', 4 + 1 + 4, SMALL;
        /// Asks for what the server has buffered.
        Flush = b'H', 4, 4;
        /// The old function-call interface.
        FunctionCall = b'F', 4 + 4 + 2 + 2 + 2, MAX_FRONTEND_LENGTH;
        /// Prepares a statement.
        Parse = b'P', 4 + 1 + 1 + 2, MAX_FRONTEND_LENGTH;
        /// An answer to an authentication request: password, SASL or GSSAPI.
        Authentication = b'p', 4, AUTHENTICATION;
        /// A simple query.
        Query = b'Q', 4 + 1, MAX_FRONTEND_LENGTH;
        /// The end of an extended query.
        Sync = b'S', 4, 4;
        /// Goodbye.
        Terminate = b'X', 4, 4;
    }
);

tags!(
    /// What a server sends.
    BackendTag {
        /// An authentication request, or its success.
        Authentication = b'R', 4 + 4, AUTHENTICATION;
        /// The key for cancel requests.
        BackendKeyData = b'K', 4 + 4 + 4, 4 + 4 + 256;
        /// Bind has succeeded.
        BindComplete = b'2', 4, 4;
        /// Close has succeeded.
        CloseComplete = b'3', 4, 4;
        /// A command has succeeded.
        CommandComplete = b'C', 4 + 1, SMALL_FROM_SERVER;
        /// A piece of a COPY.
        CopyData = b'd', 4, MAX_BACKEND_LENGTH;
        /// The end of a COPY.
        CopyDone = b'c', 4, 4;
        /// The server waits for COPY data.
        CopyInResponse = b'G', 4 + 1 + 2, 4 + 1 + 2 + 2 * MAX_COUNT;
        /// COPY data follow.
        CopyOutResponse = b'H', 4 + 1 + 2, 4 + 1 + 2 + 2 * MAX_COUNT;
        /// COPY data flow both ways (replication).
        CopyBothResponse = b'W', 4 + 1 + 2, 4 + 1 + 2 + 2 * MAX_COUNT;
        /// One row.
        DataRow = b'D', 4 + 2, MAX_BACKEND_LENGTH;
        /// The answer to an empty query.
        EmptyQueryResponse = b'I', 4, 4;
        /// An error.
        ErrorResponse = b'E', 4 + 1, MAX_BACKEND_LENGTH;
        /// The result of a function call.
        FunctionCallResponse = b'V', 4 + 4, MAX_BACKEND_LENGTH;
        /// The server speaks an older minor version, or does not know an option.
        NegotiateProtocolVersion = b'v', 4 + 4 + 4, SMALL_FROM_SERVER;
        /// The statement returns no rows.
        NoData = b'n', 4, 4;
        /// A warning or a note.
        NoticeResponse = b'N', 4 + 1, MAX_BACKEND_LENGTH;
        /// A NOTIFY of another session.
        NotificationResponse = b'A', 4 + 4 + 1 + 1, MAX_BACKEND_LENGTH;
        /// The types of a statement's parameters. PostgreSQL prepares statements of more than can be bound, or counted here.
        ParameterDescription = b't', 4 + 2, MAX_BACKEND_LENGTH;
        /// A run-time parameter's value.
        ParameterStatus = b'S', 4 + 1 + 1, SMALL_FROM_SERVER;
        /// Parse has succeeded.
        ParseComplete = b'1', 4, 4;
        /// Execute has reached its row limit.
        PortalSuspended = b's', 4, 4;
        /// The server is ready for a new query.
        ReadyForQuery = b'Z', 4 + 1, 4 + 1;
        /// The columns of the rows that follow.
        RowDescription = b'T', 4 + 2, MAX_BACKEND_LENGTH;
    }
);
