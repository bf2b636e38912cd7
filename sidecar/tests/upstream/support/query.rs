//! A simple query on an established connection, as little protocol as the tests need.

use bulkhead_sidecar::upstream::Established;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The first column of the first row, or the SQLSTATE of the error; read up to `ReadyForQuery`.
pub async fn ask(connection: &mut Established, sql: &str) -> Result<String, String> {
    send(connection, sql).await;
    answer(connection).await
}

pub async fn send(connection: &mut Established, sql: &str) {
    let mut message = vec![b'Q'];
    message.extend_from_slice(&(sql.len() as u32 + 5).to_be_bytes());
    message.extend_from_slice(sql.as_bytes());
    message.push(0);
    connection.stream.write_all(&message).await.unwrap();
    connection.stream.flush().await.unwrap();
}

pub async fn answer(connection: &mut Established) -> Result<String, String> {
    let mut answer = Ok(String::new());
    loop {
        let tag = connection.stream.read_u8().await.unwrap();
        let length = connection.stream.read_u32().await.unwrap();
        let mut body = vec![0; length as usize - 4];
        connection.stream.read_exact(&mut body).await.unwrap();
        match tag {
            b'D' => answer = Ok(String::from_utf8(body[6..].to_vec()).unwrap()),
            b'E' => {
                let at = body.windows(2).position(|pair| pair == b"\0C").unwrap() + 2;
                answer = Err(String::from_utf8(body[at..at + 5].to_vec()).unwrap());
            }
            b'Z' => return answer,
            _ => {}
        }
    }
}
