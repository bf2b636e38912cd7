//! The claim through the life of a session: checkouts, resets, hand-overs from user to user, other keys.

use bulkhead_tests::{PATIENCE, wait};

use super::world::{Key, World, bodies};

const CLAIM: &str = "SELECT current_setting('bulkhead.claim')";

#[tokio::test]
async fn whatever_a_client_does_to_its_session_the_next_transaction_knows_its_user() {
    for mode in ["Transaction", "Session"] {
        let world = World::new(|policy| policy.pool(&format!("mode: {mode}"))).await;
        let alice = world.user("alice").await;
        for done in [
            "SELECT 1",
            "RESET ALL",
            "DISCARD ALL",
            "DISCARD SEQUENCES",
            "SET bulkhead.claim = ''",
            "RESET bulkhead.claim",
            "BEGIN; SET LOCAL bulkhead.claim = 'x'; COMMIT",
            "BEGIN; RESET ALL; ROLLBACK",
            "SET ROLE chat_reader",
            "RESET ROLE",
            "SET default_transaction_read_only = on",
            "DISCARD ALL",
        ] {
            alice.run(done).await;
            assert_eq!(bodies(&alice).await, ["hers"], "{mode}, after {done}");
        }
    }
}

#[tokio::test]
async fn a_claim_that_was_overwritten_in_secret_is_said_again_at_the_next_checkout() {
    let world = World::new(|policy| policy.pool("perUser: {max: 1}")).await;
    let (one, two) = (world.user("alice").await, world.user("alice").await);
    one.run("SELECT set_in_secret('bulkhead.claim', '')").await;
    assert_eq!(bodies(&two).await, ["hers"]);
    // Where the tenure itself is gone in secret, one client is told, and the connection goes.
    one.run("DO $$ BEGIN EXECUTE 'DISCARD SEQUENCES'; END $$")
        .await;
    let refused = two.refused("SELECT 1").await;
    assert!(
        refused.message.contains("could not be proven"),
        "{refused:?}"
    );
    assert_eq!(bodies(&two).await, ["hers"]);
}

#[tokio::test]
async fn in_tier_reset_the_claim_of_who_was_there_before_is_worth_nothing() {
    let world = World::new(|policy| {
        policy
            .tier("Reset")
            .pool("perUser: {max: 1}, maxConnections: 1")
    })
    .await;
    let alice = world.user("alice").await;
    alice
        .run("INSERT INTO board VALUES ('claim', current_setting('bulkhead.claim'))")
        .await;
    let pid = alice.server_pid().await;
    // Given bob on the very server session that was hers,
    let bob = world.user("bob").await;
    assert_eq!(bob.server_pid().await, pid);
    assert!(world.stage.cross_user_handoffs() >= 1.0);
    // when he comes with her claim for it, then it is of another tenure,
    let hers = "(SELECT said FROM board WHERE what = 'claim')";
    let put = format!("SELECT set_in_secret('bulkhead.claim', {hers})");
    for before in ["SELECT 1", "SELECT bulkhead.hello()"] {
        bob.run("BEGIN").await;
        bob.run(before).await;
        bob.run(&put).await;
        let refused = bob.refused("SELECT body FROM secrets").await;
        assert!(refused.message.contains("another session"), "{refused:?}");
        bob.run("ROLLBACK").await;
    }
    let told = bob.refused("SELECT 1").await;
    assert!(
        told.message.contains("another session"),
        "he has ended his own tenure: {told:?}"
    );
    // and each of them goes on with their own rows.
    for _ in 0..3 {
        assert_eq!(bodies(&bob).await, ["his"]);
        assert_eq!(bodies(&alice).await, ["hers"]);
    }
}

#[tokio::test]
async fn a_claim_is_renewed_with_every_checkout() {
    let world = World::new(|policy| policy).await;
    let alice = world.user("alice").await;
    let first = alice.text(CLAIM).await;
    wait::until("a claim that is good for longer", || async {
        alice.text(CLAIM).await != first
    })
    .await;
}

