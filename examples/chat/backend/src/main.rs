//! Starts the chat backend. `CHAT_DATABASE` is the connection string, `CHAT_LISTEN` the address (0.0.0.0:8000 where it is not said).

use std::env;
use std::error::Error;
use std::process::ExitCode;

use bulkhead_example_chat::{Database, serve};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("chat-backend: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let database = env::var("CHAT_DATABASE")
        .map_err(|_| "CHAT_DATABASE is missing: host=db dbname=chat user=chat, say")?;
    let database = Database::new(&database).map_err(|error| format!("CHAT_DATABASE: {error}"))?;
    let listen = env::var("CHAT_LISTEN").unwrap_or_else(|_| "0.0.0.0:8000".to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(&listen).await?;
        eprintln!("chat-backend: listening on {}", listener.local_addr()?);
        let mut terminate = signal(SignalKind::terminate())?;
        serve(listener, database, async {
            terminate.recv().await;
        })
        .await;
        eprintln!("chat-backend: every request is answered, goodbye");
        Ok(())
    })
}
