//! The whole suite: what a fresh session sees, then every kind in every way.

use std::time::Duration;

use thiserror::Error;

use super::answer::Failure;
use super::cell::{Names, Pair, Plan};
use super::client::{Caller, Client};
use super::kind::{After, Family, Kind, Needs, Probe, Step};
use super::kinds;
use super::report::{Cell, KindReport, Server, SharedReport};
use super::scenario::{Protocol, Scenario};
use super::shared;
use super::verdict::Verdict;

/// The first number that names what a run makes: seven digits, so that none is the beginning of another.
const FIRST_NUMBER: u32 = 1_000_001;

/// The ways to one pool.
#[derive(Clone, Debug)]
pub struct Doors {
    /// Where there is one server connection for both users, so that B gets A's if anything can.
    pub tight: Pair,
    /// The same pool with a second server connection, for where A holds the first.
    pub roomy: Option<Pair>,
    /// Whether a client holds its server connection until it leaves.
    pub held: bool,
    /// Whether PostgreSQL's reset is what the tier rests on.
    pub rests_on_reset: bool,
}

/// What of the suite is wanted.
#[derive(Clone, Debug)]
pub struct Scope {
    /// Parts of the names of kinds, or names of families; none: all kinds.
    pub only: Vec<String>,
    /// What may become of A.
    pub scenarios: Vec<Scenario>,
}

/// Why the suite could not be run.
#[derive(Debug, Error)]
pub enum SuiteError {
    /// Nobody was let in, or a question about the server had no answer.
    #[error("the server could not be asked what it is: {0}")]
    Facts(Failure),
    /// A fresh session could not be looked at.
    #[error("a fresh session could not be looked at ({kind}): {failure}")]
    Fresh {
        /// The kind.
        kind: &'static str,
        /// Why.
        failure: Failure,
    },
    /// What is proven has ended in the middle of the suite: what it has not been asked is not proven.
    #[error("nobody is let in any more, since this kind was tried ({kind}): {failure}")]
    Gone {
        /// The kind.
        kind: &'static str,
        /// Why.
        failure: Failure,
    },
}

/// The suite at work.
pub struct Suite<'a> {
    doors: &'a Doors,
    names: Names,
    extensions: Vec<String>,
    kinds: Vec<(Family, &'static Kind)>,
    scenarios: Vec<Scenario>,
}

/// What a fresh session sees of one kind, over each protocol.
type Fresh = [String; 2];

impl<'a> Suite<'a> {
    /// Asks the server what it is, and makes what the suite needs.
    ///
    /// # Errors
    /// See [`SuiteError`].
    pub async fn begin(doors: &'a Doors, scope: &Scope) -> Result<(Self, Server), SuiteError> {
        let mut asking = doors
            .tight
            .a
            .connect(&[])
            .await
            .map_err(SuiteError::Facts)?;
        let server = server(&mut asking).await.map_err(SuiteError::Facts)?;
        let member = ask(&mut asking, MEMBER).await.map_err(SuiteError::Facts)?;
        let sequence = format!("bulkhead_prove_{}", std::process::id());
        let made = asking
            .ask(
                Protocol::Simple,
                &format!(
                    "CREATE SEQUENCE {sequence} CACHE 10; GRANT ALL ON SEQUENCE {sequence} TO PUBLIC"
                ),
            )
            .await
            .map_err(SuiteError::Facts)?;
        asking.terminate().await;
        let names = Names {
            number: FIRST_NUMBER,
            user: server.role.clone(),
            member: Some(member).filter(|name| !name.is_empty()),
            sequence: made.error.is_none().then_some(sequence),
        };
        let suite = Self {
            doors,
            names,
            extensions: server.extensions.clone(),
            kinds: chosen(&scope.only),
            scenarios: scope.scenarios.clone(),
        };
        Ok((suite, server))
    }

