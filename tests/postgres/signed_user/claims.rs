//! What a claim must say, held against claims that are signed by the right key: past the sidecar, which signs no such thing.

use bulkhead_tests::postgres::{APP_ROLE, PASSWORD};
use bulkhead_tests::session::{Session, connect};
use bulkhead_tests::tokens::seconds_from_now;

use super::world::{Key, World, bodies, hex};

/// What a claim says, but for its signature.
#[derive(Clone)]
struct Said([String; 9]);

impl Said {
    /// A claim of `user`'s for the tenure that begins in `session` now.
    async fn of(session: &Session, user: &str) -> Self {
        let answer = session.text("SELECT bulkhead.hello()").await.unwrap();
        let binding: Vec<&str> = answer.split('|').nth(1).unwrap().split(':').collect();
        let [cluster, database, pid, start, nonce] = binding[..] else {
            panic!("{answer}");
        };
        let not_after = seconds_from_now(60).to_string();
        let user = hex(user.as_bytes());
        Self(
            [
                "v1", "first", cluster, database, pid, start, nonce, &not_after, &user,
            ]
            .map(str::to_owned),
        )
    }

    fn with(&self, part: usize, value: &str) -> Self {
        let mut other = self.clone();
        value.clone_into(&mut other.0[part]);
        other
    }

    fn signed(&self, key: &Key) -> String {
        key.sign(&self.0.join(":"))
    }
}

/// A session of the application's role, past the sidecar.
async fn direct(world: &World) -> Session {
    let mut config = tokio_postgres::Config::new();
    config
        .host("127.0.0.1")
        .port(world.stage.place().port)
        .user(APP_ROLE)
        .password(PASSWORD)
        .dbname(&world.stage.database);
    connect(&config).await.unwrap()
}

/// Puts a claim where `user_id()` reads it, unasked.
async fn put(session: &Session, claim: &str) {
    let put = format!("SELECT set_config('bulkhead.claim', '{claim}', false)");
    session.run(&put).await;
}

#[tokio::test]
async fn each_part_of_a_claim_is_held_against_the_session() {
    let world = World::new(|policy| policy).await;
    let session = direct(&world).await;
    let good = Said::of(&session, "alice").await;
    // Given a claim that is good …
    put(&session, &good.signed(&world.key)).await;
    assert_eq!(bodies(&session).await, ["hers"]);
    // … when one thing in it is another, and it is rightly signed, then it is refused.
    let past = seconds_from_now(-1).to_string();
    for (part, name, value, told) in [
        (0, "version", "v2", "no claim"),
        (1, "key", "second", "key that is not in force"),
        (1, "no key", "", "key that is not in force"),
        (2, "cluster", "7712735852106874231", "another session"),
        (3, "database", "5", "another session"),
        (4, "process", "1", "another session"),
        (
            5,
            "beginning, of a process whose number came again",
            "1795761425196508",
            "another session",
        ),
        (
            6,
            "nonce",
            "00000000000000000000000000000000",
            "another session",
        ),
        (7, "not after", &past, "expired"),
        (7, "not after, not said", "", "invalid input syntax"),
    ] {
        let claim = good.with(part, value).signed(&world.key);
        for refused in [
            session
                .refused(&format!("SELECT bulkhead.assert('{claim}')"))
                .await,
            {
                put(&session, &claim).await;
                session.refused("SELECT body FROM secrets").await
            },
        ] {
            assert!(refused.message.contains(told), "{name}: {refused:?}");
        }
    }
    // What is not signed by the key is nothing at all.
    let claim = good.signed(&world.key);
    let (said, mac) = claim.rsplit_once(':').unwrap();
    let user = format!("{}:{mac}", good.with(8, &hex(b"bob")).0.join(":"));
    let other = good.signed(&Key::new("second"));
    for (claim, told) in [
        (user.as_str(), "signature"),
        (&other, "signature"),
        (&format!("{said}:"), "signature"),
        (&format!("{said}:{}", &mac[..62]), "signature"),
        (&format!("{said}:{}", mac.to_uppercase()), "signature"),
        (said, "no claim"),
        (&format!("{claim}:"), "no claim"),
        ("alice", "no claim"),
        (&"a:".repeat(4096), "no claim"),
    ] {
        put(&session, claim).await;
        let refused = session.refused("SELECT body FROM secrets").await;
        assert!(refused.message.contains(told), "{claim}: {refused:?}");
    }
    put(&session, "").await;
    assert!(bodies(&session).await.is_empty(), "nobody has no rows");
    put(&session, &claim).await;
    assert_eq!(
        bodies(&session).await,
        ["hers"],
        "and the good one is good still"
    );
}

