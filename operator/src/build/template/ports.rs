//! The sidecar's ports, and the names that it takes over from the application's.

use bulkhead_crds::kinds::template::{ContainerPort, TakenPort};
use bulkhead_crds::names::objects;

use super::Rendering;
use crate::build::taken;

/// The ports of the sidecar, and the names taken over.
pub(super) fn of(rendering: &Rendering<'_>) -> (Vec<ContainerPort>, Vec<TakenPort>) {
    let mut ports = vec![port(objects::ADMIN_PORT_NAME, objects::ADMIN_PORT)];
    if !rendering.serves.web_sockets {
        return (ports, Vec::new());
    }
    let taken = taken::ports(rendering.effective);
    if rendering.resumes() {
        ports.push(port(objects::PEER_PORT_NAME, objects::PEER_PORT));
    }
    ports.extend(
        taken
            .iter()
            .map(|(socket, taken)| port(&taken.name, socket.port)),
    );
    (ports, taken.into_iter().map(|(_, taken)| taken).collect())
}

/// The label of pods whose ports are taken over.
pub(super) fn mark(rendering: &Rendering<'_>) -> Option<String> {
    taken::mark(rendering.effective).filter(|_| rendering.serves.web_sockets)
}

fn port(name: &str, number: u16) -> ContainerPort {
    ContainerPort {
        name: name.to_owned(),
        container_port: number,
        protocol: "TCP".to_owned(),
    }
}
