//! What can happen in the model, and what must hold whenever it has.
//!
//! Clients and servers are the model's. What is between them is the sidecar's own code: sessions, pools, limits, checkouts,
//! hand-overs and cancels of one worker. What no client and no server brings about is made to happen as the worker's thread would.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use bulkhead_crds::kinds::{PoolMode, Tier};
use tokio::sync::oneshot;

use super::server::{Server, User};
use crate::protocol::postgres::message::CancelKey;
use crate::worker::fixtures::{Stage, query};

/// `timeouts.statement`.
const STATEMENT: Duration = Duration::from_secs(10);

/// How often time may pass in a story.
const WAITS: u32 = 2;

/// Which sidecar, and whose clients.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) tier: Tier,
    pub(super) mode: PoolMode,
    /// `pool.maxConnections`.
    pub(super) most: u32,
    /// A client for each of these.
    pub(super) users: &'static [User],
}

/// Something that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// A client says this.
    Say(usize, &'static str),
    /// A client asks for its statement to be cancelled, whatever it is.
    Cancel(usize),
    /// A client goes without a word.
    Vanish(usize),
    /// A server lets the sidecar in.
    Greet(usize),
    /// A server ends the statement that it runs.
    Answer(usize),
    /// A server dies.
    Die(usize),
    /// A cancel request reaches its server, which closes its connection.
    Deliver(usize),
    /// A cancel request's connection is reset, and the request is on its way still.
    Reset(usize),
    /// A request comes whose connection was reset, or given up. It comes once, as each does.
    DeliverLate(usize),
    /// Time passes: more than a statement may take, and more than a server may take to come back.
    Wait,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) user: User,
    pub(super) socket: Option<UnixStream>,
    pub(super) key: Option<CancelKey>,
    pub(super) heard: Vec<u8>,
    pub(super) said: u32,
    /// The statement that has not been answered.
    pub(super) owed: Option<u32>,
    /// Statements whose end it has asked for while they were owed.
    pub(super) cancelled: BTreeSet<u32>,
    pub(super) status: u8,
}

/// A cancel request that has been sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) way: Way,
    pub(super) server: usize,
    /// Whose statement it was sent for.
    pub(super) client: Option<usize>,
}

/// Where a cancel request is, and so what is known of it. A server may have several on their way at once, each of which hits it once.
#[derive(Debug)]
pub(super) enum Way {
    /// On its way, and its connection is open.
    Open(UnixStream),
    /// On its way, and lost sight of: its connection was reset, or nobody waits for its end any more, and then this is it.
    Lost(Option<UnixStream>),
    /// It has come after it was lost sight of, which nobody on the other side can know.
    Late,
    /// It has come, and its connection was closed.
    Over,
}

impl Request {
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.way, Way::Open(_))
    }

    pub(super) const fn is_lost(&self) -> bool {
        matches!(self.way, Way::Lost(_))
    }
}

pub(super) struct World {
    pub(super) setup: Setup,
    pub(super) stage: Stage,
    pub(super) clients: Vec<Client>,
    pub(super) servers: Vec<Server>,
    pub(super) requests: Vec<Request>,
    pub(super) deaths: u32,
    pub(super) waits: u32,
    /// What has happened, for who reads a failure.
    pub(super) story: Vec<Act>,
}

impl World {
    /// All clients have logged in, and nothing is under way.
    pub(super) async fn new(setup: Setup) -> Self {
        let stage = Stage::new(|policy| {
            policy.isolation.tier = setup.tier;
            let database = &mut policy.databases[0];
            database.pool.mode = setup.mode;
            database.pool.max_connections = setup.most;
            database.pool.per_user_max = 2;
            database.breaker.failures = 1000;
            database.timeouts.statement = Some(STATEMENT);
            database.timeouts.transaction = None;
            database.timeouts.idle_in_transaction = None;
            // Nobody gives up waiting by themselves.
            database.timeouts.acquire = Duration::from_secs(3600);
            database.timeouts.connect = Duration::from_secs(3600);
        });
        let mut world = Self {
            setup,
            stage,
            clients: Vec::new(),
            servers: Vec::new(),
            requests: Vec::new(),
            deaths: 0,
            waits: 0,
            story: Vec::new(),
        };
        for user in setup.users {
            let (peer, _) = world.stage.client(user);
            world.clients.push(Client {
                user,
                socket: Some(peer.into_socket()),
                key: None,
                heard: Vec::new(),
                said: 0,
                owed: None,
                cancelled: BTreeSet::new(),
                status: b'I',
            });
            world.pump().await;
            for at in 0..world.servers.len() {
                if !world.servers[at].greeted {
                    world.servers[at].greet();
                    world.pump().await;
                }
            }
            assert!(world.clients.last().unwrap().key.is_some(), "{user}");
        }
        world
    }

