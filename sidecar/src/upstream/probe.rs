//! What an upstream is like: its version, how far away it is, and what the policy's role may do there.
//!
//! Lives here: the questions, asked through sqlx over a connection that the sidecar's own [`Connector`] made, so that what
//! works here works in the engine. May not live here: what the answers mean (`finding`).

use std::time::Duration;

use bulkhead_crds::effective::EffectiveDatabase;
use bulkhead_crds::kinds::RowLevelSecurity;
use serde::Serialize;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow, PgSslMode};
use sqlx::{ConnectOptions, Connection, Executor, FromRow, Row};
use thiserror::Error;
use tokio::time::{Instant, timeout_at};

use super::bridge::{Bridge, BridgeError};
use super::connect::Connector;
use super::error::ConnectError;
use crate::secrets::SecretError;

/// The time for the questions, once connected.
const QUESTIONS: Duration = Duration::from_secs(10);

/// Tables that are named in a report; more would not be read.
const MAX_TABLES: i64 = 10;

/// What was found at an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProbeReport {
    /// From nothing to the first answer: DNS, TCP, TLS, authentication.
    pub connected_in: Duration,
    /// One round trip of an empty query, the best of three.
    pub round_trip: Duration,
    /// Whether the probe's connection was encrypted, as the server sees it; none where the role may not ask.
    pub encrypted: Option<bool>,
    /// Whether the role may see or end what other sessions of its own do.
    pub sees_others: bool,
    /// The server and its limits.
    pub server: ServerFacts,
    /// What the role may do.
    pub role: RoleFacts,
    /// Roles that are superusers or bypass row-level security, and that the role may become by `SET ROLE`.
    pub may_become: Vec<String>,
    /// Tables with row-level security that the role owns and that do not force it on their owner; at most 10.
    pub unforced_tables: Vec<String>,
    /// What there is of a signed user, where the policy asks for one.
    pub signed: Option<SignedFacts>,
}

/// Facts about what proves a session's user to the database (`sql/signed-user.sql`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignedFacts {
    /// What `bulkhead.hello()` has answered, or why it has not.
    pub hello: Result<String, String>,
    /// The owner of the schema, where the role is a member of it.
    pub member_of: Option<String>,
    /// Whether the role may put something of its own into the schema.
    pub may_create: bool,
    /// Tables with row-level security that the role owns, and so may take it from; at most 10.
    pub owned_tables: Vec<String>,
}

/// Facts about the server and the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerFacts {
    /// `server_version`: `15.8 (Debian …)`.
    pub version: String,
    /// The database that was probed.
    pub database: String,
    /// Whether it is a standby, which takes no writes.
    pub standby: bool,
    /// `max_connections`.
    pub max_connections: i32,
    /// Connections kept for superusers and for `pg_use_reserved_connections`.
    pub reserved_connections: i32,
    /// The database's own limit; -1 for none.
    pub database_limit: i32,
}

/// Facts about the role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoleFacts {
    /// Its name.
    pub name: String,
    /// Whether nothing is forbidden to it.
    pub superuser: bool,
    /// Whether row-level security does not hold for it.
    pub bypasses_rls: bool,
    /// Its own connection limit; -1 for none.
    pub connection_limit: i32,
}

/// Why an upstream could not be probed.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// There is nobody to log in as.
    #[error(
        "databases[{0}].upstream.credentialsSecretRef: set it to a Secret with the keys username and password; without it nothing can be probed"
    )]
    NoRole(String),
    /// The credentials that the policy names cannot be read.
    #[error("databases[{entry}].upstream.credentialsSecretRef: {source}")]
    Credentials {
        /// The entry.
        entry: String,
        /// Why.
        source: SecretError,
    },
    /// No connection.
    #[error("{0}")]
    Connect(ConnectError),
    /// A question was not answered.
    #[error("databases[{entry}]: connected, and then {reason}")]
    Question {
        /// The entry.
        entry: String,
        /// What happened.
        reason: String,
    },
}

