//! What `check` asks a Redis server: whether it lets the sidecar in, what it is, and whether it lets it make users where the policy wants
//! that. Nothing is changed.

use std::time::Duration;

use bulkhead_crds::effective::EffectiveDatabase;
use bulkhead_crds::kinds::UpstreamRole;
use tokio::time::Instant;

use super::admission::role_of;
use super::login::log_in;
use super::per_user::RIGHTS;
use super::talk::{Talk, error_of, line_of, within};
use super::versions::{UNKNOWN, opened_in};
use crate::factory::key::LaneName;
use crate::upstream::{ConnectError, Connector};

/// What was found.
#[derive(Debug)]
pub struct ProbeReport {
    /// Its version; none where it is too old to tell.
    pub version: Option<String>,
    /// The Redis user of the credentials.
    pub role: String,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
    /// How long the dial took, with TLS and login.
    pub connected_in: Duration,
    /// One question and its answer.
    pub round_trip: Duration,
    /// Why `acl: PerUser` will not do with these credentials, where it is asked for and will not.
    pub acl_fault: Option<String>,
}

impl ProbeReport {
    /// The line that `check` prints.
    #[must_use]
    pub fn line(&self, database: &EffectiveDatabase) -> String {
        let hosts: Vec<String> = database.upstream.hosts().map(|it| it.to_string()).collect();
        let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
        format!(
            "databases[{}]: {} is Redis {}, database {}, user {:?}, {}; connected in {:.1} ms, round trip {:.2} ms\n",
            database.name,
            hosts.join(" or "),
            self.version.as_deref().unwrap_or("before 6.0"),
            opened_in(database),
            self.role,
            if self.encrypted {
                "TLS"
            } else {
                "not encrypted"
            },
            milliseconds(self.connected_in),
            milliseconds(self.round_trip),
        )
    }
}

/// Asks, within `timeouts.connect`.
///
/// # Errors
/// It cannot be reached, or does not let the sidecar in.
pub async fn probe(
    connector: &Connector,
    database: &EffectiveDatabase,
) -> Result<ProbeReport, ConnectError> {
    let began = Instant::now();
    let deadline = began + database.timeouts.connect;
    let mut stream = connector.open(deadline).await?.stream;
    let lane = LaneName {
        database: opened_in(database).into(),
        role: role_of(connector).into(),
    };
    let logged_in = log_in(connector, &lane, &mut stream, deadline).await?;
    let connected_in = began.elapsed();
    let encrypted = stream.is_tls();
    let at = connector.endpoint();
    let mut talk = Talk::new(at, &mut stream);
    let asked = Instant::now();
    // It may not be allowed to, and has answered all the same.
    within(at, deadline, talk.ask(&[b"PING"])).await?;
    let round_trip = asked.elapsed();
    let acl_fault = match database.acl {
        UpstreamRole::Shared => None,
        UpstreamRole::PerUser => within(at, deadline, acl_fault(&mut talk, &lane.role)).await?,
    };
    Ok(ProbeReport {
        version: (*logged_in.version != *UNKNOWN).then(|| logged_in.version.to_string()),
        role: lane.role.to_string(),
        encrypted,
        connected_in,
        round_trip,
        acl_fault,
    })
}

/// Rights are looked at before arguments are: whoever may make users is told that this is no rule of one's.
async fn acl_fault(talk: &mut Talk<'_>, role: &str) -> Result<Option<String>, ConnectError> {
    let list = talk.ask(&[b"COMMAND", b"LIST"]).await?;
    let made = talk
        .ask(&[b"ACL", b"SETUSER", b"bulkhead:check", b"no-rule"])
        .await?;
    let refused = [(&list, "NOPERM"), (&list, "ERR"), (&made, "NOPERM")]
        .into_iter()
        .find(|(reply, code)| error_of(reply) == Some(code.as_bytes()));
    Ok(refused.map(|(reply, _)| {
        format!(
            "is PerUser, which takes Redis 7.0 or Valkey and credentials that may make users, and the server answers the user {role:?}: {}; grant it {RIGHTS}",
            line_of(reply)
        )
    }))
}
