//! A sidecar of the suite's own, in this process, with the policy under proof: one database entry, ports of its own, and so few
//! server connections that two users meet on one if anything lets them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use aws_lc_rs::rand;
use bulkhead_crds::effective::{EffectiveDatabase, EffectivePolicy};
use bulkhead_crds::kinds::{
    AuthMode, IdentitySource, Mode, PoolMode, Protocol as Wire, RowLevelSecurity, Tier, TlsMode,
};
use thiserror::Error;
use tokio::sync::mpsc;

use super::cell::Pair;
use super::client::Caller;
use super::suite::Doors;
use crate::accept::{ListenError, Listener, Listeners};
use crate::force::{DatabaseForce, Force, ForceError};
use crate::policy::Accepted;
use crate::process::Process;
use crate::protocol::postgres::handshake::ClientAuth;
use crate::protocol::postgres::scram::ScramVerifier;
use crate::secrets::{SecretText, Secrets};
use crate::telemetry::{Metrics, MetricsError};
use crate::upstream::{Connector, Resolver, UpstreamError};
use crate::worker::mailbox::Letter;
use crate::worker::thread::{self, Start};

/// The two users. Neither is a placeholder, and neither is anybody.
const USERS: [&str; 2] = ["bulkhead-prove-a", "bulkhead-prove-b"];

/// How long a client waits for a server connection before it is told that there is none.
const ACQUIRE: Duration = Duration::from_millis(300);

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// The suite's sidecars. They end with [`Stage::end`].
pub struct Stage {
    running: Vec<Sidecar>,
    /// The ways to them.
    pub doors: Doors,
    /// What is set otherwise than the policy says.
    pub changed: Vec<String>,
}

struct Sidecar {
    process: Arc<Process>,
    threads: Vec<JoinHandle<()>>,
    database: Arc<DatabaseForce>,
    address: SocketAddr,
    password: SecretText,
}

