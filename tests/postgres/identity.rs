//! Who is calling: every way to say it, and what happens to those who do not.

use bulkhead_tests::listeners::Documents;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::APP_ROLE;
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::session::Session;
use bulkhead_tests::stage::{Setting, Stage};
use bulkhead_tests::tokens::{Signer, forged, key_set, seconds_from_now};
use bulkhead_tests::wait;
use jsonwebtoken::Algorithm;
use serde_json::json;

/// The user whom the server sees.
async fn seen(session: &Session) -> Option<String> {
    session
        .text("SELECT current_setting('app.user_id', true)")
        .await
}

/// The refusal of a login that must be refused.
fn refused(login: Result<Session, tokio_postgres::Error>) -> Refusal {
    match login {
        Ok(_) => panic!("it was let in"),
        Err(error) => error.into(),
    }
}

fn with_token(token: &str) -> String {
    format!("-c bulkhead.context={token}")
}

#[tokio::test]
async fn trusted_takes_the_suffix_of_the_role() {
    let stage = Stage::start(Policy::trusted()).await;
    let session = stage.try_name("chat_app+alice").await.unwrap();
    assert_eq!(seen(&session).await.as_deref(), Some("alice"));
    assert_eq!(
        session.text("SELECT current_user").await.as_deref(),
        Some(APP_ROLE)
    );
}

#[tokio::test]
async fn trusted_takes_the_start_up_options_in_all_their_forms() {
    let stage = Stage::start(Policy::trusted()).await;
    for (options, user) in [
        ("-c bulkhead.user=alice", "alice"),
        ("-cbulkhead.user=alice", "alice"),
        ("--bulkhead.user=alice", "alice"),
        ("-c work_mem=5MB -c bulkhead.user=alice", "alice"),
        (r"-c bulkhead.user=alice\ smith", "alice smith"),
        (r"-c bulkhead.user=alice\\smith", r"alice\smith"),
    ] {
        let session = stage
            .try_options(options)
            .await
            .unwrap_or_else(|error| panic!("{options}: {error:?}"));
        assert_eq!(seen(&session).await.as_deref(), Some(user), "{options}");
    }
}

#[tokio::test]
async fn other_start_up_options_still_reach_the_session() {
    let stage = Stage::start(Policy::trusted()).await;
    let options = r"-c bulkhead.user=alice -c work_mem=7MB --search-path=pg_catalog,\ public";
    let session = stage.try_options(options).await.unwrap();
    assert_eq!(session.text("SHOW work_mem").await.as_deref(), Some("7MB"));
    assert_eq!(
        session.text("SHOW search_path").await.as_deref(),
        Some("pg_catalog, public")
    );
}

#[tokio::test]
async fn reserved_names_never_reach_the_server() {
    let stage = Stage::start(Policy::trusted()).await;
    let session = stage.user("alice").await;
    let setting = session
        .text("SELECT current_setting('bulkhead.user', true)")
        .await;
    assert_eq!(setting.unwrap_or_default(), "");
}

#[tokio::test]
async fn a_hostile_id_is_carried_as_it_is_and_never_as_sql() {
    let stage = Stage::start(Policy::trusted()).await;
    for id in [
        "o'brien",
        r#"x"; DROP TABLE notes; --"#,
        "x', false); DELETE FROM things; --",
        r"back\slash",
        "ünïcødé 你好",
        "%s %n $1 {}",
        "a+b@example.org",
        "a=b -c role=postgres",
    ] {
        let escaped = id.replace('\\', r"\\").replace(' ', r"\ ");
        let session = stage
            .try_options(&format!("-c bulkhead.user={escaped}"))
            .await
            .unwrap_or_else(|error| panic!("{id}: {error:?}"));
        assert_eq!(seen(&session).await.as_deref(), Some(id));
        assert_eq!(
            session.text("SELECT current_user").await.as_deref(),
            Some(APP_ROLE)
        );
        session.close().await;
    }
    let admin = stage.admin().await;
    assert_eq!(
        admin.text("SELECT count(*) FROM things").await.as_deref(),
        Some("100")
    );
    assert_eq!(
        admin.text("SELECT count(*) FROM notes").await.as_deref(),
        Some("0")
    );
}

