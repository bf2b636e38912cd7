//! A JSON Web Token in its compact form (RFC 7519, RFC 7515 section 3.1), taken apart but not yet believed.
//!
//! Lives here: the three parts, the header and the bounds. May not live here: keys, signatures, what a claim means.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::rejection::{Refusal, RejectionReason, shown};

/// The longest token, in bytes. PostgreSQL's startup packet ends at 10,000 bytes, HTTP headers of 16 KiB are common.
const MAX_TOKEN: usize = 16 * 1024;

/// The algorithms of RFC 7518 and RFC 8037 that can be verified here. There is no `none`, and no way to write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Algorithm(pub(super) jsonwebtoken::Algorithm);

/// A token's parts, borrowed from its text.
#[derive(Debug)]
pub(super) struct Token<'a> {
    /// What is signed: header, dot, payload, as they came.
    pub(super) signed: &'a str,
    /// The signature, in base64url.
    pub(super) signature: &'a str,
    /// The algorithm that the header claims.
    pub(super) algorithm: Algorithm,
    /// The name of the key that the header claims.
    pub(super) key_id: Option<String>,
    payload: &'a str,
}

/// What is read of the header. A member that stands twice is an error; others are ignored.
#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: Option<String>,
    #[serde(default)]
    crit: Option<Value>,
}

impl Algorithm {
    /// Reads `alg`. RFC 9864 calls EdDSA with its one supported curve `Ed25519`.
    pub(super) fn parse(name: &str) -> Option<Self> {
        if name == "Ed25519" {
            return Some(Self(jsonwebtoken::Algorithm::EdDSA));
        }
        name.parse().ok().map(Self)
    }
}

impl<'a> Token<'a> {
    /// Takes a token apart; reads its header and nothing else.
    pub(super) fn parse(text: &'a str) -> Result<Self, Refusal> {
        if text.len() > MAX_TOKEN {
            let message = format!(
                "the context token has {} bytes, more than the {MAX_TOKEN} allowed",
                text.len()
            );
            return Err(Refusal::new(RejectionReason::TooLong, message));
        }
        let Some((signed, signature)) = text.rsplit_once('.') else {
            return Err(not_three());
        };
        let Some((header, payload)) = signed.split_once('.') else {
            return Err(not_three());
        };
        if payload.contains('.') {
            return Err(not_three());
        }
        let header: Header = decode(header)
            .and_then(|json| serde_json::from_slice(&json).ok())
            .ok_or_else(|| malformed("header"))?;
        if header.crit.is_some() {
            let message =
                "the context token's header has crit: it demands extensions that are not supported";
            return Err(Refusal::new(RejectionReason::Malformed, message));
        }
        let Some(algorithm) = Algorithm::parse(&header.alg) else {
            let message = format!(
                "the context token's algorithm {} is not accepted",
                shown(&header.alg)
            );
            return Err(Refusal::new(RejectionReason::Algorithm, message));
        };
        Ok(Self {
            signed,
            signature,
            algorithm,
            key_id: header.kid,
            payload,
        })
    }

    /// The claims. To be asked only once the signature holds.
    pub(super) fn claims(&self) -> Result<Map<String, Value>, Refusal> {
        decode(self.payload)
            .and_then(|json| serde_json::from_slice(&json).ok())
            .ok_or_else(|| malformed("payload"))
    }
}

fn decode(part: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(part).ok()
}

fn not_three() -> Refusal {
    Refusal::new(
        RejectionReason::Malformed,
        "the context token is not a JSON Web Token: it does not have three parts with dots between",
    )
}

fn malformed(part: &str) -> Refusal {
    let message = format!("the context token's {part} is not a JSON object in base64url");
    Refusal::new(RejectionReason::Malformed, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token(header: &str) -> String {
        format!(
            "{}.{}.c2ln",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode("{}")
        )
    }

    #[test]
    fn a_token_is_taken_apart() {
        let text = token(r#"{"alg":"RS256","kid":"k1","typ":"JWT","x":1}"#);
        let token = Token::parse(&text).unwrap();
        assert_eq!(token.algorithm, Algorithm(jsonwebtoken::Algorithm::RS256));
        assert_eq!(token.key_id.as_deref(), Some("k1"));
        assert_eq!(format!("{}.{}", token.signed, token.signature), text);
        assert!(token.claims().unwrap().is_empty());
    }

    #[test]
    fn what_is_not_a_token_is_refused_by_its_reason() {
        let long = "a".repeat(MAX_TOKEN + 1);
        let table = [
            ("", RejectionReason::Malformed),
            ("alice", RejectionReason::Malformed),
            ("a.b", RejectionReason::Malformed),
            ("a.b.c.d", RejectionReason::Malformed),
            ("..", RejectionReason::Malformed),
            (&long, RejectionReason::TooLong),
            (&token("[]"), RejectionReason::Malformed),
            (&token("{}"), RejectionReason::Malformed),
            (&token(r#"{"alg":7}"#), RejectionReason::Malformed),
            (
                &token(r#"{"alg":"RS256","alg":"HS256"}"#),
                RejectionReason::Malformed,
            ),
            (
                &token(r#"{"alg":"EdDSA","crit":["exp"]}"#),
                RejectionReason::Malformed,
            ),
            (
                &token(r#"{"alg":"EdDSA","crit":[]}"#),
                RejectionReason::Malformed,
            ),
            (&token(r#"{"alg":"none"}"#), RejectionReason::Algorithm),
            (&token(r#"{"alg":"None"}"#), RejectionReason::Algorithm),
            (&token(r#"{"alg":"hs256"}"#), RejectionReason::Algorithm),
            (&token(r#"{"alg":""}"#), RejectionReason::Algorithm),
            (&token(r#"{"alg":"RSA-OAEP"}"#), RejectionReason::Algorithm),
        ];
        for (text, reason) in table {
            assert_eq!(Token::parse(text).unwrap_err().reason, reason, "{text:.60}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gets_an_answer(text in "\\PC{0,200}") {
            let _ = Token::parse(&text).map(|t| t.claims());
        }

        #[test]
        fn any_header_and_payload_get_an_answer(header in "[\\{\\}\"a-z:,0-9\\[\\]]{0,60}", payload in any::<Vec<u8>>()) {
            let text = format!("{}.{}.", URL_SAFE_NO_PAD.encode(format!("{{\"alg\":\"EdDSA\"{header}")), URL_SAFE_NO_PAD.encode(payload));
            let _ = Token::parse(&text).map(|t| t.claims());
        }
    }
}
