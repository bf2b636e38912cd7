//! Clients that say in SQL who they work for: one connection, many users, and never another's rows.

mod baseline;
mod cancel;
mod drivers;
mod extended;
mod hidden;
mod scope;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::session::Session;
use bulkhead_tests::stage::Stage;

/// Rows that are each user's own, by row-level security over `app.user_id`.
const OWN: &str = "SELECT coalesce(string_agg(body, ','), '') FROM notes";

/// A policy by which an application sets `app.user_id` itself.
fn setting(scope: &str) -> Policy {
    Policy::trusted().spec(&format!(
        "identity: {{trusted: {{setting: app.user_id}}, inSql: {{scope: {scope}}}}}"
    ))
}

/// Two users, with a note each.
async fn stage_with_notes(policy: Policy) -> Stage {
    let stage = Stage::start(policy).await;
    let admin = stage.admin().await;
    for user in ["alice", "bob"] {
        admin
            .run(&format!(
                "INSERT INTO notes (owner, body) VALUES ('{user}', 'of {user}')"
            ))
            .await;
    }
    stage
}

/// A client that has named nobody yet.
async fn nobody(stage: &Stage) -> Session {
    stage.try_name("chat_app").await.unwrap()
}
