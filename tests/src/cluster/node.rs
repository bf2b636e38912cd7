//! A whole node: a control plane, and a kubelet with all that it needs to run pods.
//!
//! It lives in a network, a mount and a process namespace of its own. So it disturbs nobody, and when the first process in there is
//! killed, the kernel ends everything else: the parts, every pod, their links and mounts. What the machine sees of it is one link,
//! `bulkheadN`, by which it and its pods and Services are reached.

mod cgroups;
mod images;
mod link;
mod standing;
mod world;

use std::net::Ipv4Addr;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{self as core, ServiceAccount};
use kube::Api;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;

use super::access::{Access, Proof};
use super::credentials::Credentials;
use super::launch::{Launcher, Part};
use super::parts::{
    api_server, containerd, controller_manager, dns, etcd, kubelet, proxy, scheduler,
};
use super::{Cluster, READY};
use crate::processes::{self, Running};
use crate::wait;
use cgroups::Cgroup;
use link::Addresses;
pub use standing::Standing;
use world::World;

/// The rights and Services that the parts of a node need.
const MANIFESTS: &str = include_str!("../../cluster/manifests/node.yaml");

/// Where a node keeps its files, and how long it lives.
#[derive(Debug)]
pub enum Home {
    /// It ends with this process, and its files are removed.
    OfThisProcess,
    /// Its files are here, and it outlives this process if it is left.
    At(PathBuf),
}

/// A node that runs.
#[derive(Debug)]
pub struct Node {
    cluster: Cluster,
    launcher: Launcher,
    addresses: Addresses,
    // In the order in which they end: the world takes all that is in it along, and leaves the cgroup empty.
    parts: Vec<Running>,
    world: World,
    cgroup: Cgroup,
}

impl Deref for Node {
    type Target = Cluster;

    fn deref(&self) -> &Cluster {
        &self.cluster
    }
}