impl FromRow<'_, PgRow> for ServerFacts {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            version: row.try_get("version")?,
            database: row.try_get("database")?,
            standby: row.try_get("standby")?,
            max_connections: row.try_get("max_connections")?,
            reserved_connections: row.try_get("reserved_connections")?,
            database_limit: row.try_get("database_limit")?,
        })
    }
}

impl FromRow<'_, PgRow> for RoleFacts {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            name: row.try_get("name")?,
            superuser: row.try_get("superuser")?,
            bypasses_rls: row.try_get("bypasses_rls")?,
            connection_limit: row.try_get("connection_limit")?,
        })
    }
}

const SERVER: &str = "
    SELECT current_setting('server_version') AS version,
           d.datname::text AS database,
           pg_is_in_recovery() AS standby,
           current_setting('max_connections')::int4 AS max_connections,
           current_setting('superuser_reserved_connections')::int4
             + coalesce(current_setting('reserved_connections', true), '0')::int4 AS reserved_connections,
           d.datconnlimit AS database_limit
      FROM pg_database d
     WHERE d.datname = current_database()";

const ROLE: &str = "
    SELECT rolname::text AS name, rolsuper AS superuser, rolbypassrls AS bypasses_rls, rolconnlimit AS connection_limit
      FROM pg_roles
     WHERE rolname = current_user";

/// The view asks this function with the role's own rights, and the hardening file has revoked it.
const MAY_ASK_OF_SESSIONS: &str =
    "SELECT has_function_privilege('pg_catalog.pg_stat_get_activity(integer)', 'EXECUTE')";

const ENCRYPTED: &str =
    "SELECT coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false)";

const SEES_OTHERS: &str = "
    SELECT bool_or(has_function_privilege(oid, 'EXECUTE'))
      FROM pg_proc
     WHERE pronamespace = 'pg_catalog'::regnamespace
       AND proname IN ('pg_stat_get_activity', 'pg_stat_get_backend_activity', 'pg_cancel_backend', 'pg_terminate_backend')";

const MAY_BECOME: &str = "
    SELECT rolname::text
      FROM pg_roles
     WHERE (rolsuper OR rolbypassrls) AND rolname <> current_user AND pg_has_role(oid, 'MEMBER')
     ORDER BY 1 LIMIT $1";

const UNFORCED_TABLES: &str = "
    SELECT oid::regclass::text
      FROM pg_class
     WHERE relkind IN ('r', 'p') AND relrowsecurity AND NOT relforcerowsecurity AND pg_has_role(relowner, 'USAGE')
     ORDER BY 1 LIMIT $1";

const SIGNED_SCHEMA: &str = "
    SELECT nspowner::regrole::text AS owner,
           pg_has_role(nspowner, 'MEMBER') AS member,
           has_schema_privilege(oid, 'CREATE') AS may_create
      FROM pg_namespace
     WHERE nspname = 'bulkhead'";

const OWNED_TABLES: &str = "
    SELECT oid::regclass::text
      FROM pg_class
     WHERE relkind IN ('r', 'p') AND relrowsecurity AND pg_has_role(relowner, 'USAGE')
     ORDER BY 1 LIMIT $1";

