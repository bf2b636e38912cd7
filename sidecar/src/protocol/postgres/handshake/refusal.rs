//! Sends a refusal. What it says is [`super::error`]'s.

use tokio::io::AsyncWriteExt;

use super::error::HandshakeError;
use crate::stream::Stream;

/// Tells the client why, where it can be told, and ends the sending side. A client that does not take it changes nothing.
pub(super) async fn tell(stream: &mut Stream, error: &HandshakeError) {
    if let Some(response) = error.response() {
        let mut out = Vec::new();
        response.write(&mut out);
        let _ = stream.write_all(&out).await;
        let _ = stream.shutdown().await;
    }
}
