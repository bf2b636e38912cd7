//! What a statement's text does to the session that runs it, and what follows for the pool. Pure.
//!
//! Tracking can never prove isolation, and Dedicated does not rest on it: a server connection there has one user. It keeps
//! the clients of *one* user from surprising each other in Transaction mode, as far as the wire shows it.

use super::statement_text::Traits;

/// What follows from a text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// The server connection must stay with this client: its session holds what the client will ask for later.
    pub pins: bool,
    /// Parameters may have changed unseen: they are asserted again at the next checkout.
    pub unsettles: bool,
}

/// What follows from a text of these traits. `repeatable`: it is a SET or RESET alone, which can be repeated elsewhere.
#[must_use]
pub fn effect(traits: Traits, repeatable: bool) -> Effect {
    if traits.is_plain() {
        return Effect::default();
    }
    Effect {
        pins: traits.creates_temporary()
            || traits.takes_session_lock()
            || traits.listens()
            || traits.holds_cursor()
            || traits.prepares_in_sql()
            || traits.calls_set_config()
            || ((traits.sets_parameter() || traits.resets_parameter()) && !repeatable),
        unsettles: traits.calls_set_config() || traits.resets_parameter() || traits.runs_block(),
    }
}

/// Whether the text may change a run-time parameter, so that its command tags `SET` and `RESET` are expected.
#[must_use]
pub fn may_change(traits: Traits) -> bool {
    traits.sets_parameter() || traits.sets_locally() || traits.resets_parameter()
}
