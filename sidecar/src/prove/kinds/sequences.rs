//! What a session remembers of sequences, and the seed of its random numbers.

use super::super::kind::{Kind, Needs, Probe::Sql, Step::Run, kind};

pub(super) const KINDS: &[Kind] = &[
    kind(
        "currval",
        &[Run("SELECT nextval('{sequence}')")],
        Sql("SELECT currval('{sequence}') > 0"),
    )
    .needing(Needs::Sequence),
    kind(
        "lastval",
        &[Run("SELECT nextval('{sequence}')")],
        Sql("SELECT lastval() > 0"),
    )
    .needing(Needs::Sequence),
    kind(
        "numbers of a sequence that the session keeps in stock",
        &[Run("SELECT nextval('{sequence}')")],
        // The sequence has CACHE 10: a session that begins takes the first of ten.
        Sql("SELECT nextval('{sequence}') % 10 = 1"),
    )
    .needing(Needs::Sequence),
    kind(
        "the seed of random(), by setseed",
        &[Run("SELECT setseed(0.{n})")],
        Sql("SELECT random()"),
    )
    .repeats()
    .surviving_reset("DISCARD ALL does not touch the seed"),
];
