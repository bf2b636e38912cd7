//! What others want of a session: the WebSocket that it works for, an operator, and the sidecar that leaves.

use bulkhead_crds::kinds::OnDisconnect;

use super::super::failure;
use super::{Ending, Flow, Session};
use crate::execution::ExecutionState;
use crate::worker::Signal;

impl Session {
    /// # Errors
    /// The session's end.
    pub(super) fn signalled(&mut self, signal: Signal) -> Result<Flow, Ending> {
        match signal {
            Signal::Stop | Signal::Lost | Signal::Killed | Signal::Revoked => {
                self.work.end(ExecutionState::Cancelled);
                return Err(self.ended_by(signal));
            }
            Signal::Drain | Signal::Orphaned => self.draining = Some(signal),
            Signal::RunOver => return self.run_over(),
            // Told to PostgreSQL's clients, or to WebSockets alone.
            Signal::Cancel | Signal::GiveWay | Signal::Leave | Signal::Returned => {}
        }
        if let Some(signal) = self.draining
            && self.is_idle()
        {
            return Err(self.ended_by(signal));
        }
        Ok(Flow::Continue)
    }

    /// The run that the work is for has reached a limit of the WebSocket's: what is under way ends, and the next may begin.
    fn run_over(&mut self) -> Result<Flow, Ending> {
        let setting = self
            .socket
            .as_ref()
            .and_then(|socket| socket.take_run_over());
        match setting {
            Some(setting) if !self.is_idle() => {
                self.factory.activity.count_timeout();
                self.work.end(ExecutionState::TimedOut);
                let why = format!("a run of the application's has taken longer than {setting}");
                self.give_up_server(&format!("TIMEOUT {why}"), &why)
            }
            _ => Ok(Flow::Continue),
        }
    }

    /// What the client is told of an end that a signal brings, for each command that waits.
    pub(super) fn ended_by(&self, signal: Signal) -> Ending {
        let how = match signal {
            Signal::Lost => OnDisconnect::Cancel,
            Signal::Orphaned => OnDisconnect::Drain,
            Signal::Killed => {
                return Ending::Told(
                    "NOAUTH an administrator has ended all connections of this user (KILL USER)"
                        .to_owned(),
                );
            }
            Signal::Revoked => {
                let told = self.revocation();
                return Ending::Told(told.unwrap_or_else(|| failure::EXPIRED.to_owned()));
            }
            _ => return Ending::Told("UNAVAILABLE the sidecar is shutting down".to_owned()),
        };
        let policy = &self.force.policy;
        let setting = policy.name_field("isolation.onDisconnect", format_args!("{how:?}"));
        Ending::Told(format!(
            "UNAVAILABLE the WebSocket that this connection worked for has ended: {setting}"
        ))
    }
}
