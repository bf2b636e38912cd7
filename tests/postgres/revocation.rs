//! A user who is cut off loses sockets and database work in the same moment, in the middle of whatever that is, and stays out; nobody else
//! notices.

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use bulkhead_crds::names::Timestamp;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::processes::folder;
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::session::Session;
use bulkhead_tests::stage::{Setting, Stage};
use bulkhead_tests::tokens::{Signer, key_set, seconds_from_now};
use bulkhead_tests::wait;
use bulkhead_tests::websocket::Peer;
use bulkhead_tests::websocket::frames::CLOSE;
use bulkhead_tests::wire::send;
use jsonwebtoken::Algorithm;
use serde_json::json;

use crate::lost_socket::{Application, last_word, work};

/// A file of revocations that a sidecar watches.
pub(crate) struct Revocations(PathBuf);

impl Revocations {
    pub(crate) fn none() -> Self {
        let path = folder("revocations").join("revocations.yaml");
        std::fs::write(&path, "").unwrap();
        Self(path)
    }

    pub(crate) fn watched_by<'a>(&self, setting: Setting<'a>) -> Setting<'a> {
        setting.flag("--revocations", self.0.to_str().unwrap())
    }

    fn write(&self, text: &str) {
        let fresh = self.0.with_extension("new");
        std::fs::write(&fresh, text).unwrap();
        std::fs::rename(fresh, &self.0).unwrap();
    }

    /// Revokes what `user` was issued up to this many seconds from now.
    pub(crate) fn revoke(&self, user: &str, seconds: i64) {
        self.write(&revocation(user, seconds));
    }
}

fn revocation(user: &str, seconds: i64) -> String {
    format!(
        "apiVersion: bulkhead.dev/v1alpha1\nkind: UserRevocation\nmetadata: {{name: out-{user}}}\n\
         spec: {{user: {user}, notBefore: \"{}\", reason: TokenLeaked}}\n",
        moment(seconds)
    )
}

/// A moment so many seconds from now.
fn moment(seconds: i64) -> Timestamp {
    let at = u64::try_from(seconds_from_now(seconds)).unwrap();
    Timestamp::try_from(UNIX_EPOCH + Duration::from_secs(at)).unwrap()
}

pub(crate) const JWT: &str = "{audiences: [chat], leeway: 0s, jwks: {secretRef: {name: keys}}}";

/// A token that was issued so many seconds from now.
fn issued(signer: &Signer, user: &str, seconds: i64) -> String {
    signer.sign(&json!({
        "sub": user, "aud": "chat", "iat": seconds_from_now(seconds), "exp": seconds_from_now(600),
    }))
}

fn options(token: &str) -> String {
    format!("-c bulkhead.context={token}")
}

async fn refused(stage: &Stage, options: &str) -> Refusal {
    match stage.try_options(options).await {
        Ok(_) => panic!("somebody who was revoked is let in"),
        Err(error) => error.into(),
    }
}

async fn is_alive(session: &Session) {
    session.run("SELECT 1").await;
}

