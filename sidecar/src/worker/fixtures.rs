//! A worker with one database entry, and both ends of its sockets, for the tests of the engine's rooms.
//!
//! The upstream is a Unix socket on which the test itself plays the server, message by message.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use bulkhead_crds::effective::{EffectiveDatabase, EffectivePolicy};
use bulkhead_crds::kinds::TlsMode;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, timeout};

use super::kills::Moment;
use super::mailbox::Receiver;
use super::{Entry, Worker};
use crate::factory::fairness::Permit;
use crate::factory::key::{FactoryKey, Owner};
use crate::factory::pool::Factory;
use crate::factory::server::{Owned, Server, Spare, Terms};
use crate::force::{DatabaseForce, Force};
use crate::identity::{Issuer, Presented, UserContext, UserId, Verifier};
use crate::policy::fixtures;
use crate::process::Process;
use crate::protocol::postgres::admission::Admitted;
use crate::protocol::postgres::handshake::{Login, ProtocolVersion};
use crate::protocol::postgres::session::backend::Backend;
use crate::protocol::postgres::session::{self, baseline::Settings};
use crate::relay::Inbox;
use crate::secrets::Secrets;
use crate::stream::Stream;
use crate::telemetry::Metrics;
use crate::upstream::Resolver;

/// How long a test waits for what must come; only a test that fails waits that long.
const PATIENCE: Duration = Duration::from_secs(20);

/// The Secret `signing`: one key, of 32 sevens.
const SIGNING_KEYS: &str = "k BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

/// The code of a cancel request, where a startup message has its version.
const CANCEL_CODE: u32 = 80_877_102;

/// A worker (the first of as many as asked for) and its upstream.
pub(crate) struct Stage {
    pub(crate) worker: Rc<Worker>,
    pub(crate) entry: Rc<Entry>,
    pub(crate) process: Arc<Process>,
    /// The mailboxes of all workers.
    pub(crate) mailboxes: Vec<Receiver>,
    policy: EffectivePolicy,
    listener: UnixListener,
    directory: TempDir,
}

/// One end of a connection that speaks PostgreSQL's protocol by hand.
pub(crate) struct Peer(UnixStream);

/// What came to the upstream.
pub(crate) enum Arrival {
    Startup(Peer),
    Cancel(UnixStream),
}

impl Stage {
    /// One worker, whose database is as `change` leaves it.
    pub(crate) fn new(change: impl FnOnce(&mut EffectivePolicy)) -> Self {
        Self::of_workers(1, change)
    }

    pub(crate) fn of_workers(count: usize, change: impl FnOnce(&mut EffectivePolicy)) -> Self {
        let directory = TempDir::new().unwrap();
        let listener = UnixListener::bind(directory.path().join(".s.PGSQL.5432")).unwrap();
        let mut database = fixtures::database("main", 5432);
        database.upstream.host = directory.path().to_str().unwrap().to_owned();
        database.upstream.tls_mode = TlsMode::Disable;
        let mut policy = fixtures::policy(vec![database]);
        change(&mut policy);
        let force = build(&policy, &directory, None);
        let (senders, mailboxes) = (0..count).map(|_| mpsc::unbounded_channel()).unzip();
        let process = Arc::new(Process::new(Metrics::new().unwrap(), senders));
        let worker = Rc::new(Worker::new(0, Arc::clone(&process)));
        let database = Arc::clone(&force.databases[0]);
        let entry = Rc::new(Entry::new(
            Arc::clone(&database),
            process.limiter(&database),
            process.breaker(&database),
            process.steering(&database.name),
            process.upstream_metrics(&database),
        ));
        worker.add_entry(Rc::clone(&entry));
        Self {
            worker,
            entry,
            process,
            mailboxes,
            policy,
            listener,
            directory,
        }
    }

    /// Another worker of the same process, on this thread, with the same database.
    pub(crate) fn neighbour(&self, index: usize) -> (Rc<Worker>, Rc<Entry>) {
        let worker = Rc::new(Worker::new(index, Arc::clone(&self.process)));
        let force = self.entry.force();
        let entry = Rc::new(Entry::new(
            Arc::clone(&force),
            self.process.limiter(&force),
            self.process.breaker(&force),
            self.process.steering(&force.name),
            self.process.upstream_metrics(&force),
        ));
        worker.add_entry(Rc::clone(&entry));
        (worker, entry)
    }

    /// The revision after this one, in which the database is as `change` leaves it.
    pub(crate) fn next_force(
        &self,
        change: impl FnOnce(&mut EffectiveDatabase),
    ) -> Arc<DatabaseForce> {
        self.next_policy(|policy| change(&mut policy.databases[0]))
    }

    /// The revision after this one, in which the policy is as `change` leaves it.
    pub(crate) fn next_policy(
        &self,
        change: impl FnOnce(&mut EffectivePolicy),
    ) -> Arc<DatabaseForce> {
        let mut policy = self.policy.clone();
        change(&mut policy);
        let before = Force {
            revision: "1".into(),
            policy: Arc::new(self.policy.clone()),
            issuer: None,
            resume_keys: None,
            verifier: Arc::clone(&self.entry.force().verifier),
            databases: vec![self.entry.force()],
            web_sockets: Vec::new(),
        };
        Arc::clone(&build(&policy, &self.directory, Some(&before)).databases[0])
    }

