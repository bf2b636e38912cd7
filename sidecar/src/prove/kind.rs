//! One kind of session state: how a user plants it, how another one looks for it, and what is to be known of it.
//!
//! Lives here: the types that the tables of `kinds` are written in. Pure data; may not live here: how any of it is carried out.
//!
//! In every text `{n}` stands for a name of its own in each run of a kind, so that what one run leaves cannot be taken for the
//! trace of another; `{user}` is the role of the session, `{member}` a role that it may become, `{sequence}` a sequence that the
//! suite has made.

use serde::Serialize;

/// What a kind of state is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Family {
    /// Run-time parameters.
    Settings,
    /// Who the session is.
    Roles,
    /// Temporary objects.
    Temporary,
    /// Prepared statements and their plans.
    Statements,
    /// Cursors, portals and large-object descriptors.
    Cursors,
    /// What a session remembers of sequences, and of random numbers.
    Sequences,
    /// Advisory locks.
    Locks,
    /// LISTEN and NOTIFY.
    Channels,
    /// Transactions that were left open.
    Transactions,
    /// Conversations that were left in the middle.
    Conversation,
    /// What extensions and languages keep in the server process.
    Extensions,
}

/// One thing that user A does.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    /// A statement, over the protocol under test.
    Run(&'static str),
    /// A simple query, whatever the protocol: several statements in one text.
    Simple(&'static str),
    /// `Parse` under a name (empty: the unnamed statement), and `Sync`.
    Parse(&'static str, &'static str),
    /// `Parse` of the unnamed statement, `Bind` to a portal of this name, and `Sync`.
    Portal(&'static str, &'static str),
    /// One row of a statement's result by `Execute`, and `Flush`: the portal is suspended and the batch open.
    Suspend(&'static str),
    /// A statement by the extended protocol, and `Flush`: it has run, and its batch is open.
    Unsynced(&'static str),
    /// A statement that fails by the extended protocol, and `Flush`: the server skips everything until a `Sync` comes.
    FailedUnsynced(&'static str),
    /// `COPY … FROM STDIN`, one line of data, and no end.
    CopyIn(&'static str),
    /// `COPY … TO STDOUT`, whose rows are not read.
    CopyOut(&'static str),
    /// A simple query whose answer is not read.
    Unread(&'static str),
    /// The first half of a simple query's message.
    Half(&'static str),
}

/// How user B looks for it.
#[derive(Clone, Copy, Debug)]
pub enum Probe {
    /// The first value of a statement's first row, over the protocol under test.
    Sql(&'static str),
    /// What a statement of this name answers, which the session itself has not prepared.
    Statement(&'static str),
    /// What a portal of this name answers, which the session itself has not opened.
    Portal(&'static str),
    /// Whether a notification comes of a `NOTIFY` on the channel, to which the session itself does not listen.
    Notification(&'static str),
    /// The whole answer to a statement, message by message, with the transaction status: it must be that statement's and nothing more.
    Answer(&'static str),
    /// Whether A's cancel key ends B's statement.
    CancelKey,
}

/// In which state A is when it has planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Ready for queries, outside any transaction.
    Ready,
    /// Ready for queries, in a transaction.
    InTransaction,
    /// In the middle of something: nothing else can be asked.
    Busy,
}

/// How a leak is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// B sees something else than a fresh session does.
    Differs,
    /// B sees just what A saw: a fresh session sees something else every time.
    Repeats,
}

/// What must be there before it can be planted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// An extension in the database, by its name.
    Extension(&'static str),
    /// A role other than its own that the session's role may become.
    Member,
    /// A sequence, which the suite makes.
    Sequence,
}

/// A kind of session state.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its name, unique in the suite.
    pub name: &'static str,
    /// What A does.
    pub plant: &'static [Step],
    /// How B looks.
    pub probe: Probe,
    /// In which state A is then.
    pub after: After,
    /// How a leak is told.
    pub tell: Tell,
    /// What it needs.
    pub needs: Needs,
    /// Start-up parameters of A's connection.
    pub startup: &'static [(&'static str, &'static str)],
    /// A plants once more after it has looked itself, because looking takes the trace away.
    pub again: bool,
    /// A cannot see it itself, because it comes to be when the transaction ends.
    pub unseen: bool,
    /// Why PostgreSQL's `ROLLBACK` and `DISCARD ALL` leave it; none: they do not.
    pub survives_reset: Option<&'static str>,
}

/// A kind that needs nothing, leaves A ready, and is told by a difference.
#[must_use]
pub const fn kind(name: &'static str, plant: &'static [Step], probe: Probe) -> Kind {
    Kind {
        name,
        plant,
        probe,
        after: After::Ready,
        tell: Tell::Differs,
        needs: Needs::Nothing,
        startup: &[],
        again: false,
        unseen: false,
        survives_reset: None,
    }
}

impl Kind {
    /// The same, which leaves A in a transaction.
    #[must_use]
    pub const fn in_transaction(mut self) -> Self {
        self.after = After::InTransaction;
        self
    }

    /// The same, which leaves A in the middle of something.
    #[must_use]
    pub const fn busy(mut self) -> Self {
        self.after = After::Busy;
        self
    }

    /// The same, told by B's seeing just what A saw.
    #[must_use]
    pub const fn repeats(mut self) -> Self {
        self.tell = Tell::Repeats;
        self.again = true;
        self
    }

    /// The same, whose trace goes when it is looked at.
    #[must_use]
    pub const fn again(mut self) -> Self {
        self.again = true;
        self
    }

    /// The same, which A cannot see itself.
    #[must_use]
    pub const fn unseen(mut self) -> Self {
        self.unseen = true;
        self
    }

    /// The same with something that must be there.
    #[must_use]
    pub const fn needing(mut self, needs: Needs) -> Self {
        self.needs = needs;
        self
    }

    /// The same with start-up parameters.
    #[must_use]
    pub const fn started_with(mut self, startup: &'static [(&'static str, &'static str)]) -> Self {
        self.startup = startup;
        self
    }

    /// The same, which PostgreSQL's own reset leaves.
    #[must_use]
    pub const fn surviving_reset(mut self, why: &'static str) -> Self {
        self.survives_reset = Some(why);
        self
    }
}

impl Family {
    /// Its name, as reports have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Settings => "settings",
            Self::Roles => "roles",
            Self::Temporary => "temporary",
            Self::Statements => "statements",
            Self::Cursors => "cursors",
            Self::Sequences => "sequences",
            Self::Locks => "locks",
            Self::Channels => "channels",
            Self::Transactions => "transactions",
            Self::Conversation => "conversation",
            Self::Extensions => "extensions",
        }
    }
}

impl Step {
    /// As an auditor reads it.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Run(sql) | Self::Simple(sql) => (*sql).to_owned(),
            Self::Parse("", sql) => format!("Parse (unnamed): {sql}"),
            Self::Parse(name, sql) => format!("Parse {name}: {sql}"),
            Self::Portal(name, sql) => format!("Bind portal {name}: {sql}"),
            Self::Suspend(sql) => format!("Execute one row, no Sync: {sql}"),
            Self::Unsynced(sql) => format!("Execute, no Sync: {sql}"),
            Self::FailedUnsynced(sql) => format!("fail, no Sync: {sql}"),
            Self::CopyIn(sql) => format!("{sql}, never ended"),
            Self::CopyOut(sql) => format!("{sql}, never read"),
            Self::Unread(sql) => format!("{sql}; answer never read"),
            Self::Half(sql) => format!("half of the message: {sql}"),
        }
    }
}

impl Probe {
    /// As an auditor reads it.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::Sql(sql) => (*sql).to_owned(),
            Self::Statement("") => "Bind and Execute the unnamed statement".to_owned(),
            Self::Statement(name) => format!("Bind and Execute statement {name}"),
            Self::Portal(name) => format!("Execute portal {name}"),
            Self::Notification(channel) => {
                format!("NOTIFY {channel}; is it delivered to a session that does not listen?")
            }
            Self::Answer(sql) => format!("{sql}; every message of the answer"),
            Self::CancelKey => "A's cancel key, while B's pg_sleep runs".to_owned(),
        }
    }
}
