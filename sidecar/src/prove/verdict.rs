//! What a look at another user's session state comes to. Pure.

use serde::Serialize;

use super::kind::Tell;

/// One run of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Verdict {
    /// It could not be planted, or not in this way; says nothing.
    Skipped,
    /// B was not served while A was there; says nothing but that.
    NotReached,
    /// B saw what a fresh session sees.
    Clean,
    /// B saw A's trace, which PostgreSQL's reset is known to leave, where the tier is said to rest on that reset.
    Survivor,
    /// B saw A's trace.
    Leak,
}

/// What was seen.
#[derive(Clone, Copy, Debug)]
pub struct Sight<'a> {
    /// By a session that nobody had used before.
    pub fresh: &'a str,
    /// By A, of its own plant; `None` where A cannot look.
    pub planted: Option<&'a str>,
    /// By B.
    pub seen: &'a str,
}

/// Whether A's plant is there to be seen.
#[must_use]
pub fn is_planted(tell: Tell, fresh: &str, planted: &str) -> bool {
    match tell {
        Tell::Differs => planted != fresh,
        Tell::Repeats => !planted.starts_with("error "),
    }
}

/// Judges. `survives`: the kind is one that PostgreSQL's reset leaves, and the tier rests on that reset.
#[must_use]
pub fn judge(tell: Tell, sight: Sight<'_>, survives: bool) -> Verdict {
    let trace = match tell {
        Tell::Differs => sight.seen != sight.fresh,
        Tell::Repeats => sight.planted == Some(sight.seen),
    };
    match (trace, survives) {
        (false, _) => Verdict::Clean,
        (true, true) => Verdict::Survivor,
        (true, false) => Verdict::Leak,
    }
}

impl Verdict {
    /// As a cell of the table has it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Skipped => "-",
            Self::NotReached => "busy",
            Self::Clean => "ok",
            Self::Survivor => "known",
            Self::Leak => "LEAK",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_fresh_session_sees_too_is_clean_and_all_else_a_leak() {
        let (differs, repeats) = (Tell::Differs, Tell::Repeats);
        for (tell, fresh, planted, seen, survives, expected) in [
            (differs, "4MB", "7777kB", "4MB", false, Verdict::Clean),
            (differs, "4MB", "7777kB", "7777kB", false, Verdict::Leak),
            (differs, "4MB", "7777kB", "7777kB", true, Verdict::Survivor),
            // Neither A's nor a fresh session's: B's session is not fresh all the same.
            (
                differs,
                "4MB",
                "7777kB",
                "error 25P02",
                false,
                Verdict::Leak,
            ),
            (repeats, "0.1", "0.5", "0.9", false, Verdict::Clean),
            (repeats, "0.1", "0.5", "0.5", false, Verdict::Leak),
        ] {
            let sight = Sight {
                fresh,
                planted: Some(planted),
                seen,
            };
            assert_eq!(judge(tell, sight, survives), expected, "{sight:?}");
        }
    }

    #[test]
    fn a_plant_that_a_fresh_session_sees_too_is_none() {
        assert!(!is_planted(Tell::Differs, "off", "off"));
        assert!(is_planted(Tell::Differs, "off", "on"));
        assert!(is_planted(Tell::Repeats, "0.1", "0.5"));
        assert!(!is_planted(Tell::Repeats, "0.1", "error 42883"));
    }

    #[test]
    fn the_worst_of_several_is_the_greatest() {
        let all = [Verdict::Clean, Verdict::Leak, Verdict::Skipped];
        assert_eq!(all.into_iter().max(), Some(Verdict::Leak));
    }
}
