//! The published list: every kind of session state that the suite plants, one family a file.

mod channels;
mod conversation;
mod cursors;
mod extensions;
mod locks;
mod roles;
mod sequences;
mod settings;
mod statements;
mod temporary;
mod transactions;

use super::kind::{Family, Kind};

/// All kinds, family by family.
pub const ALL: [(Family, &[Kind]); 11] = [
    (Family::Settings, settings::KINDS),
    (Family::Roles, roles::KINDS),
    (Family::Temporary, temporary::KINDS),
    (Family::Statements, statements::KINDS),
    (Family::Cursors, cursors::KINDS),
    (Family::Sequences, sequences::KINDS),
    (Family::Locks, locks::KINDS),
    (Family::Channels, channels::KINDS),
    (Family::Transactions, transactions::KINDS),
    (Family::Conversation, conversation::KINDS),
    (Family::Extensions, extensions::KINDS),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::kind::{After, Probe, Step};
    use super::*;

    fn all() -> impl Iterator<Item = &'static Kind> {
        ALL.iter().flat_map(|(_, kinds)| kinds.iter())
    }

    #[test]
    fn names_are_unique_and_there_are_enough_of_them() {
        let names: BTreeSet<_> = all().map(|kind| kind.name).collect();
        assert_eq!(names.len(), all().count(), "a name stands twice");
        assert!(names.len() >= 60, "{} kinds", names.len());
    }

    #[test]
    fn every_kind_plants_something_and_leaves_a_in_the_state_that_it_says() {
        for kind in all() {
            assert!(
                !kind.plant.is_empty()
                    || !kind.startup.is_empty()
                    || matches!(kind.probe, Probe::CancelKey),
                "{} plants nothing",
                kind.name
            );
            let busy = matches!(
                kind.plant.last(),
                Some(
                    Step::Suspend(_)
                        | Step::Unsynced(_)
                        | Step::FailedUnsynced(_)
                        | Step::CopyIn(_)
                        | Step::CopyOut(_)
                        | Step::Unread(_)
                        | Step::Half(_)
                )
            );
            assert_eq!(busy, kind.after == After::Busy, "{}", kind.name);
        }
    }
}
