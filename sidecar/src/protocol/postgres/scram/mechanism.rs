//! The mechanisms that are offered.

/// A mechanism's name and whether it binds the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Without channel binding.
    ScramSha256,
    /// Bound to the TLS certificate.
    ScramSha256Plus,
}

impl Mechanism {
    /// The mechanisms to offer, the preferred first: with channel binding only where there is a channel to bind.
    #[must_use]
    pub const fn offered(bindable: bool) -> &'static [Self] {
        if bindable {
            &[Self::ScramSha256Plus, Self::ScramSha256]
        } else {
            &[Self::ScramSha256]
        }
    }

    /// The name in the IANA registry.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
        }
    }
}
