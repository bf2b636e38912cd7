//! Which form each source takes, whose tokens it accepts, and what a changed Secret does.

use bulkhead_crds::kinds::IdentitySource;
use jsonwebtoken::Algorithm;
use serde_json::json;

use super::signer::Signer;
use super::*;

/// The claims of a context token for the policy `chat`.
fn context_claims() -> Value {
    json!({"iss": "cluster/chat-staging", "aud": [POLICY, "other"], "sub": "alice", "exp": NOW + 300, "sid": "s-1"})
}

#[test]
fn trusted_takes_a_bare_id() {
    let verifier = verifier(&identity(IdentitySource::Trusted));
    let context = verifier.verify_now(&user("alice"), at(NOW)).unwrap();
    assert_eq!(context.user_id().as_str(), "alice");
    assert_eq!(context.expires_at(), None);

    let (long, signed) = (
        "x".repeat(257),
        Signer::ed25519("k1").token(&context_claims()),
    );
    let table = [
        (Presented::default(), RejectionReason::Missing),
        (user(""), RejectionReason::Placeholder),
        (user("Undefined"), RejectionReason::Placeholder),
        (user("al\u{0}ice"), RejectionReason::Malformed),
        (user(&long), RejectionReason::TooLong),
        (token(&signed), RejectionReason::WrongForm),
    ];
    for (presented, reason) in table {
        let rejection = refused(&verifier, presented);
        assert_eq!(rejection.reason, reason, "{}", rejection.message);
        assert!(
            rejection.hint.contains("bulkhead.user=ID"),
            "{}",
            rejection.hint
        );
    }
}

#[test]
fn placeholders_pass_where_the_policy_lets_them() {
    let lenient = EffectiveIdentity {
        reject_placeholders: false,
        ..identity(IdentitySource::Trusted)
    };
    let verifier = verifier(&lenient);
    assert_eq!(
        verifier
            .verify_now(&user("guest"), at(NOW))
            .unwrap()
            .user_id()
            .as_str(),
        "guest"
    );
    assert_eq!(
        refused(&verifier, user("")).reason,
        RejectionReason::Malformed,
        "no bytes are no id even then"
    );
}

#[test]
fn a_bare_id_proves_nothing_where_tokens_are_asked_for() {
    let signer = Signer::ed25519("k1");
    for verifier in [
        jwt_verifier(&[signer.jwk()]),
        verifier(&context_identity(Some(inline(&[signer.jwk()])))),
    ] {
        let rejection = refused(&verifier, user("alice"));
        assert_eq!(rejection.reason, RejectionReason::WrongForm);
        assert!(
            rejection.hint.contains("bulkhead.context=TOKEN"),
            "{}",
            rejection.hint
        );
        assert_eq!(
            refused(&verifier, Presented::default()).reason,
            RejectionReason::Missing
        );
    }
}

#[test]
fn an_id_beside_a_token_must_be_the_tokens() {
    let signer = Signer::ed25519("k1");
    let verifier = jwt_verifier(&[signer.jwk()]);
    let signed = signer.token(&claims());
    let both = |user| Presented {
        token: Some(&signed),
        user: Some(user),
    };
    assert!(verifier.verify_now(&both("alice"), at(NOW)).is_ok());
    assert_eq!(
        refused(&verifier, both("bob")).reason,
        RejectionReason::Conflict
    );
}

#[test]
fn signed_context_reads_the_namespaces_keys_and_takes_ed25519_alone() {
    let dir = SecretsDir::new("context");
    let (signer, rsa) = (Signer::ed25519("k1"), Signer::new(Algorithm::RS256, "r1"));
    let build = || {
        Verifier::for_identity(
            POLICY,
            &identity(IdentitySource::SignedContext),
            &dir.secrets(),
        )
    };

    let error = build().unwrap_err().to_string();
    assert!(
        error.contains("identity.signedContext.jwks")
            && error.contains("bulkhead-context-keys/jwks.json"),
        "{error}"
    );
    dir.put(CONTEXT_KEYS, &jwks(&[rsa.jwk()]));
    assert!(build().unwrap_err().to_string().contains("only Ed25519"));

    dir.put(CONTEXT_KEYS, &jwks(&[rsa.jwk(), signer.jwk()]));
    let verifier = build().unwrap();
    let context = verifier
        .verify_now(&token(&signer.token(&context_claims())), at(NOW))
        .unwrap();
    assert_eq!(
        (
            context.user_id().as_str(),
            context.session_id().map(|id| &**id)
        ),
        ("alice", Some("s-1"))
    );
    assert_eq!(
        refused(&verifier, token(&rsa.token(&context_claims()))).reason,
        RejectionReason::UnknownKey
    );

    let mut elsewhere = context_claims();
    elsewhere["aud"] = json!(["billing"]);
    let rejection = refused(&verifier, token(&signer.token(&elsewhere)));
    assert_eq!(
        rejection.reason,
        RejectionReason::Audience,
        "made out to another policy"
    );
}

