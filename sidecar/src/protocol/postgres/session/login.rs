//! The end of a login: the factory, what the server would have greeted with, the cancel key, and ready.
//!
//! In Transaction mode a login needs no server connection once one client with the same parameters has been greeted: what
//! the server said then is said again.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;

use bulkhead_crds::kinds::PoolMode;

use super::super::error_response::{ErrorResponse, Severity, SqlState};
use super::super::handshake::Login;
use super::super::message::{self, ParameterStatus, TransactionStatus};
use super::super::statement_text::Sets;
use super::aborted::Local;
use super::backend::Rest;
use super::baseline::{Settings, Value};
use super::clocks::Clocks;
use super::fixed::{fixed_error, note_fixed};
use super::greetings::Reported;
use super::hold::Hold;
use super::in_sql::InSql;
use super::statements::ClientStatements;
use super::{Ending, Session, cancel_key, finish, prepare};
use crate::breaker::users::Attempt;
use crate::deadline::LazyTimer;
use crate::execution::ExecutionState;
use crate::factory::key::{FactoryKey, LaneName, Owner};
use crate::factory::pool::Factory;
use crate::force::DatabaseForce;
use crate::protocol::postgres::admission::{Admitted, send_fatal};
use crate::relay::{Inbox, Outbox};
use crate::stream::Stream;
use crate::telemetry::ConnectionOutcome;
use crate::work::Work;
use crate::worker::badge::Who;
use crate::worker::kills::Moment;
use crate::worker::{Entry, Handle, Place, Worker};

/// Finishes the login of an admitted client. `None` where it was refused; it has been told then.
pub(super) async fn log_in(worker: Rc<Worker>, admitted: Box<Admitted>) -> Option<Box<Session>> {
    let entry = worker.entry(&admitted.entry)?;
    let metrics = Arc::clone(&entry.metrics);
    let outcome = admitted.outcome();
    match open(&worker, &entry, *admitted) {
        Ok(session) => {
            metrics.clients.connections.inc();
            let mut session = Box::new(session.register());
            match session.begin().await {
                Ok(()) => {
                    metrics.connection(outcome);
                    session.count_login();
                    Some(session)
                }
                Err(ending) => {
                    metrics.connection(ConnectionOutcome::Limited);
                    finish::finish(session, ending).await;
                    None
                }
            }
        }
        Err(refused) => {
            metrics.connection(ConnectionOutcome::Limited);
            send_fatal(refused.login.stream, &refused.error).await;
            None
        }
    }
}

/// A client that is refused after it has moved to its worker.
struct Refused {
    login: Login,
    error: ErrorResponse,
}

/// A session that is not in the worker's lists yet.
struct Unregistered {
    session: Session,
    protocol: message::ProtocolVersion,
    presented: Moment,
}

fn open(
    worker: &Rc<Worker>,
    entry: &Rc<Entry>,
    admitted: Admitted,
) -> Result<Unregistered, Box<Refused>> {
    let force = entry.force();
    let Admitted {
        login,
        owner,
        context,
        database,
        role,
        presented,
        claim,
        ..
    } = admitted;
    let baseline = match baseline_of(entry, &force, &login) {
        Ok(baseline) => baseline,
        Err(error) => return Err(Box::new(Refused { login, error })),
    };
    let factory = match factory_of(worker, entry, &force, owner, &database, role) {
        Ok(factory) => factory,
        Err(error) => return Err(Box::new(Refused { login, error })),
    };
    let protocol = login.protocol;
    let identified = context.is_some();
    let mut session = Session::new(worker, entry, factory, login.stream, Rc::new(baseline));
    session.context = context;
    session.in_sql = InSql::new(&force, identified, &session.baseline);
    session.counted = session.inventory(claim);
    Ok(Unregistered {
        session,
        protocol,
        presented,
    })
}

impl Session {
    /// A session of a client that has logged in with these settings, in nobody's list yet.
    pub(super) fn new(
        worker: &Rc<Worker>,
        entry: &Rc<Entry>,
        factory: Rc<Factory>,
        client: Stream,
        startup: Rc<Settings>,
    ) -> Self {
        let force = entry.force();
        let ledger = worker.ledger(&factory.key.owner);
        let handle = Rc::new(Handle::default());
        handle.badge.show(Who::Client {
            factory: Rc::clone(&factory),
            startup: Rc::clone(&startup),
        });
        if let Some(Value::Text(name)) = startup.get("application_name") {
            factory.activity.note_application(name);
        }
        Self {
            worker: Rc::clone(worker),
            entry: Rc::clone(entry),
            slot: 0,
            home: Place {
                worker: worker.index,
                slot: 0,
            },
            factory,
            context: None,
            in_sql: None,
            socket: None,
            client,
            inbox: Inbox::new(worker.slab.clone()),
            outbox: Outbox::new(worker.slab.clone()),
            rest: Rest::default(),
            hold: Hold::default(),
            server: None,
            mode: force.settings.pool.mode,
            force,
            pinned: false,
            parameters_pinned: false,
            reassert: false,
            statements: ClientStatements::in_ledger(ledger),
            bound: None,
            wanted: Rc::clone(&startup),
            baseline: Rc::clone(&startup),
            startup,
            assertion: None,
            local: Local::Normal,
            clocks: Clocks::default(),
            work: Work::new(&worker.process.metrics, &handle),
            handle,
            attempt: Attempt::default(),
            timer: LazyTimer::default(),
            turns: 0,
            lost_words: None,
            draining: None,
            counted: None,
        }
    }
}

