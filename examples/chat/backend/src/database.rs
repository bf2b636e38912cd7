//! The messages table, as one user sees it.

use serde::Serialize;
use tokio::task::AbortHandle;
use tokio_postgres::{Client, Config, NoTls};

use crate::Failure;

/// Where the messages are.
#[derive(Clone, Debug)]
pub struct Database {
    config: Config,
}

/// For whom the database works.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    /// For this user, on the application's word.
    User(&'a str),
    /// For whom the signed context says that came with a WebSocket (`x-bulkhead-context`). The work belongs to that socket: when it is lost,
    /// the policy's `onDisconnect` says what becomes of it.
    Context(&'a str),
}

/// A message of a user's.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Its number.
    pub id: i64,
    /// Who wrote it.
    pub user: String,
    /// What it says.
    pub body: String,
}

/// A connection that works for one user, and ends with this value.
struct Connection {
    client: Client,
    carrier: AbortHandle,
}

impl Database {
    /// The database that a connection string names (`host=db dbname=chat user=chat`).
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn new(connection_string: &str) -> Result<Self, tokio_postgres::Error> {
        let mut config: Config = connection_string.parse()?;
        config.application_name("chat-backend");
        Ok(Self { config })
    }

    /// The messages that `user` may see, oldest first: those that row-level security lets through, which is why there is no `WHERE`.
    ///
    /// # Errors
    /// What the sidecar or the database answered.
    pub async fn messages(&self, user: &str) -> Result<Vec<Message>, Failure> {
        let connection = self.connect(Who::User(user)).await?;
        let select = "SELECT id, user_id, body FROM messages ORDER BY id";
        let rows = connection.client.query(select, &[]).await?;
        let message = |row: &tokio_postgres::Row| {
            Ok(Message {
                id: row.try_get(0)?,
                user: row.try_get(1)?,
                body: row.try_get(2)?,
            })
        };
        rows.iter().map(message).collect()
    }

    /// Stores a message of `user`'s, whose name the table takes from `app.user_id`.
    ///
    /// # Errors
    /// What the sidecar or the database answered.
    pub async fn store(&self, user: &str, body: &str) -> Result<Message, Failure> {
        let connection = self.connect(Who::User(user)).await?;
        let insert = "INSERT INTO messages (body) VALUES ($1) RETURNING id, user_id";
        let row = connection.client.query_one(insert, &[&body]).await?;
        Ok(Message {
            id: row.try_get(0)?,
            user: row.try_get(1)?,
            body: body.to_owned(),
        })
    }

    /// Has the database work for `seconds`, as a careless report would.
    ///
    /// # Errors
    /// What the sidecar or the database answered; `57014` where the policy's `timeouts.statement` is shorter.
    pub async fn report(&self, who: Who<'_>, seconds: f64) -> Result<(), Failure> {
        let connection = self.connect(who).await?;
        let select = "SELECT pg_sleep($1)::text";
        connection.client.query_one(select, &[&seconds]).await?;
        Ok(())
    }

    /// A connection is cheap here: it ends at the sidecar, in this pod, which has the real ones in the user's own pool.
    async fn connect(&self, who: Who<'_>) -> Result<Connection, Failure> {
        let mut config = self.config.clone();
        config.options(match who {
            Who::User(user) => format!("-c bulkhead.user={}", escaped(user)),
            Who::Context(token) => format!("-c bulkhead.context={}", escaped(token)),
        });
        let (client, connection) = config.connect(NoTls).await?;
        // How it ends, the client's next query says too.
        let carrier = tokio::spawn(async { drop(connection.await) }).abort_handle();
        Ok(Connection { client, carrier })
    }
}

/// A request that its client has given up ends the statement too: the sidecar sees the connection close.
impl Drop for Connection {
    fn drop(&mut self) {
        self.carrier.abort();
    }
}

/// A value in start-up options: white space would end it, and a user id must never become a second option.
fn escaped(user: &str) -> String {
    let mut text = String::with_capacity(user.len());
    for letter in user.chars() {
        if letter == '\\' || letter.is_ascii_whitespace() || letter == '\x0b' {
            text.push('\\');
        }
        text.push(letter);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_user_id_cannot_become_a_second_option() {
        assert_eq!(escaped("a -c bulkhead.user=b"), r"a\ -c\ bulkhead.user=b");
        assert_eq!(escaped("back\\slash\t"), "back\\\\slash\\\t");
        assert_eq!(escaped("alice"), "alice");
    }
}
