//! One database entry of the policy on one worker: its revision in force and its lanes. How it is dialled is told in `dial`.

use std::cell::{Ref, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::audit::EntryTrail;
use crate::breaker::upstream::UpstreamBreaker;
use crate::breaker::users::UserBreakers;
use crate::factory::fairness::Limiter;
use crate::factory::key::{LaneName, Owner};
use crate::factory::lane::Lane;
use crate::factory::register::Register;
use crate::factory::steering::Steering;
use crate::force::DatabaseForce;
use crate::protocol::clickhouse::Knowledge;
use crate::protocol::postgres::session::greetings::Greetings;
use crate::protocol::redis::Catalogue;
use crate::telemetry::{ServerState, TimeoutKind, UpstreamMetrics, protocol_label};

/// Questions after an upstream's health that a worker passes on at one time.
const HEALTH_TURNS: usize = 8;

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
    /// What is recorded of it.
    pub trail: EntryTrail,
    /// What servers have told at their greeting, for clients that log in later.
    pub greetings: Greetings,
    /// What is known of servers of ClickHouse.
    pub knowledge: Knowledge,
    /// Who may ask after such an upstream's health: so many at one time.
    pub health_turns: Arc<Semaphore>,
    /// What users may be granted of a Redis server's commands.
    pub catalogue: Catalogue,
    /// The version that a Redis server has told last.
    version: RefCell<Option<Rc<str>>>,
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
            trail: EntryTrail::new(
                Arc::default(),
                protocol_label(force.settings.protocol),
                Arc::clone(&force.name),
            ),
            metrics,
            greetings: Greetings::default(),
            knowledge: Knowledge::default(),
            health_turns: Arc::new(Semaphore::new(HEALTH_TURNS)),
            catalogue: Catalogue::default(),
            version: RefCell::default(),
            force: RefCell::new(force),
            lanes: RefCell::default(),
        }
    }

    /// The same with an audit trail.
    #[must_use]
    pub fn recording(self, trail: EntryTrail) -> Self {
        Self { trail, ..self }
    }

    /// A timeout fired, in the work of this owner where it is anybody's: it is counted and recorded.
    pub fn timed_out(&self, kind: TimeoutKind, owner: Option<&Owner>) {
        self.metrics.timeout(kind);
        self.trail.timed_out(kind, owner.and_then(Owner::user));
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

    /// The version that its Redis server has told last; none before a connection was opened.
    #[must_use]
    pub fn version(&self) -> Option<Rc<str>> {
        self.version.borrow().clone()
    }

    /// Its Redis server has told its version.
    pub fn note_version(&self, version: Rc<str>) {
        *self.version.borrow_mut() = Some(version);
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
}
