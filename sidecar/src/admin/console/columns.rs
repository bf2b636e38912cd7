//! What can be shown: each view with its columns, their types and what they mean. `docs/console.md` says the same, and a test
//! holds it to that.

use crate::protocol::postgres::message::Type;

/// A column's type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `text`.
    Text,
    /// `int8`: a count.
    Int8,
    /// `float8`: seconds.
    Float8,
    /// `bool`.
    Bool,
}

/// One column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub kind: Kind,
    /// What it says.
    pub meaning: &'static str,
}

/// What `SHOW` takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// The commands.
    Help,
    /// The entries, added up.
    Stats,
    /// Who is connected.
    Users,
    /// The connection factories.
    Factories,
    /// The connections to upstreams.
    Servers,
    /// Who is connected, connection by connection.
    Clients,
    /// The policy's timeouts, and how often each has fired.
    Timeouts,
    /// What is under way, and what the application's runs have come to.
    Executions,
    /// The policy in force.
    Policy,
    /// The breakers.
    Breakers,
}

impl Kind {
    /// Its name in PostgreSQL.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Int8 => "int8",
            Self::Float8 => "float8",
            Self::Bool => "bool",
        }
    }

    /// Its type on the wire.
    #[must_use]
    pub const fn wire(self) -> Type {
        match self {
            Self::Text => Type::TEXT,
            Self::Int8 => Type::INT8,
            Self::Float8 => Type::FLOAT8,
            Self::Bool => Type::BOOL,
        }
    }
}

impl View {
    /// Every view, in the order in which they are told.
    pub const ALL: [Self; 10] = [
        Self::Help,
        Self::Stats,
        Self::Users,
        Self::Factories,
        Self::Servers,
        Self::Clients,
        Self::Timeouts,
        Self::Executions,
        Self::Policy,
        Self::Breakers,
    ];

    /// Its name behind `SHOW`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Help => "HELP",
            Self::Stats => "STATS",
            Self::Users => "USERS",
            Self::Factories => "FACTORIES",
            Self::Servers => "SERVERS",
            Self::Clients => "CLIENTS",
            Self::Timeouts => "TIMEOUTS",
            Self::Executions => "EXECUTIONS",
            Self::Policy => "POLICY",
            Self::Breakers => "BREAKERS",
        }
    }

    /// What it shows.
    #[must_use]
    pub const fn about(self) -> &'static str {
        match self {
            Self::Help => "the commands",
            Self::Stats => {
                "each entry of the policy: its clients, its server connections, and its work since the start"
            }
            Self::Users => "each user who is connected or has a factory, the busiest first",
            Self::Factories => "each connection factory, the busiest first",
            Self::Servers => "each connection to an upstream, those in use first",
            Self::Clients => "each client that is connected, those that wait first",
            Self::Timeouts => "each timeout of the policy, and how often it has fired",
            Self::Executions => {
                "what is under way, the oldest first; then the application's last runs that were not completed, the newest first"
            }
            Self::Policy => "each field of the policy in force, with where its value comes from",
            Self::Breakers => {
                "the upstreams' breakers, and those of users whose own work is in trouble"
            }
        }
    }

    /// By what rows are chosen where there are more than are shown.
    #[must_use]
    pub const fn chosen_by(self) -> &'static str {
        match self {
            Self::Users | Self::Factories => "those with most transactions",
            Self::Servers => "those in use before idle ones",
            Self::Clients => "those that wait or work before idle ones",
            Self::Executions => "the oldest that are under way, then the last to end",
            _ => "the first ones",
        }
    }

    /// Its columns, in their order.
    #[must_use]
    pub const fn columns(self) -> &'static [Column] {
        match self {
            Self::Help => HELP,
            Self::Stats => STATS,
            Self::Users => USERS,
            Self::Factories => FACTORIES,
            Self::Servers => SERVERS,
            Self::Clients => CLIENTS,
            Self::Timeouts => TIMEOUTS,
            Self::Executions => EXECUTIONS,
            Self::Policy => POLICY,
            Self::Breakers => BREAKERS,
        }
    }
}

const fn text(name: &'static str, meaning: &'static str) -> Column {
    Column {
        name,
        kind: Kind::Text,
        meaning,
    }
}

