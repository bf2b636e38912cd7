//! Who may come in by a Unix socket: the user ids that the policy lets in (`listen.allowedUids`).

use std::io;

use crate::stream::Stream;
use crate::telemetry::ConnectionOutcome;
use crate::worker::Entry;

/// The user id of a client, as the kernel knows it; `None` for TCP, which knows none.
pub(crate) type PeerUid = Option<Result<u32, io::ErrorKind>>;

/// The user id of who connected by a Unix socket (SO_PEERCRED). The process id beside it says nothing: it may be another process's by
/// now.
pub(crate) fn peer_uid(stream: &Stream) -> PeerUid {
    match stream {
        Stream::Unix(unix) => Some(unix.peer_uid().map_err(|e| e.kind())),
        _ => None,
    }
}

/// Whether a client of this user id may connect: by TCP everybody may.
pub(crate) fn lets_in(entry: &Entry, peer: PeerUid) -> bool {
    let force = entry.force_now();
    let allowed = &force.settings.listen.allowed_uids;
    match peer {
        None => true,
        Some(_) if allowed.is_empty() => true,
        Some(Ok(uid)) => allowed.contains(&uid),
        Some(Err(_)) => false,
    }
}

/// Counts a client whose user id is none of those that the policy lets in, and says what it is to be told.
pub(crate) fn uid_refused(entry: &Entry, peer: PeerUid) -> String {
    entry.metrics.connection(ConnectionOutcome::Unauthenticated);
    let who = match peer {
        Some(Ok(uid)) => format!("user id {uid}"),
        _ => "a client whose user id is not known".to_owned(),
    };
    entry.metrics.clients.notice("uid", |upstream, left_out| {
        tracing::warn!(
            upstream,
            who,
            left_out,
            "a client is refused: listen.allowedUids does not let it in"
        );
    });
    let force = entry.force_now();
    let allowed = force.settings.listen.allowed_uids.iter();
    let allowed: Vec<String> = allowed.map(ToString::to_string).collect();
    let field = force.name_field("listen.allowedUids", &allowed.join(", "));
    format!("{who} may not connect by this socket: {field}")
}
