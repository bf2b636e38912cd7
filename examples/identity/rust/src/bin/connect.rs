//! Each request has a connection of its own, which says at connect whose it is; the sidecar is the pool behind it.
//!
//! sqlx. Each line of the input is one request's token.

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};

async fn handle(token: &str) -> Result<Vec<String>, sqlx::Error> {
    // Where to: PGHOST, PGPORT, PGUSER, PGDATABASE.
    let options = PgConnectOptions::new().options([("bulkhead.context", token)]);
    let mut connection = PgConnection::connect_with(&options).await?;
    sqlx::query("INSERT INTO notes (owner, body) VALUES (current_setting('app.user_id'), 'hello')")
        .execute(&mut connection)
        .await?;
    let owners = sqlx::query_scalar("SELECT DISTINCT owner FROM notes")
        .fetch_all(&mut connection)
        .await?;
    connection.close().await?;
    Ok(owners)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let tokens = std::io::read_to_string(std::io::stdin())?;
    let requests = tokens.lines().map(handle);
    for owners in futures_util::future::try_join_all(requests).await? {
        println!("{}", owners.join(" "));
    }
    Ok(())
}