#[tokio::test]
async fn sockets_and_transactions_of_one_user_end_and_nobody_else_notices() {
    let (signer, revocations) = (Signer::new("one", Algorithm::EdDSA), Revocations::none());
    let (application, setting) = Application::start(Policy::jwt(JWT)).await;
    let setting = setting.secret("keys/jwks.json", &key_set(&[&signer]));
    let stage = revocations.watched_by(setting).start().await;
    let admin = stage.admin().await;
    // Given two users with a socket each, and for each a transaction that has written and is in the middle of a statement,
    let (alice, bob) = (issued(&signer, "alice", -60), issued(&signer, "bob", -60));
    let (her_socket, his_socket) = (application.open(&alice).await, application.open(&bob).await);
    let mut her_work = work(&stage, &her_socket.token).await;
    let mut his_work = work(&stage, &his_socket.token).await;
    for (id, wire) in [(1001, &mut her_work), (1002, &mut his_work)] {
        wire.query("BEGIN").await;
        wire.query(&format!("INSERT INTO things VALUES ({id}, 'x')"))
            .await;
        wire.send(send::query("SELECT pg_sleep(20)")).await;
    }
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' \
                  AND query LIKE 'SELECT pg_sleep%'";
    wait::until("both to be asleep", || async {
        admin.text(asleep).await.as_deref() == Some("2")
    })
    .await;
    // and one more connection of hers, which does nothing,
    let mut idle = work(&stage, &alice).await;
    // when one of them is revoked,
    let start = std::time::Instant::now();
    revocations.revoke("alice", -30);
    // then her socket is closed with the reason, her work is rolled back, whatever it was doing,
    let mut client = Peer::client(her_socket.client);
    let close = wait::within("the close", client.frame_if_whole())
        .await
        .unwrap();
    assert_eq!(close.opcode, CLOSE);
    let (code, reason) = close.closes();
    assert_eq!(
        (code, &*reason),
        (1008, "access of this user was revoked (TokenLeaked)")
    );
    for wire in [&mut her_work, &mut idle] {
        let refusal = last_word(wire).await;
        assert_eq!(
            (&*refusal.severity, &*refusal.code),
            ("FATAL", "28000"),
            "{refusal:?}"
        );
        assert!(refusal.says("UserRevocation out-alice"), "{refusal:?}");
    }
    println!(
        "everything of hers ended {:?} after the file was changed",
        start.elapsed()
    );
    wait::until("hers to be awake and his not", || async {
        admin.text(asleep).await.as_deref() == Some("1")
    })
    .await;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start IS NOT NULL \
                AND pid <> pg_backend_pid()";
    wait::until("one transaction to be open", || async {
        admin.text(open).await.as_deref() == Some("1")
    })
    .await;
    // nothing of hers comes in again: not her own token, and not the one that was made of it a moment before the revocation,
    for token in [&alice, &her_socket.token] {
        let refusal = refused(&stage, &options(token)).await;
        assert_eq!(refusal.code, "28000");
        assert!(refusal.says("UserRevocation out-alice"), "{refusal:?}");
    }
    let (status, body) = application.refusal(&alice).await;
    assert!(status.starts_with("HTTP/1.1 401 "), "{status}");
    assert!(
        body.contains("access of this user was revoked (TokenLeaked)"),
        "{body}"
    );
    // who has logged in anew is welcome,
    let anew = issued(&signer, "alice", 0);
    is_alive(&stage.try_options(&options(&anew)).await.unwrap()).await;
    let again = application.open(&anew).await;
    assert_eq!(
        work(&stage, &again.token)
            .await
            .query("SELECT 1")
            .await
            .value()
            .as_deref(),
        Some("1")
    );
    // and he has noticed nothing.
    is_alive(&stage.try_options(&options(&bob)).await.unwrap()).await;
    assert_eq!(
        work(&stage, &his_socket.token)
            .await
            .query("SELECT 1")
            .await
            .value()
            .as_deref(),
        Some("1")
    );
    assert_eq!(admin.text(asleep).await.as_deref(), Some("1"));
    let of = |protocol| {
        let labels = [("protocol", protocol)];
        stage
            .sidecar
            .metric("bulkhead_revoked_sessions_total", &labels)
    };
    assert_eq!((of("websocket"), of("postgresql")), (1.0, 2.0));
    let labels = [("reason", "revoked")];
    assert_eq!(
        stage
            .sidecar
            .metric("bulkhead_identity_rejections_total", &labels),
        3.0
    );
    assert_eq!(stage.sidecar.metric("bulkhead_revocations", &[]), 1.0);
}

#[tokio::test]
async fn a_user_without_a_token_is_out_until_the_revocation_is_taken_away() {
    for policy in [Policy::trusted(), Policy::trusted().spec("mode: Audit")] {
        let revocations = Revocations::none();
        let stage = revocations.watched_by(Stage::with(policy)).start().await;
        let (alice, bob) = (stage.wire_of("alice").await, stage.user("bob").await);
        let mut alice = alice;
        revocations.revoke("alice", 0);
        assert_eq!(last_word(&mut alice).await.code, "28000");
        let refusal = refused(&stage, "-c bulkhead.user=alice").await;
        assert!(refusal.says("out-alice"), "{refusal:?}");
        is_alive(&bob).await;
        // A new statement of who it is, in the middle of the list's life, is of no help; its end is.
        revocations.write("# nobody\n");
        wait::until("her to be let in", || async {
            stage.try_options("-c bulkhead.user=alice").await.is_ok()
        })
        .await;
        is_alive(&bob).await;
    }
}

#[tokio::test]
async fn who_was_named_in_sql_is_ended_and_the_next_user_of_that_pool_is_not() {
    let revocations = Revocations::none();
    let policy = Policy::trusted().spec("identity: {inSql: {scope: Connection}}");
    let stage = revocations.watched_by(Stage::with(policy)).start().await;
    let one = stage.try_options("").await.unwrap();
    let two = stage.try_options("").await.unwrap();
    one.run("SET bulkhead.user = 'alice'").await;
    two.run("SET bulkhead.user = 'bob'").await;
    is_alive(&one).await;
    revocations.revoke("alice", 0);
    wait::until("the first to end", || async {
        one.simple_query("SELECT 1").await.is_err()
    })
    .await;
    let refusal = two.refused("SET bulkhead.user = 'alice'").await;
    assert_eq!(refusal.code, "28000");
    assert!(
        refusal.says("access of this user was revoked (TokenLeaked)"),
        "{refusal:?}"
    );
    two.run("SET bulkhead.user = 'carol'").await;
    is_alive(&two).await;
}

