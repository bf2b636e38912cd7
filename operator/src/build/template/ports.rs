//! The sidecar's ports, and the names that it takes over from the application's.

use std::collections::BTreeSet;

use bulkhead_crds::kinds::template::{ContainerPort, TakenPort};
use bulkhead_crds::names::objects;

use super::Rendering;
use crate::findings::renamed;

/// The ports of the sidecar, and the names taken over.
pub(super) fn of(rendering: &Rendering<'_>) -> (Vec<ContainerPort>, Vec<TakenPort>) {
    let mut ports = vec![port(objects::ADMIN_PORT_NAME, objects::ADMIN_PORT)];
    let mut taken: Vec<TakenPort> = Vec::new();
    if !rendering.serves.web_sockets {
        return (ports, taken);
    }
    let mut used = BTreeSet::new();
    for socket in &rendering.effective.web_sockets {
        let Some(name) = &socket.takes_over else {
            continue;
        };
        if taken.iter().any(|it| &it.name == name) {
            continue;
        }
        ports.push(port(name, socket.port));
        taken.push(TakenPort {
            name: name.clone(),
            renamed: unused(&renamed(name), &mut used),
        });
    }
    (ports, taken)
}

fn port(name: &str, number: u16) -> ContainerPort {
    ContainerPort {
        name: name.to_owned(),
        container_port: number,
        protocol: "TCP".to_owned(),
    }
}

/// Two long names may be cut to the same one, which no container can have twice.
fn unused(name: &str, used: &mut BTreeSet<String>) -> String {
    let mut unused = name.to_owned();
    let mut number = 2;
    while !used.insert(unused.clone()) {
        let kept: String = name.chars().take(12).collect();
        unused = format!("{}-{number}", kept.trim_end_matches('-'));
        number += 1;
    }
    unused
}