#[tokio::test]
async fn a_tenure_ends_with_the_next_and_nothing_brings_it_back() {
    let world = World::new(|policy| policy).await;
    // Each on a session of its own: what is done behind a good claim, and what is told to who comes with it again.
    let over: [(&[&str], &str); 7] = [
        (&["SELECT bulkhead.hello()"], "another session"),
        (
            &["BEGIN", "SELECT bulkhead.hello()", "ROLLBACK"],
            "another session",
        ),
        (
            &[
                "BEGIN",
                "SAVEPOINT one",
                "SELECT bulkhead.hello()",
                "ROLLBACK TO one",
                "COMMIT",
            ],
            "another session",
        ),
        (&["DISCARD ALL"], "not yet defined"),
        (&["DISCARD SEQUENCES"], "not yet defined"),
        (
            &["DO $$ BEGIN EXECUTE 'DISCARD SEQUENCES'; END $$"],
            "not yet defined",
        ),
        (
            &["DISCARD SEQUENCES", "SELECT bulkhead.hello()"],
            "another session",
        ),
    ];
    for (statements, told) in over {
        let session = direct(&world).await;
        let claim = Said::of(&session, "alice").await.signed(&world.key);
        put(&session, &claim).await;
        assert_eq!(bodies(&session).await, ["hers"]);
        for statement in statements {
            session.run(statement).await;
        }
        let again = session
            .refused(&format!("SELECT bulkhead.assert('{claim}')"))
            .await;
        assert!(again.message.contains(told), "{statements:?}: {again:?}");
        put(&session, &claim).await;
        let refused = session.refused("SELECT body FROM secrets").await;
        assert!(
            refused.message.contains(told),
            "{statements:?}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn a_claim_is_good_in_its_own_session_alone() {
    let world = World::new(|policy| policy).await;
    let (one, other) = (direct(&world).await, direct(&world).await);
    let claim = Said::of(&one, "alice").await.signed(&world.key);
    Said::of(&other, "bob").await;
    put(&one, &claim).await;
    put(&other, &claim).await;
    assert_eq!(bodies(&one).await, ["hers"]);
    let refused = other.refused("SELECT body FROM secrets").await;
    assert!(refused.message.contains("another session"), "{refused:?}");
}

#[tokio::test]
async fn a_retired_key_is_good_until_its_time_is_over() {
    let world = World::new(|policy| policy).await;
    let session = direct(&world).await;
    let claim = Said::of(&session, "alice").await.signed(&world.key);
    put(&session, &claim).await;
    world.admin.run("SELECT bulkhead.retire_key('first')").await;
    assert_eq!(bodies(&session).await, ["hers"], "for an hour");
    let answer = session.text("SELECT bulkhead.hello()").await.unwrap();
    assert!(
        answer.ends_with('|'),
        "nothing new is signed with it: {answer}"
    );
    let claim = Said::of(&session, "alice").await.signed(&world.key);
    put(&session, &claim).await;
    world
        .admin
        .run("SELECT bulkhead.retire_key('first', '0')")
        .await;
    let refused = session.refused("SELECT body FROM secrets").await;
    assert!(refused.message.contains("not in force"), "{refused:?}");
    world.admin.run(&world.key.add()).await;
    assert_eq!(bodies(&session).await, ["hers"], "it was taken back");
}