/// Why there is no stage.
#[derive(Debug, Error)]
pub enum StageError {
    /// The policy has nothing that could be proven.
    #[error("{0}")]
    Policy(String),
    /// What the policy refers to.
    #[error(transparent)]
    Force(#[from] ForceError),
    /// A listener.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The metrics.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The way to the sidecar.
    #[error(transparent)]
    Way(#[from] UpstreamError),
    /// The operating system.
    #[error("the operating system refuses: {0}")]
    System(#[from] io::Error),
}

impl Stage {
    /// Starts the sidecars. `entry`: the database entry to prove; none: the first that speaks PostgreSQL.
    ///
    /// # Errors
    /// See [`StageError`].
    pub fn start(
        accepted: &Accepted,
        entry: Option<&str>,
        secrets: &Arc<Secrets>,
        resolver: &Resolver,
    ) -> Result<Self, StageError> {
        let database = entry_of(&accepted.policy, entry)?;
        let tight = Sidecar::start(accepted, database, 1, secrets, resolver)?;
        let roomy = Sidecar::start(accepted, database, 2, secrets, resolver)?;
        let doors = Doors {
            tight: tight.pair(secrets, resolver)?,
            roomy: Some(roomy.pair(secrets, resolver)?),
            held: database.pool.mode == PoolMode::Session,
            rests_on_reset: accepted.policy.isolation.tier == Tier::Reset,
        };
        Ok(Self {
            running: vec![tight, roomy],
            doors,
            changed: CHANGED.iter().map(|line| (*line).to_owned()).collect(),
        })
    }

    /// Server connections that went from one user to another.
    #[must_use]
    pub fn cross_user_handoffs(&self) -> u64 {
        let counted = self.running.iter().map(|sidecar| {
            let metrics = sidecar.process.upstream_metrics(&sidecar.database);
            metrics.cross_user_handoffs.get()
        });
        counted.sum()
    }

    /// Ends the sidecars, and waits for them.
    pub async fn end(self) {
        for sidecar in self.running {
            sidecar.process.send_all(|| Letter::Stop);
            let joined = tokio::task::spawn_blocking(move || {
                for thread in sidecar.threads {
                    // A worker that has panicked has told so itself.
                    let _ = thread.join();
                }
            });
            let _ = joined.await;
        }
    }
}

/// The entry that is to be proven.
///
/// # Errors
/// There is none, or not of this name.
pub fn entry_of<'a>(
    policy: &'a EffectivePolicy,
    wanted: Option<&str>,
) -> Result<&'a EffectiveDatabase, StageError> {
    let mut entries = policy
        .databases
        .iter()
        .filter(|entry| entry.protocol == Wire::PostgreSQL);
    let found = match wanted {
        Some(name) => entries.find(|entry| entry.name == name),
        None => entries.next(),
    };
    found.ok_or_else(|| {
        StageError::Policy(match wanted {
            Some(name) => {
                format!(
                    "--database {name}: the policy has no entry of this name that speaks PostgreSQL"
                )
            }
            None => "spec.databases: the policy has no entry that speaks PostgreSQL".to_owned(),
        })
    })
}

const CHANGED: [&str; 7] = [
    "identity.source = Trusted: two users of the suite's own, bulkhead-prove-a and bulkhead-prove-b",
    "listen: a port of loopback, guarded by a password of this run",
    "pool.perUser.max = 1",
    "pool.maxConnections = 1, and 2 in a second sidecar for what A keeps to itself",
    "pool.warm = 0",
    "timeouts.acquire = 300ms",
    "workers = 1",
];

/// The policy with what [`CHANGED`] says.
fn suited(
    policy: &EffectivePolicy,
    database: &EffectiveDatabase,
    connections: u32,
) -> EffectivePolicy {
    let mut policy = policy.clone();
    policy.mode = Mode::Enforce;
    policy.identity.source = IdentitySource::Trusted;
    policy.identity.trusted = None;
    policy.identity.in_sql = None;
    policy.web_sockets.clear();
    policy.limits.max_users = policy.limits.max_users.max(16);
    let mut entry = database.clone();
    entry.listen.address = Ipv4Addr::LOCALHOST.into();
    entry.listen.port = 0;
    entry.listen.socket = None;
    entry.listen.tls = None;
    entry.listen.tls_secret_ref = None;
    entry.listen.auth_mode = AuthMode::Trust;
    entry.pool.per_user_max = 1;
    entry.pool.max_connections = connections;
    entry.pool.warm = 0;
    entry.timeouts.acquire = ACQUIRE;
    // A user whose statements fail is what the suite is made of.
    entry.breaker.failures = u32::MAX;
    entry.row_level_security = RowLevelSecurity::Parameter;
    policy.databases = vec![entry];
    policy
}

impl Sidecar {
    fn start(
        accepted: &Accepted,
        database: &EffectiveDatabase,
        connections: u32,
        secrets: &Arc<Secrets>,
        resolver: &Resolver,
    ) -> Result<Self, StageError> {
        let policy = Arc::new(suited(&accepted.policy, database, connections));
        let id = Arc::clone(&accepted.id);
        let mut force = Force::build(id, &policy, secrets, resolver, None)?;
        let password = password()?;
        for entry in &mut force.databases {
            // Nobody else has it yet.
            if let Some(entry) = Arc::get_mut(entry) {
                entry.auth = ClientAuth::Scram(ScramVerifier::new(password.expose()));
            }
        }
        let Some(entry) = force.databases.first().map(Arc::clone) else {
            return Err(StageError::Policy("the policy has no database".to_owned()));
        };
        let force = Arc::new(force);
        let listeners = Listeners::open(&force)?;
        let place = listeners.all.first().map(Listener::place).transpose()?;
        let address = place.and_then(|place| place.parse().ok());
        let address = address.ok_or_else(|| io::Error::other("the listener has no address"))?;
        let (mailbox, receiver) = mpsc::unbounded_channel();
        let process = Arc::new(Process::new(Metrics::new()?, vec![mailbox]));
        let started = thread::start(Start {
            index: 0,
            process: Arc::clone(&process),
            force,
            listeners: listeners.all,
            mailbox: receiver,
        })?;
        Ok(Self {
            process,
            threads: vec![started],
            database: entry,
            address,
            password,
        })
    }

    fn pair(&self, secrets: &Arc<Secrets>, resolver: &Resolver) -> Result<Pair, StageError> {
        let upstream = &self.database.connector;
        let role = upstream.role().ok_or_else(|| {
            StageError::Policy(format!(
                "databases[{}].upstream.credentialsSecretRef: set it to a Secret with the keys username and password; without it nobody can be logged in",
                self.database.name
            ))
        })?;
        let mut way = self.database.settings.clone();
        way.upstream.host = self.address.ip().to_string();
        way.upstream.port = self.address.port();
        way.upstream.tls_mode = TlsMode::Disable;
        way.upstream.tls_ca_secret_ref = None;
        way.upstream.credentials_secret_ref = None;
        let connector = Connector::with_password(&way, self.password.clone(), secrets, resolver)?;
        let database = way.upstream.database.clone().unwrap_or_default();
        let [a, b] = USERS.map(|user| Caller {
            connector: connector.clone(),
            database: database.clone(),
            role: role.clone(),
            options: format!("-c bulkhead.user={user}"),
            patience: PATIENCE,
        });
        Ok(Pair { a, b })
    }
}

/// Text that nobody guesses.
fn password() -> io::Result<SecretText> {
    let mut secret = [0_u8; 32];
    rand::fill(&mut secret).map_err(|_| io::Error::other("no randomness"))?;
    let text: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(SecretText::from(text))
}
