//! What the claims must say, and when: each bound at the very second.

use serde_json::{Value, json};

use super::signer::Signer;
use super::*;

/// What becomes of a token with these changes to good claims, at [`NOW`] plus `later`.
fn verify(changes: Value, later: i64) -> Result<UserContext, Rejection> {
    let signer = Signer::ed25519("k1");
    let verifier = jwt_verifier(&[signer.jwk()]);
    let signed = signer.token(&claims_with(changes));
    match verifier.verify_now(&token(&signed), at(NOW.checked_add_signed(later).unwrap())) {
        Ok(context) => Ok(context),
        Err(VerifyOutcome::Rejected(rejection)) => Err(rejection),
        Err(VerifyOutcome::NeedsKeys) => panic!("the keys are in the policy"),
    }
}

fn reason(changes: Value, later: i64) -> RejectionReason {
    verify(changes, later).unwrap_err().reason
}

#[test]
fn a_token_ends_at_exp_plus_leeway_and_so_does_its_context() {
    let context = verify(json!({"exp": NOW}), 29).unwrap();
    assert!(!context.is_expired(at(NOW + 29)));
    assert!(context.is_expired(at(NOW + 30)));
    assert_eq!(reason(json!({"exp": NOW}), 30), RejectionReason::Expired);
    let rejection = verify(json!({"exp": NOW}), 90).unwrap_err();
    assert!(
        rejection.message.contains("90 s ago") && rejection.hint.contains("new token"),
        "{rejection:?}"
    );
}

#[test]
fn a_token_begins_at_nbf_less_leeway() {
    assert!(verify(json!({"nbf": NOW + 30}), 0).is_ok());
    assert_eq!(
        reason(json!({"nbf": NOW + 31}), 0),
        RejectionReason::NotYetValid
    );
    assert!(verify(json!({"nbf": NOW + 31}), 1).is_ok());
}

#[test]
fn times_are_numbers_within_reason() {
    assert_eq!(reason(json!({"exp": null}), 0), RejectionReason::Claim);
    for bad in [
        json!("1800000300"),
        json!(-1),
        json!(1e300),
        json!(u64::MAX),
        json!(true),
        json!([NOW]),
        json!({}),
    ] {
        assert_eq!(
            reason(json!({"exp": bad}), 0),
            RejectionReason::Claim,
            "{bad}"
        );
        assert_eq!(
            reason(json!({"nbf": bad}), 0),
            RejectionReason::Claim,
            "{bad}"
        );
    }
    assert!(
        verify(json!({"exp": NOW as f64 + 0.5, "nbf": NOW as f64 - 0.5}), 0).is_ok(),
        "RFC 7519 allows fractions"
    );
    assert!(verify(json!({"exp": 253_402_300_799_u64}), 0).is_ok());
}

#[test]
fn a_cached_token_ends_as_punctually_as_a_new_one() {
    let signer = Signer::ed25519("k1");
    let verifier = jwt_verifier(&[signer.jwk()]);
    let signed = signer.token(&claims_with(json!({"exp": NOW})));
    assert!(verifier.verify_now(&token(&signed), at(NOW)).is_ok());
    assert!(verifier.verify_now(&token(&signed), at(NOW + 29)).is_ok());
    let Err(VerifyOutcome::Rejected(rejection)) =
        verifier.verify_now(&token(&signed), at(NOW + 30))
    else {
        panic!("it has ended")
    };
    assert_eq!(rejection.reason, RejectionReason::Expired);
}

#[test]
fn issuer_and_audience_must_be_the_policys() {
    for bad in [
        json!("https://evil.example.com"),
        json!("https://id.example.com/"),
        json!(1),
        json!(["https://id.example.com"]),
        json!(null),
    ] {
        assert_eq!(
            reason(json!({"iss": bad}), 0),
            RejectionReason::Issuer,
            "{bad}"
        );
    }
    for good in [json!("chat-web"), json!(["other", "chat-api"])] {
        assert!(verify(json!({"aud": good}), 0).is_ok(), "{good}");
    }
    for bad in [
        json!("other"),
        json!([]),
        json!(["chat"]),
        json!({"chat-api": 1}),
        json!(null),
        json!(7),
    ] {
        assert_eq!(
            reason(json!({"aud": bad}), 0),
            RejectionReason::Audience,
            "{bad}"
        );
    }
    let rejection = verify(json!({"aud": "billing"}), 0).unwrap_err();
    assert!(
        rejection.message.contains("billing") && rejection.message.contains("chat-api"),
        "{}",
        rejection.message
    );
}

#[test]
fn a_policy_without_audiences_takes_only_tokens_without_one() {
    let signer = Signer::ed25519("k1");
    let mut identity = jwt_identity(inline(&[signer.jwk()]));
    identity.jwt.as_mut().unwrap().audiences = None;
    let verifier = verifier(&identity);
    assert!(
        verifier
            .verify_now(
                &token(&signer.token(&claims_with(json!({"aud": null})))),
                at(NOW)
            )
            .is_ok()
    );
    assert_eq!(
        refused(&verifier, token(&signer.token(&claims()))).reason,
        RejectionReason::Audience
    );
}

