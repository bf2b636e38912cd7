//! A query that is not run, or not to its end: why, in ClickHouse's own form.

use std::time::Duration;

use http::Response;
use tokio::sync::oneshot;

use super::super::body::Answer;
use super::super::error::{Code, Exception};
use super::super::rewrite;
use super::{Query, said};
use crate::breaker::{Refused, seconds};
use crate::factory::checkout::CheckoutError;
use crate::force::DatabaseForce;
use crate::telemetry::{ErrorClass, TimeoutKind};
use crate::upstream::ConnectError;
use crate::worker::dial::name_breaker;
use crate::worker::{Joined, Signal};

impl Query {
    pub(super) fn checkout_error(&mut self, error: &CheckoutError) -> Exception {
        let message = error.to_string();
        match error {
            CheckoutError::Acquire { .. } => {
                self.count_timeout(TimeoutKind::Acquire);
                Exception::new(Code::TooManySimultaneousQueries, message)
                    .with_hint("Nothing was begun. Try again")
                    .retry_after(Duration::from_secs(1))
            }
            CheckoutError::Connect(ConnectError::DeadlineExceeded { .. }) => {
                let setting = self.force.name_timeout(TimeoutKind::Connect);
                Exception::new(Code::SocketTimeout, message).with_hint(setting)
            }
            CheckoutError::Connect(_) => Exception::new(Code::NetworkError, message),
            CheckoutError::Paused { .. } => {
                self.count_timeout(TimeoutKind::Acquire);
                Exception::new(Code::NoFreeConnection, message)
                    .with_hint("Nothing was begun. Try again")
            }
            CheckoutError::Broken(broken) => {
                Exception::new(Code::AllConnectionTriesFailed, message).retry_after(broken.after)
            }
        }
    }

    /// Why its user is cut off, if so.
    pub(super) fn revocation(&self) -> Option<Exception> {
        let owner = &self.factory.key.owner;
        let refusal = self.worker.revocation(owner, self.context.as_ref())?;
        let told = Exception::new(Code::AuthenticationFailed, refusal.message);
        Some(told.with_hint(refusal.hint))
    }

    /// What the client is told of an end that a signal brings.
    pub(in super::super) fn ended_by(&self, signal: Signal) -> Exception {
        if signal == Signal::Revoked
            && let Some(revoked) = self.revocation()
        {
            return revoked;
        }
        let policy = &self.force.policy;
        let message = match signal {
            Signal::Revoked => "the query was ended because its user is cut off".to_owned(),
            Signal::Lost => {
                let setting = policy.name_field("isolation.onDisconnect", "Cancel");
                format!("the query was ended because the WebSocket that it worked for has: {setting}")
            }
            Signal::Killed => {
                "the query was ended because an administrator has ended all connections of its user (KILL USER)".to_owned()
            }
            Signal::RunOver => {
                let setting = self.socket.as_ref().and_then(Joined::take_run_over);
                let setting = setting.as_deref().unwrap_or("a limit of its run");
                format!("the query was ended because the run of the application's that it worked for has taken longer than {setting}")
            }
            _ => "the query was ended because the sidecar is shutting down".to_owned(),
        };
        Exception::new(Code::QueryWasCancelled, message)
    }

    /// Tells the client why its query did not run, or did not run to its end.
    pub(in super::super) fn refuse(
        &mut self,
        error: &Exception,
        reply: oneshot::Sender<Response<Answer>>,
    ) {
        self.factory.activity.count_error();
        self.entry.metrics.error(class_of(error.code));
        let mut response = said(error);
        rewrite::name_query(response.headers_mut(), self.theirs.as_deref(), &self.id);
        // Whoever has gone meanwhile need not hear of it.
        let _ = reply.send(response);
    }
}

/// What an answer of the sidecar's own counts as.
pub(in super::super) const fn class_of(code: Code) -> ErrorClass {
    match code {
        Code::TimeoutExceeded | Code::TooManySimultaneousQueries | Code::QueryWasCancelled => {
            ErrorClass::Timeout
        }
        Code::SocketTimeout | Code::NetworkError | Code::AllConnectionTriesFailed => {
            ErrorClass::Connection
        }
        _ => ErrorClass::Other,
    }
}

pub(super) fn too_many_users(force: &DatabaseForce) -> Exception {
    let policy = &force.policy;
    let limit = policy.name_field("limits.maxUsers", policy.limits.max_users);
    Exception::new(
        Code::TooManySimultaneousQueries,
        format!("{limit} users are connected"),
    )
    .with_hint("Raise limits.maxUsers in the policy")
}

/// The user's breaker is open.
pub(super) fn broken(force: &DatabaseForce, refused: Refused) -> Exception {
    let (failures, window) = name_breaker(force);
    let after = seconds(refused.after);
    let message = format!(
        "the work of this user is refused: {failures} of their queries took too long within {window}; try again in {after} s"
    );
    Exception::new(Code::QuotaExceeded, message)
        .with_hint("Other users are not touched")
        .retry_after(refused.after)
}
