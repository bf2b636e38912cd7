//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the server's side: how an application proves that it knows the listener's password.
//!
//! Lives here: the exchange as pure steps from message to message, and the keys derived from a password. May not live here:
//! PostgreSQL's messages, sockets, and who may log in as whom. The client's side is in [`crate::upstream`].
//!
//! Source: RFC 5802 and RFC 7677 (the mechanism), RFC 5929 section 4 (`tls-server-end-point`), PostgreSQL documentation,
//! "SASL Authentication". Like PostgreSQL, it takes no notice of the user name in the exchange.

mod client;
mod error;
mod mechanism;

pub use error::ScramError;
pub use mechanism::Mechanism;

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use client::{ClientFinal, ClientFirst};

use crate::random;

/// PostgreSQL's default, and the least that RFC 7677 allows.
const ITERATIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4095);

/// Random bytes in the server's half of the nonce, as many as PostgreSQL has.
const NONCE: usize = 18;

const SALT: usize = 16;
const KEY: usize = digest::SHA256_OUTPUT_LEN;

/// What the sidecar keeps of a password: enough to check a proof, not enough to make one. Deriving it takes 4,096 hashes, so
/// it is made once and used for every login.
#[derive(Clone)]
pub struct ScramVerifier {
    salt: [u8; SALT],
    stored_key: [u8; KEY],
    server_key: [u8; KEY],
}

/// An exchange that waits for the client's proof.
pub struct Challenge<'a> {
    verifier: &'a ScramVerifier,
    client_first_bare: Vec<u8>,
    server_first: String,
    nonce: String,
    channel: String,
}

impl fmt::Debug for ScramVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScramVerifier")
    }
}

impl fmt::Debug for Challenge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Challenge")
    }
}

impl ScramVerifier {
    /// Derives the keys of a password, under a salt of its own.
    ///
    /// The password's bytes are taken as they are. For ASCII that is what `SASLprep` gives, and PostgreSQL does the same with
    /// what `SASLprep` refuses; other passwords agree when they are written in normal form KC, as clients send them.
    #[must_use]
    pub fn new(password: &str) -> Self {
        let mut salt = [0; SALT];
        // A salt protects verifiers that are stored and stolen. This one never leaves the process, so that no randomness
        // would be no reason to do without authentication.
        let _ = random::fill(&mut salt);
        Self::with_salt(password, salt)
    }

    fn with_salt(password: &str, salt: [u8; SALT]) -> Self {
        let mut salted = [0; KEY];
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            ITERATIONS,
            &salt,
            password.as_bytes(),
            &mut salted,
        );
        Self {
            salt,
            stored_key: sha256(&sign(&salted, b"Client Key")),
            server_key: sign(&salted, b"Server Key"),
        }
    }

    /// Answers the client's first message. `end_point` is the certificate's hash where the channel can be bound, and
    /// `server_nonce` comes from [`nonce`].
    ///
    /// # Errors
    /// A malformed message, or one whose channel binding flag shows a mistake or a man in the middle.
    pub fn challenge(
        &self,
        mechanism: Mechanism,
        end_point: Option<&[u8]>,
        client_first: &[u8],
        server_nonce: &str,
    ) -> Result<Challenge<'_>, ScramError> {
        let first = ClientFirst::read(client_first)?;
        first.check_flag(mechanism, end_point.is_some())?;
        let nonce = format!("{}{server_nonce}", first.nonce);
        let salt = BASE64.encode(self.salt);
        let mut channel = first.header.to_vec();
        if mechanism == Mechanism::ScramSha256Plus {
            channel.extend_from_slice(end_point.unwrap_or_default());
        }
        Ok(Challenge {
            verifier: self,
            client_first_bare: first.bare.to_vec(),
            server_first: format!("r={nonce},s={salt},i={ITERATIONS}"),
            nonce,
            channel: BASE64.encode(channel),
        })
    }
}

impl Challenge<'_> {
    /// The server's first message.
    #[must_use]
    pub fn server_first(&self) -> &str {
        &self.server_first
    }

    /// Checks the client's final message; the server's final message, which proves that the sidecar knows the password too.
    ///
    /// # Errors
    /// A malformed message, another channel or nonce than this exchange's, or a wrong proof.
    pub fn finish(&self, client_final: &[u8]) -> Result<String, ScramError> {
        let last = ClientFinal::read(client_final)?;
        if last.channel != self.channel.as_bytes() {
            return Err(ScramError::ChannelBinding);
        }
        if last.nonce != self.nonce.as_bytes() {
            return Err(ScramError::Nonce);
        }
        let message = [
            &self.client_first_bare,
            self.server_first.as_bytes(),
            last.without_proof,
        ]
        .join(&b","[..]);
        self.check(&message, &last.proof)?;
        let signature = sign(&self.verifier.server_key, &message);
        Ok(format!("v={}", BASE64.encode(signature)))
    }

    fn check(&self, message: &[u8], proof: &[u8; KEY]) -> Result<(), ScramError> {
        let stored_key = &self.verifier.stored_key;
        let mut client_key = *proof;
        for (byte, mask) in client_key.iter_mut().zip(sign(stored_key, message)) {
            *byte ^= mask;
        }
        verify_slices_are_equal(&sha256(&client_key), stored_key).map_err(|_| ScramError::Proof)
    }
}

/// The server's half of a nonce; `None` where the operating system gives no random bytes.
#[must_use]
pub fn nonce() -> Option<String> {
    let mut bytes = [0; NONCE];
    random::fill(&mut bytes).ok()?;
    Some(BASE64.encode(bytes))
}

fn sign(key: &[u8; KEY], data: &[u8]) -> [u8; KEY] {
    let mut tag = [0; KEY];
    tag.copy_from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref());
    tag
}

fn sha256(data: &[u8]) -> [u8; KEY] {
    let mut hash = [0; KEY];
    hash.copy_from_slice(digest::digest(&digest::SHA256, data).as_ref());
    hash
}

#[cfg(test)]
mod tests;