    /// What can happen now.
    pub(super) fn acts(&self) -> Vec<Act> {
        let mut acts = Vec::new();
        for (at, client) in self.clients.iter().enumerate() {
            if client.socket.is_none() {
                continue;
            }
            match (client.owed, client.status) {
                (Some(_), _) => acts.push(Act::Cancel(at)),
                (None, b'I') => acts.extend([Act::Say(at, "SELECT"), Act::Say(at, "BEGIN")]),
                (None, _) => acts.extend([Act::Say(at, "SELECT"), Act::Say(at, "COMMIT")]),
            }
            acts.push(Act::Vanish(at));
        }
        for (at, server) in self.servers.iter().enumerate() {
            if server.socket.is_none() {
                continue;
            }
            match (server.greeted, &server.running) {
                (false, _) => acts.push(Act::Greet(at)),
                (true, Some(_)) => acts.push(Act::Answer(at)),
                (true, None) => {}
            }
            acts.push(Act::Die(at));
        }
        for (at, request) in self.requests.iter().enumerate() {
            match request.way {
                Way::Open(_) => acts.extend([Act::Deliver(at), Act::Reset(at)]),
                Way::Lost(_) => acts.push(Act::DeliverLate(at)),
                Way::Late | Way::Over => {}
            }
        }
        let open = self.requests.iter().any(Request::is_open);
        let runs = self.servers.iter().any(|server| server.running.is_some());
        if self.waits < WAITS && (open || runs) {
            acts.push(Act::Wait);
        }
        acts
    }

    /// Has something happen, and everything that follows from it by itself.
    ///
    /// # Panics
    /// When something then is as it must not be.
    pub(super) async fn happen(&mut self, act: Act) {
        self.story.push(act);
        match act {
            Act::Say(client, what) => self.say(client, what),
            Act::Cancel(client) => self.cancel(client),
            Act::Vanish(client) => self.clients[client].socket = None,
            Act::Greet(server) => self.servers[server].greet(),
            Act::Answer(server) => self.servers[server].answer(),
            Act::Die(server) => self.die(server),
            Act::Deliver(request) => self.deliver(request),
            Act::Reset(request) => self.reset(request),
            Act::DeliverLate(request) => self.deliver_late(request),
            Act::Wait => self.wait().await,
        }
        self.pump().await;
        self.hold();
    }

    fn say(&mut self, at: usize, what: &'static str) {
        let client = &mut self.clients[at];
        client.said += 1;
        client.owed = Some(client.said);
        let text = match what {
            "SELECT" => format!("SELECT '{at}#{}'", client.said),
            other => format!("{other} /* '{at}#{}' */", client.said),
        };
        let mut socket = client.socket.as_ref().unwrap();
        socket.write_all(&query(&text)).unwrap();
    }

    fn cancel(&mut self, at: usize) {
        let client = &mut self.clients[at];
        client.cancelled.extend(client.owed);
        let key = client.key.as_ref().unwrap();
        let (canceller, _) = oneshot::channel();
        self.stage.worker.cancel(key, canceller);
    }

    fn die(&mut self, at: usize) {
        self.deaths += 1;
        self.servers[at].socket = None;
        self.servers[at].running = None;
    }

    /// A request hits what its server runs now, and that must be what it was sent for.
    fn deliver(&mut self, at: usize) {
        let request = &mut self.requests[at];
        let server = request.server;
        if let Way::Open(mut socket) = std::mem::replace(&mut request.way, Way::Over) {
            // Read to its end, so that closing is no reset.
            let _ = socket.read(&mut [0; 64]);
        }
        let Some(running) = self.servers[server].running.clone() else {
            return;
        };
        let wanted = running.by.is_some_and(|(client, number)| {
            let client = &self.clients[client];
            client.socket.is_none() || client.cancelled.contains(&number)
        });
        self.must(wanted, || {
            format!("a cancel hits {running:?}, of which nobody wants the end")
        });
        self.hit(server);
    }

    /// Whoever waits for the end of a cancel gives that up, and what runs is sent one.
    async fn wait(&mut self) {
        self.waits += 1;
        for request in &mut self.requests {
            request.way = match std::mem::replace(&mut request.way, Way::Over) {
                Way::Open(socket) => Way::Lost(Some(socket)),
                other => other,
            };
        }
        for running in self
            .servers
            .iter()
            .filter_map(|server| server.running.as_ref())
        {
            if let Some((client, number)) = running.by {
                self.clients[client].cancelled.insert(number);
            }
        }
        tokio::time::pause();
        tokio::time::advance(STATEMENT + Duration::from_secs(1)).await;
        tokio::time::resume();
    }

    fn reset(&mut self, at: usize) {
        // What it says has not been read whole, so the other side sees a reset.
        self.requests[at].way = Way::Lost(None);
    }

    fn deliver_late(&mut self, at: usize) {
        let request = &mut self.requests[at];
        let server = request.server;
        if let Way::Lost(socket) = std::mem::replace(&mut request.way, Way::Late) {
            drop(socket);
        }
        let Some(running) = self.servers[server].running.clone() else {
            return;
        };
        let own = running
            .by
            .is_none_or(|(client, _)| Some(client) == self.requests[at].client);
        self.must(own, || {
            format!("a late cancel hits {running:?}, which is another client's")
        });
        if let Some((client, number)) = running.by {
            // Nobody can say any more which of its client's statements it was for.
            self.clients[client].cancelled.insert(number);
        }
        self.hit(server);
    }

    fn hit(&mut self, server: usize) {
        if let Some(running) = &mut self.servers[server].running {
            running.cancelled = true;
        }
    }
}