impl Unregistered {
    fn register(self) -> Session {
        let mut session = self.session;
        let worker = Rc::clone(&session.worker);
        session.slot = worker.enter_session(Rc::clone(&session.handle));
        session.home.slot = session.slot;
        let context = session.context.as_ref();
        worker.end_if_over(&session.handle, context, &self.presented);
        session.socket = context.and_then(|context| worker.join_socket(context, &session.handle));
        if let Some(key) = cancel_key::make(worker.index, session.slot, self.protocol) {
            session.handle.set_key(key);
        }
        session
    }
}

impl Session {
    /// Greets the client, unless the session is told to end before that.
    ///
    /// # Errors
    /// The session's end.
    async fn begin(&mut self) -> Result<(), Ending> {
        let handle = Rc::clone(&self.handle);
        let ended = poll_fn(|cx| handle.poll_ended(cx));
        let signal = tokio::select! {
            biased;
            signal = ended => signal,
            greeted = self.greet() => return greeted.map_err(Ending::Fatal),
        };
        self.work.end(ExecutionState::Cancelled);
        Err(self.ended_by(signal))
    }

    /// Tells the client what a server would have told it.
    ///
    /// # Errors
    /// Why there is no server to ask, as a FATAL.
    async fn greet(&mut self) -> Result<(), Box<ErrorResponse>> {
        let baseline = Settings::clone(&self.baseline);
        self.wanted = Rc::new(Settings::new());
        self.set_baseline(baseline);
        let reported = self.reported().await.map_err(|error| {
            Box::new(ErrorResponse {
                severity: Severity::Fatal,
                ..*error
            })
        })?;
        message::authentication_ok(self.outbox.writer());
        self.report(&reported);
        if let Some(key) = self.handle.key() {
            key.write_backend_key_data(self.outbox.writer());
        }
        message::ready_for_query(TransactionStatus::Idle, self.outbox.writer());
        self.release_if_settled();
        if self.server.is_some() && !self.is_pinned() {
            // It has something to say yet, and work may begin on it before it goes back.
            self.assert_user_again();
        }
        Ok(())
    }

    /// Tells the client parameters that its server reports.
    pub(super) fn report(&mut self, reported: &Reported) {
        for (name, value) in reported.iter() {
            let status = ParameterStatus {
                name: name.as_bytes(),
                value: value.as_bytes(),
            };
            status.write(self.outbox.writer());
        }
    }

    /// What the server reports to a client with this baseline: remembered, or asked.
    async fn reported(&mut self) -> Result<Reported, Box<ErrorResponse>> {
        let transaction_mode = self.mode == PoolMode::Transaction;
        let key = Rc::clone(&self.factory.key);
        if transaction_mode
            && let Some((baseline, reported)) = self.entry.greetings.get(&key, &self.baseline)
        {
            self.startup = Rc::clone(&baseline);
            self.baseline = baseline;
            return Ok(reported);
        }
        self.acquire_for_greeting().await?;
        let reported: Reported = match &self.server {
            Some(owned) => owned.server.backend.reported().into(),
            None => Rc::default(),
        };
        self.entry.greetings.keep(&key, &self.baseline, &reported);
        Ok(reported)
    }
}

/// The parameters that a client has brought.
fn baseline_of(
    entry: &Entry,
    force: &DatabaseForce,
    login: &Login,
) -> Result<Settings, ErrorResponse> {
    if login.replication {
        return Err(ErrorResponse::fatal(
            SqlState::FEATURE_NOT_SUPPORTED,
            "replication connections do not pass through the sidecar",
        )
        .with_hint("Connect a replication client to the server itself, with a role of its own."));
    }
    let mut baseline = Settings::new();
    for (name, value) in &login.parameters {
        if force.names_fixed(name) {
            note_fixed(entry);
        }
        if force.fixes(name) {
            return Err(ErrorResponse {
                severity: Severity::Fatal,
                ..fixed_error(force, &Sets::Parameter(name.clone()))
            });
        }
        if !prepare::may_be_baseline(force, name) {
            return Err(ErrorResponse::fatal(
                SqlState::INVALID_PARAMETER_VALUE,
                format!("the parameter \"{name}\" cannot be set at start-up"),
            )
            .with_hint("The sidecar sets it, or it would change whose session this is."));
        }
        baseline.set(name, Value::Text(value.as_str().into()));
    }
    Ok(baseline)
}

fn factory_of(
    worker: &Rc<Worker>,
    entry: &Rc<Entry>,
    force: &DatabaseForce,
    owner: Owner,
    database: &str,
    role: String,
) -> Result<Rc<Factory>, ErrorResponse> {
    // The lane's own texts, which all of its clients share.
    let lane = entry.lane(&LaneName {
        database: database.into(),
        role: role.into(),
    });
    let key = FactoryKey {
        policy: Arc::clone(&force.policy_key),
        upstream: Arc::clone(&force.name),
        database: Arc::clone(&lane.name.database),
        role: Arc::clone(&lane.name.role),
        owner,
    };
    worker.admit(entry, key).map_err(|_| ErrorResponse {
        severity: Severity::Fatal,
        ..too_many_users(force)
    })
}

/// `limits.maxUsers` is reached.
pub(super) fn too_many_users(force: &DatabaseForce) -> ErrorResponse {
    let policy = &force.policy;
    let limit = policy.name_field("limits.maxUsers", policy.limits.max_users);
    ErrorResponse::error(
        SqlState::TOO_MANY_CONNECTIONS,
        format!("{limit} users are connected"),
    )
    .with_hint("Raise limits.maxUsers in the policy, or let idle users disconnect.")
}
