//! The nine states of an execution, as a pure machine: what may follow what, and nothing about who drives it.
//!
//! ```text
//! pending ──► starting ──► running ──► completing ──► completed
//!    │           │            │             │
//!    └───────────┴────────────┴─────────────┴──► failed · timed_out · cancelled · dead
//! ```

use std::fmt;

/// One state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ExecutionState {
    /// Waiting for a permit or a server connection.
    #[default]
    Pending,
    /// A server connection is being made ready.
    Starting,
    /// The server works, or the transaction waits for its next statement.
    Running,
    /// The end was asked for and has not been confirmed.
    Completing,
    /// Ended well.
    Completed,
    /// Ended with an error of the server, the upstream or the sidecar.
    Failed,
    /// Ended by one of the policy's timeouts.
    TimedOut,
    /// Ended by its client, by revocation, or because its WebSocket was lost.
    Cancelled,
    /// Its client or its server vanished, and nobody can say how it ended.
    Dead,
}

/// A step that the machine does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an execution that is {from} cannot become {to}")]
pub struct IllegalTransition {
    /// The state it is in.
    pub from: ExecutionState,
    /// The state it was to take.
    pub to: ExecutionState,
}

use ExecutionState::{
    Cancelled, Completed, Completing, Dead, Failed, Pending, Running, Starting, TimedOut,
};

impl ExecutionState {
    /// Every state, in declaration order; the index of a state is `state as usize`.
    pub const ALL: [Self; 9] = [
        Pending, Starting, Running, Completing, Completed, Failed, TimedOut, Cancelled, Dead,
    ];

    /// The states that may follow this one.
    #[must_use]
    pub const fn next(self) -> &'static [Self] {
        match self {
            // A permit was granted, or the wait ended otherwise: breaker open, acquire timed out, client gave up, client gone.
            Pending => &[Starting, Failed, TimedOut, Cancelled, Dead],
            // The server connection is ready, or it could not be made, took too long, is no longer wanted, or has no client.
            Starting => &[Running, Failed, TimedOut, Cancelled, Dead],
            // The end was asked for, or the work stopped before anybody asked.
            Running => &[Completing, Failed, TimedOut, Cancelled, Dead],
            // The end was confirmed, or it was not: a COMMIT can fail, hang, be cancelled, or lose its server.
            Completing => &[Completed, Failed, TimedOut, Cancelled, Dead],
            // Nothing follows an end.
            Completed | Failed | TimedOut | Cancelled | Dead => &[],
        }
    }

    /// Takes the next state.
    ///
    /// # Errors
    ///
    /// [`IllegalTransition`] when `to` may not follow; the state is then unchanged.
    pub fn advance(&mut self, to: Self) -> Result<(), IllegalTransition> {
        if !self.next().contains(&to) {
            return Err(IllegalTransition { from: *self, to });
        }
        *self = to;
        Ok(())
    }

    /// Whether nothing may follow.
    #[must_use]
    pub const fn is_final(self) -> bool {
        self.next().is_empty()
    }

    /// The state's name in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Pending => "pending",
            Starting => "starting",
            Running => "running",
            Completing => "completing",
            Completed => "completed",
            Failed => "failed",
            TimedOut => "timed_out",
            Cancelled => "cancelled",
            Dead => "dead",
        }
    }
}

impl fmt::Display for ExecutionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_the_81_pairs_is_legal_or_refused_as_the_table_says() {
        // Rows: from; columns: to, in the order of ALL.
        let table = [
            /* pending    */ ".S...FTCD",
            /* starting   */ "..R..FTCD",
            /* running    */ "...C.FTCD",
            /* completing */ "....CFTCD",
            /* completed  */ ".........",
            /* failed     */ ".........",
            /* timed_out  */ ".........",
            /* cancelled  */ ".........",
            /* dead       */ ".........",
        ];
        for (from, row) in ExecutionState::ALL.into_iter().zip(table) {
            for (to, cell) in ExecutionState::ALL.into_iter().zip(row.chars()) {
                let mut state = from;
                let outcome = state.advance(to);
                if cell == '.' {
                    assert_eq!(outcome, Err(IllegalTransition { from, to }));
                    assert_eq!(state, from, "a refused step leaves the state alone");
                } else {
                    assert_eq!(outcome, Ok(()), "{from} to {to}");
                    assert_eq!(state, to);
                }
            }
            assert_eq!(from.is_final(), !row.contains(|c| c != '.'));
        }
    }

    #[test]
    fn a_refusal_names_both_states() {
        let mut state = Completed;
        let refused = state.advance(Running).expect_err("an end is an end");
        assert_eq!(
            refused.to_string(),
            "an execution that is completed cannot become running"
        );
    }

    #[test]
    fn a_state_stands_at_its_own_index() {
        for (at, state) in ExecutionState::ALL.into_iter().enumerate() {
            assert_eq!(state as usize, at);
        }
    }
}
