//! A cluster as a test talks to it: clients, kubeconfigs, namespaces, and its audit log.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::api::rbac::v1::ClusterRole;
use kube::api::PostParams;
use kube::{Api, Client};

use super::READY;
use super::access::{Access, Proof};
use super::audit::{self, Asked};
use crate::wait;

/// A cluster that one can talk to.
#[derive(Debug)]
pub struct Cluster {
    folder: PathBuf,
    access: Access,
    admin: kube::Config,
    kubeconfig: PathBuf,
}

impl Cluster {
    /// The cluster to which `access` is the administrator's; its files go into `folder`.
    pub(super) async fn new(folder: PathBuf, access: Access) -> Self {
        Self {
            admin: access.config().await,
            kubeconfig: access.write(&folder.join("admin.kubeconfig")),
            folder,
            access,
        }
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

    /// How the administrator is let in.
    pub(super) fn access(&self) -> &Access {
        &self.access
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
        audit::read(&audit::log(&self.folder))
    }

    /// The files of this cluster: logs, credentials.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn scratch(&self, name: &str) -> PathBuf {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        self.folder.join(format!("{name}-{count}"))
    }

    /// The role `edit` is made of others by the controller manager; a test with an editor's rights must not come before that.
    pub(super) async fn until_roles_are_filled(&self) {
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
