//! Signing keys and JSON Web Tokens for tests.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use rcgen::{
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PKCS_RSA_SHA256,
};
use serde_json::{Value, json};

/// A key that signs tokens, and its public half as a JWK.
pub struct Signer {
    kid: String,
    algorithm: Algorithm,
    key: EncodingKey,
    jwk: Value,
}

impl Signer {
    /// A new key for `algorithm`, known as `kid`.
    ///
    /// # Panics
    /// When the key cannot be made.
    #[must_use]
    pub fn new(kid: &str, algorithm: Algorithm) -> Self {
        let (key, mut jwk) = match algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => shared(kid, algorithm),
            Algorithm::ES256 => elliptic(&PKCS_ECDSA_P256_SHA256, "P-256"),
            Algorithm::ES384 => elliptic(&PKCS_ECDSA_P384_SHA384, "P-384"),
            Algorithm::EdDSA => edwards(),
            _ => rsa(algorithm),
        };
        jwk["kid"] = json!(kid);
        jwk["alg"] = json!(format!("{algorithm:?}"));
        jwk["use"] = json!("sig");
        Self {
            kid: kid.to_owned(),
            algorithm,
            key,
            jwk,
        }
    }

    /// The public half (for HS the secret itself).
    #[must_use]
    pub fn jwk(&self) -> &Value {
        &self.jwk
    }

    /// A token that says `claims`.
    ///
    /// # Panics
    /// When it cannot be signed.
    #[must_use]
    pub fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = Some(self.kid.clone());
        encode(&header, claims, &self.key).unwrap()
    }

    /// A token for `user` that is valid for the next minute.
    #[must_use]
    pub fn token(&self, user: &str) -> String {
        self.sign(&json!({"sub": user, "iss": "https://issuer.test", "aud": "chat", "exp": seconds_from_now(60)}))
    }
}

/// A document with the public halves of `signers`.
#[must_use]
pub fn key_set(signers: &[&Signer]) -> String {
    let keys: Vec<&Value> = signers.iter().map(|signer| signer.jwk()).collect();
    json!({ "keys": keys }).to_string()
}

/// A time of a token, `seconds` from now, in seconds since 1970.
///
/// # Panics
/// When the clock stands before 1970.
#[must_use]
pub fn seconds_from_now(seconds: i64) -> i64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    i64::try_from(now.as_secs()).unwrap() + seconds
}

/// A token whose header names `algorithm` and whose claims are `claims`, with `signature` behind it.
#[must_use]
pub fn forged(header: &Value, claims: &Value, signature: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!(
        "{}.{}.{}",
        part(header),
        part(claims),
        URL_SAFE_NO_PAD.encode(signature)
    )
}

fn shared(kid: &str, algorithm: Algorithm) -> (EncodingKey, Value) {
    // RFC 7518 section 3.2: a key at least as long as the hash.
    let secret: Vec<u8> = kid.bytes().cycle().take(64).collect();
    let key = EncodingKey::from_secret(&secret);
    let jwk = Jwk::from_encoding_key(&key, algorithm).unwrap();
    (key, serde_json::to_value(jwk).unwrap())
}

fn elliptic(kind: &'static rcgen::SignatureAlgorithm, curve: &str) -> (EncodingKey, Value) {
    let pair = KeyPair::generate_for(kind).unwrap();
    // SEC 1 section 2.3.3: 4, then the two coordinates.
    let point = &pair.public_key_raw()[1..];
    let (x, y) = point.split_at(point.len() / 2);
    let jwk = json!({
        "kty": "EC", "crv": curve, "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
    });
    (EncodingKey::from_ec_der(pair.serialized_der()), jwk)
}

fn edwards() -> (EncodingKey, Value) {
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let jwk = json!({
        "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(pair.public_key_raw()),
    });
    (EncodingKey::from_ed_der(pair.serialized_der()), jwk)
}

fn rsa(algorithm: Algorithm) -> (EncodingKey, Value) {
    let pair = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
    let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes()).unwrap();
    let jwk = Jwk::from_encoding_key(&key, algorithm).unwrap();
    (key, serde_json::to_value(jwk).unwrap())
}
