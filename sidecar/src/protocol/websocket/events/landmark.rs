//! What an event says of the run that it belongs to.

/// Where a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landmark {
    /// Under way.
    Progress,
    /// Ended well.
    Completed,
    /// Ended with an error.
    Failed,
    /// Ended because somebody wished so.
    Cancelled,
}

/// Endings of names that say that something has failed, or was given up.
const FAILED: [&str; 3] = ["failed", "error", "errored"];
const CANCELLED: [&str; 4] = ["cancelled", "canceled", "aborted", "stopped"];

/// What each of these names says, in their order: the last one ends a run. Others of its stem end it as their last word says:
/// `agent_failed` beside `agent_completed`, but not `tool_failed`.
pub(super) fn landmarks(names: &[&str]) -> Vec<Landmark> {
    let Some((last, others)) = names.split_last() else {
        return Vec::new();
    };
    let (stem, _) = cut(last);
    let others = others.iter().map(|name| {
        let (its_stem, word) = cut(name);
        if its_stem != stem {
            Landmark::Progress
        } else if FAILED.contains(&word) {
            Landmark::Failed
        } else if CANCELLED.contains(&word) {
            Landmark::Cancelled
        } else {
            Landmark::Progress
        }
    });
    others.chain([Landmark::Completed]).collect()
}

/// A name's stem and its last word.
fn cut(name: &str) -> (&str, &str) {
    name.rsplit_once(['_', '-', '.', ':', '/'])
        .unwrap_or(("", name))
}

#[cfg(test)]
mod tests {
    use super::Landmark::{Cancelled, Completed, Failed, Progress};
    use super::*;

    #[test]
    fn the_last_event_ends_a_run_and_so_do_its_kin() {
        let rows: [(&[&str], &[Landmark]); 5] = [
            (&[], &[]),
            (&["done"], &[Completed]),
            (
                &[
                    "agent_started",
                    "tool_completed",
                    "tool_failed",
                    "agent_completed",
                ],
                &[Progress, Progress, Progress, Completed],
            ),
            (
                &["run.started", "run.failed", "run.cancelled", "run.done"],
                &[Progress, Failed, Cancelled, Completed],
            ),
            (&["error", "step", "done"], &[Failed, Progress, Completed]),
        ];
        for (names, expected) in rows {
            assert_eq!(landmarks(names), expected, "{names:?}");
        }
    }
}