#[tokio::test]
async fn an_id_of_great_length_is_served_whole_or_refused_and_never_cut() {
    let stage = Stage::start(Policy::trusted()).await;
    for length in [63, 64, 128, 255, 256, 1024, 3000] {
        let id = "a".repeat(length);
        match stage.try_options(&format!("-c bulkhead.user={id}")).await {
            Ok(session) => assert_eq!(seen(&session).await, Some(id)),
            Err(error) => assert_eq!(Refusal::from(error).code, "28000"),
        }
    }
}

#[tokio::test]
async fn nobody_is_refused_with_a_hint_that_shows_the_right_form() {
    let stage = Stage::start(Policy::trusted()).await;
    let refusal = refused(stage.try_name(APP_ROLE).await);
    assert_eq!(refusal.code, "28000");
    assert_eq!(refusal.severity, "FATAL");
    assert!(refusal.hint.contains("bulkhead.user="), "{refusal:?}");
    assert!(refusal.hint.contains("chat_app+ID"), "{refusal:?}");
    stage
        .until_metric("bulkhead_identity_rejections_total", &[], 1.0)
        .await;
}

#[tokio::test]
async fn two_different_names_are_refused_because_the_sidecar_does_not_guess() {
    let stage = Stage::start(Policy::trusted()).await;
    let login = bulkhead_tests::session::connect(
        stage
            .config()
            .user("chat_app+alice")
            .options("-c bulkhead.user=bob"),
    )
    .await;
    assert_eq!(refused(login).code, "28000");
}

#[tokio::test]
async fn placeholders_are_refused_by_name() {
    let stage = Stage::start(Policy::trusted()).await;
    for placeholder in [
        "null",
        "NULL",
        "undefined",
        "none",
        "None",
        "test",
        "default",
        "anonymous",
        "Anonymous",
        "placeholder",
        "user",
        "0",
        "00000000-0000-0000-0000-000000000000",
        "00000000000000000000000000000000",
        r"\ null\ ",
        r"\ ",
        "",
    ] {
        let login = stage
            .try_options(&format!("-c bulkhead.user={placeholder}"))
            .await;
        let refusal = match login {
            Ok(_) => panic!("{placeholder:?} was let in"),
            Err(error) => Refusal::from(error),
        };
        assert_eq!(refusal.code, "28000", "{placeholder:?}");
        assert!(!refusal.hint.is_empty(), "{placeholder:?}: {refusal:?}");
        let login = stage
            .try_name(&format!("chat_app+{}", placeholder.replace('\\', "")))
            .await;
        assert!(login.is_err(), "{placeholder:?} was let in as a suffix");
    }
}

#[tokio::test]
async fn placeholders_may_be_allowed() {
    let stage = Stage::start(Policy::trusted().spec("identity: {rejectPlaceholders: false}")).await;
    let session = stage.user("test").await;
    assert_eq!(seen(&session).await.as_deref(), Some("test"));
}

#[tokio::test]
async fn audit_serves_nobody_from_the_unattributed_factory_and_counts_the_application() {
    let stage = Stage::start(Policy::trusted().spec("mode: Audit")).await;
    let session = bulkhead_tests::session::connect(stage.config().application_name("old-report"))
        .await
        .unwrap();
    assert_eq!(session.text("SELECT 1").await.as_deref(), Some("1"));
    assert_ne!(seen(&session).await.as_deref(), Some("old-report"));
    stage
        .until_metric("bulkhead_unattributed_total", &[], 1.0)
        .await;

    let users = stage.sidecar.command(&["users", "--json"]);
    let report = String::from_utf8(users.stdout).unwrap();
    assert!(report.contains("old-report"), "{report}");
    assert!(report.contains("unattributed"), "{report}");

    // A user who says who they are is that user in Audit too.
    let session = stage.user("alice").await;
    assert_eq!(seen(&session).await.as_deref(), Some("alice"));
    stage
        .until_metric("bulkhead_unattributed_total", &[], 1.0)
        .await;
}

fn context_stage(signer: &Signer) -> Setting<'static> {
    Stage::with(Policy::signed_context())
        .secret("bulkhead-context-keys/jwks.json", &key_set(&[signer]))
}

#[tokio::test]
async fn a_context_token_says_who_is_calling() {
    let signer = Signer::new("house", Algorithm::EdDSA);
    let mut stage = context_stage(&signer).start().await;
    let token = signer.token("alice");
    stage.sidecar.log.must_not_show(&token);
    let session = stage.try_options(&with_token(&token)).await.unwrap();
    assert_eq!(seen(&session).await.as_deref(), Some("alice"));
}

