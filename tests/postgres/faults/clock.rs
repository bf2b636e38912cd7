//! The wall clock jumps. Deadlines do not: they are measured on a clock that only goes forward. What names a time of day (a token's
//! end) goes by the wall clock, as it is now.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bulkhead_tests::policy::Policy;
use bulkhead_tests::processes::folder;
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::session::Session;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::tokens::{Signer, key_set, seconds_from_now};
use bulkhead_tests::wait;
use jsonwebtoken::Algorithm;
use serde_json::json;

/// The statement timeout of these tests.
const STATEMENT: Duration = Duration::from_millis(800);

/// The sidecar's wall clock.
struct Clock(PathBuf);

impl Clock {
    fn new() -> Self {
        let clock = Self(folder("clock").join("offset"));
        clock.jump("+0");
        clock
    }

    /// From now on the sidecar's clock is so many seconds off.
    fn jump(&self, offset: &str) {
        let new = self.0.with_extension("new");
        std::fs::write(&new, format!("{offset}\n")).unwrap();
        std::fs::rename(&new, &self.0).unwrap();
    }
}

/// The library that stands between a program and its clock.
fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib").unwrap();
    let places = folders.map(|folder| folder.unwrap().path());
    places
        .map(|place| place.join("faketime/libfaketimeMT.so.1"))
        .find(|path| Path::exists(path))
        .expect("libfaketime; `tests/setup/ensure faketime` installs it")
}

async fn stage(clock: &Clock, signer: &Signer) -> Stage {
    let policy = Policy::jwt("{audiences: [chat], leeway: 0s, jwks: {secretRef: {name: keys}}}")
        .timeouts("statement: 800ms, idleInTransaction: 20s")
        .database("breaker: {failures: 1000}");
    Stage::with(policy)
        .secret("keys/jwks.json", &key_set(&[signer]))
        .variable("LD_PRELOAD", library().to_str().unwrap())
        .variable("FAKETIME_TIMESTAMP_FILE", clock.0.to_str().unwrap())
        .variable("FAKETIME_NO_CACHE", "1")
        .variable("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .variable("DONT_FAKE_MONOTONIC", "1")
        .variable("NO_FAKE_STAT", "1")
        .start()
        .await
}

/// A statement that takes too long ends when its time is over, and not before, though the clock jumps meanwhile.
async fn ends_in_time(stage: &Stage, session: &Session, jump: impl FnOnce()) {
    let admin = stage.admin().await;
    let start = Instant::now();
    let (ended, ()) = tokio::join!(session.simple_query("SELECT pg_sleep(60)"), async {
        stage.until_asleep(&admin).await;
        jump();
    });
    let refusal = Refusal::from(ended.unwrap_err());
    assert_eq!(refusal.code, "57014", "{refusal:?}");
    let took = start.elapsed();
    assert!(took >= STATEMENT, "too early: {took:?}");
    wait::no_longer_than(Duration::from_secs(6), start);
}

async fn refused(stage: &Stage, options: &str) -> Refusal {
    match stage.try_options(options).await {
        Ok(_) => panic!("a token that has ended was let in"),
        Err(error) => error.into(),
    }
}

#[tokio::test]
async fn deadlines_stand_through_a_jump_of_the_clock_and_tokens_go_by_it() {
    let (clock, signer) = (Clock::new(), Signer::new("one", Algorithm::EdDSA));
    let stage = stage(&clock, &signer).await;
    let claims = json!({"sub": "alice", "aud": "chat", "exp": seconds_from_now(600)});
    let options = format!("-c bulkhead.context={}", signer.sign(&claims));
    // Given alice with a token of ten minutes, one session idle and one in a transaction,
    let alice = stage.try_options(&options).await.unwrap();
    let open = stage.try_options(&options).await.unwrap();
    open.run("BEGIN; INSERT INTO notes (owner, body) VALUES ('alice', 'kept')")
        .await;
    let pid = open.server_pid().await;
    // when the clock jumps by an hour while a statement runs, that ends in its own time,
    ends_in_time(&stage, &alice, || clock.jump("+3600")).await;
    // her token has ended: for new work, and for a new login,
    assert_eq!(alice.refused("SELECT 1").await.code, "28000");
    assert_eq!(refused(&stage, &options).await.code, "28000");
    // and what is open finishes, on a connection that is no older than it was.
    assert_eq!(open.server_pid().await, pid);
    open.run("COMMIT").await;
    // When the clock comes back, so does the token; and one that jumps to the past makes no deadline longer.
    clock.jump("+0");
    let again = stage.try_options(&options).await.unwrap();
    assert_eq!(again.text("SELECT 1").await.as_deref(), Some("1"));
    ends_in_time(&stage, &again, || clock.jump("-3600")).await;
    assert_eq!(again.text("SELECT 1").await.as_deref(), Some("1"));
    let late = json!({"sub": "alice", "aud": "chat", "exp": seconds_from_now(60), "nbf": seconds_from_now(-60)});
    let late = format!("-c bulkhead.context={}", signer.sign(&late));
    assert_eq!(refused(&stage, &late).await.code, "28000");
}
