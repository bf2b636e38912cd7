//! The audit trail: what the sidecar has let in, refused and ended, as lines of JSON that are chained by hashes.
//!
//! ```text
//! where it happens ─→ entry ─→ trail ─→ (bounded queue) ─→ writer: chain ─→ segments, or standard output
//!                                                          verify ←──────── whoever asks later
//! ```
//!
//! Lives here: what a record says ([`record`]), how records hang together ([`chain`]), how they get from the workers' threads to the one
//! thread that writes ([`trail`], [`writer`]), and how they are held to their chain afterwards ([`verify`]). May not live here: when
//! something happens. No text of a query, no token and no password may enter a record; the closed list of events has no place for any.
//!
//! Written at once, and on the disk within a second ([`writer::SYNC`]).

pub mod chain;
mod entry;
mod error;
mod naming;
pub mod record;
mod segments;
mod sink;
mod tail;
mod time;
mod trail;
pub mod verify;
mod writer;

pub use entry::EntryTrail;
pub use error::{AuditError, Unwritable};
pub use naming::{Named, Naming, hashed};
pub use trail::{Site, Trail};