#[tokio::test]
async fn a_bare_id_is_no_token() {
    let signer = Signer::new("house", Algorithm::EdDSA);
    let stage = context_stage(&signer).start().await;
    for login in [
        stage.try_options("-c bulkhead.user=alice").await,
        stage.try_options("-c bulkhead.context=alice").await,
        stage.try_options("-c bulkhead.context=").await,
    ] {
        let refusal = refused(login);
        assert_eq!(refusal.code, "28000");
        assert!(refusal.hint.contains("bulkhead.context"), "{refusal:?}");
    }
    // A name with a suffix is another role here, and there are no credentials for it.
    assert_eq!(
        refused(stage.try_name("chat_app+alice").await).code,
        "28000"
    );
}

#[tokio::test]
async fn a_context_token_that_is_not_ours_is_refused_with_what_is_wrong() {
    let signer = Signer::new("house", Algorithm::EdDSA);
    let stranger = Signer::new("house", Algorithm::EdDSA);
    let stage = context_stage(&signer).start().await;
    let later = seconds_from_now(60);
    let good = signer.token("alice");
    let (head, _) = good.rsplit_once('.').unwrap();
    let cut = &good[..good.len() - 6];
    let public = signer.jwk()["x"].as_str().unwrap();
    let hmac = jsonwebtoken::encode(
        &jsonwebtoken::Header::new(Algorithm::HS256),
        &json!({"sub": "alice", "aud": "chat", "exp": later}),
        &jsonwebtoken::EncodingKey::from_secret(public.as_bytes()),
    )
    .unwrap();
    for (why, token) in [
        ("signed by somebody else", stranger.token("alice")),
        (
            "expired",
            signer.sign(&json!({"sub": "alice", "aud": "chat", "exp": seconds_from_now(-300)})),
        ),
        (
            "for another policy",
            signer.sign(&json!({"sub": "alice", "aud": "billing", "exp": later})),
        ),
        (
            "for nobody in particular",
            signer.sign(&json!({"sub": "alice", "exp": later})),
        ),
        (
            "not valid yet",
            signer.sign(&json!({"sub": "alice", "aud": "chat", "nbf": later, "exp": later + 60})),
        ),
        (
            "without an end",
            signer.sign(&json!({"sub": "alice", "aud": "chat"})),
        ),
        (
            "without a user",
            signer.sign(&json!({"aud": "chat", "exp": later})),
        ),
        (
            "of a placeholder",
            signer.sign(&json!({"sub": "anonymous", "aud": "chat", "exp": later})),
        ),
        (
            "whose user is a list",
            signer.sign(&json!({"sub": ["alice"], "aud": "chat", "exp": later})),
        ),
        (
            "whose user is the number of nobody",
            signer.sign(&json!({"sub": 0, "aud": "chat", "exp": later})),
        ),
        (
            "unsigned",
            forged(
                &json!({"alg": "none", "kid": "house"}),
                &json!({"sub": "alice", "aud": "chat", "exp": later}),
                b"",
            ),
        ),
        ("with the public key as a shared secret", hmac),
        ("without its signature", format!("{head}.")),
        ("cut short", cut.to_owned()),
        ("no token at all", "a.b.c".to_owned()),
    ] {
        let refusal = match stage.try_options(&with_token(&token)).await {
            Ok(_) => panic!("a token {why} was let in"),
            Err(error) => Refusal::from(error),
        };
        assert_eq!(refusal.code, "28000", "{why}: {refusal:?}");
        assert!(!refusal.says(&token), "the token is told back: {refusal:?}");
    }
    let served = stage.try_options(&with_token(&good)).await.unwrap();
    assert_eq!(seen(&served).await.as_deref(), Some("alice"));
}

fn jwt_stage(signers: &[&Signer], more: &str) -> Setting<'static> {
    Stage::with(Policy::jwt(&format!(
        "{{issuer: 'https://issuer.test', audiences: [chat], jwks: {{secretRef: {{name: keys}}}}{more}}}"
    )))
    .secret("keys/jwks.json", &key_set(signers))
}

#[tokio::test]
async fn every_algorithm_of_a_jwt_is_verified() {
    let signers: Vec<Signer> = [
        Algorithm::HS256,
        Algorithm::HS384,
        Algorithm::HS512,
        Algorithm::RS256,
        Algorithm::PS256,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ]
    .into_iter()
    .map(|algorithm| Signer::new(&format!("{algorithm:?}"), algorithm))
    .collect();
    let stage = jwt_stage(&signers.iter().collect::<Vec<_>>(), "")
        .start()
        .await;
    for signer in &signers {
        let user = format!("user-of-{}", signer.jwk()["kid"].as_str().unwrap());
        let login = stage.try_options(&with_token(&signer.token(&user))).await;
        let session = login.unwrap_or_else(|error| panic!("{user}: {error:?}"));
        assert_eq!(seen(&session).await, Some(user));
    }
}