#[test]
fn the_ids_of_the_work_come_along() {
    let context = verify(
        json!({"thread_id": "t-1", "run_id": 7, "request_id": "r-1", "sid": "s-1", "jti": "j-1"}),
        0,
    )
    .unwrap();
    let text = |id: Option<&std::sync::Arc<str>>| id.map(|id| id.to_string());
    assert_eq!(text(context.thread_id()).as_deref(), Some("t-1"));
    assert_eq!(text(context.run_id()).as_deref(), Some("7"));
    assert_eq!(text(context.request_id()).as_deref(), Some("r-1"));
    assert_eq!(text(context.session_id()).as_deref(), Some("s-1"));
    assert_eq!(text(context.token_id()).as_deref(), Some("j-1"));

    let bare = verify(json!({}), 0).unwrap();
    assert!(bare.thread_id().is_none() && bare.session_id().is_none() && bare.token_id().is_none());

    assert_eq!(
        reason(json!({"thread_id": ["t"]}), 0),
        RejectionReason::Claim
    );
    assert_eq!(
        reason(json!({"run_id": "a\u{0}b"}), 0),
        RejectionReason::Malformed
    );
    assert_eq!(
        reason(json!({"request_id": "x".repeat(257)}), 0),
        RejectionReason::TooLong
    );
}

#[test]
fn the_user_is_a_text_or_a_whole_number() {
    for (sub, id) in [
        (json!("bob"), "bob"),
        (json!(42), "42"),
        (json!(-7), "-7"),
        (json!(u64::MAX), "18446744073709551615"),
    ] {
        assert_eq!(
            verify(json!({"sub": sub}), 0).unwrap().user_id().as_str(),
            id
        );
    }
    for bad in [
        json!(null),
        json!(1.5),
        json!(1e20),
        json!(true),
        json!(["alice"]),
        json!({"id": "alice"}),
    ] {
        assert_eq!(
            reason(json!({"sub": bad}), 0),
            RejectionReason::Claim,
            "{bad}"
        );
    }
    for nobody in [
        json!(""),
        json!("null"),
        json!(0),
        json!(" Anonymous "),
        json!("00000000-0000-0000-0000-000000000000"),
    ] {
        assert_eq!(
            reason(json!({"sub": nobody}), 0),
            RejectionReason::Placeholder,
            "{nobody}"
        );
    }
    assert_eq!(
        reason(json!({"sub": "x".repeat(257)}), 0),
        RejectionReason::TooLong
    );
    assert_eq!(
        reason(json!({"sub": "al\nice"}), 0),
        RejectionReason::Malformed
    );
}

#[test]
fn the_claim_that_names_the_user_is_the_policys_choice() {
    let with_claim = |claim: &str| {
        let signer = Signer::ed25519("k1");
        let mut identity = jwt_identity(inline(&[signer.jwk()]));
        identity.jwt.as_mut().unwrap().user_claim = Some(claim.into());
        let claims = claims_with(json!({
            "email": "a@example.com",
            "https://example.com/uid": "u-1",
            "user": {"ids": ["u-2", "u-3"], "a/b": {"id": 4}},
        }));
        let signed = signer.token(&claims);
        verifier(&identity)
            .verify_now(&token(&signed), at(NOW))
            .map(|context| context.user_id().to_string())
    };
    assert_eq!(with_claim("email").unwrap(), "a@example.com");
    assert_eq!(with_claim("https://example.com/uid").unwrap(), "u-1");
    assert_eq!(with_claim("/user/ids/1").unwrap(), "u-3");
    assert_eq!(with_claim("/user/a~1b/id").unwrap(), "4");
    assert_eq!(with_claim("/email").unwrap(), "a@example.com");
    for missing in ["user", "/user/ids/9", "/", "//", "/user", "user.ids"] {
        assert!(with_claim(missing).is_err(), "{missing}");
    }
}

#[test]
fn the_leeway_is_the_policys() {
    let strict = claims::Expected {
        issuer: None,
        audiences: vec!["chat-api".into()],
        user_claim: "sub".into(),
        leeway: Duration::ZERO,
        reject_placeholders: true,
    };
    let check = |changes: Value, now: u64| {
        let claims = claims_with(changes);
        strict
            .check(claims.as_object().unwrap(), None, at(now))
            .map(|verified| verified.expires_at)
    };
    assert_eq!(
        check(json!({"exp": NOW + 1}), NOW).unwrap(),
        Some(at(NOW + 1))
    );
    assert_eq!(
        check(json!({"exp": NOW}), NOW).unwrap_err().reason,
        RejectionReason::Expired
    );
    assert!(check(json!({"nbf": NOW}), NOW).is_ok());
    assert_eq!(
        check(json!({"nbf": NOW + 1}), NOW).unwrap_err().reason,
        RejectionReason::NotYetValid
    );
}
