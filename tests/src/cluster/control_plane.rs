//! etcd, kube-apiserver and, where asked for, kube-controller-manager: all that a test needs that runs no pods.

mod api_server;
mod controller_manager;
mod etcd;
mod launch;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::sync::OnceCell;

use super::audit::{self, Asked};
use super::credentials::Credentials;
use super::kubeconfig::{Access, Proof};
use crate::processes::{Running, folder};
use crate::wait;
use api_server::ApiServer;
use etcd::Etcd;

/// The longest that a part may take to come up on a busy machine; it takes seconds on an idle one.
const READY: Duration = Duration::from_secs(90);

/// What a control plane is to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// The version whose behaviour the API server shows, such as `1.35`, which has no MutatingAdmissionPolicy; none for its own.
    pub emulated: Option<&'static str>,
    /// Whether kube-controller-manager runs: it fills the roles `view`, `edit` and `admin`, makes default service accounts,
    /// collects garbage and empties namespaces that are deleted.
    pub controller_manager: bool,
    /// More arguments of kube-apiserver.
    pub api_server: Vec<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            emulated: None,
            controller_manager: true,
            api_server: Vec::new(),
        }
    }
}

/// A control plane that runs.
#[derive(Debug)]
pub struct ControlPlane {
    folder: PathBuf,
    options: Options,
    access: Access,
    admin: kube::Config,
    kubeconfig: PathBuf,
    api_server: ApiServer,
    // In the order in which they end.
    controller_manager: Option<Running>,
    running: Mutex<Option<Running>>,
    _etcd: Etcd,
}

impl ControlPlane {
    /// Starts a control plane for one test, which may stop its API server.
    ///
    /// # Panics
    /// When a program is missing, or does not come up.
    pub async fn start() -> Self {
        Self::start_with(Options::default()).await
    }

    /// Starts a control plane as `options` say.
    ///
    /// # Panics
    /// When a program is missing, or does not come up.
    pub async fn start_with(options: Options) -> Self {
        let folder = folder("control-plane");
        let credentials = Credentials::new(folder.join("pki"));
        let etcd = Etcd::start(&folder);
        let (api_server, running) = ApiServer::start(&folder, &credentials, &etcd, &options).await;
        let access = Access {
            server: api_server.address(),
            authority: credentials.authority(),
            proof: Proof::Certificate(credentials.client("admin", Some("system:masters"))),
            act_as: None,
        };
        let mut this = Self {
            admin: access.config().await,
            kubeconfig: access.write(&folder.join("admin.kubeconfig")),
            folder,
            options,
            access,
            api_server,
            controller_manager: None,
            running: Mutex::new(Some(running)),
            _etcd: etcd,
        };
        if this.options.controller_manager {
            this.controller_manager = Some(controller_manager::start(
                &this.folder,
                &this.access,
                &credentials,
            ));
            this.roles_are_filled().await;
        }
        this
    }

    /// The control plane that all tests of this process share. Who stops its API server, or changes what is not in a namespace of
    /// their own, starts one for themselves.
    ///
    /// # Panics
    /// When a program is missing, or does not come up.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<ControlPlane> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    /// A client of the cluster's administrator. It belongs to the runtime that it is made in.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::try_from(self.admin.clone()).unwrap()
    }

    /// A client that acts as `user` in `groups`, with that user's rights alone.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[must_use]
    pub fn client_as(&self, user: &str, groups: &[&str]) -> Client {
        let mut config = self.admin.clone();
        config.auth_info.impersonate = Some(user.to_owned());
        config.auth_info.impersonate_groups =
            Some(groups.iter().map(|&group| group.to_owned()).collect());
        Client::try_from(config).unwrap()
    }

    /// The administrator's kubeconfig.
    #[must_use]
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A kubeconfig that acts as `user` in `groups`.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn kubeconfig_as(&self, user: &str, groups: &[&str]) -> PathBuf {
        let mut access = self.access.clone();
        access.act_as = Some((
            user.to_owned(),
            groups.iter().map(|&group| group.to_owned()).collect(),
        ));
        access.write(&self.scratch("kubeconfig"))
    }

    /// A kubeconfig with a token of a service account, as a pod of it would have; the account is made if it is not there.
    ///
    /// # Panics
    /// When the namespace does not exist.
    pub async fn service_account(&self, namespace: &str, name: &str) -> PathBuf {
        self.make_service_account(namespace, name).await;
        let token = self
            .kubectl(&["create", "token", "--namespace", namespace, name])
            .await
            .well();
        let mut access = self.access.clone();
        access.proof = Proof::Token(token.trim().to_owned());
        access.write(&self.scratch("kubeconfig"))
    }

    /// Makes a namespace of its own for a test, with `labels`, in which pods may be created at once.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn namespace(&self, labels: &[(&str, &str)]) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("test-{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(name.clone());
        namespace.metadata.labels = Some(
            labels
                .iter()
                .map(|&(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        );
        Api::all(self.client())
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
        // A pod is refused until its namespace has this account, which the controller manager makes in a while or never.
        self.make_service_account(&name, "default").await;
        name
    }

    async fn make_service_account(&self, namespace: &str, name: &str) {
        let mut account = ServiceAccount::default();
        account.metadata.name = Some(name.to_owned());
        let made = Api::namespaced(self.client(), namespace)
            .create(&PostParams::default(), &account)
            .await;
        match made {
            Ok(_) => {}
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => panic!("the service account {namespace}/{name}: {error}"),
        }
    }

    /// The requests that the API server has answered so far.
    #[must_use]
    pub fn audit_events(&self) -> Vec<Asked> {
        audit::read(&api_server::audit_log(&self.folder))
    }

    /// The files of this control plane: logs, credentials.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends the API server at once, as a crash would.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop_api_server(&self) {
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
    }

    /// Starts the API server again, at the address that it had, and waits until it is ready.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start_api_server(&self) {
        let running = self.api_server.start_again(&self.folder).await;
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(running);
    }

    /// Ends the API server as a crash would, and starts it again.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn restart_api_server(&self) {
        self.stop_api_server();
        self.start_api_server().await;
    }

    fn scratch(&self, name: &str) -> PathBuf {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        self.folder.join(format!("{name}-{count}"))
    }

    /// The role `edit` is made of others by the controller manager; a test with an editor's rights must not come before that.
    async fn roles_are_filled(&self) {
        let roles: Api<ClusterRole> = Api::all(self.client());
        wait::until_within(READY, "the rules of the role `edit`", || async {
            roles
                .get("edit")
                .await
                .is_ok_and(|role| role.rules.is_some_and(|rules| !rules.is_empty()))
        })
        .await;
    }
}
