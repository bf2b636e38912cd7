//! What docs/postgresql-features.md promises, feature by mode and tier: one list of conversations, carried on over every one of
//! them, and each outcome held against its cell.
//!
//! A conversation is messages and the types of the answers that they must get; the table says whether its client keeps its server
//! connection afterwards. `conversations` has them, `table` reads the page and holds its links to tests that exist.

mod conversations;
mod table;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::APP_ROLE;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wire::{Replies, Wire};

use conversations::{Conversation, conversations};

/// A column of the table.
#[derive(Clone, Copy, Debug)]
struct Front {
    mode: &'static str,
    tier: &'static str,
}

impl Front {
    /// The sidecar of this column. On one worker: what belongs to nobody is split per worker.
    async fn stage(self) -> Stage {
        let policy = Policy::trusted()
            .tier(self.tier)
            .pool(&format!("mode: {}, perUser: {{max: 8}}", self.mode));
        Stage::with(policy).workers(1).start().await
    }

    /// A client, alice's where clients are somebody's.
    async fn client(self, stage: &Stage) -> Wire {
        if self.tier != "Shared" {
            return stage.wire_of("alice").await;
        }
        let mut wire = stage.wire().await;
        let parameters = [("user", APP_ROLE), ("database", &stage.database)];
        wire.login(&parameters).await.unwrap();
        wire
    }
}

/// Carries a conversation on, and looks whether another client gets the server connection afterwards: the one that was used last is
/// the first to be taken.
async fn outcome(
    front: Front,
    stage: &Stage,
    conversation: &Conversation,
) -> Result<&'static str, String> {
    let mut wire = front.client(stage).await;
    conversation.carry_on(&mut wire).await?;
    let own = wire.server_pid().await;
    let mut other = front.client(stage).await;
    let free = other.server_pid().await == own;
    for wire in [&mut wire, &mut other] {
        wire.send(bulkhead_tests::wire::send::terminate()).await;
        wire.until_closed().await;
    }
    // In Session mode a server connection is its client's, whatever it does.
    match (free, front.mode) {
        (true, "Transaction") | (false, "Session") => Ok("works"),
        (false, _) => Ok("pinned"),
        (true, _) => Err("the server connection was given to another client".to_owned()),
    }
}

/// Carries every conversation on over one mode and tier, and holds each to its cell.
async fn hold(mode: &'static str, tier: &'static str) {
    let front = Front { mode, tier };
    let page = table::read();
    let stage = front.stage().await;
    let mut wrong = Vec::new();
    for conversation in conversations() {
        let feature = conversation.feature;
        let said = table::cell(&page, feature, front);
        match outcome(front, &stage, &conversation).await {
            Ok(outcome) if outcome == said => {}
            other => wrong.push(format!("{feature}: {other:?}, and the table says {said}")),
        }
        // What this one has left is gone before the next one begins.
        bulkhead_tests::wait::until("the clients' end", || async {
            stage.sidecar.metric("bulkhead_connections", &[]).abs() < 0.5
        })
        .await;
    }
    assert!(wrong.is_empty(), "{front:?}\n{}", wrong.join("\n"));
}

/// The types of the next `count` messages, but for those that may come at any time.
async fn answer(wire: &mut Wire, count: usize) -> Replies {
    let mut said: Vec<bulkhead_tests::wire::Message> = Vec::new();
    while Replies::of_messages(&said).tags().len() < count {
        let Some(message) = wire.receive().await else {
            panic!("closed after {said:?}");
        };
        said.push(message);
    }
    Replies::of_messages(&said)
}

#[tokio::test]
async fn transaction_mode_does_in_tier_dedicated_what_the_table_says() {
    hold("Transaction", "Dedicated").await;
}

#[tokio::test]
async fn transaction_mode_does_in_tier_reset_what_the_table_says() {
    hold("Transaction", "Reset").await;
}

#[tokio::test]
async fn transaction_mode_does_in_tier_shared_what_the_table_says() {
    hold("Transaction", "Shared").await;
}

#[tokio::test]
async fn session_mode_does_in_tier_dedicated_what_the_table_says() {
    hold("Session", "Dedicated").await;
}

#[tokio::test]
async fn session_mode_does_in_tier_reset_what_the_table_says() {
    hold("Session", "Reset").await;
}

#[tokio::test]
async fn session_mode_does_in_tier_shared_what_the_table_says() {
    hold("Session", "Shared").await;
}
