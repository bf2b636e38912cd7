//! The policy in force, and the list of revocations beside it: read from its file or the operator's snapshot, judged, taken over or not, and watched for changes.
//!
//! Everything else in the sidecar asks [`PolicyStore`] and never the file. What a policy means to a listener or a factory is
//! not said here.

mod accepted;
mod diagnostic;
mod events;
#[cfg(test)]
pub(crate) mod fixtures;
mod restart;
mod revocations;
mod secret_marks;
mod snapshot;
mod source;
mod store;
mod watch;

pub use accepted::AcceptedCopy;
pub use diagnostic::{Diagnostic, Severity};
pub use restart::PendingRestart;
pub use revocations::{
    AcceptedList, KeptList, RevocationFollower, RevocationSource, RevocationStanding,
};
pub use secret_marks::NotedSecrets;
pub use snapshot::READS;
pub use source::{PolicySource, judge};
pub use store::{Accepted, PolicyStore, Rejection, Revision, Standing, TakeOver, Trial};
pub use watch::{PolicyWatch, Timing};
