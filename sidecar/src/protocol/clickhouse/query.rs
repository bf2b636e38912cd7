//! One query on its user's worker: a seat among the user's, a server connection, and what becomes of both.

mod acquire;
pub(super) mod refusals;

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, Method, Response, StatusCode};
use http_body_util::Either;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::ask::{self, Knows};
use super::body::{Answer, Sent, own};
use super::converse::{Conversation, Outcome};
use super::error::{Code, Exception};
use super::parameters::Parameters;
use super::rewrite::{self, Account};
use super::settings;
use crate::audit::record::Canceller;
use crate::breaker::users::Attempt;
use crate::execution::ExecutionState;
use crate::factory::key::{FactoryKey, LaneName, Owner};
use crate::factory::parking::park;
use crate::factory::pool::Factory;
use crate::factory::server::Owned;
use crate::force::DatabaseForce;
use crate::identity::UserContext;
use crate::protocol::postgres::session::baseline::{Settings, Value};
use crate::random;
use crate::stream::Stream;
use crate::telemetry::ErrorClass;
use crate::work::Work;
use crate::worker::badge::Who;
use crate::worker::kills::Moment;
use crate::worker::{Entry, Handle, Joined, Worker};

/// A query on its way to the worker of its user: verified, and nothing of it sent.
#[derive(Debug)]
pub struct Asked {
    pub(super) entry: Arc<str>,
    pub(super) owner: Owner,
    pub(super) context: Option<UserContext>,
    /// When the client said who it is.
    pub(super) presented: Moment,
    /// The ClickHouse user that it names.
    pub(super) role: Option<String>,
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) parameters: Parameters,
    pub(super) headers: HeaderMap,
    pub(super) body: Sent,
    /// What the client calls itself.
    pub(super) application: String,
    pub(super) reply: oneshot::Sender<Response<Answer>>,
}

/// A query that has been let in.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) worker: Rc<Worker>,
    pub(super) entry: Rc<Entry>,
    /// The revision under which it began.
    pub(super) force: Arc<DatabaseForce>,
    pub(super) factory: Rc<Factory>,
    pub(super) handle: Rc<Handle>,
    slot: Option<usize>,
    /// The WebSocket that the work is for, where its context says so.
    pub(super) socket: Option<Joined>,
    context: Option<UserContext>,
    pub(super) work: Work,
    attempt: Attempt,
    pub(super) account: Account,
    /// The id under which the server knows it.
    pub(super) id: String,
    /// The client's own.
    pub(super) theirs: Option<Vec<u8>>,
}

/// Serves a query to its end.
pub async fn serve(worker: Rc<Worker>, asked: Box<Asked>) {
    let Some(entry) = worker.entry(&asked.entry) else {
        return;
    };
    match Query::open(&worker, &entry, &asked) {
        Ok(query) => Box::pin(query.run(*asked)).await,
        Err(error) => {
            entry.metrics.error(ErrorClass::Other);
            // Whoever has gone meanwhile need not hear of it.
            let _ = asked.reply.send(said(&error));
        }
    }
}

/// An error as an answer.
pub(super) fn said(error: &Exception) -> Response<Answer> {
    error.response().map(own)
}

impl Query {
    fn open(worker: &Rc<Worker>, entry: &Rc<Entry>, asked: &Asked) -> Result<Self, Exception> {
        let force = entry.force();
        let upstream = &force.settings.upstream;
        let named = force.connector.role().or_else(|| asked.role.clone());
        let own = rewrite::user_of(upstream, &asked.owner);
        let role = own.or(named).unwrap_or_else(|| "default".to_owned());
        let password = force.connector.password().map_err(|error| {
            Exception::new(Code::AuthenticationFailed, error.to_string())
                .with_status(StatusCode::SERVICE_UNAVAILABLE)
        })?;
        let account = Account::new(&role, password.as_ref().map(|password| password.expose()))?;
        let id = new_id()?;
        let lane = entry.lane(&LaneName {
            database: upstream.database.as_deref().unwrap_or_default().into(),
            role: role.into(),
        });
        let key = FactoryKey {
            policy: Arc::clone(&force.policy_key),
            upstream: Arc::clone(&force.name),
            database: Arc::clone(&lane.name.database),
            role: Arc::clone(&lane.name.role),
            owner: asked.owner.clone(),
        };
        let factory = worker
            .admit(entry, key)
            .map_err(|_| refusals::too_many_users(&force))?;
        factory.activity.note_application(&asked.application);
        let handle = Rc::new(Handle::default());
        let mut startup = Settings::new();
        startup.set(
            "application_name",
            Value::Text(asked.application.as_str().into()),
        );
        handle.badge.show(Who::Client {
            factory: Rc::clone(&factory),
            startup: Rc::new(startup),
        });
        let slot = worker.enter_session(Rc::clone(&handle));
        let context = asked.context.clone();
        worker.end_if_over(&handle, context.as_ref(), &asked.presented);
        let socket = context
            .as_ref()
            .and_then(|context| worker.join_socket(context, &handle));
        Ok(Self {
            worker: Rc::clone(worker),
            entry: Rc::clone(entry),
            factory,
            work: Work::new(&worker.process.metrics, &handle),
            handle,
            slot: Some(slot),
            socket,
            context,
            attempt: Attempt::default(),
            account,
            id,
            theirs: asked.parameters.first("query_id").map(<[u8]>::to_vec),
            force,
        })
    }

