//! An application that serves requests of many users: each answer must be of the user who has asked.

use std::process::Command;
use std::time::Duration;

use jsonwebtoken::Algorithm;

use crate::dice::Dice;
use crate::policy::Policy;
use crate::postgres::APP_ROLE;
use crate::stage::Stage;
use crate::tokens::{Signer, key_set};
use crate::tools::run_within;

/// Requests that an application gets.
const REQUESTS: u32 = 60;
/// Users whose they are.
const USERS: u32 = 7;
/// A program that serves them ends within this on a busy machine, or hangs.
const PATIENCE: Duration = Duration::from_secs(240);

/// Runs an application that opens a connection for each request. Each line of its input is a request's token, each line of its
/// output the owners of the rows that the request has seen, in the same order.
///
/// # Panics
/// When an answer is not of the user who has asked.
pub async fn serves(application: Command) {
    serves_with(Policy::signed_context(), application).await;
}

/// The same for an application whose pool's connections are everybody's, and which says in SQL whose each transaction is.
///
/// # Panics
/// When an answer is not of the user who has asked.
pub async fn serves_with_pool(application: Command) {
    let policy = Policy::signed_context().spec("identity: {inSql: {}}");
    serves_with(policy, application).await;
}

async fn serves_with(policy: Policy, mut application: Command) {
    let signer = Signer::new("house", Algorithm::EdDSA);
    let stage = Stage::with(policy.timeouts("acquire: 30s"))
        .secret("bulkhead-context-keys/jwks.json", &key_set(&[&signer]))
        .start()
        .await;
    application
        .env("PGHOST", "127.0.0.1")
        .env("PGPORT", stage.sidecar.port().to_string())
        .env("PGUSER", APP_ROLE)
        .env("PGDATABASE", &stage.database)
        .env("PGSSLMODE", "disable");
    let mut dice = Dice(6455);
    let users: Vec<_> = (0..REQUESTS)
        .map(|_| format!("user-{}", dice.below(USERS)))
        .collect();
    let requests: Vec<_> = users.iter().map(|user| signer.token(user)).collect();
    let said = run_within(application.into(), &requests.join("\n"), PATIENCE).await;
    assert!(said.success, "{said:?}");
    assert_eq!(
        said.output.lines().collect::<Vec<_>>(),
        users,
        "{}",
        said.errors
    );
}
