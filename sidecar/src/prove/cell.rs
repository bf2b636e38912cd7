//! One run: A connects and plants, something becomes of A, B connects and looks.
//!
//! Lives here: the order of it. May not live here: the list of kinds, how steps and probes are carried out (`act`), and how a run is
//! reported.

use std::time::Duration;

use tokio::time::Instant;

use super::answer::Failure;
use super::client::{Caller, Client};
use super::kind::{After, Kind, Probe};
use super::report::Cell;
use super::scenario::{Protocol, Scenario};
use super::verdict::{Sight, Verdict, is_planted, judge};
use crate::upstream::CancelTarget;

/// How long B goes on asking for a server connection where A has left.
const SETTLES: Duration = Duration::from_secs(15);

/// Between two of those.
const PAUSE: Duration = Duration::from_millis(20);

/// The two users of one pool.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Plants.
    pub a: Caller,
    /// Looks.
    pub b: Caller,
}

/// What a run is of.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The kind.
    pub kind: &'a Kind,
    /// What becomes of A.
    pub scenario: Scenario,
    /// How both speak.
    pub protocol: Protocol,
    /// What a fresh session sees.
    pub fresh: &'a str,
    /// Fills in `{n}` and the like.
    pub names: &'a Names,
    /// Whether PostgreSQL's reset is what the tier rests on.
    pub rests_on_reset: bool,
}

/// What stands for the words in braces.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// `{n}`.
    pub number: u32,
    /// `{user}`.
    pub user: String,
    /// `{member}`.
    pub member: Option<String>,
    /// `{sequence}`.
    pub sequence: Option<String>,
}

/// A run that came to nothing, and why.
enum Stop {
    /// It says nothing of the pool.
    Skip(String),
    /// B was not served.
    NotReached(String),
}

impl Names {
    /// The text with the words in braces replaced.
    #[must_use]
    pub fn fill(&self, text: &str) -> String {
        let quoted = |name: &Option<String>| name.clone().unwrap_or_default().replace('"', "\"\"");
        text.replace("{n}", &self.number.to_string())
            .replace("{user}", &self.user.replace('"', "\"\""))
            .replace("{member}", &quoted(&self.member))
            .replace("{sequence}", self.sequence.as_deref().unwrap_or_default())
    }
}