#[test]
fn context_tokens_are_accepted_beside_the_identity_providers_once_their_keys_exist() {
    let dir = SecretsDir::new("beside");
    let (provider, bulkhead) = (Signer::ed25519("idp"), Signer::ed25519("ctx"));
    let verifier = Verifier::for_identity(
        POLICY,
        &jwt_identity(inline(&[provider.jwk()])),
        &dir.secrets(),
    )
    .unwrap();
    let (theirs, ours) = (provider.token(&claims()), bulkhead.token(&context_claims()));
    assert!(verifier.verify_now(&token(&theirs), at(NOW)).is_ok());
    assert_eq!(
        refused(&verifier, token(&ours)).reason,
        RejectionReason::UnknownKey
    );

    dir.put(CONTEXT_KEYS, &jwks(&[bulkhead.jwk()]));
    assert!(verifier.reload(&dir.secrets()).unwrap());
    assert!(
        !verifier.reload(&dir.secrets()).unwrap(),
        "the same again is no change"
    );
    assert!(verifier.verify_now(&token(&ours), at(NOW)).is_ok());
    assert!(verifier.verify_now(&token(&theirs), at(NOW)).is_ok());

    let crossed = bulkhead.token(&claims());
    assert_eq!(
        refused(&verifier, token(&crossed)).reason,
        RejectionReason::Audience,
        "each signer speaks for its own claims"
    );

    dir.remove(CONTEXT_KEYS);
    assert!(verifier.reload(&dir.secrets()).unwrap());
    assert_eq!(
        refused(&verifier, token(&ours)).reason,
        RejectionReason::UnknownKey
    );
}

#[test]
fn context_tokens_are_accepted_under_trusted_only_where_the_policy_says_so() {
    let signer = Signer::ed25519("k1");
    let both = EffectiveIdentity {
        source: IdentitySource::Trusted,
        ..context_identity(Some(inline(&[signer.jwk()])))
    };
    let verifier = verifier(&both);
    assert!(
        verifier
            .verify_now(&token(&signer.token(&context_claims())), at(NOW))
            .is_ok()
    );
    assert!(verifier.verify_now(&user("bob"), at(NOW)).is_ok());
}

#[test]
fn a_rotated_key_ends_what_it_has_verified() {
    let dir = SecretsDir::new("rotate");
    let (old, new) = (Signer::ed25519("old"), Signer::ed25519("new"));
    dir.put("idp", &jwks(&[old.jwk()]));
    let verifier =
        Verifier::for_identity(POLICY, &jwt_identity(in_secret("idp")), &dir.secrets()).unwrap();
    let (before, after) = (old.token(&claims()), new.token(&claims()));
    assert!(verifier.verify_now(&token(&before), at(NOW)).is_ok());

    dir.put("idp", &jwks(&[old.jwk(), new.jwk()]));
    assert!(verifier.reload(&dir.secrets()).unwrap());
    assert!(
        verifier.verify_now(&token(&before), at(NOW)).is_ok(),
        "both, while they overlap"
    );
    assert!(verifier.verify_now(&token(&after), at(NOW)).is_ok());

    dir.put("idp", &jwks(&[new.jwk()]));
    assert!(verifier.reload(&dir.secrets()).unwrap());
    assert_eq!(
        refused(&verifier, token(&before)).reason,
        RejectionReason::UnknownKey,
        "the cache forgets with the key"
    );
    assert!(verifier.verify_now(&token(&after), at(NOW)).is_ok());
}

#[test]
fn a_secret_that_cannot_be_used_leaves_the_keys_in_force() {
    let dir = SecretsDir::new("broken");
    let signer = Signer::ed25519("k1");
    dir.put("idp", &jwks(&[signer.jwk()]));
    let verifier =
        Verifier::for_identity(POLICY, &jwt_identity(in_secret("idp")), &dir.secrets()).unwrap();
    for broken in ["", "{", "{\"keys\": []}", "[]"] {
        dir.put("idp", broken);
        let error = verifier.reload(&dir.secrets()).unwrap_err().to_string();
        assert!(error.contains("identity.jwt.jwks"), "{error}");
        assert!(
            verifier
                .verify_now(&token(&signer.token(&claims())), at(NOW))
                .is_ok()
        );
    }
    dir.remove("idp");
    assert!(verifier.reload(&dir.secrets()).is_err());
    assert!(
        verifier
            .verify_now(&token(&signer.token(&claims())), at(NOW))
            .is_ok()
    );
}

#[test]
fn settings_that_cannot_work_are_named() {
    let error = |identity: &EffectiveIdentity| {
        Verifier::for_identity(POLICY, identity, &Secrets::new(None))
            .unwrap_err()
            .to_string()
    };
    assert!(error(&identity(IdentitySource::Jwt)).contains("identity.jwt is missing"));
    let nothing = Jwks {
        secret_ref: None,
        uri: None,
        inline: None,
    };
    assert!(error(&jwt_identity(nothing.clone())).contains("exactly one"));
    let both = Jwks {
        uri: Some("https://id.example.com".into()),
        ..inline(&[])
    };
    assert!(error(&jwt_identity(both)).contains("exactly one"));
    assert!(error(&jwt_identity(in_secret("idp"))).contains("--secrets DIR"));
    assert!(error(&jwt_identity(at_uri("http://id.example.com/jwks.json"))).contains("use https"));
}