impl Node {
    /// The node that all tests of this process share.
    ///
    /// # Panics
    /// When a program is missing, or does not come up.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Node> = OnceCell::const_new();
        SHARED
            .get_or_init(|| Self::start(Home::OfThisProcess))
            .await
    }

    /// Starts a node, and waits until it is ready for pods.
    ///
    /// # Panics
    /// When a program is missing, when this is not root, or when a part does not come up.
    pub async fn start(home: Home) -> Self {
        assert!(
            rustix::process::getuid().is_root(),
            "a node makes namespaces, links and mounts: run this as root"
        );
        let folder = match home {
            Home::OfThisProcess => processes::folder("node"),
            Home::At(folder) => folder,
        };
        let world = World::new(&folder);
        let addresses = Addresses::claim(&world);
        let cgroup = Cgroup::new(addresses.number);
        let launcher = world.launcher(&folder);
        let credentials = Credentials::new(folder.join("pki"));
        let pause = images::archive("pause");

        let keys = etcd::Keys::new(&folder, 2379);
        let mut parts = vec![launcher.start(&etcd::part(&folder, &keys, 2380)).process];
        let runtime = launcher.start(&containerd::part(&folder, addresses.pods));
        parts.push(runtime.process);
        let access = Access {
            server: format!("https://{}:{API_SERVER}", addresses.node()),
            authority: credentials.authority(),
            proof: Proof::Certificate(credentials.client("admin", Some("system:masters"))),
            act_as: None,
        };
        let mut api_server = launcher.start(&api_server(&folder, &credentials, &keys, &addresses));
        api_server
            .until_ready(&access.config().await)
            .await
            .unwrap_or_else(|log| panic!("kube-apiserver does not come up:\n{log}"));
        parts.push(api_server.process);
        let mut this = Self {
            cluster: Cluster::new(folder, access).await,
            launcher,
            addresses,
            parts,
            world,
            cgroup,
        };
        this.start_parts_of_the_node(&credentials, &pause).await;
        this.until_ready().await;
        this
    }

    /// Everything that needs the API server.
    async fn start_parts_of_the_node(&mut self, credentials: &Credentials, pause: &Path) {
        let manifests = MANIFESTS
            .replace("DNS_SERVICE", &self.addresses.dns().to_string())
            .replace("DNS_SERVER", &self.addresses.node().to_string());
        self.kubectl_with(&["apply", "--filename", "-"], &manifests)
            .await
            .check();
        let socket = self.world.path(containerd::SOCKET);
        wait::until_within(READY, "containerd", || async { socket.exists() }).await;
        self.load_archive(pause).await;
        let folder = self.cluster.folder();
        let admin = self.cluster.access();
        let (node, pods) = (self.addresses.node(), self.addresses.pods);
        let wanted = [
            controller_manager::part(folder, admin, credentials),
            scheduler::part(folder, admin, credentials),
            kubelet::part(
                folder,
                admin,
                credentials,
                node,
                self.addresses.dns(),
                self.cgroup.path(),
            ),
            proxy::part(folder, admin, credentials, node, pods),
            dns::part(folder, admin, credentials, node),
        ];
        for part in &wanted {
            self.parts.push(self.launcher.start(part).process);
        }
    }

    async fn until_ready(&self) {
        let nodes: Api<core::Node> = Api::all(self.client());
        wait::until_within(READY, "the node to be ready", || async {
            nodes
                .get(kubelet::NODE)
                .await
                .is_ok_and(|node| is_ready(&node))
        })
        .await;
        let accounts: Api<ServiceAccount> = Api::default_namespaced(self.client());
        wait::until_within(READY, "the default service account", || async {
            accounts.get("default").await.is_ok()
        })
        .await;
        let dns = self.addresses.node();
        wait::until_within(READY, "CoreDNS to be ready", || dns_is_ready(dns)).await;
        self.until_roles_are_filled().await;
    }

    /// The node's own address, from which the API server and the kubelet speak to pods.
    #[must_use]
    pub fn address(&self) -> Ipv4Addr {
        self.addresses.node()
    }

    /// Leaves the node running when this process ends.
    fn leave(self) {
        for part in self.parts {
            part.leave();
        }
        self.world.leave();
        self.cgroup.leave();
    }
}

/// The port of the API server.
const API_SERVER: u16 = 6443;

fn api_server(
    folder: &Path,
    credentials: &Credentials,
    etcd: &etcd::Keys,
    addresses: &Addresses,
) -> Part {
    let mut part = api_server::part(&api_server::Place {
        folder,
        credentials,
        etcd,
        address: addresses.node(),
        port: API_SERVER,
        services: addresses.services,
    });
    let client = credentials.client_files("kubelet-client", kubelet::ITS_CLIENT, None);
    part.arguments.extend([
        // By address: nobody knows the node's name, and exec, logs and port-forward would ask for it.
        "--kubelet-preferred-address-types=InternalIP".to_owned(),
        format!(
            "--kubelet-certificate-authority={}",
            credentials.authority_file().display()
        ),
        format!(
            "--kubelet-client-certificate={}",
            client.certificate.display()
        ),
        format!("--kubelet-client-key={}", client.key.display()),
    ]);
    part
}

fn is_ready(node: &core::Node) -> bool {
    let conditions = node
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|conditions| {
        conditions
            .iter()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True")
    })
}

async fn dns_is_ready(address: Ipv4Addr) -> bool {
    let Ok(mut stream) = TcpStream::connect((address, dns::READY_PORT)).await else {
        return false;
    };
    let request = "GET /ready HTTP/1.1\r\nHost: coredns\r\nConnection: close\r\n\r\n";
    let mut answer = String::new();
    stream.write_all(request.as_bytes()).await.is_ok()
        && stream.read_to_string(&mut answer).await.is_ok()
        && answer.starts_with("HTTP/1.1 200")
}