    /// Looks at a fresh session for every kind, and then carries every kind out in every way. `told` hears of each kind that
    /// is done.
    ///
    /// # Errors
    /// See [`SuiteError`].
    pub async fn run(
        &mut self,
        mut told: impl FnMut(&KindReport),
    ) -> Result<Vec<KindReport>, SuiteError> {
        // Before anything is planted: afterwards nobody knows what is fresh.
        let mut fresh = Vec::new();
        for (_, kind) in self.kinds.clone() {
            fresh.push(match self.unmet(kind) {
                Some(_) => Fresh::default(),
                None => self.fresh(kind).await?,
            });
        }
        let mut reports = Vec::new();
        for ((family, kind), fresh) in self.kinds.clone().into_iter().zip(fresh) {
            let report = self.kind(family, kind, &fresh).await;
            if report.runs.iter().any(|run| !run.looked()) {
                self.still_there(kind).await?;
            }
            told(&report);
            reports.push(report);
        }
        Ok(reports)
    }

    /// A run that came to nothing says nothing, unless the reason is that nobody is there any more.
    async fn still_there(&self, kind: &Kind) -> Result<(), SuiteError> {
        let caller = &self.doors.tight.b;
        match caller.connect(&[]).await {
            Ok(client) => {
                client.terminate().await;
                Ok(())
            }
            Err(failure) => Err(SuiteError::Gone {
                kind: kind.name,
                failure,
            }),
        }
    }

    /// What PostgreSQL itself shares; nothing where there is no room for both users at once.
    pub async fn shared(&self) -> Vec<SharedReport> {
        match &self.doors.roomy {
            Some(roomy) => shared::look(roomy, &self.names).await,
            None => Vec::new(),
        }
    }

    /// Takes away what the suite has made.
    pub async fn end(self) {
        if let Some(sequence) = &self.names.sequence
            && let Ok(mut client) = self.doors.tight.a.connect(&[]).await
        {
            let drop = format!("DROP SEQUENCE IF EXISTS {sequence}");
            // What is left behind is an empty sequence with a telling name.
            let _ = client.ask(Protocol::Simple, &drop).await;
            client.terminate().await;
        }
    }

    /// What the kind needs and the server has not.
    fn unmet(&self, kind: &Kind) -> Option<String> {
        match kind.needs {
            Needs::Extension(name) if !self.extensions.iter().any(|has| has == name) => Some(
                format!("extension {name} is not installed in this database"),
            ),
            Needs::Member if self.names.member.is_none() => {
                Some("the role may become no other role".to_owned())
            }
            Needs::Sequence if self.names.sequence.is_none() => {
                Some("the role may make no sequence in this database".to_owned())
            }
            _ => None,
        }
    }

    async fn fresh(&mut self, kind: &'static Kind) -> Result<Fresh, SuiteError> {
        let mut seen = Fresh::default();
        for (protocol, seen) in Protocol::ALL.into_iter().zip(&mut seen) {
            self.names.number += 1;
            let plan = self.plan(kind, Scenario::Gone, protocol, "");
            *seen =
                look(&plan, &self.doors.tight.b)
                    .await
                    .map_err(|failure| SuiteError::Fresh {
                        kind: kind.name,
                        failure,
                    })?;
        }
        Ok(seen)
    }

    async fn kind(&mut self, family: Family, kind: &'static Kind, fresh: &Fresh) -> KindReport {
        let mut report = KindReport {
            family,
            name: kind.name,
            plant: described(kind),
            probe: kind.probe.describe(),
            fresh: fresh[0].clone(),
            verdict: Verdict::Skipped,
            why: self.unmet(kind),
            runs: Vec::new(),
        };
        if report.why.is_some() {
            return report;
        }
        for scenario in self.scenarios.clone() {
            for (protocol, fresh) in Protocol::ALL.into_iter().zip(fresh) {
                self.names.number += 1;
                let plan = self.plan(kind, scenario, protocol, fresh);
                let cell = self.in_some_room(&plan).await;
                if cell.verdict > Verdict::Clean {
                    sweep(&self.doors.tight.b).await;
                }
                report.verdict = report.verdict.max(cell.verdict);
                report.runs.push(cell);
            }
        }
        if report.verdict == Verdict::Survivor {
            report.why = kind.survives_reset.map(str::to_owned);
        }
        report
    }

