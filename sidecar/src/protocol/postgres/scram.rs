//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the server's side: how an application proves that it knows the listener's password.
//!
//! Lives here: the exchange as pure steps from message to message, and the keys derived from a password. May not live here:
//! PostgreSQL's messages, sockets, and who may log in as whom. The client's side is in [`crate::upstream`].
//!
//! Source: RFC 5802 and RFC 7677 (the mechanism), RFC 5929 section 4 (`tls-server-end-point`), PostgreSQL documentation,
//! "SASL Authentication". Like PostgreSQL, it takes no notice of the user name in the exchange.

use std::fmt;
use std::num::NonZeroU32;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use thiserror::Error;

/// PostgreSQL's default, and the least that RFC 7677 allows.
const ITERATIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4095);

/// Random bytes in the server's half of the nonce, as many as PostgreSQL has.
const NONCE: usize = 18;

const SALT: usize = 16;
const KEY: usize = digest::SHA256_OUTPUT_LEN;

/// A mechanism's name and whether it binds the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// Without channel binding.
    ScramSha256,
    /// Bound to the TLS certificate.
    ScramSha256Plus,
}

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
        let _ = rand::fill(&mut salt);
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
    rand::fill(&mut bytes).ok()?;
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

/// `gs2-cbind-flag "," [authzid] "," username "," nonce ["," extensions]`.
struct ClientFirst<'a> {
    flag: Flag,
    header: &'a [u8],
    bare: &'a [u8],
    nonce: &'a str,
}

/// What the client says about channel binding.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flag {
    Unsupported,
    NotOffered,
    Used,
}

impl<'a> ClientFirst<'a> {
    fn read(message: &'a [u8]) -> Result<Self, ScramError> {
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

    fn check_flag(&self, mechanism: Mechanism, bindable: bool) -> Result<(), ScramError> {
        match (self.flag, mechanism) {
            (Flag::Used, Mechanism::ScramSha256Plus) if bindable => Ok(()),
            (Flag::NotOffered, Mechanism::ScramSha256) if bindable => Err(ScramError::Downgrade),
            (Flag::Unsupported | Flag::NotOffered, Mechanism::ScramSha256) => Ok(()),
            _ => Err(ScramError::ChannelBindingFlag),
        }
    }
}

/// `channel-binding "," nonce ["," extensions] "," proof`.
struct ClientFinal<'a> {
    channel: &'a [u8],
    nonce: &'a [u8],
    proof: [u8; KEY],
    without_proof: &'a [u8],
}

