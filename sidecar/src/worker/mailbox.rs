//! What workers say to each other: the only way from one worker's users to another's.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::admin::UserRow;
use crate::admin::console::Look;
use crate::factory::key::Holder;
use crate::force::Force;
use crate::identity::{UserContext, UserId};
use crate::protocol::clickhouse::Asked;
use crate::protocol::postgres::admission::Admitted;
use crate::protocol::postgres::handshake::CancelKey;
use crate::protocol::postgres::session::in_sql::Moving;
use crate::protocol::redis;
use crate::protocol::websocket::{NoSeat, Seat, Upgraded};
use crate::worker::orders::Ordered;
use crate::worker::{Claim, Lost, Place, Returned};

/// A letter to a worker.
#[derive(Debug)]
pub enum Letter {
    /// A client whose user lives on that worker.
    Client(Box<Admitted>),
    /// A query over HTTP whose user lives on that worker.
    Query(Box<Asked>),
    /// A client of Redis whose user lives on that worker.
    Redis(Box<redis::Admitted>),
    /// A client that has named a user who lives on that worker.
    Moving(Box<Moving>),
    /// A session that has logged in there, in this slot, is somewhere else now.
    Whereabouts {
        /// The slot of its login.
        slot: usize,
        /// Where it is.
        now: Place,
    },
    /// A session that has logged in there, in this slot, has ended elsewhere.
    Gone(usize),
    /// A cancel request for one of its sessions, and who waits until it has been dealt with.
    Cancel(CancelKey, Canceller),
    /// The same for a session that has logged in elsewhere; its key is right.
    CancelAt {
        /// Where the session was last heard of.
        slot: usize,
        /// The key.
        key: CancelKey,
        /// Who waits until it has been dealt with.
        canceller: Canceller,
    },
    /// Is there a seat for one more socket of this user? It is kept until it is taken or given back.
    Seat {
        /// The WebSocket entry.
        entry: Arc<str>,
        /// Whose.
        user: UserId,
        /// Who asks.
        reply: oneshot::Sender<Result<Seat, NoSeat>>,
    },
    /// A seat that was kept is not needed.
    SeatGivenBack {
        /// The WebSocket entry.
        entry: Arc<str>,
        /// Whose.
        user: UserId,
        /// The id of the socket that was to come.
        socket: Option<Arc<str>>,
        /// Which of the user's seats.
        number: u64,
    },
    /// A user who lives on that worker has shown a fresh token: let their sockets live by it.
    Renew {
        /// The WebSocket entry.
        entry: Arc<str>,
        /// What the token says, verified.
        fresh: UserContext,
        /// Who wants to know how many sockets there were.
        reply: oneshot::Sender<usize>,
    },
    /// A socket whose user lives on that worker.
    Socket(Box<Upgraded>),
    /// Is this session there, for a client that has come back? It is kept until the client has come.
    Claim {
        /// What the client says.
        claim: Claim,
        /// Who asks: the subprotocol of the session, or why it is gone.
        reply: oneshot::Sender<Result<String, Lost>>,
    },
    /// The client has come.
    Returned(Box<Returned>),
    /// A new revision of the policy.
    Force(Arc<Force>),
    /// Another list of revocations is in force.
    Revocations,
    /// Somebody waits for a permit: close an idle connection, or pass the letter on.
    Reclaim(Reclaim),
    /// Who are your users?
    Users(oneshot::Sender<Vec<UserRow>>),
    /// The console wants to see something.
    Look(Box<Look>),
    /// An operator wants something done.
    Order(Box<Ordered>),
    /// The pod is not ready any more: WebSockets are told to go, databases stay open to the application.
    Leave,
    /// Stop accepting; sessions end when their transactions do.
    Drain,
    /// End what is left.
    Stop,
}

/// A request for an idle connection to be given up, and whom to ask, in order.
#[derive(Debug)]
pub struct Reclaim {
    /// The database entry.
    pub entry: Arc<str>,
    /// Who waits; nobody, where the limit was lowered.
    pub holder: Option<Holder>,
    /// Workers whose spares yield first, and then what those who have left keep idle.
    pub spares: VecDeque<usize>,
    /// Whether one of those that have been asked has anything idle: else there is nobody else to ask.
    pub idle: bool,
    /// Then owners, those with most connections first.
    pub holders: VecDeque<Holder>,
}

/// Held by whoever deals with a cancel request; dropped when that has been done, which closes the connection that brought it.
pub type Canceller = oneshot::Sender<()>;

/// The sending end of a worker's mailbox.
pub type Sender = mpsc::UnboundedSender<Letter>;

/// The receiving end.
pub type Receiver = mpsc::UnboundedReceiver<Letter>;
