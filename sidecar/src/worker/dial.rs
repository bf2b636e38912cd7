//! How a database entry's upstream is dialled: by its protocol, within `timeouts.connect`, and as its breaker lets it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bulkhead_crds::kinds::{Protocol, Tier};
use bulkhead_crds::names;
use thiserror::Error;
use tokio::time::Instant;

use super::{Entry, Worker};
use crate::breaker::upstream::Dial;
use crate::breaker::{Refused, charge, seconds};
use crate::factory::fairness::Permit;
use crate::factory::key::{LaneName, Owner};
use crate::factory::lane::Lane;
use crate::factory::server::{Server, Terms, Unasked};
use crate::force::DatabaseForce;
use crate::protocol::postgres::session::backend::Backend;
use crate::protocol::postgres::session::baseline::{Settings, Value};
use crate::protocol::redis::{self, Far};
use crate::relay::Inbox;
use crate::stream::Stream;
use crate::telemetry::{BreakerScope, ServerState, TimeoutKind, UpstreamMetrics};
use crate::upstream::{ConnectError, ConnectRequest, Standing};

/// A connection that has just been opened, and is ready for work.
struct Fresh {
    stream: Stream,
    /// What the server has said behind its greeting.
    leftover: Vec<u8>,
    backend: Backend,
    standing: Standing,
    standby: Option<bool>,
    unasked: Unasked,
    far: Far,
}

impl Entry {
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
        let began = Instant::now();
        let deadline = began + force.settings.timeouts.connect;
        let opened = self.open(force, lane, owner, deadline).await;
        drop(connecting);
        let opened = opened.inspect_err(|error| {
            if matches!(error, ConnectError::DeadlineExceeded { .. }) {
                self.timed_out(TimeoutKind::Connect, owner);
            }
        });
        self.judge_dial(force, lane, attempt, opened.as_ref().err());
        let fresh = opened?;
        self.metrics
            .connect_seconds
            .observe(began.elapsed().as_secs_f64());
        let mut inbox = Inbox::new(worker.slab.clone());
        inbox.preload(&fresh.leftover);
        let lifetime = force.settings.timeouts.lifetime;
        let terms = Terms {
            expires: lifetime.map(|age| began + worker.jitter.shorten(age)),
            epoch,
            standby: fresh.standby,
            standing: fresh.standing,
            wanted: force.settings.upstream.target_session_attrs,
            unasked: fresh.unasked,
            far: fresh.far,
        };
        let mut server = Server::new(
            fresh.stream,
            inbox,
            fresh.backend,
            permit,
            Arc::clone(&self.metrics),
            terms,
        );
        server.enter(&self.servers, &lane.name, Instant::now());
        Ok(server)
    }

    async fn open(
        &self,
        force: &DatabaseForce,
        lane: &Lane,
        owner: Option<&Owner>,
        deadline: Instant,
    ) -> Result<Fresh, ConnectError> {
        match force.settings.protocol {
            Protocol::PostgreSQL => self.open_postgres(force, lane, owner, deadline).await,
            Protocol::Redis => self.open_redis(force, lane, deadline).await,
            Protocol::ClickHouse => open_silent(force, deadline).await,
        }
    }

    async fn open_postgres(
        &self,
        force: &DatabaseForce,
        lane: &Lane,
        owner: Option<&Owner>,
        deadline: Instant,
    ) -> Result<Fresh, ConnectError> {
        let (start, parameters) = start_parameters(force, owner);
        let LaneName { database, role } = &lane.name;
        let request = ConnectRequest {
            database,
            role,
            parameters: &parameters,
        };
        let established = force.connector.connect(&request, deadline).await?;
        let standby = established.in_hot_standby();
        let backend = Backend::new(
            established.cancel,
            established.pid,
            Rc::new(start),
            established.parameters,
        );
        if !self.greetings.knows_plain(database, role) {
            let reported = backend.reported().into();
            self.greetings.keep_plain(database, role, reported);
        }
        Ok(Fresh {
            stream: established.stream,
            leftover: established.leftover,
            backend,
            standing: established.standing,
            standby,
            unasked: Unasked::Messages,
            far: Far::default(),
        })
    }

    async fn open_redis(
        &self,
        force: &DatabaseForce,
        lane: &Lane,
        deadline: Instant,
    ) -> Result<Fresh, ConnectError> {
        let mut fresh = open_silent(force, deadline).await?;
        let logged_in =
            redis::log_in(&force.connector, &lane.name, &mut fresh.stream, deadline).await;
        force.connector.note_outcome(logged_in.as_ref().map(drop));
        let logged_in = logged_in?;
        self.note_version(logged_in.version);
        fresh.far = logged_in.far;
        Ok(fresh)
    }
}

/// A connection of another protocol than PostgreSQL's, on which nothing has been said.
async fn open_silent(force: &DatabaseForce, deadline: Instant) -> Result<Fresh, ConnectError> {
    let opened = force.connector.open(deadline).await;
    force.connector.note_outcome(opened.as_ref().map(drop));
    let established = opened?;
    Ok(Fresh {
        stream: established.stream,
        leftover: Vec::new(),
        backend: Backend::none(),
        standing: established.standing,
        standby: None,
        unasked: Unasked::Nothing,
        far: Far::default(),
    })
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
