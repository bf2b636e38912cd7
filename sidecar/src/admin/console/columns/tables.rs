//! The columns of each view.

use super::{Column, Kind};

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

const UPSTREAM: Column = text("upstream", "the entry's name in the policy");
const PROTOCOL: Column = text(
    "protocol",
    "`postgresql`, `redis`, `clickhouse` or `websocket`",
);
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

pub(super) const HELP: &[Column] = &[
    text("command", "what to type"),
    text("meaning", "what it does"),
];

pub(super) const STATS: &[Column] = &[
    UPSTREAM,
    PROTOCOL,
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

pub(super) const USERS: &[Column] = &[
    USER,
    OWNER,
    WORKER,
    count(
        "clients",
        "clients of databases that are connected, whatever they speak",
    ),
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

pub(super) const FACTORIES: &[Column] = &[
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

pub(super) const SERVERS: &[Column] = &[
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

pub(super) const CLIENTS: &[Column] = &[
    USER,
    OWNER,
    PROTOCOL,
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

pub(super) const TIMEOUTS: &[Column] = &[
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

pub(super) const EXECUTIONS: &[Column] = &[
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

pub(super) const POLICY: &[Column] = &[
    text("field", "the field, as the policy names it"),
    text("value", "its value, as a policy would write it"),
    text(
        "origin",
        "where the value comes from: `default`, `base` or `environment NAME`",
    ),
];

pub(super) const INVENTORY: &[Column] = &[
    text(
        "application",
        "what its clients call themselves, without what looks like an id; `other` for those beyond the hundredth",
    ),
    PROTOCOL,
    count(
        "connections_verified",
        "connections under a verified user context",
    ),
    count(
        "connections_claimed",
        "connections whose application's name names a user, which nothing proves",
    ),
    count(
        "connections_placeholder",
        "connections for which a placeholder was named, which is nobody",
    ),
    count(
        "connections_unattributed",
        "connections that have named nobody",
    ),
    count("queries_verified", "queries under a verified user context"),
    count(
        "queries_claimed",
        "queries whose comment, or whose connection, names a user, which nothing proves",
    ),
    count(
        "queries_placeholder",
        "queries for which a placeholder was named, which is nobody",
    ),
    count("queries_unattributed", "queries that have named nobody"),
];

pub(super) const REVOCATIONS: &[Column] = &[
    text("name", "the name of the `UserRevocation`"),
    text("user_id", "who is cut off"),
    text(
        "not_before",
        "what was issued at this moment or before it is refused",
    ),
    text(
        "expires_at",
        "until when; null until the revocation is taken away",
    ),
    text("reason", "why, in one word; null where none was given"),
];

pub(super) const BREAKERS: &[Column] = &[
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