impl Plan<'_> {
    /// Carries it out. `None`: A holds the only server connection, so that it is to be tried where there is a second one.
    pub async fn carry_out(&self, pair: &Pair, last: bool) -> Option<Cell> {
        let outcome = self.attempt(pair).await;
        let stopped = |verdict, why| {
            let mut cell = Cell::of(self.scenario, self.protocol, verdict);
            cell.why = Some(why);
            cell
        };
        match outcome {
            Ok(cell) => Some(cell),
            Err(Stop::Skip(why)) => Some(stopped(Verdict::Skipped, why)),
            Err(Stop::NotReached(_)) if !last => None,
            Err(Stop::NotReached(why)) => Some(stopped(Verdict::NotReached, why)),
        }
    }

    async fn attempt(&self, pair: &Pair) -> Result<Cell, Stop> {
        if let Some(why) = self.scenario.impossible(self.kind.after) {
            return Err(Stop::Skip(why.to_owned()));
        }
        let mut a = self.connect_a(&pair.a).await?;
        let a_pid = server_pid(&mut a, self.protocol).await;
        let planted = self.plant_and_look(&mut a).await?;
        let key = a.cancel_target();
        let staying = self.leave(a).await?;
        let (seen, b_pid) = self.look(&pair.b, key.as_ref()).await?;
        if let Some(a) = staying {
            a.terminate().await;
        }
        let survives = self.rests_on_reset && self.kind.survives_reset.is_some();
        let sight = Sight {
            fresh: self.fresh,
            planted: planted.as_deref(),
            seen: &seen,
        };
        let verdict = judge(self.kind.tell, sight, survives);
        let mut cell = Cell::of(self.scenario, self.protocol, verdict);
        cell.same_server_connection = a_pid.zip(b_pid).map(|(a, b)| a == b);
        cell.planted = planted;
        cell.seen = Some(seen);
        Ok(cell)
    }

    /// A may have to wait for the connection that the run before has left.
    async fn connect_a(&self, caller: &Caller) -> Result<Client, Stop> {
        let deadline = Instant::now() + SETTLES;
        loop {
            match caller.connect(self.kind.startup).await {
                Ok(client) => return Ok(client),
                Err(failure) if failure.is_no_room() && Instant::now() < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(failure) => return Err(Stop::Skip(format!("A is not let in: {failure}"))),
            }
        }
    }

    /// Plants, and sees to it that there is something to be seen. What A sees of it; `None` where A cannot look.
    async fn plant_and_look(&self, a: &mut Client) -> Result<Option<String>, Stop> {
        self.plant(a).await?;
        if self.kind.after == After::Busy || self.kind.unseen {
            return Ok(None);
        }
        if matches!(self.kind.probe, Probe::CancelKey) {
            let key = a.cancel_target();
            return key
                .map(|_| None)
                .ok_or_else(|| Stop::Skip("the server gave no cancel key".to_owned()));
        }
        let looked = self.probe(a, None).await;
        let seen = looked.map_err(|failure| Stop::Skip(format!("A cannot look: {failure}")))?;
        if !is_planted(self.kind.tell, self.fresh, &seen) {
            let why = format!("A sees {seen} as a fresh session does: there is nothing to be seen");
            return Err(Stop::Skip(why));
        }
        if self.kind.again {
            self.plant(a).await?;
        }
        Ok(Some(seen))
    }

    async fn plant(&self, a: &mut Client) -> Result<(), Stop> {
        let deadline = Instant::now() + SETTLES;
        for (at, step) in self.kind.plant.iter().enumerate() {
            loop {
                match self.step(a, step).await {
                    Ok(None) => break,
                    Ok(Some(error)) => {
                        return Err(Stop::Skip(format!("the server refuses it: {error}")));
                    }
                    // Before the first statement A may wait for the connection that the run before has left.
                    Err(Failure::Told(error))
                        if at == 0 && error.code == "53300" && Instant::now() < deadline =>
                    {
                        tokio::time::sleep(PAUSE).await;
                    }
                    Err(failure) => {
                        return Err(Stop::Skip(format!("it cannot be planted: {failure}")));
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes A what the scenario says; gives A back where it stays.
    async fn leave(&self, mut a: Client) -> Result<Option<Client>, Stop> {
        let cannot = |failure: Failure| Stop::Skip(format!("A cannot be brought there: {failure}"));
        match self.scenario {
            Scenario::Idle => return Ok(Some(a)),
            Scenario::Crashed => {
                a.crash();
                return Ok(None);
            }
            Scenario::Gone => {}
            Scenario::Cancelled if self.kind.after == After::Busy => a.cancel_once().await,
            Scenario::Cancelled => a.cancel_itself(self.protocol).await.map_err(cannot)?,
            Scenario::Aborted => {
                if self.kind.after == After::Ready {
                    a.ask(self.protocol, "BEGIN").await.map_err(cannot)?;
                }
                let failed = a.ask(self.protocol, "SELECT 1/0").await.map_err(cannot)?;
                if failed.status != 'E' {
                    let why = format!("A's transaction is not aborted, but {:?}", failed.status);
                    return Err(Stop::Skip(why));
                }
            }
        }
        a.terminate().await;
        Ok(None)
    }

    /// B connects and looks, and says which server process it was.
    async fn look(
        &self,
        caller: &Caller,
        key: Option<&CancelTarget>,
    ) -> Result<(String, Option<String>), Stop> {
        let deadline = Instant::now() + SETTLES;
        loop {
            let failure = match self.look_once(caller, key).await {
                Ok(seen) => return Ok(seen),
                Err(failure) => failure,
            };
            if !failure.is_no_room() {
                // That is what B sees: a fresh session would have been served.
                return Ok((format!("no answer: {failure}"), None));
            }
            if self.scenario == Scenario::Idle || Instant::now() >= deadline {
                return Err(Stop::NotReached(format!("B is not served: {failure}")));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn look_once(
        &self,
        caller: &Caller,
        key: Option<&CancelTarget>,
    ) -> Result<(String, Option<String>), Failure> {
        let mut b = caller.connect(&[]).await?;
        let seen = self.probe(&mut b, key).await?;
        let pid = server_pid(&mut b, self.protocol).await;
        b.terminate().await;
        Ok((seen, pid))
    }
}

/// The server process that answers; `None` where that cannot be told.
async fn server_pid(client: &mut Client, protocol: Protocol) -> Option<String> {
    let answer = client.ask(protocol, "SELECT pg_backend_pid()").await.ok()?;
    answer.error.is_none().then_some(answer.value).flatten()
}
