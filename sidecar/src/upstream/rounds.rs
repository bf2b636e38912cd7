//! Which of an upstream's hosts a dial ends at: all in turn, the one that did last time first, and again while one of them may
//! be about to do.
//!
//! Each host gets its part of what is left of `timeouts.connect`, so that one that does not answer leaves the others theirs.
//! A server that is starting (57P03), one that is away after it has ended its connections (57P01) a moment ago, and a list whose servers run but are none that will do, as while a standby takes over,
//! are tried again after a pause. May not live here: how one host is reached.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bulkhead_crds::kinds::TargetSessionAttrs;

use super::clock::Clock;
use super::connect::{ConnectRequest, Established, Inner};
use super::error::{Attempt, ConnectError, Stage};
use super::host::{Host, Opened, Opening};
use super::startup;

/// The pause behind the first round; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What has become of a round.
#[derive(Default)]
struct Round {
    attempts: Vec<Attempt>,
    /// Whether another round may end better.
    soon: bool,
    last: Option<ConnectError>,
    /// A server that takes connections and is not what is preferred.
    second_best: Option<Established>,
}

impl Inner {
    pub(super) async fn connect(
        &self,
        request: &ConnectRequest<'_>,
        clock: Clock<'_>,
    ) -> Result<Established, ConnectError> {
        let (database, role) = (request.database, request.role);
        let message = startup::message(self.at(), database, role, request.parameters)?;
        let opening = Opening::Session {
            role,
            message: &message,
        };
        self.open(opening, clock).await
    }

    /// Until one of the hosts will do, or time is up.
    pub(super) async fn open(
        &self,
        opening: Opening<'_>,
        clock: Clock<'_>,
    ) -> Result<Established, ConnectError> {
        let mut pause = FIRST_PAUSE;
        loop {
            match self.round(clock, opening).await {
                Err(error) if self.may_pass(&error) && clock.left() > pause => {
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                outcome => return outcome,
            }
        }
    }

    /// Whether the next round may end better: a server is starting, or was there a moment ago and is restarting.
    fn may_pass(&self, error: &ConnectError) -> bool {
        let now = Instant::now();
        let mut hosts = self.hosts.iter();
        error.may_pass()
            || error.is_of_absence() && hosts.any(|host| self.sites.may_come_back(&host.name, now))
    }

    /// Every host once, until one will do, or has given an answer that counts for all.
    async fn round(
        &self,
        clock: Clock<'_>,
        opening: Opening<'_>,
    ) -> Result<Established, ConnectError> {
        let mut round = Round::default();
        let count = self.hosts.len();
        let first = self.last_good.load(Ordering::Relaxed);
        for turn in 0..count {
            let index = (first + turn) % count;
            let host = &self.hosts[index];
            let share = clock.of(&host.at).share(count - turn - 1);
            match host.open(self, share, opening).await {
                Ok(Opened {
                    established,
                    unfit: None,
                }) => {
                    self.last_good.store(index, Ordering::Relaxed);
                    return Ok(established);
                }
                Ok(Opened {
                    established,
                    unfit: Some(why),
                }) => {
                    round.note(host, why.to_owned());
                    round.soon = true;
                    if self.wanted == TargetSessionAttrs::PreferStandby {
                        round.second_best.get_or_insert(established);
                    }
                }
                Err(error) if count > 1 && error.speaks_of_one_host() => {
                    round.note(host, error.reason_of_host());
                    round.soon |= error.may_pass();
                    round.last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        if let Some(second_best) = round.second_best.take() {
            return Ok(second_best);
        }
        Err(self.failure(round, clock))
    }

    fn failure(&self, round: Round, clock: Clock<'_>) -> ConnectError {
        let at = Arc::clone(self.at());
        if let Some(ConnectError::DeadlineExceeded { stage, .. }) = round.last
            && clock.left().is_zero()
        {
            return deadline_exceeded(at, stage, clock, round.attempts);
        }
        ConnectError::NoHost {
            at,
            wanted: self.wanted,
            attempts: round.attempts,
            soon: round.soon,
        }
    }
}

impl Round {
    fn note(&mut self, host: &Host, reason: String) {
        let address = host.at.place();
        self.attempts.push(Attempt { address, reason });
    }
}

fn deadline_exceeded(
    at: Arc<super::error::Endpoint>,
    stage: Stage,
    clock: Clock<'_>,
    attempts: Vec<Attempt>,
) -> ConnectError {
    ConnectError::DeadlineExceeded {
        at,
        stage,
        elapsed: clock.elapsed(),
        attempts,
    }
}
