//! `talk URL USER`: a chat in the terminal. Lines of standard input are said, what is heard is printed; it ends with standard input, with a
//! Close frame, or with a refusal, whose status it prints.

use std::error::Error;

use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error as WebSocketError, Message};

/// Talks until there is nothing more to say or to hear.
///
/// # Errors
/// The address is none, or nobody answers there.
pub async fn talk(url: &str, user: &str) -> Result<(), Box<dyn Error>> {
    let mut request = url.into_client_request()?;
    if !user.is_empty() {
        let token = format!("Bearer {user}").parse()?;
        request.headers_mut().insert("authorization", token);
    }
    let mut socket = match connect_async(request).await {
        Ok((socket, _)) => socket,
        Err(WebSocketError::Http(answer)) => {
            let why = answer.body().as_deref().unwrap_or_default();
            println!(
                "refused {} {}",
                answer.status().as_u16(),
                String::from_utf8_lossy(why).trim()
            );
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    println!("connected");
    let mut lines = BufReader::new(stdin()).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => socket.send(Message::text(line)).await?,
                None => {
                    socket.close(None).await?;
                    return Ok(());
                }
            },
            heard = socket.next() => match heard {
                Some(Ok(Message::Text(text))) => println!("{}", shown(&text)),
                Some(Ok(Message::Close(Some(close)))) => {
                    println!("closed {} {}", u16::from(close.code), close.reason);
                    return Ok(());
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => {
                    println!("closed 1006");
                    return Ok(());
                }
            },
        }
    }
}

fn shown(text: &str) -> String {
    let Ok(message) = serde_json::from_str::<Value>(text) else {
        return text.to_owned();
    };
    let part = |name: &str| message[name].as_str().unwrap_or("?").to_owned();
    format!("{}: {}", part("user"), part("body"))
}
