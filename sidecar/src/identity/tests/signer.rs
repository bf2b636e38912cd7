//! Keys made on the spot, and tokens signed with them, well-formed or not.

use std::sync::LazyLock;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

/// A private key, its name, and the algorithm that it signs with.
#[derive(Clone)]
pub(super) struct Signer {
    key: EncodingKey,
    algorithm: Algorithm,
    id: Option<String>,
}

/// RSA keys take a while to make: the tests share two.
static RSA: LazyLock<[String; 2]> = LazyLock::new(|| [rsa_pem(), rsa_pem()]);

fn rsa_pem() -> String {
    let pair = aws_lc_rs::rsa::KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair).unwrap();
    format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    )
}

impl Signer {
    /// A key that has not been used before; of RSA, one of two (by the length of `id`, so that tests can choose).
    pub(super) fn new(algorithm: Algorithm, id: &str) -> Self {
        let key = match algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
                let mut secret = [0; 64];
                aws_lc_rs::rand::fill(&mut secret).unwrap();
                EncodingKey::from_secret(&secret)
            }
            Algorithm::ES256 => ec(&ECDSA_P256_SHA256_FIXED_SIGNING),
            Algorithm::ES384 => ec(&ECDSA_P384_SHA384_FIXED_SIGNING),
            Algorithm::EdDSA => EncodingKey::from_ed_der(
                Ed25519KeyPair::generate()
                    .unwrap()
                    .to_pkcs8v1()
                    .unwrap()
                    .as_ref(),
            ),
            _ => EncodingKey::from_rsa_pem(RSA[id.len() % 2].as_bytes()).unwrap(),
        };
        Self {
            key,
            algorithm,
            id: Some(id.to_owned()),
        }
    }

    pub(super) fn ed25519(id: &str) -> Self {
        Self::new(Algorithm::EdDSA, id)
    }

    /// The same key, signing with another algorithm of its family.
    pub(super) fn signing(&self, algorithm: Algorithm) -> Self {
        Self {
            algorithm,
            ..self.clone()
        }
    }

    /// The same key under another name, or none.
    pub(super) fn named(&self, id: Option<&str>) -> Self {
        Self {
            id: id.map(str::to_owned),
            ..self.clone()
        }
    }

    /// The public half (or, for HMAC, the secret) as a key set has it, without `alg`.
    pub(super) fn jwk(&self) -> Value {
        let mut jwk =
            serde_json::to_value(Jwk::from_encoding_key(&self.key, self.algorithm).unwrap())
                .unwrap();
        let members = jwk.as_object_mut().unwrap();
        members.remove("alg");
        if let Some(id) = &self.id {
            members.insert("kid".into(), json!(id));
        }
        jwk
    }

    /// A token that says what is true of it.
    pub(super) fn token(&self, claims: &Value) -> String {
        let mut header = json!({"typ": "JWT", "alg": format!("{:?}", self.algorithm)});
        if let Some(id) = &self.id {
            header["kid"] = json!(id);
        }
        self.token_with_header(&header, claims)
    }

    /// A token with any header at all, and a signature that holds for it.
    pub(super) fn token_with_header(&self, header: &Value, claims: &Value) -> String {
        let message = format!("{}.{}", encoded(header), encoded(claims));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &self.key, self.algorithm).unwrap();
        format!("{message}.{signature}")
    }
}

fn ec(algorithm: &'static aws_lc_rs::signature::EcdsaSigningAlgorithm) -> EncodingKey {
    let pair = EcdsaKeyPair::generate(algorithm).unwrap();
    EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref())
}

/// JSON as a part of a token.
pub(super) fn encoded(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}
