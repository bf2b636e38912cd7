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
    /// The same, until the client says `RESET ALL`: what its session holds are parameters alone.
    pub pins_parameters: bool,
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
            || traits.prepares_in_sql(),
        pins_parameters: traits.calls_set_config()
            || ((traits.sets_parameter() || traits.resets_parameter()) && !repeatable),
        unsettles: traits.calls_set_config() || traits.resets_parameter() || traits.runs_block(),
    }
}

/// Whether the text may change a run-time parameter, so that its command tags `SET` and `RESET` are expected.
#[must_use]
pub fn may_change(traits: Traits) -> bool {
    traits.sets_parameter() || traits.sets_locally() || traits.resets_parameter()
}

#[cfg(test)]
mod tests {
    use super::super::statement_text::{classify, parse_reset, parse_set};
    use super::*;

    /// The effect of a text that stands alone, as the session judges it.
    fn of(text: &str) -> (bool, bool, bool) {
        let traits = classify(text.as_bytes());
        let repeatable =
            parse_set(text.as_bytes()).is_some() || parse_reset(text.as_bytes()).is_some();
        let effect = effect(traits, repeatable);
        (effect.pins, effect.pins_parameters, effect.unsettles)
    }

    #[test]
    fn each_trait_has_its_effect() {
        let (nothing, pins) = ((false, false, false), (true, false, false));
        let (until_reset, unsettles) = ((false, true, false), (false, false, true));
        let both = (false, true, true);
        let table = [
            ("SELECT * FROM t WHERE a = 1", nothing),
            ("INSERT INTO t VALUES (1)", nothing),
            ("BEGIN", nothing),
            ("UNLISTEN x", nothing),
            ("EXECUTE p", nothing),
            ("DEALLOCATE p", nothing),
            ("DISCARD PLANS", nothing),
            ("SET LOCAL x = 1", nothing),
            ("DECLARE c CURSOR FOR SELECT 1", nothing),
            ("SELECT pg_advisory_xact_lock(1)", nothing),
            ("LISTEN x", pins),
            ("PREPARE p AS SELECT 1", pins),
            ("CREATE TEMP TABLE t (a int)", pins),
            ("SELECT pg_advisory_lock(1)", pins),
            ("DECLARE c CURSOR WITH HOLD FOR SELECT 1", pins),
            // A SET that can be repeated elsewhere need not stay here; one that cannot must.
            ("SET search_path = app", nothing),
            ("SET search_path = app; SELECT 1", until_reset),
            ("RESET search_path", unsettles),
            ("RESET search_path; SELECT 1", both),
            ("SELECT set_config('a.b', 'c', false)", both),
        ];
        for (text, expected) in table {
            assert_eq!(of(text), expected, "{text}");
        }
    }

    #[test]
    fn a_tag_set_is_expected_of_just_the_texts_that_may_set() {
        for (text, expected) in [
            ("SET x = 1", true),
            ("SET LOCAL x = 1", true),
            ("RESET x", true),
            ("SELECT 1; SET x = 1", true),
            ("SELECT 1", false),
            ("LISTEN x", false),
        ] {
            assert_eq!(may_change(classify(text.as_bytes())), expected, "{text}");
        }
    }
}