/// Connects as the policy says, within `timeouts.connect`, and asks.
///
/// # Errors
/// See [`ProbeError`].
pub async fn probe(
    connector: &Connector,
    database: &EffectiveDatabase,
) -> Result<ProbeReport, ProbeError> {
    let entry = &database.name;
    let broken = |reason: String| ProbeError::Question {
        entry: entry.clone(),
        reason,
    };
    connector
        .check_credentials()
        .map_err(|source| ProbeError::Credentials {
            entry: entry.clone(),
            source,
        })?;
    let role = connector
        .role()
        .ok_or_else(|| ProbeError::NoRole(entry.clone()))?;
    let bridge = Bridge::open().await.map_err(|e| broken(e.to_string()))?;
    let started = Instant::now();
    let deadline = started + database.timeouts.connect;
    let options = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(bridge.port)
        .ssl_mode(PgSslMode::Disable)
        .username(&role)
        .password(&bridge.password)
        .application_name("bulkhead-check")
        .disable_statement_logging();
    let name = database.upstream.database.as_deref().unwrap_or_default();
    let signed = database.row_level_security == RowLevelSecurity::Signed;
    let carried = bridge.carry(connector, name, &role, deadline);
    let asked = timeout_at(deadline + QUESTIONS, ask(&options, started, signed));
    tokio::pin!(carried, asked);
    // What the upstream said is told rather than what sqlx makes of a socket that closes.
    let answered = tokio::select! {
        biased;
        ended = &mut carried => match ended {
            Err(BridgeError::Connect(e)) => return Err(ProbeError::Connect(e)),
            Err(BridgeError::Io(e)) => return Err(broken(e.to_string())),
            Ok(()) => asked.await,
        },
        answered = &mut asked => answered,
    };
    match answered {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(e)) => Err(broken(format!("a question failed: {e}"))),
        Err(_) => Err(broken(format!(
            "the questions were not answered within {} s",
            QUESTIONS.as_secs()
        ))),
    }
}

async fn ask(
    options: &PgConnectOptions,
    started: Instant,
    signed: bool,
) -> Result<ProbeReport, sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    let connected_in = started.elapsed();
    let mut round_trip = Duration::MAX;
    for _ in 0..3 {
        let sent = Instant::now();
        connection.ping().await?;
        round_trip = round_trip.min(sent.elapsed());
    }
    let may_ask = sqlx::query_scalar(MAY_ASK_OF_SESSIONS);
    let encrypted = if may_ask.fetch_one(&mut connection).await? {
        Some(
            sqlx::query_scalar(ENCRYPTED)
                .fetch_one(&mut connection)
                .await?,
        )
    } else {
        None
    };
    let report = ProbeReport {
        connected_in,
        round_trip,
        encrypted,
        sees_others: sqlx::query_scalar(SEES_OTHERS)
            .fetch_one(&mut connection)
            .await?,
        server: sqlx::query_as(SERVER).fetch_one(&mut connection).await?,
        role: sqlx::query_as(ROLE).fetch_one(&mut connection).await?,
        may_become: names(&mut connection, MAY_BECOME).await?,
        unforced_tables: names(&mut connection, UNFORCED_TABLES).await?,
        signed: if signed {
            Some(ask_of_signed(&mut connection).await?)
        } else {
            None
        },
    };
    connection.close().await?;
    Ok(report)
}

async fn ask_of_signed(connection: &mut PgConnection) -> Result<SignedFacts, sqlx::Error> {
    let schema = sqlx::query(SIGNED_SCHEMA)
        .fetch_optional(&mut *connection)
        .await?;
    let (mut member_of, mut may_create) = (None, false);
    if let Some(row) = schema {
        let owner: String = row.try_get("owner")?;
        member_of = row.try_get::<bool, _>("member")?.then_some(owner);
        may_create = row.try_get("may_create")?;
    }
    let owned_tables = names(connection, OWNED_TABLES).await?;
    let hello = hello(connection).await;
    connection.execute("ROLLBACK").await?;
    let hello = match hello {
        Ok(answer) => Ok(answer),
        Err(sqlx::Error::Database(error)) => Err(error.message().to_owned()),
        Err(error) => return Err(error),
    };
    Ok(SignedFacts {
        hello,
        member_of,
        may_create,
        owned_tables,
    })
}

/// Leaves its transaction open.
async fn hello(connection: &mut PgConnection) -> Result<String, sqlx::Error> {
    // It writes, and the role's transactions may be set to read only.
    connection.execute("BEGIN READ WRITE").await?;
    let hello = sqlx::query_scalar("SELECT bulkhead.hello()");
    hello.fetch_one(connection).await
}

async fn names(
    connection: &mut PgConnection,
    sql: &'static str,
) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_scalar(sql)
        .bind(MAX_TABLES)
        .fetch_all(connection)
        .await
}