#[tokio::test]
async fn keys_are_changed_under_running_sessions() {
    let world = World::new(|policy| policy).await;
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let second = Key::new("second");
    let signed_by = "SELECT split_part(current_setting('bulkhead.claim'), ':', 2)";
    assert_eq!(alice.text(signed_by).await.as_deref(), Some("first"));
    // The Secret is ahead of the database: the key that both have signs.
    let both = format!("{}{}", second.line(), world.key.line());
    world
        .stage
        .sidecar
        .write_secret("signing/signing-keys", &both);
    wait::until("the new Secret", || async {
        let log = world.stage.sidecar.log.text();
        log.contains("policy in force") || log.contains("revision")
    })
    .await;
    assert_eq!(bodies(&alice).await, ["hers"]);
    // The database has it too: sessions that were open go over to it by themselves.
    world.admin.run(&second.add()).await;
    for (user, body) in [(&alice, "hers"), (&bob, "his")] {
        wait::until("a claim by the second key", || async {
            assert_eq!(bodies(user).await, [body]);
            user.text(signed_by).await.as_deref() == Some("second")
        })
        .await;
    }
    // The first goes from both, at once.
    world
        .stage
        .sidecar
        .write_secret("signing/signing-keys", &second.line());
    world
        .admin
        .run("SELECT bulkhead.retire_key('first', '0')")
        .await;
    for _ in 0..10 {
        assert_eq!(bodies(&alice).await, ["hers"]);
        assert_eq!(bodies(&bob).await, ["his"]);
    }
    let carol = world.user("carol").await;
    assert!(bodies(&carol).await.is_empty());
    assert_eq!(carol.text(signed_by).await.as_deref(), Some("second"));
}

#[tokio::test]
async fn keys_that_are_none_leave_those_in_force() {
    let world = World::new(|policy| policy).await;
    let alice = world.user("alice").await;
    assert_eq!(bodies(&alice).await, ["hers"]);
    world
        .stage
        .sidecar
        .write_secret("signing/signing-keys", "first c2hvcnQ=\n");
    wait::until("the refusal", || async {
        world
            .stage
            .sidecar
            .log
            .text()
            .contains("signingKeySecretRef: secret signing/signing-keys: the key first has 5 bytes")
    })
    .await;
    assert_eq!(bodies(&alice).await, ["hers"]);
}

#[tokio::test]
async fn a_client_that_names_its_users_in_sql_is_each_of_them_in_turn() {
    for mode in ["Transaction", "Session"] {
        let world = World::new(|policy| {
            policy
                .spec("identity: {inSql: {scope: Transaction}}")
                .pool(&format!("mode: {mode}"))
        })
        .await;
        let client = world.nobody().await;
        for (user, body) in [
            ("alice", "hers"),
            ("bob", "his"),
            ("bob", "his"),
            ("alice", "hers"),
        ] {
            client.run("BEGIN").await;
            let name = format!("SET LOCAL bulkhead.context = '{}'", world.token(user));
            client.run(&name).await;
            assert_eq!(bodies(&client).await, [body], "{mode}");
            let said = client.text("SELECT bulkhead.user_id()").await;
            assert_eq!(said.as_deref(), Some(user), "{mode}");
            client.run("COMMIT").await;
        }
    }
}

#[tokio::test]
async fn a_spare_has_begun_its_tenure_before_anybody_comes() {
    let world = World::bare(|policy| policy.pool("warm: 2")).await;
    world.install();
    world.admin.run(&world.key.add()).await;
    // Spares could not be opened before the file was there; that is tried again by and by.
    let begun = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle' \
                 AND query LIKE '%bulkhead.hello%' AND pid <> pg_backend_pid()";
    wait::until_within(6 * PATIENCE, "spares with a tenure", || async {
        world.admin.text(begun).await.as_deref() == Some("2")
    })
    .await;
    let user = world.user("alice").await;
    assert_eq!(
        user.text("SELECT bulkhead.user_id()").await.as_deref(),
        Some("alice")
    );
}
