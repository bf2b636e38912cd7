//! Other pods of the same policy: a client may come back to any of them, and its session lives in one.
//!
//! ```text
//! client ──→ A: front ─ relay ══ mutual TLS ══→ B: door ─ front, as for any client
//!               └────── tunnel ════════════════════┘
//! ```
//!
//! A token names the pod. A pod that is asked for another one's session asks that one, on the client's behalf and in its words, and carries
//! bytes from there on. The other one believes nothing that it has not looked at itself; it answers for its own sessions alone, so that a
//! request is passed on once at the most.

mod door;
mod relay;
mod tls;
mod tunnel;

pub use door::serve as serve_peer;
pub(super) use relay::{Relayed, relay};
pub use tls::{PeerTls, PeerTlsError};

use http::HeaderName;

use super::super::resume::{PodAddress, SessionToken};
use super::front::Front;

/// Which WebSocket entry of the policy the client has come to.
const ENTRY: HeaderName = HeaderName::from_static("x-bulkhead-entry");
/// The client's own address.
const CLIENT: HeaderName = HeaderName::from_static("x-bulkhead-client");

/// Where the session is that a client comes back to, where that is another pod.
pub(super) fn elsewhere(front: &Front, token: &SessionToken) -> Option<PodAddress> {
    (token.pod != front.worker.process.pod()).then_some(token.pod)
}
