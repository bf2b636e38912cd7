//! Context tokens, from the context that a client has to the context that whoever is shown the token gets.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bulkhead_crds::effective::EffectivePolicy;
use bulkhead_crds::names::objects::SIGNING_KEY;

use super::signer::Signer;
use super::*;
use crate::policy::fixtures;

/// A policy of this name with one WebSocket listener.
pub(super) fn policy(name: &str, identity: EffectiveIdentity) -> EffectivePolicy {
    EffectivePolicy {
        name: name.into(),
        namespace: "chat-staging".into(),
        identity,
        ..fixtures::policy(Vec::new())
    }
}

/// A namespace's key as the operator keeps it: what is published, and what signs.
fn namespace_key(id: &str) -> (Value, String) {
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed).unwrap();
    let pair = Ed25519KeyPair::from_seed_unchecked(&seed).unwrap();
    let public = json!({
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": id,
        "x": URL_SAFE_NO_PAD.encode(pair.public_key()),
    });
    let mut private = public.clone();
    private["d"] = URL_SAFE_NO_PAD.encode(seed).into();
    (public, private.to_string())
}

fn with_keys(test: &str, published: &[Value], signing: &str) -> SecretsDir {
    let dir = SecretsDir::new(test);
    dir.put(CONTEXT_KEYS, &jwks(published));
    fs::write(dir.0.join(CONTEXT_KEYS).join(SIGNING_KEY), signing).unwrap();
    dir
}

/// What a trusted application's `alice` is, which has no end.
fn alice() -> UserContext {
    let trusted = verifier(&identity(IdentitySource::Trusted));
    trusted.verify_now(&user("alice"), at(NOW)).unwrap()
}

