//! Admission: whose work a client brings. Decided here once for every protocol, verified, and never changed afterwards.
//!
//! What a client has presented is read by its protocol; what a refusal says to it is the protocol's too.

use bulkhead_crds::effective::EffectivePolicy;
use bulkhead_crds::kinds::Tier;

use crate::audit::EntryTrail;
use crate::factory::key::Owner;
use crate::force::DatabaseForce;
use crate::identity::{LiveSockets, Presented, Rejection, RejectionReason, UserContext};
use crate::telemetry::ConnectionOutcome;

/// Whose work a client brings.
#[derive(Debug)]
pub struct Identified {
    /// Whose factory serves it.
    pub owner: Owner,
    /// Its verified context; none for work that belongs to no user, and in mode `Audit`.
    pub context: Option<UserContext>,
    /// Why it would not be served in mode `Enforce`, to be counted.
    pub rejection: Option<Rejection>,
}

impl Identified {
    /// How the connection is counted.
    #[must_use]
    pub const fn outcome(&self) -> ConnectionOutcome {
        outcome(&self.owner)
    }
}

/// How a connection of this owner's is counted.
#[must_use]
pub const fn outcome(owner: &Owner) -> ConnectionOutcome {
    match owner {
        Owner::Unattributed => ConnectionOutcome::Unattributed,
        Owner::User(_) | Owner::Shared | Owner::Bootstrap => ConnectionOutcome::Accepted,
    }
}

/// Verifies what a client has presented; `live` are the sockets that it may work for.
///
/// # Errors
/// Why it is not served. In mode `Audit` a client without a valid context is served as `unattributed`, and the rejection stands in what
/// comes back.
pub async fn identify(
    force: &DatabaseForce,
    presented: &Presented<'_>,
    live: &LiveSockets,
) -> Result<Identified, Rejection> {
    let verified = force.verifier.verify_live(presented, live).await;
    decide(force, presented, verified)
}

/// The same for what has been verified, or refused, already.
///
/// # Errors
/// See [`identify`].
pub fn decide(
    force: &DatabaseForce,
    presented: &Presented<'_>,
    verified: Result<UserContext, Rejection>,
) -> Result<Identified, Rejection> {
    let shared = force.tier() == Tier::Shared;
    let as_owner = |owner, context, rejection| Identified {
        owner,
        context,
        rejection,
    };
    match verified {
        Ok(context) if shared => Ok(as_owner(Owner::Shared, Some(context), None)),
        Ok(context) => {
            let owner = Owner::User(context.user_id().clone());
            Ok(as_owner(owner, Some(context), None))
        }
        Err(_) if shared && presented_nothing(presented) => Ok(as_owner(Owner::Shared, None, None)),
        Err(rejection) if shared && rejection.reason == RejectionReason::Placeholder => {
            Err(Rejection {
                hint: "Name no user: in tier Shared work belongs to nobody.".to_owned(),
                ..rejection
            })
        }
        Err(rejection) if !rejection.refuses(force.enforces()) => {
            Ok(as_owner(Owner::Unattributed, None, Some(rejection)))
        }
        Err(rejection) => Err(rejection),
    }
}

/// Records what has become of a client that said whom it works for.
///
/// # Errors
/// Why it is not served; where it cannot be recorded, that.
pub fn record(
    trail: &EntryTrail,
    policy: &EffectivePolicy,
    decided: Result<Identified, Rejection>,
) -> Result<Identified, Rejection> {
    let identified = decided.inspect_err(|rejection| trail.refused(rejection))?;
    match trail.accepted(&identified.owner) {
        Ok(()) => Ok(identified),
        Err(_) => Err(Rejection::unrecorded(policy)),
    }
}

/// Whether a client has said nothing of who it is.
#[must_use]
pub const fn presented_nothing(presented: &Presented<'_>) -> bool {
    presented.token.is_none() && presented.user.is_none()
}
