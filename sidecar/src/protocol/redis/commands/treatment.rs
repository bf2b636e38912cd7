//! What Bulkhead does with a command: the columns of the table that are written by hand.

mod connection;
mod data;
mod keyspace;
mod newer;
mod pubsub;
mod scripting;
mod server;

use super::effect::{Effect, Kept, SubscribesTo, Subscription, Timeout, Transaction};
use super::refusal::Why;

/// What Bulkhead does with a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Treatment {
    /// Why it is refused whatever the policy says; nearly nothing is.
    pub refused: Option<Why>,
    /// What becomes of it under a key prefix.
    pub prefixed: Rule,
    /// Why it is refused where each end user has a Redis user of their own beside the prefix, though it is not without one.
    pub per_user: Option<Why>,
    /// What it does to the connection.
    pub effect: Effect,
    /// Where its reply holds keys.
    pub reply: Shape,
}

/// What becomes of a command under a key prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It passes: no argument of it is a key, and nothing that it does or shows is another user's.
    Passes,
    /// The server's own key specifications tell its keys, all of them; each gets the prefix.
    Keys,
    /// It is read by hand.
    Form(Form),
    /// Its keys get the prefix, and what it reaches beside them is held back by a Redis user of the end user's; refused where there is none.
    Script,
    /// Refused.
    Refused(Why),
}

/// Commands that are read by hand, because no key specification tells all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The key at the first argument, and options: SORT and SORT_RO.
    Sort,
    /// The key at the first argument, and options from this one on: GEORADIUS and GEORADIUSBYMEMBER.
    GeoRadius(usize),
    /// Options, and streams: XREAD and XREADGROUP.
    Streams,
    /// A cursor, and options: SCAN.
    Scan,
    /// A pattern of keys: KEYS.
    KeyPattern,
    /// Channels from the first argument on, or none: SUBSCRIBE and its like.
    Channels,
    /// Patterns of channels from the first argument on, or none: PSUBSCRIBE and PUNSUBSCRIBE.
    ChannelPatterns,
    /// A channel at the first argument, and a message: PUBLISH and SPUBLISH.
    Publish,
    /// A pattern of channels at the second argument, or none: PUBSUB CHANNELS and SHARDCHANNELS.
    ListChannels,
    /// Channels from the second argument on: PUBSUB NUMSUB and SHARDNUMSUB.
    CountSubscribers,
    /// A key at the second argument that no key specification tells: CLUSTER KEYSLOT.
    SecondIsKey,
    /// Names of sections: INFO.
    Info,
}

/// Where a reply holds keys that the client must read without their prefix. A null, an error, and a reply of another type have none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Nowhere.
    Plain,
    /// Nowhere but in the texts of errors: stream commands quote keys there.
    Errors,
    /// Every element of an array is one: KEYS.
    Keys,
    /// A cursor and an array of them: SCAN.
    Scan,
    /// The first element of an array: BLPOP, LMPOP.
    FirstKey,
    /// Arrays that begin with one, or a map whose keys are: XREAD.
    Streams,
    /// Every other element, from the first on, is a channel: PUBSUB NUMSUB.
    ChannelPairs,
    /// Every element is a channel: PUBSUB CHANNELS.
    Channels,
    /// What is told to a subscriber: confirmations and messages.
    Messages,
}

/// Names, and what becomes of each.
pub(super) type Row = (&'static [&'static str], Treatment);

/// Every row, in the order of the rooms above.
pub(super) fn rows() -> impl Iterator<Item = &'static Row> {
    [
        data::ROWS,
        keyspace::ROWS,
        pubsub::ROWS,
        scripting::ROWS,
        connection::ROWS,
        server::ROWS,
        newer::ROWS,
    ]
    .into_iter()
    .flatten()
}

const fn treated(prefixed: Rule) -> Treatment {
    Treatment {
        refused: None,
        prefixed,
        per_user: None,
        effect: Effect::None,
        reply: Shape::Plain,
    }
}

/// It passes, prefix or not.
const PASSES: Treatment = treated(Rule::Passes);
/// Its keys get the prefix.
const KEYS: Treatment = treated(Rule::Keys);

/// It is read by hand.
const fn form(form: Form) -> Treatment {
    treated(Rule::Form(form))
}

/// Refused under a prefix.
const fn refused(why: Why) -> Treatment {
    treated(Rule::Refused(why))
}

/// Refused always.
const fn never(why: Why) -> Treatment {
    Treatment {
        refused: Some(why),
        ..treated(Rule::Refused(why))
    }
}

/// The sidecar's own.
const fn kept(kept: Kept) -> Treatment {
    PASSES.with(Effect::Kept(kept))
}

impl Treatment {
    const fn with(self, effect: Effect) -> Self {
        Self { effect, ..self }
    }

    const fn replies(self, reply: Shape) -> Self {
        Self { reply, ..self }
    }

    const fn waits(self, timeout: Timeout) -> Self {
        self.with(Effect::Blocking(timeout))
    }

    const fn not_per_user(self, why: Why) -> Self {
        Self {
            per_user: Some(why),
            ..self
        }
    }

    const fn transaction(self, transaction: Transaction) -> Self {
        self.with(Effect::Transaction(transaction))
    }

    const fn subscribes(self, to: SubscribesTo, begins: bool) -> Self {
        self.with(Effect::Subscription(Subscription { to, begins }))
            .replies(Shape::Messages)
    }
}
