//! One database entry of the policy on one worker: its revision in force, its lanes, and how it is dialled.

use std::cell::{Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_crds::kinds::Tier;
use bulkhead_crds::names;
use thiserror::Error;
use tokio::time::Instant;

use super::Worker;
use crate::breaker::upstream::{Dial, UpstreamBreaker};
use crate::breaker::users::UserBreakers;
use crate::breaker::{Refused, charge, seconds};
use crate::factory::fairness::{Limiter, Permit};
use crate::factory::key::{LaneName, Owner};
use crate::factory::lane::Lane;
use crate::factory::register::Register;
use crate::factory::server::{Server, Terms};
use crate::factory::steering::Steering;
use crate::force::DatabaseForce;
use crate::protocol::postgres::session::backend::Backend;
use crate::protocol::postgres::session::baseline::{Settings, Value};
use crate::protocol::postgres::session::greetings::Greetings;
use crate::relay::Inbox;
use crate::telemetry::{BreakerScope, ServerState, TimeoutKind, UpstreamMetrics};
use crate::upstream::{ConnectError, ConnectRequest};

/// A database entry on one worker.
#[derive(Debug)]
pub struct Entry {
    /// The limit of its upstream, shared by all workers.
    pub limiter: Arc<Limiter>,
    /// The breaker of its upstream, shared by all workers.
    pub breaker: Arc<UpstreamBreaker>,
    /// What operators have said about it, shared by all workers.
    pub steering: Arc<Steering>,
    /// Its server connections on this worker.
    pub servers: Rc<Register>,
    /// The breakers of its users on this worker.
    pub user_breakers: UserBreakers,
    /// Its metrics.
    pub metrics: Arc<UpstreamMetrics>,
    /// What servers have told at their greeting, for clients that log in later.
    pub greetings: Greetings,
    force: RefCell<Arc<DatabaseForce>>,
    lanes: RefCell<Vec<Rc<Lane>>>,
}

impl Entry {
    /// An entry without connections.
    #[must_use]
    pub fn new(
        force: Arc<DatabaseForce>,
        limiter: Arc<Limiter>,
        breaker: Arc<UpstreamBreaker>,
        steering: Arc<Steering>,
        metrics: Arc<UpstreamMetrics>,
    ) -> Self {
        Self {
            limiter,
            breaker,
            steering,
            servers: Rc::default(),
            user_breakers: UserBreakers::new(Arc::clone(&metrics)),
            metrics,
            greetings: Greetings::default(),
            force: RefCell::new(force),
            lanes: RefCell::default(),
        }
    }

    /// The revision in force.
    #[must_use]
    pub fn force(&self) -> Arc<DatabaseForce> {
        Arc::clone(&self.force.borrow())
    }

    /// The same without a share in it, for a moment: its count of owners is a cache line that all workers write to.
    #[must_use]
    pub fn force_now(&self) -> Ref<'_, Arc<DatabaseForce>> {
        self.force.borrow()
    }

    /// The epoch of the connections that may be used: those of another one are closed when nobody uses them.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch_under(&self.force.borrow())
    }

    /// The same under a revision that may be an older one.
    #[must_use]
    pub fn epoch_under(&self, force: &DatabaseForce) -> u64 {
        force.epoch + self.steering.reconnects()
    }

    /// Puts another revision in force, for new work.
    pub fn set_force(&self, force: Arc<DatabaseForce>) {
        if self.force.borrow().epoch != force.epoch {
            self.greetings.forget();
            self.breaker.forget();
        }
        *self.force.borrow_mut() = force;
    }

    /// The lane of this name.
    #[must_use]
    pub fn lane(&self, name: &LaneName) -> Rc<Lane> {
        let mut lanes = self.lanes.borrow_mut();
        if let Some(lane) = lanes.iter().find(|lane| lane.name == *name) {
            return Rc::clone(lane);
        }
        let lane = Rc::new(Lane::new(name.clone()));
        lanes.push(Rc::clone(&lane));
        lane
    }

    /// Whether any connection of the upstream's is idle, so far as this worker knows; it always knows of its own.
    #[must_use]
    pub fn may_have_idle(&self) -> bool {
        // The gauge never shows less than what this thread has added to it and not taken off.
        self.metrics.server_connections(ServerState::Idle).get() > 0
    }

    /// All lanes.
    #[must_use]
    pub fn lanes(&self) -> Vec<Rc<Lane>> {
        self.lanes.borrow().clone()
    }

    /// Opens a server connection: for `owner`, or a spare that has none yet.
    ///
    /// # Errors
    /// The dial's failure, that it took longer than `timeouts.connect`, or that the upstream's breaker refuses it.
    pub async fn dial(
        &self,
        worker: &Rc<Worker>,
        force: &DatabaseForce,
        lane: &Lane,
        owner: Option<&Owner>,
        permit: Permit,
    ) -> Result<Server, DialError> {
        let attempt = self.may_dial(force)?;
        // As it is now: what is opened while an operator asks for new connections is not one.
        let epoch = self.epoch_under(force);
        let connecting = Connecting::begin(&self.metrics);
        let (start, parameters) = start_parameters(force, owner);
        let request = ConnectRequest {
            database: &lane.name.database,
            role: &lane.name.role,
            parameters: &parameters,
        };
        let began = Instant::now();
        let deadline = began + force.settings.timeouts.connect;
        let established = force.connector.connect(&request, deadline).await;
        drop(connecting);
        let established = established.inspect_err(|error| {
            if matches!(error, ConnectError::DeadlineExceeded { .. }) {
                self.metrics.timeout(TimeoutKind::Connect);
            }
        });
        self.judge_dial(force, lane, attempt, established.as_ref().err());
        let established = established?;
        self.metrics
            .connect_seconds
            .observe(began.elapsed().as_secs_f64());
        let standby = established.in_hot_standby();
        let mut inbox = Inbox::new(worker.slab.clone());
        inbox.preload(&established.leftover);
        let backend = Backend::new(
            established.cancel,
            established.pid,
            Rc::new(start),
            established.parameters,
        );
        let LaneName { database, role } = &lane.name;
        if !self.greetings.knows_plain(database, role) {
            let reported = backend.reported().into();
            self.greetings.keep_plain(database, role, reported);
        }
        let lifetime = force.settings.timeouts.lifetime;
        let terms = Terms {
            expires: lifetime.map(|age| began + worker.jitter.shorten(age)),
            epoch,
            standby,
            standing: established.standing,
            wanted: force.settings.upstream.target_session_attrs,
        };
        let mut server = Server::new(
            established.stream,
            inbox,
            backend,
            permit,
            Arc::clone(&self.metrics),
            terms,
        );
        server.enter(&self.servers, &lane.name, Instant::now());
        Ok(server)
    }
}

