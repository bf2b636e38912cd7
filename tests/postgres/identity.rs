//! Who is calling: every way to say it, and what happens to those who do not.

mod context_token;
mod jwt;
mod keys;
mod nobody;
mod trusted;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::refusal::Refusal;
use bulkhead_tests::session::Session;
use bulkhead_tests::stage::{Setting, Stage};
use bulkhead_tests::tokens::{Signer, key_set};

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

/// A policy that takes JWTs of these signers.
fn jwt_stage(signers: &[&Signer], more: &str) -> Setting<'static> {
    Stage::with(Policy::jwt(&format!(
        "{{issuer: 'https://issuer.test', audiences: [chat], jwks: {{secretRef: {{name: keys}}}}{more}}}"
    )))
    .secret("keys/jwks.json", &key_set(signers))
}
