//! One test's world: a database of its own, and a sidecar in front of it.

mod sessions;

use std::collections::BTreeMap;

use tokio_postgres::{Config, Error};

use crate::control_group::MemoryGroup;
use crate::policy::Policy;
use crate::postgres::{APP_ROLE, PASSWORD, Place, Server, admin};
use crate::refusal::Refusal;
use crate::session::{Session, connect};
use crate::sidecar::{Launch, Sidecar};
use crate::wait;
use crate::wire::Wire;

/// A database, the sidecar before it, and ways to both.
#[derive(Debug)]
pub struct Stage {
    /// The sidecar.
    pub sidecar: Sidecar,
    /// The database's name.
    pub database: String,
    pub(crate) place: Place,
}

/// A stage in the making.
#[derive(Debug)]
pub struct Setting<'a> {
    pub(crate) policy: Policy,
    pub(crate) server: &'a Server,
    upstream: Option<u16>,
    secrets: BTreeMap<String, String>,
    workers: u32,
    grace: &'static str,
    ready: bool,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    group: Option<MemoryGroup>,
}

impl Stage {
    /// A sidecar with `policy` before the shared server.
    pub async fn start(policy: Policy) -> Self {
        Self::with(policy).start().await
    }

    /// A stage that a test sets up further before it starts.
    #[must_use]
    pub fn with(policy: Policy) -> Setting<'static> {
        Self::on(Server::shared(), policy)
    }

    /// A stage before `server`.
    #[must_use]
    pub fn on(server: &Server, policy: Policy) -> Setting<'_> {
        let secrets = [
            ("db/username", APP_ROLE),
            ("db/password", PASSWORD),
            ("ca/ca.crt", Server::authority()),
        ];
        Setting {
            policy,
            server,
            upstream: None,
            secrets: secrets
                .into_iter()
                .map(|(name, text)| (name.to_owned(), text.to_owned()))
                .collect(),
            workers: 2,
            grace: "2s",
            ready: true,
            arguments: Vec::new(),
            variables: Vec::new(),
            group: None,
        }
    }

    /// A session of `user`, named by the start-up options.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn user(&self, user: &str) -> Session {
        let session = self.try_options(&format!("-c bulkhead.user={user}")).await;
        session.unwrap_or_else(|error| panic!("{user} is not let in: {error:?}"))
    }

    /// A session whose start-up options are `options`.
    ///
    /// # Errors
    /// What the sidecar answers.
    pub async fn try_options(&self, options: &str) -> Result<Session, Error> {
        connect(self.config().options(options)).await
    }

    /// A session of the PostgreSQL user `name`, without options.
    ///
    /// # Errors
    /// What the sidecar answers.
    pub async fn try_name(&self, name: &str) -> Result<Session, Error> {
        connect(self.config().user(name)).await
    }

    /// What a client without options is told as the PostgreSQL user `name`: at the login or by the first query, whichever needs the
    /// upstream.
    pub async fn first_refusal(&self, name: &str) -> Refusal {
        match self.try_name(name).await {
            Ok(session) => session.refused("SELECT 1").await,
            Err(error) => error.into(),
        }
    }

    /// What a tokio-postgres client needs to reach the sidecar as the application's role.
    #[must_use]
    pub fn config(&self) -> Config {
        let mut config = Config::new();
        config
            .host("127.0.0.1")
            .port(self.sidecar.port())
            .user(APP_ROLE)
            .dbname(&self.database);
        config
    }

    /// A connection to the sidecar on which nothing has been said yet.
    pub async fn wire(&self) -> Wire {
        Wire::tcp(self.sidecar.port()).await
    }

    /// A raw connection that is logged in as `user`.
    ///
    /// # Panics
    /// When it is refused.
    pub async fn wire_of(&self, user: &str) -> Wire {
        let mut wire = self.wire().await;
        wire.login(&[
            ("user", APP_ROLE),
            ("database", &self.database),
            ("options", &format!("-c bulkhead.user={user}")),
        ])
        .await
        .unwrap_or_else(|refusal| panic!("{user} is not let in: {refusal:?}"));
        wire
    }

    /// A session as superuser, past the sidecar.
    pub async fn admin(&self) -> Session {
        admin(&self.place, &self.database).await
    }

    /// Where the server is.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// How often a server connection has gone from one user to another.
    #[must_use]
    pub fn cross_user_handoffs(&self) -> f64 {
        self.sidecar
            .metric("bulkhead_cross_user_handoffs_total", &[])
    }

    /// Waits until the metric is `value` or more.
    pub async fn until_metric_at_least(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        wait::until(&format!("{name}{labels:?} >= {value}"), || async {
            self.sidecar.metric(name, labels) > value - 0.5
        })
        .await;
    }

    /// Waits until a metric has the value `value`.
    pub async fn until_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        wait::until(&format!("{name}{labels:?} = {value}"), || async {
            (self.sidecar.metric(name, labels) - value).abs() < 0.5
        })
        .await;
    }
}

impl Setting<'_> {
    /// Puts a file into the secrets folder, in place of one that may be there.
    #[must_use]
    pub fn secret(mut self, name: &str, text: &str) -> Self {
        self.secrets.insert(name.to_owned(), text.to_owned());
        self
    }

    /// Worker threads; two by default, so that hand-overs between them happen.
    #[must_use]
    pub fn workers(mut self, workers: u32) -> Self {
        self.workers = workers;
        self
    }

    /// How long SIGTERM waits for transactions.
    #[must_use]
    pub fn grace(mut self, grace: &'static str) -> Self {
        self.grace = grace;
        self
    }

    /// The upstream's port, instead of the server's.
    #[must_use]
    pub fn upstream(mut self, port: u16) -> Self {
        self.upstream = Some(port);
        self
    }

    /// Does not wait for `/readyz`: the upstream of this test cannot be reached.
    #[must_use]
    pub fn unready(mut self) -> Self {
        self.ready = false;
        self
    }

    /// A further flag of `run`, with its value.
    #[must_use]
    pub fn flag(mut self, name: &str, value: &str) -> Self {
        self.arguments.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// A variable of the sidecar's environment.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The control group in which the sidecar runs.
    #[must_use]
    pub fn in_group(mut self, group: &MemoryGroup) -> Self {
        self.group = Some(group.clone());
        self
    }

    /// How the sidecar is started.
    pub(crate) fn launch(&self) -> Launch {
        Launch {
            secrets: self.secrets.clone().into_iter().collect(),
            workers: self.workers,
            grace: self.grace,
            ready: self.ready,
            arguments: self.arguments.clone(),
            variables: self.variables.clone(),
            group: self.group.clone(),
        }
    }

    /// Starts it.
    pub async fn start(self) -> Stage {
        let database = self.server.database().await;
        self.start_for(database).await
    }

    /// Starts it for a database that is there already, as on a server that lets nobody in yet.
    pub async fn start_for(self, database: String) -> Stage {
        let place = self.server.place().clone();
        let launch = self.launch();
        let upstream = self.upstream.unwrap_or(place.port);
        Stage {
            sidecar: Sidecar::start_aside(self.policy, upstream, &database, launch).await,
            database,
            place,
        }
    }
}