const fn count(name: &'static str, meaning: &'static str) -> Column {
    Column {
        name,
        kind: Kind::Int8,
        meaning,
    }
}

const fn seconds(name: &'static str, meaning: &'static str) -> Column {
    Column {
        name,
        kind: Kind::Float8,
        meaning,
    }
}

const fn flag(name: &'static str, meaning: &'static str) -> Column {
    Column {
        name,
        kind: Kind::Bool,
        meaning,
    }
}

/// What changes something: what to type, and what it does.
pub const ACTIONS: [(&str, &str); 4] = [
    (
        "PAUSE [UPSTREAM]",
        "lets no transaction begin, and answers when all server connections are at rest",
    ),
    ("RESUME [UPSTREAM]", "ends a pause"),
    (
        "RECONNECT [UPSTREAM]",
        "closes every server connection made before now, at once or when it is given back",
    ),
    (
        "KILL USER 'ID' [ON UPSTREAM]",
        "ends all connections of a user, and what they run",
    ),
];

const UPSTREAM: Column = text("upstream", "the entry's name in the policy");
const USER: Column = text("user_id", "the user; null for work that belongs to no user");
const OWNER: Column = text(
    "owner",
    "`user`, or whose work it is where it belongs to no user: `unattributed`, `shared`, `bootstrap`",
);
const WORKER: Column = count("worker", "the worker thread that has it, from 0");
const TRANSACTIONS: Column = count("transactions", "transactions that have ended");
const ERRORS: Column = count("errors", "errors that its clients were sent");
const TIMED_OUT: Column = count("timeouts", "timeouts that have fired");
const LAST_ACTIVE: Column = seconds(
    "last_active",
    "seconds since its last transaction ended, or since it was made",
);

const HELP: &[Column] = &[
    text("command", "what to type"),
    text("meaning", "what it does"),
];

const STATS: &[Column] = &[
    UPSTREAM,
    text("protocol", "`postgresql` or `websocket`"),
    count("clients", "client connections that are open"),
    count(
        "factories",
        "connection factories that are alive; null for WebSockets, as is all that follows but `timeouts`",
    ),
    count("servers_active", "server connections lent to a client"),
    count("servers_idle", "server connections in a user's pool"),
    count("servers_spare", "server connections that nobody has used"),
    count(
        "servers_connecting",
        "server connections that are being dialled",
    ),
    count(
        "max_connections",
        "how many there may be: this pod's part of `pool.maxConnections`",
    ),
    count(
        "statements",
        "statements, or batches, that the server has answered",
    ),
    seconds("statement_seconds", "how long they took together"),
    count(
        "acquires",
        "waits for a server connection that have ended well, those of no length left out",
    ),
    seconds("acquire_seconds", "how long they took together"),
    count("connects", "server connections that were opened"),
    seconds("connect_seconds", "how long that took together"),
    count("timeouts", "timeouts that have fired, of all kinds"),
    count("errors", "errors that users' work has ended with"),
    count(
        "evictions",
        "idle server connections closed for a user who waited",
    ),
    count(
        "handoffs",
        "server connections given to another user than their last; 0 in tier Dedicated",
    ),
    flag("paused", "whether PAUSE holds"),
];

const USERS: &[Column] = &[
    USER,
    OWNER,
    WORKER,
    count("clients", "PostgreSQL clients that are connected"),
    count("sockets", "WebSockets that are open"),
    count("factories", "connection factories"),
    count("servers", "server connections, idle ones included"),
    count("idle", "of those, unused ones"),
    count(
        "waiting",
        "clients that wait for one of the user's own connections",
    ),
    TRANSACTIONS,
    ERRORS,
    TIMED_OUT,
    LAST_ACTIVE,
];

const FACTORIES: &[Column] = &[
    USER,
    OWNER,
    UPSTREAM,
    text("database", "the database on the server"),
    text("role", "the role on the server"),
    WORKER,
    count("clients", "clients that are connected"),
    count("servers", "server connections, idle ones included"),
    count("idle", "of those, unused ones"),
    count("waiting", "clients that wait for one of these"),
    count("max", "how many server connections it may have"),
    TRANSACTIONS,
    ERRORS,
    TIMED_OUT,
    LAST_ACTIVE,
    text(
        "applications",
        "what its clients call themselves, at most 8",
    ),
];