impl<'a> ClientFinal<'a> {
    fn read(message: &'a [u8]) -> Result<Self, ScramError> {
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

#[cfg(test)]
mod tests {
    use postgres_protocol::authentication::sasl::{ChannelBinding, ScramSha256};
    use proptest::prelude::*;

    use super::*;

    const PLAIN: Mechanism = Mechanism::ScramSha256;
    const PLUS: Mechanism = Mechanism::ScramSha256Plus;

    /// One exchange with the client that tokio-postgres uses.
    fn exchange(
        verifier: &ScramVerifier,
        password: &str,
        mechanism: Mechanism,
        binding: ChannelBinding,
        end_point: Option<&[u8]>,
    ) -> Result<(), ScramError> {
        let mut client = ScramSha256::new(password.as_bytes(), binding);
        let challenge = verifier.challenge(mechanism, end_point, client.message(), "c2VydmVy")?;
        client.update(challenge.server_first().as_bytes()).unwrap();
        let server_final = challenge.finish(client.message())?;
        client.finish(server_final.as_bytes()).unwrap();
        Ok(())
    }

    #[test]
    fn the_example_of_rfc_7677() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let verifier = ScramVerifier::with_salt("pencil", salt.try_into().unwrap());
        let challenge = verifier
            .challenge(
                PLAIN,
                None,
                b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
                "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            )
            .unwrap();
        assert_eq!(
            challenge.server_first(),
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
        );
        let server_final = challenge.finish(
            b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        );
        assert_eq!(
            server_final.as_deref(),
            Ok("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
        );
    }

    #[test]
    fn one_verifier_serves_many_logins() {
        let verifier = ScramVerifier::new("secret");
        for _ in 0..2 {
            let unbound = ChannelBinding::unsupported();
            assert_eq!(exchange(&verifier, "secret", PLAIN, unbound, None), Ok(()));
        }
    }

    #[test]
    fn another_password_is_refused() {
        let verifier = ScramVerifier::new("secret");
        let unbound = ChannelBinding::unsupported();
        assert_eq!(
            exchange(&verifier, "Secret", PLAIN, unbound, None),
            Err(ScramError::Proof)
        );
    }

    #[test]
    fn a_bound_channel_must_be_the_same_at_both_ends() {
        let verifier = ScramVerifier::new("secret");
        let bound = |hash: &[u8]| ChannelBinding::tls_server_end_point(hash.to_vec());
        assert_eq!(
            exchange(&verifier, "secret", PLUS, bound(b"here"), Some(b"here")),
            Ok(())
        );
        assert_eq!(
            exchange(&verifier, "secret", PLUS, bound(b"there"), Some(b"here")),
            Err(ScramError::ChannelBinding)
        );
    }

    #[test]
    fn a_downgrade_is_noticed() {
        let verifier = ScramVerifier::new("secret");
        let unrequested = ChannelBinding::unrequested;
        assert_eq!(
            exchange(&verifier, "secret", PLAIN, unrequested(), Some(b"here")),
            Err(ScramError::Downgrade)
        );
        assert_eq!(
            exchange(&verifier, "secret", PLAIN, unrequested(), None),
            Ok(())
        );
    }

    #[test]
    fn flag_and_mechanism_go_together() {
        let verifier = ScramVerifier::new("secret");
        let error = |mechanism, end_point, first: &[u8]| {
            verifier
                .challenge(mechanism, end_point, first, "x")
                .map(|_| ())
                .unwrap_err()
        };
        let here = Some(&b"here"[..]);
        let bound = b"p=tls-server-end-point,,n=,r=a";
        assert_eq!(error(PLAIN, here, bound), ScramError::ChannelBindingFlag);
        assert_eq!(error(PLUS, None, bound), ScramError::ChannelBindingFlag);
        assert_eq!(
            error(PLUS, here, b"n,,n=,r=a"),
            ScramError::ChannelBindingFlag
        );
        assert_eq!(
            error(PLUS, here, b"p=tls-unique,,n=,r=a"),
            ScramError::ChannelBindingType
        );
        assert_eq!(
            error(PLAIN, None, b"n,a=bob,n=,r=a"),
            ScramError::AuthorizationIdentity
        );
    }

    #[test]
    fn malformed_messages_are_refused() {
        let verifier = ScramVerifier::new("secret");
        for first in [
            &b""[..],
            b"n",
            b"n,",
            b"n,,",
            b"n,,n=",
            b"n,,n=,r=",
            b"n,,m=x,n=,r=a",
            b"n,,n=,r=\x00",
            b"x,,n=,r=a",
        ] {
            let error = verifier.challenge(PLAIN, None, first, "x").map(|_| ());
            assert!(matches!(error, Err(ScramError::Malformed(_))), "{first:?}");
        }
        let challenge = verifier.challenge(PLAIN, None, b"n,,n=,r=a", "x").unwrap();
        for last in [
            &b""[..],
            b"c=biws",
            b"c=biws,r=ax",
            b"c=biws,r=ax,p=",
            b"c=biws,r=ax,p=AAAA",
            b"p=x",
        ] {
            assert!(
                matches!(challenge.finish(last), Err(ScramError::Malformed(_))),
                "{last:?}"
            );
        }
        let proof = BASE64.encode([0; KEY]);
        let with = |text: &str| challenge.finish(format!("{text},p={proof}").as_bytes());
        assert_eq!(with("c=eSws,r=ax"), Err(ScramError::ChannelBinding));
        assert_eq!(with("c=biws,r=ay"), Err(ScramError::Nonce));
        assert_eq!(with("c=biws,r=ax"), Err(ScramError::Proof));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_let_anyone_in(first: Vec<u8>, last: Vec<u8>) {
            let verifier = ScramVerifier {
                salt: [0; SALT],
                stored_key: [0; KEY],
                server_key: [0; KEY],
            };
            let _ = verifier.challenge(PLAIN, None, &first, "x");
            let challenge = verifier.challenge(PLAIN, None, b"n,,n=,r=a", "x").unwrap();
            prop_assert!(challenge.finish(&last).is_err());
        }
    }
}