#[tokio::test]
async fn a_list_that_cannot_be_used_leaves_the_last_good_one_and_says_so() {
    let revocations = Revocations::none();
    revocations.revoke("alice", 0);
    let stage = revocations
        .watched_by(Stage::with(Policy::trusted()))
        .start()
        .await;
    assert_eq!(
        refused(&stage, "-c bulkhead.user=alice").await.code,
        "28000"
    );
    let good = stage.sidecar.revision()["revocations"]["revision"].clone();
    let refusals = || {
        stage
            .sidecar
            .metric("bulkhead_revocation_list_rejections_total", &[])
    };
    let bad = [
        revocation("bob", 0).replace("notBefore", "notbefore"),
        revocation("bob", 0).replace("TokenLeaked", "token leaked"),
        format!("{}---\n{}", revocation("bob", 0), revocation("bob", 0)),
        "{".to_owned(),
    ];
    for (count, text) in (1..).zip(&bad) {
        revocations.write(text);
        wait::until("the refusal", || async {
            (refusals() - f64::from(count)).abs() < 0.5
        })
        .await;
        let told = stage.sidecar.revision();
        assert_eq!(
            told["revocations"],
            json!({"revision": good, "count": 1, "refused": true})
        );
        assert_eq!(
            refused(&stage, "-c bulkhead.user=alice").await.code,
            "28000"
        );
        is_alive(&stage.user("bob").await).await;
    }
    let said = stage.sidecar.command(&["revocations"]);
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(
        said.contains("out-alice") && said.contains("a newer list was refused"),
        "{said}"
    );
    // A file that is gone is no list either; one that is good again is.
    std::fs::remove_file(&revocations.0).unwrap();
    wait::until("one refusal more", || async { refusals() > 4.5 }).await;
    revocations.revoke("bob", 0);
    wait::until("alice to be let in", || async {
        stage.try_options("-c bulkhead.user=alice").await.is_ok()
    })
    .await;
    assert_eq!(stage.sidecar.revision()["revocations"]["refused"], false);
    assert_eq!(refused(&stage, "-c bulkhead.user=bob").await.code, "28000");
}

#[tokio::test]
async fn in_a_pod_the_list_comes_with_the_snapshot_and_outlives_restarts() {
    let mut pod = Stage::with(Policy::trusted()).start_in_a_pod().await;
    is_alive(&pod.stage.user("alice").await).await;
    // When the operator writes a list beside the policy,
    let (policy, _) = pod.policy().snapshot();
    let objects = bulkhead_crds::load::revocations(&revocation("alice", 0)).unwrap();
    let list = bulkhead_crds::revocations::list(&objects, moment(0)).list;
    let json = list.to_json().unwrap();
    let (v1, revoked) = (
        ("v1.json", policy.as_str()),
        ("revocations.v1.json", json.as_str()),
    );
    pod.published.publish([v1, revoked]);
    wait::until("the list to be in force", || async {
        pod.stage.sidecar.revision()["revocations"]["revision"] == list.revision()
    })
    .await;
    // then she is out, also of a container that starts again,
    assert_eq!(
        refused(&pod.stage, "-c bulkhead.user=alice").await.code,
        "28000"
    );
    pod.restart();
    assert_eq!(
        refused(&pod.stage, "-c bulkhead.user=alice").await.code,
        "28000"
    );
    // of one that finds a list that was cut short,
    pod.published
        .publish([v1, ("revocations.v1.json", &json[..40])]);
    pod.restart();
    assert_eq!(
        refused(&pod.stage, "-c bulkhead.user=alice").await.code,
        "28000"
    );
    assert_eq!(pod.stage.sidecar.revision()["revocations"]["refused"], true);
    // and of one that finds nothing at all.
    pod.published.publish([]);
    pod.restart();
    assert_eq!(
        refused(&pod.stage, "-c bulkhead.user=alice").await.code,
        "28000"
    );
    is_alive(&pod.stage.user("bob").await).await;
    // An operator that writes none has taken it away.
    pod.published.publish([v1]);
    wait::until("her to be let in", || async {
        pod.stage
            .try_options("-c bulkhead.user=alice")
            .await
            .is_ok()
    })
    .await;
}

#[tokio::test]
async fn a_token_that_another_pod_has_made_of_an_old_login_is_refused_and_one_of_a_new_login_is_not()
 {
    let (signer, revocations) = (Signer::new("one", Algorithm::EdDSA), Revocations::none());
    let setting = Stage::with(Policy::signed_context());
    let setting = setting.secret("bulkhead-context-keys/jwks.json", &key_set(&[&signer]));
    let stage = revocations.watched_by(setting).start().await;
    let made = |issued: i64, origin: Option<i64>| {
        let mut claims = json!({
            "sub": "alice", "aud": "chat", "iat": seconds_from_now(issued), "exp": seconds_from_now(300),
        });
        if let Some(origin) = origin {
            claims["orig_iat"] = json!(seconds_from_now(origin));
        }
        signer.sign(&claims)
    };
    revocations.revoke("alice", -30);
    wait::until("the list to be in force", || async {
        stage.sidecar.metric("bulkhead_revocations", &[]) > 0.5
    })
    .await;
    // A pod that has not heard of it yet has signed the third one of them.
    for (token, good) in [
        (made(-60, None), false),
        (made(-20, None), true),
        (made(-20, Some(-60)), false),
        (made(-20, Some(-20)), true),
    ] {
        let outcome = stage.try_options(&options(&token)).await;
        assert_eq!(outcome.is_ok(), good, "{token}");
    }
}
