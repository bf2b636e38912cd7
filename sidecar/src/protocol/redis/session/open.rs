//! The beginning of a session on the worker of its user, and a client that says again who it is.

use std::rc::Rc;

use super::super::admission::{self, Admitted};
use super::super::arrival::say_error;
use super::super::client::Resp;
use super::super::codec::{Limits, RequestStep, RequestWalker};
use super::super::greeting::{self, Asked, Reply};
use super::super::plan::Isolation;
use super::super::versions::database_of;
use super::clocks::Clocks;
use super::pending::Pending;
use super::server::Reading;
use super::transaction::Transaction;
use super::{Ending, Session};
use crate::attribution::Counted;
use crate::breaker::users::Attempt;
use crate::deadline::LazyTimer;
use crate::factory::key::FactoryKey;
use crate::factory::pool::Factory;
use crate::force::DatabaseForce;
use crate::protocol::postgres::session::baseline::{Settings, Value};
use crate::relay::{Inbox, Outbox};
use crate::telemetry::ConnectionOutcome;
use crate::work::Work;
use crate::worker::badge::Who;
use crate::worker::{Handle, Worker};

/// Opens the session of an admitted client. `None` where it was refused; it has been told then.
pub(super) async fn open(worker: Rc<Worker>, admitted: Admitted) -> Option<Box<Session>> {
    let entry = worker.entry(&admitted.entry)?;
    let force = entry.force();
    let key = FactoryKey {
        policy: force.policy_key.clone(),
        upstream: force.name.clone(),
        database: database_of(&force).into(),
        role: admitted.role.as_str().into(),
        owner: admitted.owner.clone(),
    };
    let outcome = crate::admission::outcome(&admitted.owner);
    let mut stream = admitted.stream;
    let Ok(factory) = worker.admit(&entry, key) else {
        entry.metrics.connection(ConnectionOutcome::Limited);
        let max = force.policy.limits.max_users;
        let setting = force.policy.name_field("limits.maxUsers", max);
        let line = format!("ERR max number of users reached: {setting}");
        say_error(&mut stream, &line).await;
        return None;
    };
    let application = admitted.choices.application();
    factory.activity.note_application(&application);
    let mut startup = Settings::new();
    startup.set("application_name", Value::Text(application.as_str().into()));
    let handle = Rc::new(Handle::default());
    handle.badge.show(Who::Client {
        factory: Rc::clone(&factory),
        startup: Rc::new(startup),
    });
    let slot = worker.enter_session(Rc::clone(&handle));
    worker.end_if_over(&handle, admitted.context.as_ref(), &admitted.presented);
    let socket = admitted.context.as_ref();
    let socket = socket.and_then(|context| worker.join_socket(context, &handle));
    entry.metrics.clients.connections.inc();
    entry.metrics.connection(outcome);
    let mut inbox = Inbox::new(worker.slab.clone());
    inbox.preload(&admitted.unread);
    let isolation = isolation_of(&force, &factory);
    let metrics = &worker.process.metrics;
    let mut counted = Counted::new(metrics, &force, &application, admitted.claim);
    if let Some(counted) = &mut counted {
        counted.connection(admitted.context.is_some());
    }
    let mut session = Box::new(Session {
        slot,
        force,
        context: admitted.context,
        socket,
        client: stream,
        inbox,
        outbox: Outbox::new(worker.slab.clone()),
        walker: RequestWalker::new(Limits::SERVER),
        tail: None,
        isolation,
        choices: admitted.choices,
        server: None,
        pending: Pending::default(),
        reading: Reading::default(),
        transaction: Transaction::default(),
        stays: None,
        waits: None,
        crowded: false,
        clocks: Clocks::default(),
        work: Work::new(&worker.process.metrics, &handle),
        attempt: Attempt::default(),
        timer: LazyTimer::default(),
        turns: 0,
        draining: None,
        counted,
        worker,
        entry,
        factory,
        handle,
    });
    session.greet(admitted.reply).await;
    Some(session)
}

/// What keeps the user's keys from others'; nobody's work has no keys of its own.
pub(super) fn isolation_of(force: &DatabaseForce, factory: &Factory) -> Option<Isolation> {
    let (template, user) = (force.key_prefix.as_ref()?, factory.key.owner.user()?);
    Some(Isolation {
        prefix: template.prefix(user.as_str()),
        per_user: force.has_redis_users(),
    })
}

impl Session {
    /// Answers the command by which the client was admitted.
    async fn greet(&mut self, reply: Reply) {
        match reply {
            Reply::Nothing => {}
            Reply::Ok => self.say(b"+OK\r\n"),
            Reply::Hello => self.say_hello(self.choices.resp).await,
        }
    }

    async fn say_hello(&mut self, resp: Resp) {
        match greeting::hello(&self.worker, &self.entry, resp).await {
            Ok(bytes) => self.say(&bytes),
            Err(line) => self.say_error(&line),
        }
    }

    /// The client says again who it is, in a command that stands unread at the front; nothing is owed. The same user renews their login;
    /// whoever brings somebody else, or does not hold, begins again as nobody.
    ///
    /// # Errors
    /// The session's end.
    pub(super) async fn identify_again(&mut self) -> Result<(), Ending> {
        let Ok(RequestStep::Whole { len }) = self.walker.walk(self.inbox.bytes()) else {
            return Err(Ending::Renewed);
        };
        let command = self.walker.arguments(self.inbox.bytes());
        let Asked::Credentials(credentials) = greeting::read(&command, &self.choices) else {
            return Err(Ending::Renewed);
        };
        // What is held was made for another version of the protocol, or of the policy.
        let suits = credentials.choices.resp == self.choices.resp && self.is_isolated_as_before();
        if self.server.is_some() && !suits {
            return Err(Ending::Renewed);
        }
        let presented = self.worker.process.kills.now();
        self.renew_force();
        let live = &self.worker.process.live;
        let identified = admission::admit(&self.force, &credentials, live).await;
        let same = identified
            .ok()
            .filter(|it| it.owner == self.factory.key.owner);
        let Some(identified) = same else {
            return Err(Ending::Renewed);
        };
        // Who cannot be recorded is refused where whoever begins again is.
        let recorded = self.entry.trail.accepted(&identified.owner);
        recorded.map_err(|_| Ending::Renewed)?;
        self.inbox.consume(len);
        self.walker.next();
        if let Some(claim) = admission::claim(&credentials, identified.rejection.as_ref())
            && let Some(counted) = &mut self.counted
        {
            counted.claim(claim);
        }
        self.choices = credentials.choices;
        self.context = identified.context;
        let context = self.context.as_ref();
        self.socket = context.and_then(|context| self.worker.join_socket(context, &self.handle));
        self.worker
            .end_if_over(&self.handle, self.context.as_ref(), &presented);
        self.greet(credentials.reply).await;
        Ok(())
    }
}