#[tokio::test]
async fn a_jwt_of_the_wrong_issuer_audience_time_or_key_is_refused() {
    let signer = Signer::new("one", Algorithm::ES256);
    let unknown = Signer::new("two", Algorithm::ES256);
    let stage = jwt_stage(&[&signer], "").start().await;
    let (iss, later) = ("https://issuer.test", seconds_from_now(60));
    for (why, token) in [
        ("of another issuer", signer.sign(&json!({"sub": "a1", "iss": "https://evil.test", "aud": "chat", "exp": later}))),
        ("of no issuer", signer.sign(&json!({"sub": "a1", "aud": "chat", "exp": later}))),
        ("for another audience", signer.sign(&json!({"sub": "a1", "iss": iss, "aud": ["x", "y"], "exp": later}))),
        ("that has expired", signer.sign(&json!({"sub": "a1", "iss": iss, "aud": "chat", "exp": seconds_from_now(-45)}))),
        ("that begins later", signer.sign(&json!({"sub": "a1", "iss": iss, "aud": "chat", "exp": later, "nbf": seconds_from_now(45)}))),
        ("of an unknown key", unknown.token("a1")),
    ] {
        let refusal = match stage.try_options(&with_token(&token)).await {
            Ok(_) => panic!("a token {why} was let in"),
            Err(error) => Refusal::from(error),
        };
        assert_eq!(refusal.code, "28000", "{why}: {refusal:?}");
    }
    // Within the leeway of 30s, and one audience of several, a token is good.
    for claims in [
        json!({"sub": "a1", "iss": iss, "aud": ["x", "chat"], "exp": later}),
        json!({"sub": "a1", "iss": iss, "aud": "chat", "exp": seconds_from_now(-10)}),
        json!({"sub": "a1", "iss": iss, "aud": "chat", "exp": later, "nbf": seconds_from_now(10)}),
    ] {
        let login = stage.try_options(&with_token(&signer.sign(&claims))).await;
        assert!(login.is_ok(), "{claims}: {:?}", login.err());
    }
}

#[tokio::test]
async fn the_user_claim_may_be_another() {
    let signer = Signer::new("one", Algorithm::EdDSA);
    let stage = jwt_stage(&[&signer], ", userClaim: email").start().await;
    let token = signer.sign(&json!({
        "sub": "1234", "email": "alice@example.org", "iss": "https://issuer.test", "aud": "chat", "exp": seconds_from_now(60),
    }));
    let session = stage.try_options(&with_token(&token)).await.unwrap();
    assert_eq!(seen(&session).await.as_deref(), Some("alice@example.org"));
    let refusal = refused(stage.try_options(&with_token(&signer.token("bob"))).await);
    assert_eq!(refusal.code, "28000");
    assert!(refusal.says("email"), "{refusal:?}");
}

#[tokio::test]
async fn a_context_token_is_accepted_beside_a_jwt() {
    let house = Signer::new("house", Algorithm::EdDSA);
    let provider = Signer::new("provider", Algorithm::ES256);
    let stage = jwt_stage(&[&provider], "")
        .secret("bulkhead-context-keys/jwks.json", &key_set(&[&house]))
        .start()
        .await;
    for (signer, user) in [(&house, "alice"), (&provider, "bob")] {
        let session = stage
            .try_options(&with_token(&signer.token(user)))
            .await
            .unwrap();
        assert_eq!(seen(&session).await.as_deref(), Some(user));
    }
}

