//! Every algorithm that is accepted, there and back; and what a key may be used for.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::signer::Signer;
use super::*;

const EVERY: [Algorithm; 12] = [
    Algorithm::HS256,
    Algorithm::HS384,
    Algorithm::HS512,
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

#[test]
fn a_token_of_every_algorithm_is_verified_and_a_changed_one_is_not() {
    for algorithm in EVERY {
        let signer = Signer::new(algorithm, "k1");
        let verifier = jwt_verifier(&[signer.jwk()]);
        let good = signer.token(&claims());

        let context = verifier.verify_now(&token(&good), at(NOW)).unwrap();
        assert_eq!(context.user_id().as_str(), "alice", "{algorithm:?}");
        assert_eq!(context.key_id().map(|id| &**id), Some("k1"));
        assert_eq!(context.expires_at(), Some(at(NOW + 330)));

        let (signed, signature) = good.rsplit_once('.').unwrap();
        let (header, _) = signed.split_once('.').unwrap();
        let mallory = signer::encoded(&claims_with(json!({"sub": "mallory"})));
        let changed = refused(&verifier, token(&format!("{header}.{mallory}.{signature}")));
        assert_eq!(changed.reason, RejectionReason::Signature, "{algorithm:?}");
        let unsigned = refused(&verifier, token(&format!("{signed}.")));
        assert_eq!(unsigned.reason, RejectionReason::Signature, "{algorithm:?}");
    }
}

#[test]
fn a_key_accepts_the_algorithms_of_its_type_and_no_others() {
    let signers: Vec<Signer> = EVERY
        .into_iter()
        .map(|algorithm| Signer::new(algorithm, "k1"))
        .collect();
    let family = |algorithm: Algorithm| match algorithm {
        // The curve decides: a P-256 key never takes ES384.
        Algorithm::ES384 => "ES384",
        Algorithm::ES256 => "ES256",
        Algorithm::EdDSA => "Ed",
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => "HS",
        _ => "RSA",
    };
    for (accepted, key) in EVERY.into_iter().zip(&signers) {
        let verifier = jwt_verifier(&[key.jwk()]);
        for (other, signer) in EVERY
            .into_iter()
            .zip(&signers)
            .filter(|(other, _)| family(*other) != family(accepted))
        {
            let rejection = refused(&verifier, token(&signer.token(&claims())));
            assert_eq!(
                rejection.reason,
                RejectionReason::Algorithm,
                "{other:?} for a key of {accepted:?}: {}",
                rejection.message
            );
        }
    }
}

#[test]
fn a_key_that_names_its_algorithm_accepts_only_that() {
    let signer = Signer::new(Algorithm::RS256, "k1");
    let mut jwk = signer.jwk();
    jwk["alg"] = json!("PS256");
    let verifier = jwt_verifier(&[jwk]);
    let rejection = refused(&verifier, token(&signer.token(&claims())));
    assert_eq!(rejection.reason, RejectionReason::Algorithm);
    assert!(
        rejection.message.contains("RS256") && rejection.message.contains("accepts PS256"),
        "{}",
        rejection.message
    );
    assert!(
        verifier
            .verify_now(
                &token(&signer.signing(Algorithm::PS256).token(&claims())),
                at(NOW)
            )
            .is_ok()
    );
}

#[test]
fn the_fully_specified_name_of_eddsa_is_understood() {
    let signer = Signer::ed25519("k1");
    let verifier = jwt_verifier(&[signer.jwk()]);
    let good = signer.token_with_header(&json!({"alg": "Ed25519", "kid": "k1"}), &claims());
    assert!(verifier.verify_now(&token(&good), at(NOW)).is_ok());
}

/// The error of a policy with these keys.
fn unusable(keys: &[Value]) -> String {
    Verifier::for_identity(POLICY, &jwt_identity(inline(keys)), &Secrets::new(None))
        .unwrap_err()
        .to_string()
}

#[test]
fn keys_that_are_not_for_signatures_or_too_weak_are_left_out() {
    let with = |changes: Value| {
        let mut jwk = Signer::ed25519("k1").jwk();
        jwk.as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        jwk
    };
    let table = [
        (with(json!({"use": "enc"})), "use is not sig"),
        (with(json!({"key_ops": ["sign"]})), "key_ops"),
        (with(json!({"alg": "RS256"})), "does not fit"),
        (with(json!({"crv": "Ed448"})), "crv \"Ed448\""),
        (with(json!({"crv": "X25519"})), "crv \"X25519\""),
        (with(json!({"x": "AAAA"})), "not 32 bytes"),
        (with(json!({"x": "***"})), "not base64url"),
        (with(json!({"kty": "AKP"})), "kty \"AKP\""),
        (with(json!({"kty": 1})), "not a key"),
        (
            json!({"kty": "RSA", "e": "AQAB", "n": "v".repeat(172)}),
            "modulus has",
        ),
        (
            json!({"kty": "RSA", "e": "AQAB", "n": ""}),
            "modulus has 0 bits",
        ),
        (json!({"kty": "RSA", "n": "v".repeat(344)}), "its e"),
        (json!({"kty": "oct", "k": "c2hvcnQ"}), "secret has 5 bytes"),
        (
            json!({"kty": "oct", "k": "A".repeat(43), "alg": "HS512"}),
            "does not fit",
        ),
        (
            json!({"kty": "EC", "crv": "secp256k1", "x": "", "y": ""}),
            "secp256k1",
        ),
        (
            json!({"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"}),
            "not 32 bytes each",
        ),
        (json!("k"), "not a key"),
    ];
    for (jwk, why) in table {
        let error = unusable(&[jwk]);
        assert!(
            error.contains("identity.jwt.jwks") && error.contains("keys[0]") && error.contains(why),
            "{why:?} in {error}"
        );
    }
    assert!(unusable(&[]).contains("no usable key"));
}

#[test]
fn unusable_keys_beside_a_usable_one_do_no_harm() {
    let signer = Signer::new(Algorithm::ES256, "k1");
    let verifier = jwt_verifier(&[
        json!({"kty": "AKP"}),
        json!(null),
        json!({"kty": "OKP", "crv": "X25519"}),
        signer.jwk(),
    ]);
    assert!(
        verifier
            .verify_now(&token(&signer.token(&claims())), at(NOW))
            .is_ok()
    );
}