    async fn run(mut self, mut asked: Asked) {
        let handle = Rc::clone(&self.handle);
        let interrupted = poll_fn(|cx| handle.poll_interrupted(cx));
        let acquired = tokio::select! {
            biased;
            () = asked.reply.closed() => {
                self.work.end(ExecutionState::Cancelled);
                self.record_client_gone();
                return self.leave();
            }
            signal = interrupted => Err(self.ended_by(signal)),
            acquired = self.acquire() => acquired,
        };
        let (owned, knows) = match acquired {
            Ok(acquired) => acquired,
            Err(error) => {
                self.work.end(ExecutionState::Failed);
                self.refuse(&error, asked.reply);
                return self.leave();
            }
        };
        self.handle.badge.hold(None);
        self.factory.activity.last.set(Instant::now());
        let conversation = Conversation::new(&mut self, knows, asked);
        match conversation {
            Ok(conversation) => self.converse(owned, conversation).await,
            Err((error, reply)) => {
                self.work.end(ExecutionState::Failed);
                self.refuse(&error, reply);
                park(&self.entry, &self.factory, owned, Instant::now());
                self.leave();
            }
        }
    }

    async fn converse(mut self, mut owned: Owned, conversation: Conversation) {
        let began = Instant::now();
        let outcome = conversation.hold(&mut self, &mut owned, began).await;
        let took = began.elapsed().as_secs_f64();
        self.entry.metrics.query_seconds.observe(took);
        match outcome {
            Outcome::Whole { reusable } => {
                self.work.complete();
                self.factory.activity.count_transaction(Instant::now());
                let limits = &self.force.settings.breaker;
                self.entry.user_breakers.ended(&mut self.attempt, limits);
                let connect = self.force.settings.timeouts.connect;
                owned.server.note_ready(connect);
                if reusable {
                    park(&self.entry, &self.factory, owned, Instant::now());
                }
                self.leave();
            }
            Outcome::Abandoned(how) => {
                self.work.end(how);
                self.abandon(owned).await;
            }
            Outcome::Refused => {
                self.work.end(ExecutionState::Failed);
                drop(owned);
                self.leave();
            }
        }
    }

    /// The client has gone, which is how a query is cancelled over HTTP.
    pub(super) fn record_client_gone(&self) {
        let user = self.factory.key.owner.user();
        self.entry.trail.cancelled(Canceller::Client, user);
    }

    /// Has the server end what nobody waits for, and keeps the user's place for as long: what runs counts until it does not.
    async fn abandon(mut self, mut owned: Owned) {
        let at = owned
            .server
            .stream
            .tcp()
            .and_then(|tcp| tcp.peer_addr().ok());
        owned.server.stream = Stream::Gone;
        let errand = self.worker.errands.begin();
        // The session is over; what it has left behind is the errand's.
        self.leave_list();
        if let Err(error) = ask::kill(&self.force, at, &self.account, &self.id).await {
            tracing::debug!(upstream = %self.force.name, %error, "a query could not be ended");
        }
        drop(owned);
        drop(errand);
        self.leave();
    }

    fn leave_list(&mut self) {
        self.handle.badge.let_go();
        if let Some(slot) = self.slot.take() {
            self.worker.leave_session(slot);
        }
    }

    fn leave(mut self) {
        self.leave_list();
        self.worker.dismiss(&self.entry, &self.factory);
    }
}

/// An id that no client can guess, so that none can ask the server about another's query.
fn new_id() -> Result<String, Exception> {
    let mut bytes = [0; 16];
    random::fill(&mut bytes).map_err(|error| {
        Exception::new(
            Code::NotImplemented,
            format!("no query id can be made: {error}"),
        )
    })?;
    let number = u128::from_be_bytes(bytes);
    Ok(format!("bulkhead-{number:032x}"))
}

/// An answer that comes piece by piece.
pub(super) fn relayed(response: Response<super::body::Relayed>) -> Response<Answer> {
    response.map(Either::Left)
}

impl Query {
    /// What the query is given besides what its client asks for.
    pub(super) fn settings(&self, knows: Knows) -> settings::Given<'_> {
        let entry = &self.force.settings;
        let user = self.factory.key.owner.user();
        let user = entry.user_parameter.as_deref().zip(user);
        settings::Given {
            defaults: Some(&entry.parameters),
            fixed: self.force.enforces().then(|| fixed(&self.force)),
            user: user.map(|(name, user)| (name, user.as_str())),
            statement: entry.timeouts.statement,
            log_comment: self.theirs.as_deref().filter(|_| knows.log_comment),
        }
    }
}

/// What clients of this entry may not change.
pub(super) fn fixed(force: &DatabaseForce) -> settings::Fixed<'_> {
    settings::Fixed {
        names: &force.settings.fixed_parameters,
        user_parameter: force.settings.user_parameter.as_deref(),
    }
}
