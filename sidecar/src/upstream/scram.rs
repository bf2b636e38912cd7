//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS, the client's side (RFC 5802, RFC 7677; PostgreSQL, "SASL Authentication").
//!
//! Lives here: the exchange as pure steps from text to text; `keys` derives what it needs from a password. May not live here:
//! PostgreSQL messages.

mod keys;

pub(super) use keys::KeyCache;

use std::num::NonZeroU32;

use aws_lc_rs::{digest, hmac};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use thiserror::Error;

use crate::random;

/// More than this would be a way to make the sidecar burn CPU; PostgreSQL's default is 4,096.
const MAX_ITERATIONS: u32 = 1_000_000;

/// Random bytes in a nonce; RFC 5802 leaves the number open, libpq has 18.
const NONCE: usize = 18;

/// What the client says about channel binding (RFC 5802, section 7, `gs2-cbind-flag`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ChannelBinding {
    /// `n`: not possible.
    Impossible,
    /// `y`: possible, and the server was not seen to offer it; a server that did will notice.
    NotOffered,
    /// `p`: done, with this `tls-server-end-point` (RFC 5929, section 4).
    EndPoint(Vec<u8>),
}

/// Why the exchange ended.
#[derive(Debug, Error, PartialEq, Eq)]
pub(super) enum ScramError {
    #[error("the server's SCRAM message is malformed: {0}")]
    Malformed(&'static str),
    #[error(
        "the server asks for {0} SCRAM iterations, at most {MAX_ITERATIONS} are accepted: lower scram_iterations there and set the password again"
    )]
    Iterations(u32),
    #[error("the server's nonce does not continue ours: the answer belongs to another exchange")]
    Nonce,
    #[error(
        "the server did not prove that it knows the password: it is not the server that it claims to be"
    )]
    Signature,
    #[error("the server ended the SCRAM exchange: {0}")]
    Server(String),
    #[error("no randomness or no thread for the SCRAM exchange")]
    System,
}

/// An exchange whose first message has been made.
pub(super) struct Opening {
    header: &'static str,
    binding: Vec<u8>,
    bare: String,
    nonce: String,
}

/// The server's first message, understood.
#[derive(Debug, PartialEq, Eq)]
struct Challenge {
    nonce: String,
    salt: Vec<u8>,
    iterations: NonZeroU32,
}

/// What the server has to prove at the end.
pub(super) struct Expected {
    server_key: hmac::Key,
    transcript: String,
}

impl Opening {
    pub(super) fn new(binding: ChannelBinding) -> Result<Self, ScramError> {
        let mut random = [0; NONCE];
        random::fill(&mut random).map_err(|_| ScramError::System)?;
        Ok(Self::with_nonce(binding, BASE64.encode(random)))
    }

    fn with_nonce(binding: ChannelBinding, nonce: String) -> Self {
        let (header, binding) = match binding {
            ChannelBinding::Impossible => ("n,,", Vec::new()),
            ChannelBinding::NotOffered => ("y,,", Vec::new()),
            ChannelBinding::EndPoint(data) => ("p=tls-server-end-point,,", data),
        };
        // The user name stays empty: PostgreSQL takes the one of the startup message.
        let bare = format!("n=,r={nonce}");
        Self {
            header,
            binding,
            bare,
            nonce,
        }
    }

    /// `client-first-message`.
    pub(super) fn message(&self) -> String {
        format!("{}{}", self.header, self.bare)
    }

    /// From `server-first-message` to `client-final-message`, and what the server has to answer.
    pub(super) async fn answer(
        self,
        server_first: &[u8],
        password: &str,
        keys: &KeyCache,
    ) -> Result<(String, Expected), ScramError> {
        let server_first = text(server_first)?;
        let challenge = Challenge::parse(server_first)?;
        if challenge.nonce.len() <= self.nonce.len() || !challenge.nonce.starts_with(&self.nonce) {
            return Err(ScramError::Nonce);
        }
        let salted = keys
            .salted(password, &challenge.salt, challenge.iterations)
            .await
            .map_err(|_| ScramError::System)?;
        Ok(self.finish(server_first, &challenge, &salted))
    }

    fn finish(
        self,
        server_first: &str,
        challenge: &Challenge,
        salted: &[u8],
    ) -> (String, Expected) {
        let mut bound = self.header.as_bytes().to_vec();
        bound.extend_from_slice(&self.binding);
        let unproven = format!("c={},r={}", BASE64.encode(bound), challenge.nonce);
        let transcript = format!("{},{server_first},{unproven}", self.bare);

        let salted = hmac::Key::new(hmac::HMAC_SHA256, salted);
        let client_key = hmac::sign(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        let signature = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, stored_key.as_ref()),
            transcript.as_bytes(),
        );
        let proof: Vec<u8> = client_key
            .as_ref()
            .iter()
            .zip(signature.as_ref())
            .map(|(key, signed)| key ^ signed)
            .collect();
        let server_key = hmac::sign(&salted, b"Server Key");
        let expected = Expected {
            server_key: hmac::Key::new(hmac::HMAC_SHA256, server_key.as_ref()),
            transcript,
        };
        (format!("{unproven},p={}", BASE64.encode(proof)), expected)
    }
}

impl Expected {
    /// Checks `server-final-message`, in constant time.
    pub(super) fn verify(&self, server_final: &[u8]) -> Result<(), ScramError> {
        let message = text(server_final)?;
        if let Some(error) = message.strip_prefix("e=") {
            let shown = error.chars().filter(|c| !c.is_control()).take(64).collect();
            return Err(ScramError::Server(shown));
        }
        let verifier = message
            .strip_prefix("v=")
            .and_then(|rest| rest.split(',').next())
            .and_then(|verifier| BASE64.decode(verifier).ok())
            .ok_or(ScramError::Malformed("no verifier"))?;
        hmac::verify(&self.server_key, self.transcript.as_bytes(), &verifier)
            .map_err(|_| ScramError::Signature)
    }
}

