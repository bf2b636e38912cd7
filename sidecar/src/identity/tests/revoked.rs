//! Who is cut off is refused whatever they bring: a token that has been verified before, one that is good as long as its socket is, a token
//! that was made of an older one.

use std::sync::Arc;

use bulkhead_crds::names::Timestamp;
use bulkhead_crds::revocations::{Revocation, RevocationList};
use serde_json::json;

use super::signer::Signer;
use super::*;

/// Puts a revocation of what alice was issued up to this moment in force.
fn revoke(verifier: &Verifier, not_before: u64) {
    verifier
        .revocations()
        .put_in_force(RevocationList::of(vec![Revocation {
            name: "out-alice".into(),
            user: "alice".into(),
            not_before: Timestamp::try_from(at(not_before)).unwrap(),
            expires_at: None,
            reason: None,
        }]));
}

fn reason(verified: Result<UserContext, VerifyOutcome>) -> Option<RejectionReason> {
    match verified {
        Ok(_) => None,
        Err(VerifyOutcome::Rejected(rejection)) => Some(rejection.reason),
        Err(VerifyOutcome::NeedsKeys) => panic!("the keys are in the policy"),
    }
}

#[test]
fn a_token_is_judged_by_when_it_was_issued_whether_it_was_seen_before_or_not() {
    let signer = Signer::ed25519("k1");
    let verifier = jwt_verifier(&[signer.jwk()]);
    let issued = |iat: Value| signer.token(&claims_with(json!({"iat": iat})));
    let tokens = [
        (issued(json!(NOW - 10)), true),
        (issued(json!(NOW)), true),
        (issued(json!(NOW + 1)), false),
        (issued(Value::Null), true),
        (issued(json!("yesterday")), true),
        (
            signer.token(&claims_with(json!({"iat": NOW + 1, "orig_iat": NOW - 10}))),
            true,
        ),
        (
            signer.token(&claims_with(json!({"iat": NOW - 10, "orig_iat": NOW + 1}))),
            true,
        ),
        (
            signer.token(&claims_with(json!({"sub": "bob", "iat": NOW - 10}))),
            false,
        ),
    ];
    for (text, _) in &tokens {
        assert_eq!(reason(verifier.verify_now(&token(text), at(NOW))), None);
    }
    revoke(&verifier, NOW);
    for (text, refused) in &tokens {
        let expected = refused.then_some(RejectionReason::Revoked);
        assert_eq!(
            reason(verifier.verify_now(&token(text), at(NOW))),
            expected,
            "{text}"
        );
    }
    verifier
        .revocations()
        .put_in_force(RevocationList::default());
    for (text, _) in &tokens {
        assert_eq!(reason(verifier.verify_now(&token(text), at(NOW))), None);
    }
}

#[test]
fn a_bare_id_is_refused_and_the_hint_names_the_revocation() {
    let verifier = verifier(&identity(IdentitySource::Trusted));
    revoke(&verifier, NOW);
    let rejection = refused(&verifier, user("alice"));
    assert_eq!(rejection.reason, RejectionReason::Revoked);
    assert!(rejection.hint.contains("out-alice"), "{}", rejection.hint);
    assert!(verifier.verify_now(&user("bob"), at(NOW)).is_ok());
}

#[tokio::test]
async fn a_token_of_a_live_socket_is_refused_with_the_login_that_it_was_made_of() {
    let provider = Signer::ed25519("idp");
    let policy = super::issue::policy(POLICY, jwt_identity(inline(&[provider.jwk()])));
    let secrets = Secrets::new(None);
    let issuer = Issuer::new(&policy, &secrets).unwrap();
    let verifier = Verifier::new(&policy, &secrets, Some(&issuer)).unwrap();
    let live = LiveSockets::default();
    let alice = UserId::parse("alice").unwrap();
    let socket = live.open(&alice).unwrap();
    // Given a socket that is open longer than the token that was made for it, and a login before that,
    let made = SystemTime::now() - Duration::from_secs(3600);
    let login = seconds(made) - 60;
    let claims = claims_with(json!({"iat": login, "exp": seconds(made) + 3000}));
    let theirs = provider.token(&claims);
    let context = verifier.verify_now(&token(&theirs), made).unwrap();
    let ours = issuer.issue(&context, Some(&socket), made).unwrap();
    assert!(verifier.verify_live(&token(&ours), &live).await.is_ok());
    // when what was issued between the login and the token is revoked,
    revoke(&verifier, login + 30);
    // then the token is refused with the login.
    let refused = verifier
        .verify_live(&token(&ours), &live)
        .await
        .unwrap_err();
    assert_eq!(refused.reason, RejectionReason::Revoked);
    revoke(&verifier, login - 1);
    assert!(verifier.verify_live(&token(&ours), &live).await.is_ok());
}

#[test]
fn a_revision_of_the_policy_keeps_who_is_cut_off() {
    let before = verifier(&identity(IdentitySource::Trusted));
    revoke(&before, NOW);
    let after = verifier(&identity(IdentitySource::Trusted)).under(before.revocations());
    assert!(Arc::ptr_eq(before.revocations(), after.revocations()));
    assert_eq!(
        refused(&after, user("alice")).reason,
        RejectionReason::Revoked
    );
}

fn seconds(moment: SystemTime) -> u64 {
    moment.duration_since(UNIX_EPOCH).unwrap().as_secs()
}
