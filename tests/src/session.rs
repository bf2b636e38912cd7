//! A tokio-postgres session, with whatever the server said without being asked.

use std::future::poll_fn;
use std::ops::{Deref, DerefMut};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Config, Error, NoTls, SimpleQueryMessage};

use crate::refusal::Refusal;
use crate::wait;

/// A client, and the task that carries its bytes.
pub struct Session {
    client: Client,
    unasked: mpsc::UnboundedReceiver<AsyncMessage>,
    carrier: JoinHandle<Result<(), Error>>,
}

/// Opens a session as `config` says, without TLS.
///
/// # Errors
/// Whatever the server or the network answers.
pub async fn connect(config: &Config) -> Result<Session, Error> {
    let (client, mut connection) = wait::within("a login", config.connect(NoTls)).await?;
    let (sender, unasked) = mpsc::unbounded_channel();
    let carrier = tokio::spawn(async move {
        while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
            let _ = sender.send(message?);
        }
        Ok(())
    });
    Ok(Session {
        client,
        unasked,
        carrier,
    })
}

impl Session {
    /// The first column of the first row of a simple query, as text; none where it is null.
    ///
    /// # Panics
    /// When the query fails or gives no row.
    pub async fn text(&self, sql: &str) -> Option<String> {
        let rows = self.rows(sql).await;
        rows.first().unwrap_or_else(|| panic!("no row from {sql}"))[0].clone()
    }

    /// The rows of a simple query, as text.
    ///
    /// # Panics
    /// When the query fails.
    pub async fn rows(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        let messages = wait::within(sql, self.client.simple_query(sql))
            .await
            .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        messages
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => Some(
                    (0..row.len())
                        .map(|column| row.get(column).map(str::to_owned))
                        .collect(),
                ),
                _ => None,
            })
            .collect()
    }

    /// Runs a simple query.
    ///
    /// # Panics
    /// When it fails.
    pub async fn run(&self, sql: &str) {
        self.rows(sql).await;
    }

    /// The refusal of a simple query that must fail.
    ///
    /// # Panics
    /// When it succeeds, or the connection breaks.
    pub async fn refused(&self, sql: &str) -> Refusal {
        match wait::within(sql, self.client.simple_query(sql)).await {
            Ok(_) => panic!("{sql} was let through"),
            Err(error) => error.into(),
        }
    }

    /// The next notice, or notification, that came without being asked for.
    ///
    /// # Panics
    /// When none comes.
    pub async fn unasked(&mut self) -> AsyncMessage {
        wait::within("a message nobody asked for", self.unasked.recv())
            .await
            .expect("the session is open")
    }

    /// The process id of the server connection that answers now.
    ///
    /// # Panics
    /// When the query fails.
    pub async fn server_pid(&self) -> i32 {
        self.text("SELECT pg_backend_pid()")
            .await
            .unwrap()
            .parse()
            .unwrap()
    }

    /// Ends the server process `pid`, as a superuser may.
    ///
    /// # Panics
    /// When it may not.
    pub async fn terminate(&self, pid: i32) {
        self.run(&format!("SELECT pg_terminate_backend({pid})"))
            .await;
    }

    /// Says goodbye and waits until it is said.
    ///
    /// # Panics
    /// When the connection does not end.
    pub async fn close(self) {
        let Self {
            client, carrier, ..
        } = self;
        drop(client);
        let _ = wait::within("the goodbye", carrier).await.unwrap();
    }
}

impl Deref for Session {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Client {
        &mut self.client
    }
}
