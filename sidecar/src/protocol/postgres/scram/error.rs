//! Why an exchange has failed.

use thiserror::Error;

/// Why an exchange has failed. No variant tells what was right about the client's messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScramError {
    /// A message that is not of the mechanism's form.
    #[error("malformed SCRAM message: {0}")]
    Malformed(&'static str),
    /// A mechanism that was not offered.
    #[error("the client chose a SASL mechanism that was not offered")]
    Mechanism,
    /// An authorization identity, which PostgreSQL has no use for.
    #[error("the client sent an authorization identity, which is not supported")]
    AuthorizationIdentity,
    /// A channel binding other than `tls-server-end-point`.
    #[error("the client asked for a channel binding other than tls-server-end-point")]
    ChannelBindingType,
    /// The flag for channel binding does not go with the mechanism.
    #[error("the client's channel binding flag does not go with its mechanism")]
    ChannelBindingFlag,
    /// The client could bind the channel and did not see the offer: somebody between has taken it away.
    #[error(
        "the client supports channel binding and believes that the server does not, which it does: the connection may be intercepted"
    )]
    Downgrade,
    /// The client sees another certificate than the sidecar's.
    #[error("the client's channel binding does not match this connection: it may be intercepted")]
    ChannelBinding,
    /// The nonce is not the one of this exchange.
    #[error("the client's nonce is not the one of this exchange")]
    Nonce,
    /// The proof is wrong: another password.
    #[error("password authentication failed")]
    Proof,
}
