//! The one link between the machine and a node, and the addresses behind it.

use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Command;

use super::world::World;

/// The addresses of one node. A machine may have several nodes: their numbers differ.
#[derive(Clone, Copy, Debug)]
pub(super) struct Addresses {
    pub(super) number: u8,
    /// How the addresses of its pods begin.
    pub(super) pods: [u8; 3],
    /// How the addresses of its Services begin.
    pub(super) services: [u8; 3],
}

impl Addresses {
    /// Makes the link of a number that no other node has, and the routes over it.
    pub(super) fn claim(world: &World) -> Self {
        let init = world.init().to_string();
        for number in 0..=u8::MAX {
            let link = format!("bulkhead{number}");
            // Whoever makes the link has the number; it is gone with the node.
            let made = Command::new("ip")
                .args([
                    "link", "add", &link, "type", "veth", "peer", "name", "eth0", "netns", &init,
                ])
                .output()
                .unwrap();
            if !made.status.success() {
                let why = String::from_utf8_lossy(&made.stderr);
                assert!(why.contains("File exists"), "ip link add {link}: {why}");
                continue;
            }
            let this = Self {
                number,
                pods: [10, 244, number],
                services: [10, 96, number],
            };
            this.connect(world, &link);
            return this;
        }
        panic!("there are 256 nodes on this machine already");
    }

    fn connect(self, world: &World, link: &str) {
        let (outside, node) = (self.outside().to_string(), self.node().to_string());
        ip(&["address", "add", &format!("{outside}/24"), "dev", link]);
        ip(&["link", "set", link, "up"]);
        for [a, b, c] in [self.pods, self.services] {
            ip(&["route", "add", &format!("{a}.{b}.{c}.0/24"), "via", &node]);
        }
        let launcher = world.launcher(Path::new("/"));
        let inside = |arguments: &[&str]| {
            check(launcher.command(Path::new("ip")).args(arguments));
        };
        inside(&["address", "add", &format!("{node}/24"), "dev", "eth0"]);
        inside(&["link", "set", "eth0", "up"]);
        inside(&["route", "add", "default", "via", &outside]);
    }

    /// The machine's side of the link.
    pub(super) fn outside(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 245, self.number, 1)
    }

    /// The node's side of the link: where the API server and the kubelet listen.
    pub(super) fn node(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 245, self.number, 2)
    }

    /// The Service of the cluster's DNS.
    pub(super) fn dns(self) -> Ipv4Addr {
        let [a, b, c] = self.services;
        Ipv4Addr::new(a, b, c, 10)
    }
}

fn ip(arguments: &[&str]) {
    check(Command::new("ip").args(arguments));
}

fn check(command: &mut Command) {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
