//! Starts the chat backend, or, as `talk URL USER`, a client of its room. `CHAT_DATABASE` is the connection string, `CHAT_LISTEN` the address (0.0.0.0:8000 where it is not said).

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
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => runtime.block_on(backend()),
        [talk, url, user] if talk == "talk" => {
            let ended = runtime.block_on(bulkhead_example_chat::talk(url, user));
            // A read of standard input that is under way is not waited for.
            runtime.shutdown_background();
            ended
        }
        _ => Err("say nothing, or: talk URL USER".into()),
    }
}

async fn backend() -> Result<(), Box<dyn Error>> {
    let database = env::var("CHAT_DATABASE")
        .map_err(|_| "CHAT_DATABASE is missing: host=db dbname=chat user=chat, say")?;
    let database = Database::new(&database).map_err(|error| format!("CHAT_DATABASE: {error}"))?;
    let listen = env::var("CHAT_LISTEN").unwrap_or_else(|_| "0.0.0.0:8000".to_owned());
    let listener = TcpListener::bind(&listen).await?;
    eprintln!("chat-backend: listening on {}", listener.local_addr()?);
    let mut terminate = signal(SignalKind::terminate())?;
    serve(listener, database, async {
        terminate.recv().await;
    })
    .await;
    eprintln!("chat-backend: every request is answered, goodbye");
    Ok(())
}
