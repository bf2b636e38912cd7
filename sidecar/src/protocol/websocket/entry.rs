//! One WebSocket entry of the policy on one worker: its revision in force, and the sockets of each user who lives here.

use std::cell::{Ref, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use super::http::Application;
use super::user::UserSockets;
use crate::audit::EntryTrail;
use crate::force::WebSocketForce;
use crate::identity::UserId;
use crate::telemetry::{SocketMetrics, TimeoutKind};

/// A WebSocket entry on one worker.
#[derive(Debug)]
pub struct SocketEntry {
    /// What is recorded of it.
    pub trail: EntryTrail,
    /// Its metrics.
    pub metrics: Arc<SocketMetrics>,
    application: RefCell<Rc<Application>>,
    force: RefCell<Arc<WebSocketForce>>,
    users: RefCell<HashMap<UserId, Rc<UserSockets>, foldhash::fast::RandomState>>,
}

impl SocketEntry {
    /// An entry without sockets.
    #[must_use]
    pub fn new(force: Arc<WebSocketForce>, metrics: Arc<SocketMetrics>) -> Self {
        metrics.expect_events(force.events.names());
        Self {
            trail: EntryTrail::of_socket(Arc::default(), Arc::clone(&force.name)),
            application: RefCell::new(Rc::new(Application::new(force.settings.upstream_port))),
            metrics,
            force: RefCell::new(force),
            users: RefCell::default(),
        }
    }

    /// The same with an audit trail.
    #[must_use]
    pub fn recording(self, trail: EntryTrail) -> Self {
        Self { trail, ..self }
    }

    /// A timeout fired, for this user where that is known: it is counted and recorded.
    pub fn timed_out(&self, kind: TimeoutKind, user: Option<&UserId>) {
        self.metrics.clients.timeout(kind);
        self.trail.timed_out(kind, user);
    }

    /// The way to the application.
    #[must_use]
    pub fn application(&self) -> Rc<Application> {
        Rc::clone(&self.application.borrow())
    }

    /// The revision in force.
    #[must_use]
    pub fn force(&self) -> Arc<WebSocketForce> {
        Arc::clone(&self.force.borrow())
    }

    /// The same without a share in it, for a moment.
    #[must_use]
    pub fn force_now(&self) -> Ref<'_, Arc<WebSocketForce>> {
        self.force.borrow()
    }

    /// Puts another revision in force, for new sockets and for the limits of those that are open.
    pub fn set_force(&self, force: Arc<WebSocketForce>) {
        let port = force.settings.upstream_port;
        if self.application().port() != port {
            *self.application.borrow_mut() = Rc::new(Application::new(port));
        }
        self.metrics.expect_events(force.events.names());
        *self.force.borrow_mut() = force;
    }

    /// What a user has here, made on first use.
    #[must_use]
    pub fn user(&self, user: &UserId) -> Rc<UserSockets> {
        let mut users = self.users.borrow_mut();
        if let Some(known) = users.get(user) {
            return Rc::clone(known);
        }
        let made = Rc::new(UserSockets::default());
        users.insert(user.clone(), Rc::clone(&made));
        made
    }

    /// What a user has here, if anything.
    #[must_use]
    pub fn known(&self, user: &UserId) -> Option<Rc<UserSockets>> {
        self.users.borrow().get(user).map(Rc::clone)
    }

    /// Shows what each user has here, in no order.
    pub fn each_user(&self, mut show: impl FnMut(&UserId, &Rc<UserSockets>)) {
        let users = self.users.borrow();
        users.iter().for_each(|(user, sockets)| show(user, sockets));
    }

    /// Forgets a user who has nothing here any more.
    pub fn release(&self, user: &UserId) {
        let mut users = self.users.borrow_mut();
        if users.get(user).is_some_and(|sockets| sockets.is_unused()) {
            users.remove(user);
        }
    }
}
