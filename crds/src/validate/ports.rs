//! Rules about the ports of WebSocket listeners, of the applications behind them, and of the sidecar itself.

use std::net::IpAddr;

use super::rule::{Complaint, Complaints, complain, database, web_socket};
use crate::effective::{EffectiveDatabase, EffectivePolicy, EffectiveWebSocket};
use crate::names::objects::{ADMIN_PORT, PEER_PORT};

/// Whatever else has a WebSocket listener's port, or the port at which it looks for the application.
pub(super) fn clash(policy: &EffectivePolicy) -> Complaints {
    let mut complaints = Vec::new();
    for (at, one) in policy.web_sockets.iter().enumerate() {
        if one.port != 0 {
            complaints.extend(listen_clash(policy, &policy.web_sockets[..at], one));
        }
        complaints.extend(upstream_clash(policy, one));
    }
    complaints
}

fn listen_clash(
    policy: &EffectivePolicy,
    before: &[EffectiveWebSocket],
    one: &EffectiveWebSocket,
) -> Complaints {
    let port = one.port;
    let taken = before.iter().find(|other| other.port == port);
    let taken = taken.map(|other| format!("is taken by webSocket {}: choose another", other.name));
    let database = policy
        .databases
        .iter()
        .find(|other| other.listen.port == port);
    let database = database.map(|other| {
        format!(
            "is taken by database {}: a WebSocket listens on all addresses, so choose another",
            other.name
        )
    });
    let application = policy
        .web_sockets
        .iter()
        .find(|other| other.upstream_port == port);
    let application = application.map(|other| {
        format!(
            "is where the application of webSocket {} listens: choose another",
            other.name
        )
    });
    [taken, database, application]
        .into_iter()
        .flatten()
        .map(|fault| {
            complain(
                web_socket(&one.name, "listen.port"),
                format!("{port} {fault}"),
            )
        })
        .collect()
}

/// The application is dialled on loopback, where databases listen too.
fn upstream_clash(policy: &EffectivePolicy, one: &EffectiveWebSocket) -> Option<Complaint> {
    let port = one.upstream_port;
    let is_there =
        |other: &&EffectiveDatabase| other.listen.port == port && is_dialled(other.listen.address);
    let other = policy.databases.iter().find(is_there)?;
    let message = format!(
        "{port} is where the sidecar listens for database {}, and not the application: write the application's own port",
        other.name
    );
    Some(complain(web_socket(&one.name, "upstream.port"), message))
}

/// Whether the sidecar would find itself at this address: it looks for the application on 127.0.0.1 and on ::1.
fn is_dialled(address: IpAddr) -> bool {
    address.is_unspecified()
        || address == IpAddr::from([127, 0, 0, 1])
        || address.is_ipv6() && address.is_loopback()
}

/// In a pod the sidecar answers for metrics and health at a port of its own, on all addresses, and at another one other pods, where sessions
/// may be resumed.
pub(super) fn own(policy: &EffectivePolicy) -> Complaints {
    let databases = policy
        .databases
        .iter()
        .map(|one| (database(&one.name, "listen.port"), one.listen.port));
    let sockets = policy.web_sockets.iter().flat_map(|one| {
        [
            (web_socket(&one.name, "listen.port"), one.port),
            (web_socket(&one.name, "upstream.port"), one.upstream_port),
        ]
    });
    databases
        .chain(sockets)
        .filter_map(|(path, port)| {
            let what = match port {
                ADMIN_PORT => "the sidecar's own metrics and health",
                PEER_PORT if policy.resumes() => "other pods, for sessions that are resumed,",
                _ => return None,
            };
            let message = format!("{port} is the port of {what} in every pod: choose another");
            Some(complain(path, message))
        })
        .collect()
}

/// A name moves to one listener.
pub(super) fn taken_twice(policy: &EffectivePolicy) -> Complaints {
    let mut before: Vec<&EffectiveWebSocket> = Vec::new();
    let mut complaints = Vec::new();
    for one in &policy.web_sockets {
        let Some(name) = &one.takes_over else {
            continue;
        };
        let first = before
            .iter()
            .find(|other| other.takes_over.as_ref() == Some(name));
        complaints.extend(first.map(|first| {
            let message = format!(
                "`{name}` is taken over by webSocket {} already: write the name of another port of the application's, or leave it out",
                first.name
            );
            complain(web_socket(&one.name, "listen.takesOver"), message)
        }));
        before.push(one);
    }
    complaints
}
