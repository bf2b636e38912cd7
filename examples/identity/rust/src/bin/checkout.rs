//! Requests share a pool, and each transaction begins by saying whose it is.
//!
//! sqlx with its own pool. Each line of the input is one request's token.

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Postgres, Transaction};

/// A transaction in which everything is done for the user of the token.
async fn begin_as(
    pool: &PgPool,
    token: &str,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let mut transaction = pool.begin().await?;
    sqlx::query("SELECT set_config('bulkhead.context', $1, true)")
        .bind(token)
        .execute(&mut *transaction)
        .await?;
    Ok(transaction)
}

async fn handle(pool: &PgPool, token: &str) -> Result<Vec<String>, sqlx::Error> {
    let mut transaction = begin_as(pool, token).await?;
    sqlx::query("INSERT INTO notes (owner, body) VALUES (current_setting('app.user_id'), 'hello')")
        .execute(&mut *transaction)
        .await?;
    let owners = sqlx::query_scalar("SELECT DISTINCT owner FROM notes")
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(owners)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Where to: PGHOST, PGPORT, PGUSER, PGDATABASE.
    let pool = PgPoolOptions::new().max_connections(4);
    let pool = pool.connect_with(PgConnectOptions::new()).await?;
    let tokens = std::io::read_to_string(std::io::stdin())?;
    let requests = tokens.lines().map(|token| handle(&pool, token));
    for owners in futures_util::future::try_join_all(requests).await? {
        println!("{}", owners.join(" "));
    }
    Ok(())
}
