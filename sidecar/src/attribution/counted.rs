//! One connection as the inventory counts it: its application's row, and what it claims as a whole.

use std::sync::Arc;

use super::name;
use crate::force::DatabaseForce;
use crate::identity::{Rejection, RejectionReason};
use crate::telemetry::{Applicant, Attribution, Metrics, protocol_label};

/// A connection that is counted.
#[derive(Debug)]
pub struct Counted {
    row: Arc<Applicant>,
    /// What is claimed of the connection, for those of its queries that say nothing themselves.
    claim: Attribution,
    /// What the statement claims that was prepared last, until it is bound.
    parsed: Option<Attribution>,
    /// What the statement claims that was bound last.
    bound: Option<Attribution>,
    is_counted: bool,
}

/// What a refusal says of who was named: a placeholder names nobody, and everything else that is not believed is no claim.
#[must_use]
pub fn of_rejection(rejection: Option<&Rejection>) -> Option<Attribution> {
    let names_nobody = rejection.is_some_and(|it| it.reason == RejectionReason::Placeholder);
    names_nobody.then_some(Attribution::Placeholder)
}

impl Counted {
    /// A connection of an application that calls itself `name`; none where the policy takes no inventory. `claim`: what it has said of
    /// its user elsewhere.
    #[must_use]
    pub fn new(
        metrics: &Metrics,
        force: &DatabaseForce,
        name: &str,
        claim: Option<Attribution>,
    ) -> Option<Box<Self>> {
        if !force.takes_inventory() {
            return None;
        }
        let name = name::read(name);
        let protocol = protocol_label(force.settings.protocol);
        Some(Box::new(Self {
            row: metrics.inventory.application(protocol, name.application),
            claim: claim.or(name.claim).unwrap_or(Attribution::Unattributed),
            parsed: None,
            bound: None,
            is_counted: false,
        }))
    }

    /// It has said something of its user, in words that are not believed.
    pub const fn claim(&mut self, claim: Attribution) {
        self.claim = claim;
    }

    /// Counts the connection, unless that has been done.
    pub fn connection(&mut self, verified: bool) {
        if !std::mem::replace(&mut self.is_counted, true) {
            self.row.connection(self.attribution(verified, None));
        }
    }

    /// Counts a query that itself claims this.
    #[inline]
    pub fn query(&self, verified: bool, claim: Option<Attribution>) {
        self.row.query(self.attribution(verified, claim));
    }

    /// Counts the execution of what was bound last.
    #[inline]
    pub fn execution(&self, verified: bool) {
        self.query(verified, self.bound);
    }

    /// A statement has been prepared that claims this, and may be bound next.
    pub const fn parsed(&mut self, claim: Option<Attribution>) {
        self.parsed = claim;
    }

    /// The statement that was prepared last may have been bound.
    pub const fn binds_parsed(&mut self) {
        self.bound = self.parsed.take();
    }

    /// A statement that claims this has been bound.
    pub const fn binds(&mut self, claim: Option<Attribution>) {
        self.bound = claim;
    }

    fn attribution(&self, verified: bool, claim: Option<Attribution>) -> Attribution {
        if verified {
            Attribution::Verified
        } else {
            claim.unwrap_or(self.claim)
        }
    }
}