    /// The key of a user's factory.
    pub(crate) fn key(&self, user: &str) -> FactoryKey {
        let force = self.entry.force();
        FactoryKey {
            policy: Arc::clone(&force.policy_key),
            upstream: Arc::clone(&force.name),
            database: "app".into(),
            role: "app".into(),
            owner: owner(user),
        }
    }

    /// A user's factory.
    pub(crate) fn factory(&self, user: &str) -> Rc<Factory> {
        self.worker.factory(&self.entry, self.key(user))
    }

    /// A server connection that nobody has used, and the server's end of it.
    pub(crate) fn server(&self) -> (Server, Peer) {
        let permit = self.entry.limiter.try_acquire(None).unwrap();
        self.server_with(permit)
    }

    pub(crate) fn server_with(&self, permit: Permit) -> (Server, Peer) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let start = Rc::new(Settings::new());
        let server = Server::new(
            Stream::unix(ours).unwrap(),
            Inbox::new(self.worker.slab.clone()),
            Backend::new(None, None, start, Vec::new()),
            permit,
            Arc::clone(&self.entry.metrics),
            Terms {
                epoch: self.entry.force().epoch,
                ..Terms::default()
            },
        );
        (server, Peer(theirs))
    }

    /// A connection of this factory's owner.
    pub(crate) fn owned(&self, factory: &Factory) -> (Owned, Peer) {
        let (server, peer) = self.server();
        let seat = factory.try_seat().unwrap();
        let owned = Spare::new(server).claim(&factory.key, seat, &factory.holder);
        (owned, peer)
    }

    /// A client of this user's, as it stands after its login.
    pub(crate) fn client(&self, user: &str) -> (Peer, JoinHandle<()>) {
        self.client_with(user, None)
    }

    /// A socket of this user's that is open.
    pub(crate) fn open_socket(&self, user: &str) -> Arc<str> {
        self.worker
            .open_socket(&UserId::parse(user).unwrap())
            .unwrap()
    }

    /// The time of day.
    pub(crate) fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    /// The same as [`Self::client`], with the context token that a socket was given when it was opened.
    pub(crate) fn client_of_socket(
        &self,
        user: &str,
        socket: &str,
        opened: SystemTime,
    ) -> (Peer, JoinHandle<()>) {
        let secrets = Secrets::new(None);
        let issuer = Issuer::new(&self.policy, &secrets).unwrap();
        let verifier = Verifier::new(&self.policy, &secrets, Some(&issuer)).unwrap();
        let bare = Presented {
            token: None,
            user: Some(user),
        };
        let trusted = verifier.verify_now(&bare, opened).unwrap();
        let token = issuer.issue(&trusted, Some(socket), opened).unwrap();
        let signed = Presented {
            token: Some(&token),
            user: None,
        };
        let context = verifier.verify_now(&signed, opened).unwrap();
        self.client_with(user, Some(context))
    }

    fn client_with(&self, user: &str, context: Option<UserContext>) -> (Peer, JoinHandle<()>) {
        self.client_since(user, context, self.worker.process.kills.now())
    }

    /// A client that has said who it is at this moment, and comes to the user's worker now.
    pub(crate) fn client_since(
        &self,
        user: &str,
        context: Option<UserContext>,
        presented: Moment,
    ) -> (Peer, JoinHandle<()>) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let admitted = Box::new(Admitted {
            entry: Arc::clone(&self.entry.force().name),
            login: login(Stream::unix(ours).unwrap()),
            database: "app".to_owned(),
            owner: owner(user),
            context,
            role: "app".to_owned(),
            presented,
            claim: None,
        });
        let task = spawn_local(session::serve(Rc::clone(&self.worker), admitted));
        (Peer(theirs), task)
    }

    /// A client that has been greeted, and the server connection that was dialled for it.
    pub(crate) async fn greeted(&self, user: &str) -> (Peer, Peer) {
        let (mut client, _) = self.client(user);
        let server = self.accept().await;
        client.expect("RZ", Some("Z")).await;
        (client, server)
    }

    /// The next connection to the upstream, greeted as a server does.
    pub(crate) async fn accept(&self) -> Peer {
        match self.arrival().await {
            Arrival::Startup(peer) => peer,
            Arrival::Cancel(_) => panic!("a cancel request came where a client should"),
        }
    }

    /// A connection to the upstream that is there and has not been looked at, if there is one.
    pub(crate) fn arrived(&self) -> Option<std::os::unix::net::UnixStream> {
        let mut cx = Context::from_waker(Waker::noop());
        match self.listener.poll_accept(&mut cx) {
            Poll::Ready(Ok((socket, _))) => Some(socket.into_std().unwrap()),
            _ => None,
        }
    }

    /// The next cancel request; the sidecar waits until it is dropped.
    pub(crate) async fn cancel_request(&self) -> UnixStream {
        match self.arrival().await {
            Arrival::Cancel(socket) => socket,
            Arrival::Startup(_) => panic!("a client came where a cancel request should"),
        }
    }

    async fn arrival(&self) -> Arrival {
        let (mut socket, _) = within(self.listener.accept()).await.unwrap();
        let length = within(socket.read_u32()).await.unwrap() as usize;
        let mut body = vec![0; length - 4];
        within(socket.read_exact(&mut body)).await.unwrap();
        if body[..4] == CANCEL_CODE.to_be_bytes() {
            return Arrival::Cancel(socket);
        }
        let mut peer = Peer(socket);
        peer.send(&[
            message(b'R', &[0; 4]),
            message(b'K', &[0, 0, 0, 7, 1, 2, 3, 4]),
            ready(b'I'),
        ])
        .await;
        Arrival::Startup(peer)
    }
}