impl Entry {
    /// Whether the upstream's breaker lets anybody dial: asked before a client waits for the right to it.
    ///
    /// # Errors
    /// It does not; in mode `Audit` that is only counted.
    pub fn look_at_breaker(&self, force: &DatabaseForce) -> Result<(), Broken> {
        let looked = self.breaker.look(&force.settings.breaker, Instant::now());
        looked.or_else(|refused| self.broken(force, refused))
    }

    fn may_dial(&self, force: &DatabaseForce) -> Result<Option<Dial<'_>>, Broken> {
        match self.breaker.dial(&force.settings.breaker, Instant::now()) {
            Ok(dial) => Ok(Some(dial)),
            Err(refused) => self.broken(force, refused).map(|()| None),
        }
    }

    fn broken(&self, force: &DatabaseForce, refused: Refused) -> Result<(), Broken> {
        self.metrics.breaker_refused(BreakerScope::Upstream);
        if force.enforces() {
            Err(Broken::new(force, refused))
        } else {
            Ok(())
        }
    }

    /// Tells the upstream's breaker how a dial has ended.
    fn judge_dial(
        &self,
        force: &DatabaseForce,
        lane: &Lane,
        attempt: Option<Dial<'_>>,
        error: Option<&ConnectError>,
    ) {
        let limits = &force.settings.breaker;
        match (attempt, error) {
            (Some(attempt), None) => attempt.succeeded(limits),
            (Some(attempt), Some(error))
                if charge::dial_is_upstreams(error, is_policys_own(force, lane)) =>
            {
                attempt.failed(limits, Instant::now());
            }
            _ => {}
        }
    }
}

/// Whether a lane's database and role are those that the policy names, where it names any.
fn is_policys_own(force: &DatabaseForce, lane: &Lane) -> bool {
    let database = force.settings.upstream.database.as_deref();
    database.is_none_or(|database| *database == *lane.name.database)
        && force
            .connector
            .role()
            .is_none_or(|role| *role == *lane.name.role)
}

/// Why a server connection was not opened.
#[derive(Clone, Debug, Error)]
pub enum DialError {
    /// The upstream could not be reached, or refused.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The upstream's breaker is open.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// The upstream's breaker refuses a dial.
#[derive(Clone, Debug, Error)]
#[error(
    "databases[{entry}].upstream is not dialled: {failures} attempts to reach it failed within {window}; try again in {} s",
    seconds(*.after)
)]
pub struct Broken {
    entry: Arc<str>,
    /// `breaker.failures` and `breaker.window`, with their values; the first with its origin.
    failures: String,
    window: String,
    /// After which time to try again.
    pub after: Duration,
}

impl Broken {
    fn new(force: &DatabaseForce, refused: Refused) -> Self {
        let (failures, window) = name_breaker(force);
        Self {
            entry: Arc::clone(&force.name),
            failures,
            window,
            after: refused.after,
        }
    }
}

/// `databases[main].breaker.failures = 5 (environment staging, from base)` and its window.
pub(crate) fn name_breaker(force: &DatabaseForce) -> (String, String) {
    let limits = &force.settings.breaker;
    let failures = force.name_field("breaker.failures", &limits.failures.to_string());
    (failures, names::Duration::from(limits.window).to_string())
}

/// What a connection is opened with: the policy's own parameters, and for an owner the user parameter, so that RESET goes
/// back to it.
fn start_parameters(
    force: &DatabaseForce,
    owner: Option<&Owner>,
) -> (Settings, Vec<(String, String)>) {
    let mut start = Settings::new();
    let mut parameters = Vec::new();
    let mut add = |name: &str, value: &str| {
        start.set(name, Value::Text(value.into()));
        parameters.push((name.to_owned(), value.to_owned()));
    };
    for (name, value) in force.server_parameters() {
        add(name, &value);
    }
    // In tier Reset the connection outlives its first owner, and RESET must not go back to them.
    let owner = owner.filter(|_| force.tier() != Tier::Reset);
    if let Some(user) = owner.and_then(Owner::user) {
        for name in force.user_parameters() {
            add(name, user.as_str());
        }
    }
    (start, parameters)
}

/// Shows one connection as being dialled while it lives.
struct Connecting<'a>(&'a UpstreamMetrics);

impl<'a> Connecting<'a> {
    fn begin(metrics: &'a UpstreamMetrics) -> Self {
        metrics.server_connections(ServerState::Connecting).inc();
        Self(metrics)
    }
}

impl Drop for Connecting<'_> {
    fn drop(&mut self) {
        self.0.server_connections(ServerState::Connecting).dec();
    }
}
