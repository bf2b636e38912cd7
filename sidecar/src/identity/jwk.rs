//! One key of a key set (RFC 7517): what it may be used for, which follows from its type, size and curve alone.
//!
//! Lives here: reading a key, and every rule about which keys are good enough. May not live here: choosing a key for a token.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm::{
    ES256, ES384, EdDSA, HS256, HS384, HS512, PS256, PS384, PS512, RS256, RS384, RS512,
};
use jsonwebtoken::{Algorithm as Alg, DecodingKey};
use serde::Deserialize;

use super::rejection::shown;
use super::token::Algorithm;

/// The shortest RSA modulus, in bits (RFC 7518, section 3.3), and the longest that the library verifies.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Which kinds of key a source may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kinds {
    /// Public keys and shared secrets: the document is the policy's own.
    All,
    /// Public keys only: a document that anybody can fetch holds no secret.
    Public,
    /// Ed25519 only: what Bulkhead signs with.
    Ed25519,
}

/// A key that can verify.
pub(super) struct Key {
    /// Its name (`kid`).
    pub(super) id: Option<Arc<str>>,
    /// What it may verify; never empty.
    pub(super) algorithms: Vec<Alg>,
    /// The key itself.
    pub(super) key: DecodingKey,
}

/// A key as the document has it (RFC 7517 section 4, RFC 7518 section 6, RFC 8037 section 2).
#[derive(Deserialize)]
pub(super) struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
    k: Option<String>,
}

impl Key {
    /// Reads a key; says in a few words why it cannot be used.
    pub(super) fn read(jwk: Jwk, kinds: Kinds) -> Result<Self, String> {
        if jwk
            .purpose
            .as_deref()
            .is_some_and(|purpose| purpose != "sig")
        {
            return Err("its use is not sig".into());
        }
        if jwk
            .key_ops
            .as_ref()
            .is_some_and(|ops| !ops.iter().any(|op| op == "verify"))
        {
            return Err("its key_ops do not allow verify".into());
        }
        let (mut algorithms, key) = match (jwk.kty.as_str(), kinds) {
            ("OKP", _) => ed25519(&jwk)?,
            (_, Kinds::Ed25519) => return Err("only Ed25519 keys sign context tokens".into()),
            ("RSA", _) => rsa(&jwk)?,
            ("EC", _) => elliptic(&jwk)?,
            ("oct", Kinds::All) => shared(&jwk)?,
            ("oct", Kinds::Public) => return Err(
                "a shared secret (kty oct) from an address that anybody can read proves nothing"
                    .into(),
            ),
            (other, _) => return Err(format!("its kty {} is not supported", shown(other))),
        };
        if let Some(name) = &jwk.alg {
            let only = Algorithm::parse(name);
            algorithms.retain(|algorithm| only == Some(Algorithm(*algorithm)));
            if algorithms.is_empty() {
                return Err(format!(
                    "its alg {} does not fit its type or size",
                    shown(name)
                ));
            }
        }
        Ok(Self {
            id: jwk.kid.map(Arc::from),
            algorithms,
            key,
        })
    }
}

fn rsa(jwk: &Jwk) -> Result<(Vec<Alg>, DecodingKey), String> {
    let (n, e) = (part(&jwk.n, "n")?, part(&jwk.e, "e")?);
    let leading = n.iter().position(|byte| *byte != 0).unwrap_or(n.len());
    let bits = n[leading..].first().map_or(0, |top| {
        (n.len() - leading) * 8 - top.leading_zeros() as usize
    });
    if !RSA_BITS.contains(&bits) {
        return Err(format!(
            "its modulus has {bits} bits; {} to {} are accepted",
            RSA_BITS.start(),
            RSA_BITS.end()
        ));
    }
    let key = DecodingKey::from_rsa_raw_components(&n[leading..], &e);
    Ok((vec![RS256, RS384, RS512, PS256, PS384, PS512], key))
}

fn elliptic(jwk: &Jwk) -> Result<(Vec<Alg>, DecodingKey), String> {
    let (algorithm, size) = match jwk.crv.as_deref() {
        Some("P-256") => (ES256, 32),
        Some("P-384") => (ES384, 48),
        other => {
            return Err(format!(
                "its crv {} is not supported",
                shown(other.unwrap_or_default())
            ));
        }
    };
    let (x, y) = (part(&jwk.x, "x")?, part(&jwk.y, "y")?);
    if x.len() != size || y.len() != size {
        return Err(format!("its x and y are not {size} bytes each"));
    }
    // The uncompressed point (SEC 1, section 2.3.3), which is what the library takes for a public key.
    let point = [&[0x04], x.as_slice(), y.as_slice()].concat();
    Ok((vec![algorithm], DecodingKey::from_ec_der(&point)))
}

fn ed25519(jwk: &Jwk) -> Result<(Vec<Alg>, DecodingKey), String> {
    if jwk.crv.as_deref() != Some("Ed25519") {
        return Err(format!(
            "its crv {} is not supported",
            shown(jwk.crv.as_deref().unwrap_or_default())
        ));
    }
    let x = part(&jwk.x, "x")?;
    if x.len() != 32 {
        return Err("its x is not 32 bytes".into());
    }
    Ok((vec![EdDSA], DecodingKey::from_ed_der(&x)))
}

/// A shared secret serves the algorithms whose hash is no longer than it is (RFC 7518, section 3.2).
fn shared(jwk: &Jwk) -> Result<(Vec<Alg>, DecodingKey), String> {
    let secret = part(&jwk.k, "k")?;
    let algorithms: Vec<Alg> = [(HS256, 32), (HS384, 48), (HS512, 64)]
        .into_iter()
        .filter(|(_, least)| secret.len() >= *least)
        .map(|(algorithm, _)| algorithm)
        .collect();
    if algorithms.is_empty() {
        return Err(format!(
            "its secret has {} bytes; HS256 needs 32 or more",
            secret.len()
        ));
    }
    Ok((algorithms, DecodingKey::from_secret(&secret)))
}

fn part(member: &Option<String>, name: &str) -> Result<Vec<u8>, String> {
    member
        .as_ref()
        .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
        .ok_or_else(|| format!("its {name} is not base64url"))
}
