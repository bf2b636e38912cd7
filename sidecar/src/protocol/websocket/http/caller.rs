//! For whom a request is: its token found, verified, and its user's seat kept.

use http::request::Parts;

use bulkhead_crds::kinds::{Tier, TokenPlace};

use super::super::handshake::{Found, Refusal, admits_origin, find_token};
use super::super::seat::{NoSeat, Seat};
use super::front::Front;
use crate::factory::key::Owner;
use crate::force::WebSocketForce;
use crate::identity::{Rejection, RejectionReason, UserContext, UserId};
use crate::worker::kills::Moment;
use crate::worker::mailbox::Letter;

/// For whom a request is, if for anybody, and why not.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) context: Option<UserContext>,
    pub(super) rejection: Option<Rejection>,
    /// Where the token was.
    pub(super) place: Option<TokenPlace>,
}

/// Finds and verifies the request's token. What was not believed is in the outcome, for the policy to judge.
///
/// # Errors
/// The request carries two tokens, or what no token can be, and the policy is enforced.
pub(super) async fn caller(
    front: &Front,
    force: &WebSocketForce,
    parts: &mut Parts,
) -> Result<Caller, Refusal> {
    let found = match find_token(parts, &force.settings.tokens) {
        Ok(found) => found,
        Err(refusal) if force.enforces() => return Err(refusal),
        Err(refusal) => return Ok(Caller::nobody(refusal.message())),
    };
    if force.policy.isolation.tier == Tier::Shared {
        return Ok(Caller {
            context: None,
            rejection: None,
            place: found.map(|found| found.place),
        });
    }
    let presented = force.presented(found.as_ref().map(|found| found.text.as_str()));
    let live = &front.worker.process.live;
    let verified = force.verifier.verify_live(&presented, live).await;
    Ok(Caller::found(found.as_ref(), verified))
}

impl Caller {
    /// Who carries this, as the verifier judges it.
    pub(super) fn found(found: Option<&Found>, verified: Result<UserContext, Rejection>) -> Self {
        let (context, rejection) = match verified {
            Ok(context) => (Some(context), None),
            Err(rejection) => (None, Some(rejection)),
        };
        Self {
            context,
            rejection,
            place: found.map(|found| found.place),
        }
    }

    /// Who carries what nobody can believe.
    const fn nobody(message: String) -> Self {
        Self {
            context: None,
            rejection: Some(Rejection {
                reason: RejectionReason::Malformed,
                user: None,
                message,
                hint: String::new(),
            }),
            place: None,
        }
    }

    /// Whether the page that asks may use this token. Where the policy is not enforced, it is told that it may not, and goes on.
    ///
    /// # Errors
    /// It may not.
    pub(super) fn check_origin(
        &self,
        front: &Front,
        force: &WebSocketForce,
        parts: &Parts,
    ) -> Result<(), Refusal> {
        let allowed = force.settings.allowed_origins.as_deref();
        let from_cookie = self.place == Some(TokenPlace::Cookie);
        if admits_origin(&parts.headers, allowed, from_cookie) {
            return Ok(());
        }
        if force.enforces() {
            return Err(Refusal::Origin);
        }
        let metrics = &front.entry.metrics;
        metrics.clients.notice("origin", |upstream, left_out| {
            tracing::warn!(
                upstream,
                left_out,
                "a page of an origin that may not uses the application; in mode Enforce it is refused"
            );
        });
        Ok(())
    }

    /// The context; refuses who is nobody, whatever the policy's mode.
    ///
    /// # Errors
    /// No valid user context.
    pub(super) fn named(self) -> Result<UserContext, Refusal> {
        match (self.context, self.rejection) {
            (Some(context), _) => Ok(context),
            (None, Some(rejection)) => Err(Refusal::Identity(Box::new(rejection))),
            (None, None) => Err(Refusal::Malformed("the request carries no token")),
        }
    }

    /// For whom it is served.
    pub(super) fn owner(&self) -> Owner {
        match (&self.context, &self.rejection) {
            (Some(context), _) => Owner::User(context.user_id().clone()),
            (None, Some(_)) => Owner::Unattributed,
            (None, None) => Owner::Shared,
        }
    }

    /// Refuses who is nobody, where the policy is enforced.
    ///
    /// # Errors
    /// No valid user context.
    pub(super) fn or_refused(self, force: &WebSocketForce) -> Result<Self, Refusal> {
        match self.rejection {
            Some(rejection) if rejection.refuses(force.enforces()) => {
                Err(Refusal::Identity(Box::new(rejection)))
            }
            _ => Ok(self),
        }
    }
}

/// Keeps a seat for one more socket of a user, on the worker where they live. From here on that worker tells it of a kill; of one before,
/// since the client has said who it is, it hears now.
///
/// # Errors
/// A limit of the policy is reached, or the user has been killed.
pub(super) async fn keep_seat(
    front: &Front,
    force: &WebSocketForce,
    user: &UserId,
    presented: &Moment,
) -> Result<Seat, Refusal> {
    let home = user.home(front.worker.process.workers());
    let kept = front.ask(
        home,
        user.clone(),
        |worker, user| worker.keep_seat(&force.name, user),
        |user, reply| Letter::Seat {
            entry: force.name.clone(),
            user,
            reply,
        },
    );
    let kept = kept.await.unwrap_or(Err(NoSeat::Gone));
    let seat = kept.map_err(|none| match none {
        NoSeat::Sockets => Refusal::Sockets(force.name_setting("limits.connectionsPerUser")),
        NoSeat::Users => Refusal::Users,
        NoSeat::Gone => Refusal::Draining,
    })?;
    if presented.is_over_for(user, &force.name) {
        return Err(Refusal::Killed);
    }
    Ok(seat)
}
