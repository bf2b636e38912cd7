//! Reaching a ClickHouse as the policy says, and asking it what may surprise its users: for `check`.

use std::time::Duration;

use bulkhead_crds::effective::EffectiveDatabase;
use bulkhead_crds::kinds::UpstreamRole;
use http::StatusCode;
use thiserror::Error;
use tokio::time::Instant;

use super::ask::{AskError, ask};
use super::rewrite::Account;
use crate::secrets::SecretError;
use crate::stream::Stream;
use crate::upstream::{ConnectError, Connector};

/// What is asked: of a server of any version since 18.16.
const QUESTION: &str = "SELECT version(), (SELECT value FROM system.settings WHERE name = 'readonly') FORMAT TabSeparated";

/// How long its answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// What a server has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// Its version.
    pub version: String,
    /// The ClickHouse user that the question was asked as.
    pub user: String,
    /// That user's setting `readonly`: at 1 no setting can be given with a query.
    pub readonly: u8,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
    /// From the dial to a connection that can be asked.
    pub connected_in: Duration,
    /// Of the question.
    pub round_trip: Duration,
}

/// Why nothing is known of a server.
#[derive(Debug, Error)]
pub enum ClickHouseProbeError {
    /// It cannot be reached as the policy says.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The credentials cannot be read.
    #[error(transparent)]
    Credentials(#[from] SecretError),
    /// The credentials cannot be sent.
    #[error("{0}")]
    Account(String),
    /// The question has no answer.
    #[error("{0}")]
    Silent(String),
    /// The server has refused the question, in its own words.
    #[error("the server has answered {status}: {said}")]
    Refused {
        /// The status of its answer.
        status: StatusCode,
        /// The first line of it.
        said: String,
    },
    /// An answer that no server gives.
    #[error("the server's answer is not understood: {0:?}")]
    Strange(String),
    /// Each user has a ClickHouse user of their own: it answers, and there is nobody to ask as.
    #[error(
        "it can be reached; with upstream.role: PerUser there is nobody to ask it as, because every end user has a ClickHouse user of their own"
    )]
    NobodyToAskAs,
}

/// Connects, and asks.
///
/// # Errors
/// See [`ClickHouseProbeError`].
pub async fn probe(
    connector: &Connector,
    database: &EffectiveDatabase,
) -> Result<Probed, ClickHouseProbeError> {
    let password = connector.password()?;
    let role = connector.role().unwrap_or_else(|| "default".to_owned());
    let account = Account::new(&role, password.as_ref().map(|it| it.expose()))
        .map_err(|error| ClickHouseProbeError::Account(error.message))?;
    let began = Instant::now();
    let mut stream = connector
        .open_at(None, began + database.timeouts.connect)
        .await?;
    let connected_in = began.elapsed();
    if database.upstream.role == UpstreamRole::PerUser {
        return Err(ClickHouseProbeError::NobodyToAskAs);
    }
    let asked = Instant::now();
    let place = connector.endpoint().place();
    let deadline = asked + ANSWER_LIMIT;
    let answer = ask(&mut stream, &place, &account, QUESTION, deadline).await;
    let (status, body, _) = answer.map_err(|error| match error {
        AskError::Connect(error) => ClickHouseProbeError::Connect(error),
        other => ClickHouseProbeError::Silent(other.to_string()),
    })?;
    let said = String::from_utf8_lossy(&body);
    if status != StatusCode::OK {
        let said = said.lines().next().unwrap_or_default().to_owned();
        return Err(ClickHouseProbeError::Refused { status, said });
    }
    let encrypted = matches!(stream, Stream::TlsClient(_));
    let times = (connected_in, asked.elapsed());
    read(&said, &role, encrypted, times)
        .ok_or_else(|| ClickHouseProbeError::Strange(said.trim_end().to_owned()))
}

fn read(
    said: &str,
    role: &str,
    encrypted: bool,
    (connected_in, round_trip): (Duration, Duration),
) -> Option<Probed> {
    let mut columns = said.trim_end().split('\t');
    let probed = Probed {
        version: columns.next()?.to_owned(),
        user: role.to_owned(),
        readonly: columns.next()?.parse().ok()?,
        encrypted,
        connected_in,
        round_trip,
    };
    columns.next().is_none().then_some(probed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_two_columns_and_nothing_else() {
        let of = |said| read(said, "app", false, (Duration::ZERO, Duration::ZERO));
        let probed = of("18.16.1\t0\n").unwrap();
        assert_eq!(
            (&*probed.version, &*probed.user, probed.readonly),
            ("18.16.1", "app", 0)
        );
        for strange in ["", "18.16.1", "18.16.1\tno", "18.16.1\t0\t1", "<html>"] {
            assert_eq!(of(strange), None, "{strange}");
        }
    }
}