const SERVERS: &[Column] = &[
    text(
        "user_id",
        "whose it is; null for work that belongs to no user, and of a spare",
    ),
    text(
        "owner",
        "`user`, `unattributed`, `shared` or `bootstrap`; null of a spare",
    ),
    UPSTREAM,
    text("database", "the database on the server"),
    text("role", "the role on the server"),
    WORKER,
    text(
        "state",
        "`active` (lent to a client), `idle`, or `spare` (nobody has used it)",
    ),
    count("pid", "the process id that the server has given"),
    seconds("age", "seconds since it was opened"),
    seconds(
        "unused",
        "seconds since it was last used; null of one in use",
    ),
    flag(
        "closing",
        "whether it closes when it is given back: it is older than a RECONNECT, or than a change of the upstream in the policy",
    ),
];

const CLIENTS: &[Column] = &[
    USER,
    OWNER,
    text("protocol", "`postgresql` or `websocket`"),
    UPSTREAM,
    text(
        "database",
        "the database that it works in; null for a WebSocket",
    ),
    text(
        "role",
        "the role that the server sees; null for a WebSocket",
    ),
    text("application", "what it calls itself (`application_name`)"),
    WORKER,
    text(
        "state",
        "`waiting` (for a server connection), `active` (in a transaction), `holding` (keeps a server connection between transactions), `idle`; `open` for a WebSocket",
    ),
    count(
        "server_pid",
        "the process id of the server connection that it has",
    ),
    seconds("connected", "seconds since it was let in"),
];

const TIMEOUTS: &[Column] = &[
    UPSTREAM,
    text("timeout", "the field below `timeouts`"),
    seconds("seconds", "its value; null where it is off"),
    text(
        "origin",
        "where the value comes from: `default`, `base` or `environment NAME`",
    ),
    count(
        "fired",
        "how often it has fired; null where nobody counts that",
    ),
];

const EXECUTIONS: &[Column] = &[
    text(
        "user_id",
        "whose it is; null for work that belongs to no user",
    ),
    UPSTREAM,
    text(
        "run_id",
        "the application's id of the run; null where it has given none, and of what is under way",
    ),
    text(
        "state",
        "`pending` (waits for a server connection), `starting`, `running`; or how it ended: `failed`, `timed_out`, `cancelled`, `dead`",
    ),
    seconds("age", "for how long it is or was under way"),
    seconds("ended", "seconds since its end; null of what is under way"),
];

const POLICY: &[Column] = &[
    text("field", "the field, as the policy names it"),
    text("value", "its value, as a policy would write it"),
    text(
        "origin",
        "where the value comes from: `default`, `base` or `environment NAME`",
    ),
];

const BREAKERS: &[Column] = &[
    UPSTREAM,
    text("scope", "`upstream`, or `user` for a user's own"),
    text("user_id", "whose it is; null for an upstream's"),
    text("state", "`closed`, `half_open` or `open`"),
    count("failures", "failures that a closed one remembers"),
    seconds(
        "open_for",
        "seconds for which it stays open; null where it is not",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = include_str!("../../../../docs/console.md");

    #[test]
    fn the_page_has_each_view_with_each_of_its_columns_and_no_other() {
        for view in View::ALL {
            let heading = format!("### SHOW {}\n", view.name());
            let (_, section) = PAGE
                .split_once(&heading)
                .unwrap_or_else(|| panic!("{heading} is not in docs/console.md"));
            let section = section.split("\n#").next().unwrap();
            let told: Vec<&str> = section
                .lines()
                .filter(|line| line.starts_with("| `"))
                .collect();
            let columns = view.columns().iter();
            let meant: Vec<String> = columns
                .map(|of| format!("| `{}` | {} | {} |", of.name, of.kind.name(), of.meaning))
                .collect();
            assert_eq!(
                told,
                meant,
                "{heading}, as it should be:\n{}",
                meant.join("\n")
            );
            assert!(
                section.contains(view.about()),
                "{heading}: {}",
                view.about()
            );
        }
        for (action, meaning) in ACTIONS {
            let line = format!("| `{action}` | {meaning} |");
            assert!(PAGE.contains(&line), "no {line}");
        }
        let headings = PAGE.lines().filter(|line| line.starts_with("### SHOW "));
        assert_eq!(headings.count(), View::ALL.len());
    }
}