    fn plan<'b>(
        &'b self,
        kind: &'b Kind,
        scenario: Scenario,
        protocol: Protocol,
        fresh: &'b str,
    ) -> Plan<'b> {
        Plan {
            kind,
            scenario,
            protocol,
            fresh,
            names: &self.names,
            rests_on_reset: self.doors.rests_on_reset,
        }
    }

    /// With one server connection for both; where A keeps that to itself, with two.
    async fn in_some_room(&self, plan: &Plan<'_>) -> Cell {
        let Some(roomy) = &self.doors.roomy else {
            return outcome(plan, plan.carry_out(&self.doors.tight, true).await);
        };
        let keeps = self.doors.held || plan.kind.after != After::Ready;
        if !(plan.scenario == Scenario::Idle && keeps)
            && let Some(cell) = plan.carry_out(&self.doors.tight, false).await
        {
            return cell;
        }
        outcome(plan, plan.carry_out(roomy, true).await)
    }
}

/// The last try always has an outcome.
fn outcome(plan: &Plan<'_>, cell: Option<Cell>) -> Cell {
    cell.unwrap_or_else(|| Cell::of(plan.scenario, plan.protocol, Verdict::NotReached))
}

fn chosen(only: &[String]) -> Vec<(Family, &'static Kind)> {
    let wanted = |family: Family, kind: &Kind| {
        only.is_empty()
            || only
                .iter()
                .any(|part| family.name() == part || kind.name.contains(part.as_str()))
    };
    let all = kinds::ALL
        .iter()
        .flat_map(|(family, kinds)| kinds.iter().map(|kind| (*family, kind)));
    all.filter(|(family, kind)| wanted(*family, kind)).collect()
}

fn described(kind: &Kind) -> Vec<String> {
    let startup = kind
        .startup
        .iter()
        .map(|(name, value)| format!("start-up parameter {name}={value}"));
    let mut steps: Vec<String> = startup
        .chain(kind.plant.iter().map(Step::describe))
        .collect();
    if matches!(kind.probe, Probe::CancelKey) {
        steps.push("A keeps its cancel key".to_owned());
    }
    steps
}

/// What a session sees that nobody has used.
async fn look(plan: &Plan<'_>, caller: &Caller) -> Result<String, Failure> {
    let mut client = caller.connect(&[]).await?;
    let seen = plan.probe(&mut client, None).await?;
    client.terminate().await;
    Ok(seen)
}

/// Ends the server connection that B is on, so that what was left there cannot be taken for the next run's.
async fn sweep(caller: &Caller) {
    const SWEEP: [&str; 3] = [
        "ROLLBACK",
        "RESET SESSION AUTHORIZATION",
        "SELECT pg_terminate_backend(pg_backend_pid())",
    ];
    let Ok(mut client) = caller.connect(&[]).await else {
        return;
    };
    for sql in SWEEP {
        // The last one is answered by the connection's end.
        if client.ask(Protocol::Simple, sql).await.is_err() {
            break;
        }
    }
    client.terminate().await;
    tokio::time::sleep(Duration::from_millis(5)).await;
}

const MEMBER: &str = "SELECT rolname FROM pg_roles WHERE rolname <> session_user \
    AND pg_has_role(oid, 'MEMBER') AND NOT rolsuper ORDER BY rolname LIMIT 1";

async fn server(client: &mut Client) -> Result<Server, Failure> {
    let extensions = ask(
        client,
        "SELECT string_agg(extname, ',' ORDER BY extname) FROM pg_extension",
    )
    .await?;
    Ok(Server {
        version: ask(client, "SHOW server_version").await?,
        database: ask(client, "SELECT current_database()").await?,
        role: ask(client, "SELECT session_user").await?,
        extensions: extensions.split(',').map(str::to_owned).collect(),
    })
}

/// A value, empty where there is none.
async fn ask(client: &mut Client, sql: &str) -> Result<String, Failure> {
    let answer = client.ask(Protocol::Simple, sql).await?;
    match answer.error {
        Some(error) => Err(Failure::Told(error)),
        None => Ok(answer.value.unwrap_or_default()),
    }
}
