//! The client's two messages, taken apart. Whether they are true is not judged here.

use aws_lc_rs::digest::SHA256_OUTPUT_LEN;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::error::ScramError;
use super::mechanism::Mechanism;

/// `gs2-cbind-flag "," [authzid] "," username "," nonce ["," extensions]`.
pub(super) struct ClientFirst<'a> {
    flag: Flag,
    pub(super) header: &'a [u8],
    pub(super) bare: &'a [u8],
    pub(super) nonce: &'a str,
}

/// What the client says about channel binding.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flag {
    Unsupported,
    NotOffered,
    Used,
}

/// `channel-binding "," nonce ["," extensions] "," proof`.
pub(super) struct ClientFinal<'a> {
    pub(super) channel: &'a [u8],
    pub(super) nonce: &'a [u8],
    pub(super) proof: [u8; SHA256_OUTPUT_LEN],
    pub(super) without_proof: &'a [u8],
}

impl<'a> ClientFirst<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Self, ScramError> {
        let malformed = ScramError::Malformed;
        let mut parts = message.splitn(3, |byte| *byte == b',');
        let flag = match parts.next().unwrap_or_default() {
            b"n" => Flag::Unsupported,
            b"y" => Flag::NotOffered,
            b"p=tls-server-end-point" => Flag::Used,
            other if other.starts_with(b"p=") => return Err(ScramError::ChannelBindingType),
            _ => return Err(malformed("no channel binding flag")),
        };
        let identity = parts.next().ok_or(malformed("no authorization identity"))?;
        if !identity.is_empty() {
            return Err(ScramError::AuthorizationIdentity);
        }
        let bare = parts.next().ok_or(malformed("no user name"))?;
        let (header, _) = message.split_at(message.len().saturating_sub(bare.len()));
        let mut attributes = bare.split(|byte| *byte == b',');
        attribute(attributes.next(), b"n=").ok_or(malformed("no user name"))?;
        let nonce = attribute(attributes.next(), b"r=").ok_or(malformed("no nonce"))?;
        if nonce.is_empty() || !nonce.iter().all(u8::is_ascii_graphic) {
            return Err(malformed("the nonce is not printable"));
        }
        Ok(Self {
            flag,
            header,
            bare,
            nonce: std::str::from_utf8(nonce).map_err(|_| malformed("the nonce is not text"))?,
        })
    }

    /// Whether the flag goes with the mechanism, and shows nobody in between.
    pub(super) fn check_flag(
        &self,
        mechanism: Mechanism,
        bindable: bool,
    ) -> Result<(), ScramError> {
        match (self.flag, mechanism) {
            (Flag::Used, Mechanism::ScramSha256Plus) if bindable => Ok(()),
            (Flag::NotOffered, Mechanism::ScramSha256) if bindable => Err(ScramError::Downgrade),
            (Flag::Unsupported | Flag::NotOffered, Mechanism::ScramSha256) => Ok(()),
            _ => Err(ScramError::ChannelBindingFlag),
        }
    }
}

impl<'a> ClientFinal<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Self, ScramError> {
        let malformed = ScramError::Malformed;
        let comma = memchr::memrchr(b',', message).ok_or(malformed("no proof"))?;
        let (without_proof, last) = message.split_at(comma);
        let proof = attribute(last.get(1..), b"p=").ok_or(malformed("no proof"))?;
        let proof = BASE64
            .decode(proof)
            .ok()
            .and_then(|proof| proof.try_into().ok())
            .ok_or(malformed("the proof is not a key"))?;
        let mut attributes = without_proof.split(|byte| *byte == b',');
        Ok(Self {
            channel: attribute(attributes.next(), b"c=").ok_or(malformed("no channel binding"))?,
            nonce: attribute(attributes.next(), b"r=").ok_or(malformed("no nonce"))?,
            proof,
            without_proof,
        })
    }
}

fn attribute<'a>(part: Option<&'a [u8]>, name: &[u8]) -> Option<&'a [u8]> {
    part?.strip_prefix(name)
}