impl Challenge {
    /// `r=NONCE,s=SALT,i=COUNT`, with optional extensions behind, which are to be ignored (RFC 5802, section 5.1).
    fn parse(message: &str) -> Result<Self, ScramError> {
        let mut fields = message.split(',');
        let mut field = |prefix: &str, missing| {
            fields
                .next()
                .and_then(|field| field.strip_prefix(prefix))
                .ok_or(ScramError::Malformed(missing))
        };
        let nonce = field("r=", "no nonce")?.to_owned();
        let salt = BASE64
            .decode(field("s=", "no salt")?)
            .map_err(|_| ScramError::Malformed("the salt is not base64"))?;
        let iterations: u32 = field("i=", "no iteration count")?
            .parse()
            .map_err(|_| ScramError::Malformed("the iteration count is not a number"))?;
        if iterations > MAX_ITERATIONS {
            return Err(ScramError::Iterations(iterations));
        }
        let iterations = NonZeroU32::new(iterations)
            .ok_or(ScramError::Malformed("the iteration count is zero"))?;
        Ok(Self {
            nonce,
            salt,
            iterations,
        })
    }
}

fn text(bytes: &[u8]) -> Result<&str, ScramError> {
    std::str::from_utf8(bytes).map_err(|_| ScramError::Malformed("it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::pbkdf2;
    use proptest::prelude::*;

    use super::keys::KEY;
    use super::*;

    /// RFC 7677, section 3. Its user name is left out of ours, so the proofs are those of an empty name; the salted password
    /// and the message shapes are the RFC's.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_FIRST: &[u8] =
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";

    fn opening(binding: ChannelBinding) -> Opening {
        Opening::with_nonce(binding, NONCE.to_owned())
    }

    /// The server's side, written from RFC 5802 alone.
    fn server_final(transcript: &str, password: &str) -> String {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let mut salted = [0; KEY];
        let count = NonZeroU32::new(4096).unwrap();
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            count,
            &salt,
            password.as_bytes(),
            &mut salted,
        );
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &salted), b"Server Key");
        let tag = hmac::sign(
            &hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()),
            transcript.as_bytes(),
        );
        format!("v={}", BASE64.encode(tag))
    }

    #[tokio::test]
    async fn the_exchange_of_the_rfc_is_reproduced() {
        // Given the RFC's exchange with its user name,
        let mut opening = opening(ChannelBinding::Impossible);
        opening.bare = format!("n=user,r={NONCE}");
        assert_eq!(opening.message(), format!("n,,n=user,r={NONCE}"));
        // when the server's challenge is answered with its password,
        let (answer, expected) = opening
            .answer(SERVER_FIRST, "pencil", &KeyCache::default())
            .await
            .unwrap();
        // then proof and verifier are the RFC's.
        assert_eq!(
            answer,
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
        );
        expected
            .verify(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=")
            .unwrap();
    }

    #[tokio::test]
    async fn a_server_that_does_not_know_the_password_is_found_out() {
        let (_, expected) = opening(ChannelBinding::NotOffered)
            .answer(SERVER_FIRST, "pencil", &KeyCache::default())
            .await
            .unwrap();
        let right = server_final(&expected.transcript, "pencil");
        let wrong = server_final(&expected.transcript, "guess");
        assert_eq!(expected.verify(right.as_bytes()), Ok(()));
        assert_eq!(
            expected.verify(wrong.as_bytes()),
            Err(ScramError::Signature)
        );
        assert_eq!(expected.verify(b"v="), Err(ScramError::Signature));
        let told = expected.verify(b"e=invalid-proof").unwrap_err().to_string();
        assert!(told.contains("invalid-proof"));
    }

    #[tokio::test]
    async fn a_bound_channel_is_part_of_what_is_signed() {
        let end_point = ChannelBinding::EndPoint(vec![7; 32]);
        let opening = opening(end_point);
        assert!(
            opening
                .message()
                .starts_with("p=tls-server-end-point,,n=,r=")
        );
        let (answer, _) = opening
            .answer(SERVER_FIRST, "x", &KeyCache::default())
            .await
            .unwrap();
        let mut bound = b"p=tls-server-end-point,,".to_vec();
        bound.extend_from_slice(&[7; 32]);
        assert!(answer.starts_with(&format!("c={},", BASE64.encode(bound))));
    }

    #[tokio::test]
    async fn hostile_challenges_are_refused() {
        let cases: [(&[u8], &str); 7] = [
            (b"", "no nonce"),
            (b"m=ext,r=x,s=AAAA,i=1", "no nonce"),
            (b"r=other,s=AAAA,i=4096", "another exchange"),
            (b"r=rOprNGfwEbeRWgbNEkqO,s=AAAA,i=4096", "another exchange"),
            (b"r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=0", "zero"),
            (b"r=rOprNGfwEbeRWgbNEkqOx,s=AAAA,i=1000001", "1000001"),
            (b"r=rOprNGfwEbeRWgbNEkqOx,s=!,i=1", "base64"),
        ];
        for (challenge, told) in cases {
            let answer = opening(ChannelBinding::Impossible)
                .answer(challenge, "x", &KeyCache::default())
                .await;
            let error = answer.map(|(text, _)| text).unwrap_err().to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_challenge_makes_it_panic(message in "\\PC{0,80}") {
            let _ = Challenge::parse(&message);
        }
    }
}