impl Peer {
    /// The socket, which does not block and is read without the runtime.
    pub(crate) fn into_socket(self) -> std::os::unix::net::UnixStream {
        self.0.into_std().unwrap()
    }

    /// Sends these at once.
    pub(crate) async fn send(&mut self, messages: &[Vec<u8>]) {
        within(self.0.write_all(&messages.concat())).await.unwrap();
    }

    /// The next message.
    pub(crate) async fn next(&mut self) -> (char, Vec<u8>) {
        let tag = within(self.0.read_u8())
            .await
            .expect("the other side is there");
        let length = within(self.0.read_u32()).await.unwrap() as usize;
        let mut body = vec![0; length - 4];
        within(self.0.read_exact(&mut body)).await.unwrap();
        (tag.into(), body)
    }

    /// Reads messages whose tags are these; `until` reads on to that tag instead. Gives the last body.
    pub(crate) async fn expect(&mut self, tags: &str, until: Option<&str>) -> Vec<u8> {
        let mut last = Vec::new();
        if let Some(until) = until {
            loop {
                let (tag, body) = self.next().await;
                if until.contains(tag) {
                    return body;
                }
            }
        }
        for expected in tags.chars() {
            let (tag, body) = self.next().await;
            assert_eq!(tag, expected, "{:?}", String::from_utf8_lossy(&body));
            last = body;
        }
        last
    }

    /// Whether nothing has come that was not read.
    pub(crate) fn has_heard_nothing(&self) -> bool {
        self.0.try_read(&mut [0]).is_err()
    }

    /// What comes until the other side closes.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        within(self.0.read_to_end(&mut rest)).await.unwrap();
        rest
    }

    /// Whether the other side has closed; what it still says is read.
    pub(crate) async fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        timeout(PATIENCE, self.0.read_to_end(&mut rest))
            .await
            .is_ok()
    }
}

pub(crate) fn owner(user: &str) -> Owner {
    match user {
        "" => Owner::Shared,
        user => Owner::User(UserId::parse(user).unwrap()),
    }
}

pub(crate) fn login(stream: Stream) -> Login {
    Login {
        stream,
        end_point: None,
        protocol: ProtocolVersion::from_code(3 << 16),
        user: "app".to_owned(),
        database: "app".to_owned(),
        parameters: Vec::new(),
        context_token: None,
        asserted_user: None,
        replication: false,
    }
}

pub(crate) fn message(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend(body);
    bytes
}

pub(crate) fn parse(name: &str, text: &str) -> Vec<u8> {
    let body = [name.as_bytes(), &[0], text.as_bytes(), &[0, 0, 0]].concat();
    message(b'P', &body)
}

pub(crate) fn bind(statement: &str) -> Vec<u8> {
    let body = [&[0], statement.as_bytes(), &[0, 0, 0, 0, 0, 0, 0]].concat();
    message(b'B', &body)
}

pub(crate) fn execute() -> Vec<u8> {
    message(b'E', &[0; 5])
}

pub(crate) fn sync() -> Vec<u8> {
    message(b'S', &[])
}

pub(crate) fn query(text: &str) -> Vec<u8> {
    message(b'Q', &[text.as_bytes(), &[0]].concat())
}

pub(crate) fn ready(status: u8) -> Vec<u8> {
    message(b'Z', &[status])
}

pub(crate) fn complete(tag: &str) -> Vec<u8> {
    message(b'C', &[tag.as_bytes(), &[0]].concat())
}

pub(crate) fn error(code: &str) -> Vec<u8> {
    message(b'E', format!("SERROR\0VERROR\0C{code}\0Mno\0\0").as_bytes())
}

/// The future, which must come to its end.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    let began = Instant::now();
    match timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("nothing came within {:?}", began.elapsed()),
    }
}

/// Lets everything that can run do so.
pub(crate) async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

fn build(policy: &EffectivePolicy, directory: &TempDir, before: Option<&Force>) -> Force {
    let signing = directory.path().join("signing");
    std::fs::create_dir_all(&signing).unwrap();
    std::fs::write(signing.join("signing-keys"), SIGNING_KEYS).unwrap();
    let secrets = Arc::new(Secrets::new(Some(directory.path().to_owned())));
    let policy = Arc::new(policy.clone());
    Force::build("1".into(), &policy, &secrets, &Resolver::system(), before).unwrap()
}