#[tokio::test]
async fn keys_are_fetched_once_and_again_when_an_unknown_one_turns_up_but_not_for_every_forgery() {
    let old = Signer::new("old", Algorithm::ES256);
    let new = Signer::new("new", Algorithm::ES256);
    let documents = Documents::serve(key_set(&[&old])).await;
    let stage = Stage::start(Policy::jwt(&format!(
        "{{audiences: [chat], jwks: {{uri: '{}'}}}}",
        documents.uri()
    )))
    .await;

    // Given a key set that has been fetched,
    for user in ["alice", "bob", "carol"] {
        let session = stage
            .try_options(&with_token(&old.token(user)))
            .await
            .unwrap();
        assert_eq!(seen(&session).await.as_deref(), Some(user));
    }
    let fetched = documents.requests();
    assert!(fetched <= 2, "fetched {fetched} times for one key");

    // when many tokens name keys that do not exist, the document is not fetched for each of them,
    for number in 0..20 {
        let stranger = Signer::new(&format!("stranger-{number}"), Algorithm::EdDSA);
        let refusal = refused(
            stage
                .try_options(&with_token(&stranger.token("mallory")))
                .await,
        );
        assert_eq!(refusal.code, "28000");
    }
    let fetched = documents.requests();
    assert!(fetched <= 4, "fetched {fetched} times for forgeries");

    // and when the keys have rotated, the new one is found, as soon as the rate limit lets it be.
    documents.replace(key_set(&[&old, &new]));
    let mut attempts = 0;
    let patience = std::time::Duration::from_secs(35);
    let start = std::time::Instant::now();
    while stage
        .try_options(&with_token(&new.token("alice")))
        .await
        .is_err()
    {
        attempts += 1;
        assert!(
            start.elapsed() < patience,
            "the new key is unknown after {attempts} attempts"
        );
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn rotated_keys_of_a_secret_are_taken_over_live() {
    let old = Signer::new("old", Algorithm::EdDSA);
    let new = Signer::new("new", Algorithm::EdDSA);
    let stage = jwt_stage(&[&old], "").start().await;
    let session = stage
        .try_options(&with_token(&old.token("alice")))
        .await
        .unwrap();
    assert_eq!(seen(&session).await.as_deref(), Some("alice"));

    stage
        .sidecar
        .write_secret("keys/jwks.json", &key_set(&[&new]));

    wait::until("the new key to be believed", || async {
        stage
            .try_options(&with_token(&new.token("alice")))
            .await
            .is_ok()
    })
    .await;
    assert_eq!(
        refused(stage.try_options(&with_token(&old.token("alice"))).await).code,
        "28000"
    );
}

#[tokio::test]
async fn a_token_that_expires_lets_the_open_transaction_finish_and_refuses_the_next() {
    // Given a connection whose token is about to expire, in a transaction,
    let signer = Signer::new("one", Algorithm::EdDSA);
    let stage = jwt_stage(&[&signer], ", leeway: 0s").start().await;
    let end = seconds_from_now(2);
    let token = signer
        .sign(&json!({"sub": "alice", "iss": "https://issuer.test", "aud": "chat", "exp": end}));
    let session = stage.try_options(&with_token(&token)).await.unwrap();
    session.run("BEGIN").await;
    session
        .run("INSERT INTO notes (owner, body) VALUES ('alice', 'kept')")
        .await;

    // when the token has expired,
    wait::until("the token's end", || async { seconds_from_now(0) > end }).await;

    // then the transaction goes on to its end, and nothing begins after it.
    assert_eq!(
        session.text("SELECT count(*) FROM notes").await.as_deref(),
        Some("1")
    );
    session.run("COMMIT").await;
    let refusal = session.refused("SELECT 1").await;
    assert_eq!(refusal.code, "28000", "{refusal:?}");
    let count = stage.admin().await.text("SELECT count(*) FROM notes").await;
    assert_eq!(count.as_deref(), Some("1"));
}

#[tokio::test]
async fn a_user_who_is_a_number_is_its_decimal_form() {
    let signer = Signer::new("one", Algorithm::EdDSA);
    let stage = jwt_stage(&[&signer], "").start().await;
    let token = signer.sign(&json!({"sub": 1234, "iss": "https://issuer.test", "aud": "chat", "exp": seconds_from_now(60)}));
    let session = stage.try_options(&with_token(&token)).await.unwrap();
    assert_eq!(seen(&session).await.as_deref(), Some("1234"));
}

#[tokio::test]
async fn a_policy_without_audiences_refuses_a_token_that_is_for_somebody() {
    // RFC 7519, section 4.1.3: whoever is not among those whom `aud` names must refuse the token.
    let signer = Signer::new("one", Algorithm::EdDSA);
    let stage = Stage::with(Policy::jwt("{jwks: {secretRef: {name: keys}}}"))
        .secret("keys/jwks.json", &key_set(&[&signer]))
        .start()
        .await;
    let refusal = refused(stage.try_options(&with_token(&signer.token("alice"))).await);
    assert_eq!(refusal.code, "28000");
    assert!(refusal.says("audiences"), "{refusal:?}");
}