fn part(token: &str, index: usize) -> Value {
    let part = token.split('.').nth(index).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[test]
fn a_token_says_everything_that_the_context_does_and_for_how_long() {
    let (public, signing) = namespace_key("ns-1");
    let dir = with_keys("issue-claims", std::slice::from_ref(&public), &signing);
    let provider = Signer::ed25519("idp");
    let policy = policy(POLICY, jwt_identity(inline(&[provider.jwk()])));
    let issuer = Issuer::new(&policy, &dir.secrets()).unwrap();
    let verifier = Verifier::new(&policy, &dir.secrets(), Some(&issuer)).unwrap();
    let theirs = provider.token(&claims_with(json!({
        "sub": "Ülle ", "thread_id": "t", "run_id": 7, "request_id": "q", "sid": "login", "exp": NOW + 3600
    })));
    let context = verifier.verify_now(&token(&theirs), at(NOW)).unwrap();
    let ours = issuer.issue(&context, Some("socket-1"), at(NOW)).unwrap();

    assert_eq!(
        part(&ours, 0),
        json!({"alg": "EdDSA", "typ": "bulkhead-context+jwt", "kid": "ns-1"})
    );
    let mut claims = part(&ours, 1);
    let id = claims.as_object_mut().unwrap().remove("jti").unwrap();
    assert_eq!(id.as_str().unwrap().len(), 22, "128 random bits");
    assert_eq!(
        claims,
        json!({
            "iss": "bulkhead/chat-staging", "aud": ["chat"], "sub": "Ülle ", "thread_id": "t", "run_id": "7", "request_id": "q",
            "sid": "socket-1", "iat": NOW, "orig_iat": 0, "nbf": NOW, "exp": NOW + 300,
        })
    );
    let published: Value = serde_json::from_str(issuer.key_set()).unwrap();
    assert_eq!(published["keys"][0], public);

    let again = verifier.verify_now(&token(&ours), at(NOW)).unwrap();
    assert_eq!(again.user_id(), context.user_id());
    assert_eq!(
        [again.thread_id(), again.run_id(), again.request_id()],
        [context.thread_id(), context.run_id(), context.request_id()]
    );
    assert_eq!(again.session_id().map(|id| &**id), Some("socket-1"));
    assert_eq!(again.token_id().map(|id| &**id), id.as_str());
    let next = issuer.issue(&context, None, at(NOW)).unwrap();
    assert_ne!(part(&next, 1)["jti"], id);
    assert_eq!(
        part(&next, 1)["sid"],
        "login",
        "passed on where there is no newer one"
    );
}

#[test]
fn the_issuer_is_the_namespace_of_its_cluster_unless_the_policy_names_another() {
    let provider = Signer::ed25519("idp");
    let mut policy = policy(POLICY, jwt_identity(inline(&[provider.jwk()])));
    let theirs = provider.token(&claims_with(json!({"sub": "alice"})));
    let secrets = Secrets::new(None);
    let verifier = Verifier::new(&policy, &secrets, None).unwrap();
    let context = verifier.verify_now(&token(&theirs), at(NOW)).unwrap();
    let issuer = |policy: &EffectivePolicy| {
        let issuer = Issuer::new(policy, &secrets).unwrap();
        let token = issuer.issue(&context, None, at(NOW)).unwrap();
        part(&token, 1)["iss"].as_str().unwrap().to_owned()
    };
    assert_eq!(issuer(&policy), "bulkhead/chat-staging");
    policy.cluster = Some("eu-1".to_owned());
    assert_eq!(issuer(&policy), "bulkhead/eu-1/chat-staging");
    policy.identity.signed_context = Some(SignedContext {
        issuer: Some("prod-eu/chat".into()),
        audiences: None,
        jwks: None,
    });
    assert_eq!(issuer(&policy), "prod-eu/chat");
}

#[test]
fn a_token_never_outlives_the_one_that_it_was_made_of() {
    let provider = Signer::ed25519("idp");
    let policy = policy(POLICY, jwt_identity(inline(&[provider.jwk()])));
    let secrets = Secrets::new(None);
    let issuer = Issuer::new(&policy, &secrets).unwrap();
    let verifier = Verifier::new(&policy, &secrets, Some(&issuer)).unwrap();
    // Of the last, the end has come already, and the leeway has not.
    for life in [3600, 301, 300, 299, 60, 1, 0, -29] {
        let exp = NOW.checked_add_signed(life).unwrap();
        let theirs = provider.token(&claims_with(json!({ "exp": exp })));
        let context = verifier.verify_now(&token(&theirs), at(NOW)).unwrap();
        let ours = issuer.issue(&context, None, at(NOW)).unwrap();
        let again = verifier.verify_now(&token(&ours), at(NOW)).unwrap();
        let end = at(NOW + 330).min(context.expires_at().unwrap());
        assert_eq!(again.expires_at(), Some(end), "{life} s");
        assert!(verifier.verify_now(&token(&ours), end).is_err());
    }
}

#[test]
fn whatever_the_source_is_the_listeners_of_the_policy_take_its_tokens() {
    let provider = Signer::ed25519("idp");
    let (public, signing) = namespace_key("ns-1");
    let other = inline(&[Signer::ed25519("other").jwk()]);
    let named = SignedContext {
        issuer: Some("prod-eu/chat".into()),
        audiences: Some(vec!["gateway".into(), "worker".into()]),
        jwks: Some(other.clone()),
    };
    let sources = [
        identity(IdentitySource::Trusted),
        jwt_identity(inline(&[provider.jwk()])),
        identity(IdentitySource::SignedContext),
        context_identity(Some(other)),
        EffectiveIdentity {
            signed_context: Some(named.clone()),
            ..identity(IdentitySource::Trusted)
        },
        EffectiveIdentity {
            signed_context: Some(named),
            ..jwt_identity(inline(&[provider.jwk()]))
        },
    ];
    let dir = with_keys("issue-sources", &[public], &signing);
    for identity in sources {
        let policy = policy(POLICY, identity);
        let issuer = Issuer::new(&policy, &dir.secrets()).unwrap();
        let verifier = Verifier::new(&policy, &dir.secrets(), Some(&issuer)).unwrap();
        let ours = issuer.issue(&alice(), None, at(NOW)).unwrap();
        let context = verifier.verify_now(&token(&ours), at(NOW)).unwrap();
        assert_eq!(context.user_id().as_str(), "alice");
        assert_eq!(part(&ours, 1).get("sid"), None);
        let forged = format!("{}x", ours.trim_end_matches('x'));
        assert!(verifier.verify_now(&token(&forged), at(NOW)).is_err());
    }
}

#[test]
fn a_listener_without_web_sockets_takes_the_namespaces_tokens_if_they_are_made_out_to_it() {
    let (public, signing) = namespace_key("ns-1");
    let dir = with_keys("issue-worker", &[public], &signing);
    let gateway = EffectiveIdentity {
        signed_context: Some(SignedContext {
            issuer: None,
            audiences: Some(vec!["gateway".into(), "worker".into()]),
            jwks: None,
        }),
        ..identity(IdentitySource::Trusted)
    };
    let issuer = Issuer::new(&policy("gateway", gateway), &dir.secrets()).unwrap();
    let ours = issuer.issue(&alice(), None, at(NOW)).unwrap();
    for (name, taken) in [("worker", true), ("billing", false)] {
        let worker = policy(name, identity(IdentitySource::SignedContext));
        let verifier = Verifier::new(&worker, &dir.secrets(), None).unwrap();
        let verified = verifier.verify_now(&token(&ours), at(NOW));
        assert_eq!(verified.is_ok(), taken, "{name}");
    }
}

#[test]
fn without_a_key_in_a_secret_the_process_signs_for_itself() {
    let policy = policy(POLICY, identity(IdentitySource::Trusted));
    let alone = Issuer::new(&policy, &Secrets::new(None)).unwrap();
    let ours = alone.issue(&alice(), None, at(NOW)).unwrap();
    let id = part(&ours, 0)["kid"].as_str().unwrap().to_owned();
    assert!(id.starts_with("process-") && alone.key_set().contains(&id));
    assert!(!alone.key_set().contains("\"d\""));

    // Then the operator makes the namespace's key: it signs from now on, and what was given out stays good.
    let (public, signing) = namespace_key("ns-1");
    let dir = with_keys("issue-own", &[public], &signing);
    let issuer = Issuer::new(&policy, &dir.secrets()).unwrap();
    let later = issuer.issue(&alice(), None, at(NOW)).unwrap();
    assert_eq!(part(&later, 0)["kid"], "ns-1");
    let verifier = Verifier::new(&policy, &dir.secrets(), Some(&issuer)).unwrap();
    for token_of_ours in [&ours, &later] {
        assert!(verifier.verify_now(&token(token_of_ours), at(NOW)).is_ok());
    }
    let stranger = Verifier::new(&policy, &dir.secrets(), None).unwrap();
    assert!(stranger.verify_now(&token(&ours), at(NOW)).is_err());
}

#[test]
fn keys_turn_without_a_moment_in_which_a_token_is_refused() {
    let (first, first_signs) = namespace_key("one");
    let (second, second_signs) = namespace_key("two");
    let both = [first.clone(), second.clone()];
    let policy = policy(POLICY, identity(IdentitySource::Trusted));
    let dir = with_keys("issue-turn", &both[..1], &first_signs);
    let mut given = Vec::new();
    for (published, signs) in [
        (&both[..1], &first_signs),
        (&both[..], &first_signs),
        (&both[..], &second_signs),
    ] {
        dir.put(CONTEXT_KEYS, &jwks(published));
        fs::write(dir.0.join(CONTEXT_KEYS).join(SIGNING_KEY), signs).unwrap();
        let issuer = Issuer::new(&policy, &dir.secrets()).unwrap();
        let verifier = Verifier::new(&policy, &dir.secrets(), Some(&issuer)).unwrap();
        given.push(issuer.issue(&alice(), None, at(NOW)).unwrap());
        for before in &given {
            assert!(verifier.verify_now(&token(before), at(NOW)).is_ok());
        }
    }
}

#[test]
fn keys_that_cannot_be_used_are_named_and_shown_to_nobody() {
    let (public, signing) = namespace_key("ns-1");
    let policy = policy(POLICY, identity(IdentitySource::Trusted));
    let secret = serde_json::from_str::<Value>(&signing).unwrap()["d"].clone();
    let secret = secret.as_str().unwrap();
    for (test, published, signs, named) in [
        ("issue-bad-1", vec![public.clone()], "{}", "signing.json"),
        ("issue-bad-2", vec![public.clone()], "", "signing.json"),
        (
            "issue-bad-3",
            vec![json!({"kty": "RSA"})],
            signing.as_str(),
            "only Ed25519",
        ),
    ] {
        let dir = with_keys(test, &published, signs);
        let error = Issuer::new(&policy, &dir.secrets()).unwrap_err();
        let error = error.to_string();
        assert!(
            error.starts_with("context tokens: ") && error.contains(named),
            "{error}"
        );
        assert!(!error.contains(secret), "{error}");
    }
    // A private half in the public document: used by nobody, and not shown on.
    let mut leaked = public;
    leaked["kid"] = "leaked".into();
    leaked["d"] = secret.into();
    let dir = with_keys("issue-leak", &[leaked], &signing);
    let issuer = Issuer::new(&policy, &dir.secrets()).unwrap();
    assert!(issuer.key_set().contains("leaked"));
    assert!(!issuer.key_set().contains(secret));
    assert!(!format!("{issuer:?}").contains(secret));
}

#[tokio::test]
async fn a_token_of_a_socket_is_good_as_long_as_the_socket_lives() {
    let provider = Signer::ed25519("idp");
    let policy = policy(POLICY, jwt_identity(inline(&[provider.jwk()])));
    let secrets = Secrets::new(None);
    let issuer = Issuer::new(&policy, &secrets).unwrap();
    let verifier = Verifier::new(&policy, &secrets, Some(&issuer)).unwrap();
    let live = LiveSockets::default();
    let [alices, bobs] =
        ["alice", "bob"].map(|user| live.open(&UserId::parse(user).unwrap()).unwrap());
    let opened = SystemTime::now() - Duration::from_secs(3600);
    let of_socket = |socket| issuer.issue(&alice(), socket, opened).unwrap();
    let ours = of_socket(Some(&*alices));
    let reason = |verified: Result<UserContext, Rejection>| verified.err().map(|it| it.reason);
    let live_of = async |presented| reason(verifier.verify_live(&presented, &live).await);

    // Given its time is over, and its socket is open: it is good where sockets are asked.
    assert_eq!(
        reason(verifier.verify(&token(&ours)).await),
        Some(RejectionReason::Expired)
    );
    assert_eq!(live_of(token(&ours)).await, None);
    let named = |user| Presented {
        user: Some(user),
        ..token(&ours)
    };
    assert_eq!(live_of(named("alice")).await, None);

    // Not under another name, for another's socket or none, from another signer, or with another signature.
    let expired = Some(RejectionReason::Expired);
    assert_eq!(live_of(named("bob")).await, expired);
    let others = [Some(&*bobs), Some("elsewhere"), None].map(of_socket);
    for other in &others {
        assert_eq!(live_of(token(other)).await, expired);
    }
    let theirs = provider.token(&claims_with(json!({"exp": 1, "iat": 0, "sid": &*alices})));
    assert_eq!(live_of(token(&theirs)).await, expired);
    let (signed, signature) = ours.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    assert_ne!(live_of(token(&forged)).await, None);

    live.close(&alices);
    assert_eq!(live_of(token(&ours)).await, expired);
}
