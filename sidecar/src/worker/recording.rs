//! What of a session is recorded in the audit trail, whatever protocol it speaks: who has cancelled it, and that its user is cut off.

use super::badge::Who;
use super::{Handle, Worker};
use crate::audit::EntryTrail;
use crate::audit::record::Canceller;

impl Worker {
    /// A session's work is cancelled, or the session itself is ended.
    pub(super) fn record_cancel(&self, handle: &Handle, by: Canceller) {
        let who = handle.badge.who();
        let Some(who) = &*who else {
            return;
        };
        self.with_trail(who, |trail| trail.cancelled(by, who.user()));
    }

    /// The trail of the entry that a session is of.
    pub(super) fn with_trail(&self, who: &Who, record: impl FnOnce(&EntryTrail)) {
        match who {
            Who::Client { .. } => {
                if let Some(entry) = self.entry(who.upstream()) {
                    record(&entry.trail);
                }
            }
            Who::Socket { .. } => {
                if let Some(entry) = self.socket_entry(who.upstream()) {
                    record(&entry.trail);
                }
            }
        }
    }
}
