//! What others want of a session: its cancel key, the WebSocket that it works for, an operator, and the sidecar that leaves.

use bulkhead_crds::kinds::OnDisconnect;

use super::super::error_response::{ErrorResponse, Severity, SqlState};
use super::{Ending, Flow, Session};
use crate::execution::ExecutionState;
use crate::identity::Rejection;
use crate::worker::Signal;

impl Session {
    pub(super) fn signalled(&mut self, signal: Signal) -> Result<Flow, Ending> {
        match signal {
            Signal::Cancel => self.cancel_on_request(),
            Signal::RunOver => self.run_over(),
            Signal::Stop => return Err(Ending::drained()),
            Signal::Lost => return Err(self.socket_lost()),
            Signal::Killed => return Err(self.killed()),
            Signal::Revoked => return Err(self.revoked()),
            Signal::Drain | Signal::Orphaned => self.draining = Some(signal),
            // Told to WebSockets alone.
            Signal::GiveWay | Signal::Leave | Signal::Returned => {}
        }
        self.drain_if_idle()
    }

    /// While draining, a session ends as soon as it has no work open.
    pub(super) fn drain_if_idle(&self) -> Result<Flow, Ending> {
        let idle = self.server.as_ref().is_none_or(|owned| {
            let stays = self.pinned || self.parameters_pinned;
            owned.server.backend.is_idle() && (stays || self.rest.left == 0)
        });
        if let Some(signal) = self.draining
            && idle
            && self.local.is_normal()
            && self.outbox.is_empty()
        {
            return Err(self.ended_by(signal));
        }
        Ok(Flow::Continue)
    }

    /// The WebSocket has ended that the work was for, and the work ends with it.
    pub(super) fn socket_lost(&mut self) -> Ending {
        self.work.end(ExecutionState::Cancelled);
        self.ended_by(Signal::Lost)
    }

    /// An operator has ended the connections of its user.
    pub(super) fn killed(&mut self) -> Ending {
        self.work.end(ExecutionState::Cancelled);
        self.ended_by(Signal::Killed)
    }

    /// Its user is cut off.
    pub(super) fn revoked(&mut self) -> Ending {
        self.work.end(ExecutionState::Cancelled);
        self.ended_by(Signal::Revoked)
    }

    /// What the client is told of an end that a signal brings.
    pub(super) fn ended_by(&self, signal: Signal) -> Ending {
        let how = match signal {
            Signal::Lost => OnDisconnect::Cancel,
            Signal::Orphaned => OnDisconnect::Drain,
            Signal::Killed => {
                return Ending::fatal(
                    SqlState::ADMIN_SHUTDOWN,
                    "terminating connection because an administrator has ended all connections of its user (KILL USER)",
                );
            }
            Signal::Revoked => {
                return self.revocation().map_or_else(taken_back, |it| {
                    Ending::Fatal(Box::new(told(it, Severity::Fatal)))
                });
            }
            _ => return Ending::drained(),
        };
        let policy = &self.force.policy;
        let setting = policy.name_field("isolation.onDisconnect", format_args!("{how:?}"));
        Ending::fatal(
            SqlState::ADMIN_SHUTDOWN,
            format!(
                "terminating connection because the WebSocket that it worked for has ended: {setting}"
            ),
        )
    }
}

/// The words for a client whose user is cut off.
pub(super) fn told(rejection: Rejection, severity: Severity) -> ErrorResponse {
    let message = rejection.message;
    ErrorResponse::new(severity, SqlState::INVALID_AUTHORIZATION, message).with_hint(rejection.hint)
}

/// The revocation has been taken back in this very moment, and the session has been ended all the same.
fn taken_back() -> Ending {
    let message = "access of this user was revoked";
    Ending::fatal(SqlState::INVALID_AUTHORIZATION, message)
}
