//! What attackers try: each must fail, for its own reason, and never by a panic.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::signer::{Signer, encoded};
use super::*;

/// A token signed by HMAC with `secret`, under any header.
fn hmac(secret: &[u8], header: &Value, claims: &Value) -> String {
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

#[test]
fn a_public_key_is_never_taken_for_a_shared_secret() {
    for algorithm in [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA] {
        let signer = Signer::new(algorithm, "k1");
        let jwk = signer.jwk();
        let verifier = jwt_verifier(std::slice::from_ref(&jwk));
        let member = if algorithm == Algorithm::RS256 {
            "n"
        } else {
            "x"
        };
        let public = jwk[member].as_str().unwrap();
        let secrets = [
            public.as_bytes().to_vec(),
            URL_SAFE_NO_PAD.decode(public).unwrap(),
            jwk.to_string().into_bytes(),
            Vec::new(),
        ];
        for secret in secrets {
            for header in [
                json!({"alg": "HS256", "kid": "k1"}),
                json!({"alg": "HS256"}),
            ] {
                let forged = hmac(&secret, &header, &claims());
                assert_eq!(
                    refused(&verifier, token(&forged)).reason,
                    RejectionReason::Algorithm
                );
            }
            let lying = hmac(
                &secret,
                &json!({"alg": format!("{algorithm:?}"), "kid": "k1"}),
                &claims(),
            );
            assert_eq!(
                refused(&verifier, token(&lying)).reason,
                RejectionReason::Signature
            );
        }
    }
}

#[test]
fn a_shared_secret_beside_public_keys_does_not_lend_its_algorithm_to_them() {
    let (public, secret) = (
        Signer::new(Algorithm::RS256, "public"),
        Signer::new(Algorithm::HS256, "secret"),
    );
    let verifier = jwt_verifier(&[public.jwk(), secret.jwk()]);
    let crossed = secret.named(Some("public")).token(&claims());
    assert_eq!(
        refused(&verifier, token(&crossed)).reason,
        RejectionReason::Algorithm
    );
    assert!(
        verifier
            .verify_now(&token(&secret.token(&claims())), at(NOW))
            .is_ok()
    );
}

#[test]
fn no_algorithm_is_no_signature() {
    let signer = Signer::ed25519("k1");
    let verifier = jwt_verifier(&[signer.jwk()]);
    for name in [
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        "null",
        "hs256",
        "HS256 ",
        "EdDSA\u{0}",
    ] {
        let header = json!({"alg": name, "kid": "k1"});
        let message = format!("{}.{}", encoded(&header), encoded(&claims()));
        let signature = signer
            .token(&claims())
            .rsplit_once('.')
            .unwrap()
            .1
            .to_owned();
        for forged in [format!("{message}."), format!("{message}.{signature}")] {
            assert_eq!(
                refused(&verifier, token(&forged)).reason,
                RejectionReason::Algorithm,
                "{name:?}"
            );
        }
    }
}

#[test]
fn a_key_that_the_token_brings_itself_is_not_looked_at() {
    let (ours, theirs) = (Signer::ed25519("k1"), Signer::ed25519("k1"));
    let verifier = jwt_verifier(&[ours.jwk()]);
    let header = json!({"alg": "EdDSA", "kid": "k1", "jwk": theirs.jwk(), "jku": "https://evil.example.com/jwks.json", "x5u": "https://evil.example.com"});
    let forged = theirs.token_with_header(&header, &claims());
    assert_eq!(
        refused(&verifier, token(&forged)).reason,
        RejectionReason::Signature
    );
}

#[test]
fn a_token_that_names_no_key_is_tried_against_the_few_that_fit() {
    let signers: Vec<Signer> = (0..5).map(|n| Signer::ed25519(&format!("k{n}"))).collect();
    let keys: Vec<Value> = signers.iter().map(Signer::jwk).collect();
    let unnamed = signers[1].named(None).token(&claims());
    assert!(
        jwt_verifier(&keys[..4])
            .verify_now(&token(&unnamed), at(NOW))
            .is_ok()
    );
    assert_eq!(
        refused(&jwt_verifier(&keys[2..]), token(&unnamed)).reason,
        RejectionReason::Signature
    );
    let rejection = refused(&jwt_verifier(&keys), token(&unnamed));
    assert_eq!(
        rejection.reason,
        RejectionReason::UnknownKey,
        "five signatures would be too much work"
    );
    assert!(rejection.message.contains("kid"), "{}", rejection.message);
}

#[test]
fn keys_that_share_a_name_are_each_tried() {
    let (first, second, third) = (
        Signer::ed25519("same"),
        Signer::ed25519("same"),
        Signer::new(Algorithm::RS256, "same"),
    );
    let verifier = jwt_verifier(&[first.jwk(), second.jwk(), third.jwk()]);
    for signer in [&first, &second, &third] {
        assert!(
            verifier
                .verify_now(&token(&signer.token(&claims())), at(NOW))
                .is_ok()
        );
    }
    let stranger = Signer::ed25519("same").token(&claims());
    assert_eq!(
        refused(&verifier, token(&stranger)).reason,
        RejectionReason::Signature
    );
}

#[test]
fn a_named_key_must_be_there_unless_the_policys_keys_have_no_names() {
    let signer = Signer::ed25519("k1");
    let verifier = jwt_verifier(&[signer.jwk()]);
    let other = refused(&verifier, token(&signer.named(Some("k2")).token(&claims())));
    assert_eq!(other.reason, RejectionReason::UnknownKey);
    assert!(other.message.contains("\"k2\""), "{}", other.message);

    let nameless = jwt_verifier(&[signer.named(None).jwk()]);
    assert!(
        nameless
            .verify_now(&token(&signer.token(&claims())), at(NOW))
            .is_ok()
    );
}

#[test]
fn a_refusal_never_shows_the_token() {
    let (signer, stranger) = (Signer::ed25519("k1"), Signer::ed25519("k1"));
    let verifier = jwt_verifier(&[signer.jwk()]);
    let table = [
        stranger.token(&claims()),
        signer.token(&claims_with(json!({"aud": "other"}))),
        signer.token(&claims_with(json!({"exp": 1}))),
        format!("{}x", signer.token(&claims())),
        "not-a-token-but-perhaps-a-password".into(),
    ];
    for bad in table {
        let rejection = refused(&verifier, token(&bad));
        for part in bad.split('.') {
            assert!(
                !rejection.message.contains(part) && !rejection.hint.contains(part),
                "{rejection:?}"
            );
        }
    }
}

#[test]
fn a_verified_token_does_not_open_the_door_for_its_neighbours() {
    let signer = Signer::ed25519("k1");
    let verifier = jwt_verifier(&[signer.jwk()]);
    let good = signer.token(&claims());
    assert!(verifier.verify_now(&token(&good), at(NOW)).is_ok());
    for at_byte in (0..good.len()).step_by(7) {
        let mut bytes = good.clone().into_bytes();
        bytes[at_byte] = if bytes[at_byte] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(
            verifier.verify_now(&token(&changed), at(NOW)).is_err(),
            "byte {at_byte}"
        );
    }
    assert!(
        verifier
            .verify_now(&token(&good[..good.len() - 1]), at(NOW))
            .is_err()
    );
}

proptest! {
    #[test]
    fn random_text_is_refused(text in "\\PC{0,400}", name in proptest::option::of("\\PC{0,40}")) {
        let verifier = jwt_verifier(&[Signer::ed25519("k1").jwk()]);
        let presented = Presented { token: Some(&text), user: name.as_deref() };
        prop_assert!(verifier.verify_now(&presented, at(NOW)).is_err());
    }

    #[test]
    fn random_claims_under_a_good_signature_never_panic(name in "iss|aud|sub|exp|nbf|thread_id|sid", number in any::<f64>(), text in "\\PC{0,300}", pick in 0..6) {
        let value = match pick {
            0 => json!(number),
            1 => json!(text),
            2 => json!([text, number]),
            3 => json!({ text.as_str(): number }),
            4 => json!(number as i64),
            _ => json!(true),
        };
        let signer = Signer::new(Algorithm::HS256, "k1");
        let signed = signer.token(&claims_with(json!({ name: value })));
        if let Err(outcome) = jwt_verifier(&[signer.jwk()]).verify_now(&token(&signed), at(NOW)) {
            prop_assert!(matches!(outcome, VerifyOutcome::Rejected(_)));
        }
    }

    #[test]
    fn random_key_sets_never_panic(json in "\\PC{0,200}", kty in "RSA|EC|OKP|oct", n in "[A-Za-z0-9_-]{0,64}", crv in "P-256|Ed25519|") {
        let _ = Verifier::for_identity(POLICY, &jwt_identity(Jwks { secret_ref: None, uri: None, inline: Some(json) }), &Secrets::new(None));
        let key = json!({"kty": kty, "crv": crv, "n": n, "e": n, "x": n, "y": n, "k": n});
        let _ = Verifier::for_identity(POLICY, &jwt_identity(inline(&[key])), &Secrets::new(None));
    }
}
