//! What it costs to learn who is calling: a token seen before, and one never seen, for each kind of key.
//!
//! `cargo bench -p bulkhead-sidecar --bench identity`. To be reached: 2 µs cached, 150 µs cold.

use std::hint::black_box;
use std::time::{Duration, SystemTime};

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bulkhead_crds::effective::EffectiveIdentity;
use bulkhead_crds::kinds::{IdentitySource, Jwks, Jwt};
use bulkhead_sidecar::identity::{Presented, Verifier, is_placeholder};
use bulkhead_sidecar::secrets::Secrets;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

const ALGORITHMS: [Algorithm; 7] = [
    Algorithm::HS256,
    Algorithm::RS256,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

type Failure = Box<dyn std::error::Error>;

/// Tokens of a usual size under one key, and the key set that verifies them.
struct Issuer {
    key: EncodingKey,
    header: Header,
    jwks: String,
}

impl Issuer {
    fn new(algorithm: Algorithm) -> Result<Self, Failure> {
        let key = match algorithm {
            Algorithm::HS256 => EncodingKey::from_secret(&[7; 64]),
            Algorithm::ES256 => EncodingKey::from_ec_der(
                EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?
                    .to_pkcs8v1()?
                    .as_ref(),
            ),
            Algorithm::ES384 => EncodingKey::from_ec_der(
                EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING)?
                    .to_pkcs8v1()?
                    .as_ref(),
            ),
            Algorithm::EdDSA => {
                EncodingKey::from_ed_der(Ed25519KeyPair::generate()?.to_pkcs8v1()?.as_ref())
            }
            _ => {
                let pair = KeyPair::generate(KeySize::Rsa2048)?;
                let der = AsDer::<Pkcs8V1Der<'_>>::as_der(&pair)?;
                let pem = format!(
                    "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
                    STANDARD.encode(der.as_ref())
                );
                EncodingKey::from_rsa_pem(pem.as_bytes())?
            }
        };
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(&key, algorithm)?)?;
        jwk["kid"] = json!("bench");
        let header = Header {
            kid: Some("bench".into()),
            ..Header::new(algorithm)
        };
        Ok(Self {
            key,
            header,
            jwks: json!({ "keys": [jwk] }).to_string(),
        })
    }

    /// The token of user `n`: some 700 bytes, as an identity provider's tokens are.
    fn token(&self, n: usize) -> Result<String, Failure> {
        let exp = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)?
            .as_secs()
            + 3600;
        let claims: Value = json!({
            "iss": "https://id.example.com/", "aud": ["chat-api", "https://id.example.com/userinfo"], "exp": exp,
            "iat": exp - 3600, "sub": format!("auth0|5f7c8ec7c33c6c004bbafe{n:06x}"), "sid": "0a1b2c3d4e5f60718293a4b5c6d7e8f9",
            "jti": format!("{n:032x}"), "email": "alice@example.com", "scope": "openid profile email offline_access",
            "thread_id": "thread-0001", "run_id": "run-0001",
        });
        Ok(jsonwebtoken::encode(&self.header, &claims, &self.key)?)
    }

    fn verifier(&self) -> Result<Verifier, Failure> {
        let jwt = Jwt {
            issuer: Some("https://id.example.com/".into()),
            audiences: Some(vec!["chat-api".into()]),
            jwks: Jwks {
                secret_ref: None,
                uri: None,
                inline: Some(self.jwks.clone()),
            },
            user_claim: None,
            leeway: None,
        };
        let identity = EffectiveIdentity {
            source: IdentitySource::Jwt,
            jwt: Some(jwt),
            signed_context: None,
            trusted: None,
            reject_placeholders: true,
            in_sql: None,
        };
        Ok(Verifier::for_identity(
            "chat",
            &identity,
            &Secrets::new(None),
        )?)
    }
}

/// A verifier and one token of its issuer, which it has been seen to accept.
fn accepted(algorithm: Algorithm) -> Result<(Issuer, String), Failure> {
    let issuer = Issuer::new(algorithm)?;
    let token = issuer.token(1)?;
    let presented = Presented {
        token: Some(&token),
        user: None,
    };
    match issuer.verifier()?.verify_now(&presented, SystemTime::now()) {
        Ok(_) => Ok((issuer, token)),
        Err(outcome) => Err(format!("{algorithm:?}: {outcome:?}").into()),
    }
}

fn cold(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("cold");
    for algorithm in ALGORITHMS {
        let (issuer, token) = accepted(algorithm).unwrap_or_else(|failure| stop(&*failure));
        let presented = Presented {
            token: Some(&token),
            user: None,
        };
        let now = SystemTime::now();
        group.bench_function(format!("{algorithm:?}"), |bencher| {
            // A new verifier has seen no token yet.
            let fresh = || issuer.verifier().unwrap_or_else(|failure| stop(&*failure));
            bencher.iter_batched_ref(
                fresh,
                |verifier| verifier.verify_now(black_box(&presented), now),
                BatchSize::SmallInput,
            );
        });
    }
}

fn cached(criterion: &mut Criterion) {
    let (issuer, token) = accepted(Algorithm::RS256).unwrap_or_else(|failure| stop(&*failure));
    let verifier = issuer.verifier().unwrap_or_else(|failure| stop(&*failure));
    let now = SystemTime::now();
    let tokens: Vec<String> = (0..4000)
        .map(|n| issuer.token(n))
        .collect::<Result<_, _>>()
        .unwrap_or_else(|failure| stop(&*failure));
    for token in &tokens {
        let _ = verifier.verify_now(
            &Presented {
                token: Some(token),
                user: None,
            },
            now,
        );
    }
    let mut group = criterion.benchmark_group("cached");
    group.bench_function("the same token", |bencher| {
        let presented = Presented {
            token: Some(&token),
            user: None,
        };
        bencher.iter(|| verifier.verify_now(black_box(&presented), now));
    });
    group.bench_function("4000 users in turn", |bencher| {
        let mut turn = tokens.iter().cycle();
        bencher.iter(|| {
            verifier.verify_now(
                &Presented {
                    token: turn.next().map(String::as_str),
                    user: None,
                },
                now,
            )
        });
    });
    group.bench_function("a bare id checked", |bencher| {
        bencher.iter(|| is_placeholder(black_box("auth0|5f7c8ec7c33c6c004bbafe82")));
    });
}

fn stop(failure: &dyn std::error::Error) -> ! {
    eprintln!("the benchmark cannot be set up: {failure}");
    std::process::exit(1)
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2)).sample_size(30);
    targets = cached, cold
}
criterion_main!(benches);
