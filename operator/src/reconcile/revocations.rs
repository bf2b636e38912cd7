//! Who is cut off in a namespace, and how many of its pods enforce it: pure.
//!
//! A pod says which list it has in force, by its revision. Which revocations that list held is remembered for the last few lists, so that
//! one revocation more changes nothing in the status of those before it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bulkhead_crds::conditions::EnforcedReason;
use bulkhead_crds::kinds::{RevocationPods, UserRevocation, UserRevocationStatus};
use bulkhead_crds::names::Timestamp;
use bulkhead_crds::revocations::{self, Fate, LARGEST_LIST, Listing, MOST_REVOCATIONS};
use k8s_openapi::jiff;
use kube::ResourceExt as _;

use super::judge::listed;
use super::programmed::Report;
use super::status;
use crate::index::PodFacts;

/// Lists whose content is remembered.
const REMEMBERED: usize = 16;

/// A revocation as it was written once: its uid and its generation.
type Written = (String, i64);

/// The list of a namespace as it is, and what is remembered of those before it.
#[derive(Debug, Default)]
pub struct Lists {
    recent: VecDeque<(String, BTreeSet<Written>)>,
}

/// The pods of a namespace that have a sidecar, counted for one revocation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All of them.
    pub total: u32,
    /// Those that enforce it.
    pub enforcing: u32,
    refusing: Vec<String>,
    outdated: Vec<String>,
    unreachable: Vec<String>,
    behind: Vec<String>,
}

impl Lists {
    /// Makes the list of these revocations at `now`, and remembers it.
    pub fn make<'a>(
        &mut self,
        objects: impl Iterator<Item = &'a UserRevocation> + Clone,
        now: Timestamp,
    ) -> Listing {
        let listing = revocations::list(objects.clone(), now);
        let revision = listing.list.revision();
        let content = objects
            .filter(|object| listing.fates.get(&object.name_any()) == Some(&Fate::Listed))
            .map(written)
            .collect();
        // Equal content has an equal revision, but an object may have been deleted and created anew with the same.
        self.recent.retain(|(known, _)| known != revision);
        self.recent.push_front((revision.to_owned(), content));
        self.recent.truncate(REMEMBERED);
        listing
    }

    /// Whether the list of this revision holds a revocation as it is now. Of a list that nobody remembers, nothing is claimed.
    fn holds(&self, revision: &str, object: &UserRevocation) -> bool {
        let found = self.recent.iter().find(|(known, _)| known == revision);
        found.is_some_and(|(_, content)| content.contains(&written(object)))
    }

    /// Counts the pods that enforce a revocation. Pods whose sidecar has not started yet serve nobody, and are not counted.
    #[must_use]
    pub fn tally<'a>(
        &self,
        object: &UserRevocation,
        pods: impl Iterator<Item = &'a PodFacts>,
        report: impl Fn(&PodFacts) -> Option<&'a Report>,
    ) -> Tally {
        let mut tally = Tally::default();
        for pod in pods.filter(|pod| has_sidecar(pod)) {
            tally.total += 1;
            let name = || pod.name.clone();
            match report(pod) {
                Some(Report::Answer(answer)) => match &answer.revocations {
                    Some(list) if self.holds(&list.revision, object) => tally.enforcing += 1,
                    Some(list) if list.refused => tally.refusing.push(name()),
                    Some(_) => tally.behind.push(name()),
                    None => tally.outdated.push(name()),
                },
                Some(Report::Silent(why)) => {
                    tally.unreachable.push(format!("{} ({why})", pod.name));
                }
                None => tally.behind.push(name()),
            }
        }
        tally
    }
}

fn written(object: &UserRevocation) -> Written {
    let generation = object.metadata.generation.unwrap_or_default();
    (object.uid().unwrap_or_default(), generation)
}

fn has_sidecar(pod: &PodFacts) -> bool {
    pod.counts() && pod.sidecar_started && pod.has_container && pod.injected.is_some()
}

/// Whether a revocation is enforced, why not, and what to do.
#[must_use]
pub fn enforced(fate: &Fate, tally: &Tally) -> (EnforcedReason, String) {
    match fate {
        Fate::Invalid(finding) => {
            let message = format!("{}: {}", finding.path, finding.message);
            (EnforcedReason::Invalid, message)
        }
        Fate::Expired => {
            let message =
                "its time is over: nobody is refused by it any more, and it may be deleted";
            (EnforcedReason::Expired, message.to_owned())
        }
        Fate::Full => (
            EnforcedReason::ListFull,
            format!(
                "NOT ENFORCED: the older revocations of this namespace fill the list ({MOST_REVOCATIONS} entries or {LARGEST_LIST} bytes); delete those whose tokens have expired, and give others an expiresAt"
            ),
        ),
        Fate::Listed => tally.enforced(),
    }
}

impl Tally {
    fn enforced(&self) -> (EnforcedReason, String) {
        let of = |all: &[String]| format!("{} of {} sidecars", all.len(), self.total);
        if self.total == 0 {
            let message = "no pod of this namespace has a sidecar; those that come will enforce it";
            return (EnforcedReason::NoPods, message.to_owned());
        }
        if !self.refusing.is_empty() {
            let message = format!(
                "{} refuse the list and keep the last good one (their logs say why): {}",
                of(&self.refusing),
                listed(&self.refusing, ", ")
            );
            return (EnforcedReason::SidecarsRefuse, message);
        }
        if !self.outdated.is_empty() {
            let message = format!(
                "{} are of a release that knows no revocations: {}; restart these workloads, so that their pods get the sidecar of this release",
                of(&self.outdated),
                listed(&self.outdated, ", ")
            );
            return (EnforcedReason::SidecarsOutdated, message);
        }
        if !self.unreachable.is_empty() {
            let message = format!(
                "{} cannot be asked whether they enforce it: {}; let the operator's pods reach port {} of these pods (a NetworkPolicy, or the mesh's)",
                of(&self.unreachable),
                listed(&self.unreachable, "; "),
                bulkhead_crds::names::objects::ADMIN_PORT
            );
            return (EnforcedReason::SidecarsUnreachable, message);
        }
        if !self.behind.is_empty() {
            let message = format!(
                "{} have not confirmed it yet: {}",
                of(&self.behind),
                listed(&self.behind, ", ")
            );
            return (EnforcedReason::Syncing, message);
        }
        let message = format!("{} pods refuse the user", self.enforcing);
        (EnforcedReason::Enforced, message)
    }
}

/// The status of a revocation at `now`.
#[must_use]
pub fn status(
    object: &UserRevocation,
    fate: &Fate,
    tally: &Tally,
    now: jiff::Timestamp,
) -> UserRevocationStatus {
    let (reason, message) = enforced(fate, tally);
    let old = object
        .status
        .as_ref()
        .and_then(|old| old.conditions.as_ref());
    let finding = status::Finding::enforced(reason, &message);
    let counts = *fate == Fate::Listed;
    UserRevocationStatus {
        conditions: Some(status::conditions(
            old,
            std::slice::from_ref(&finding),
            object.metadata.generation,
            now,
        )),
        observed_generation: object.metadata.generation,
        not_before: revocations::not_before(object),
        pods: counts.then_some(RevocationPods {
            enforcing: tally.enforcing,
            total: tally.total,
        }),
        enforced: counts.then(|| format!("{}/{}", tally.enforcing, tally.total)),
    }
}

/// How many revocations of a namespace have come to what.
#[must_use]
pub fn count(reasons: impl Iterator<Item = EnforcedReason>) -> BTreeMap<EnforcedReason, u32> {
    let mut counts = BTreeMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::super::programmed::{Answer, ListAnswer};
    use super::*;
    use crate::index::facts::InjectedFrom;

    fn now() -> Timestamp {
        "2026-11-27T12:00:00Z".parse().unwrap()
    }

    fn revocation(uid: &str, generation: i64, spec: serde_json::Value) -> UserRevocation {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "bulkhead.dev/v1alpha1", "kind": "UserRevocation",
            "metadata": {"name": uid, "uid": uid, "generation": generation, "creationTimestamp": "2026-11-27T11:00:00Z"},
            "spec": spec,
        }))
        .unwrap()
    }

    fn alice() -> UserRevocation {
        revocation("alice", 1, serde_json::json!({"user": "alice"}))
    }

    fn pod(name: &str) -> PodFacts {
        PodFacts {
            name: name.to_owned(),
            uid: name.to_owned(),
            has_container: true,
            is_living: true,
            sidecar_started: true,
            injected: InjectedFrom::read("chat@1"),
            ..PodFacts::default()
        }
    }

    fn has(list: Option<(&str, bool)>) -> Report {
        Report::Answer(Answer {
            revocations: list.map(|(revision, refused)| ListAnswer {
                revision: revision.to_owned(),
                refused,
            }),
            ..Answer::default()
        })
    }

    /// How a revocation stands whose two pods say this.
    fn stands(
        lists: &Lists,
        object: &UserRevocation,
        reports: [Option<Report>; 2],
    ) -> (EnforcedReason, String) {
        let pods = [pod("a"), pod("b")];
        let tally = lists.tally(object, pods.iter(), |pod| {
            reports[usize::from(pod.name == "b")].as_ref()
        });
        let status = status(object, &Fate::Listed, &tally, now_of_jiff());
        let reason = enforced(&Fate::Listed, &tally).0;
        (reason, status.enforced.unwrap_or_default())
    }

    fn now_of_jiff() -> jiff::Timestamp {
        "2026-11-27T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn it_is_enforced_when_every_sidecar_says_so() {
        let (mut lists, alice) = (Lists::default(), alice());
        let listing = lists.make([&alice].into_iter(), now());
        let revision = listing.list.revision();
        let good = || Some(has(Some((revision, false))));
        for (other, reason, told) in [
            (good(), EnforcedReason::Enforced, "2/2"),
            (None, EnforcedReason::Syncing, "1/2"),
            (
                Some(has(Some(("none", false)))),
                EnforcedReason::Syncing,
                "1/2",
            ),
            (
                Some(has(Some(("none", true)))),
                EnforcedReason::SidecarsRefuse,
                "1/2",
            ),
            (Some(has(None)), EnforcedReason::SidecarsOutdated, "1/2"),
            (
                Some(Report::Silent("refused".to_owned())),
                EnforcedReason::SidecarsUnreachable,
                "1/2",
            ),
        ] {
            assert_eq!(
                stands(&lists, &alice, [good(), other]),
                (reason, told.to_owned())
            );
        }
    }

    #[test]
    fn one_revocation_more_changes_nothing_for_those_before_it() {
        let (mut lists, alice) = (Lists::default(), alice());
        let first = lists.make([&alice].into_iter(), now());
        let bob = revocation("bob", 1, serde_json::json!({"user": "bob"}));
        lists.make([&alice, &bob].into_iter(), now());
        let old = || Some(has(Some((first.list.revision(), false))));
        assert_eq!(
            stands(&lists, &alice, [old(), old()]).0,
            EnforcedReason::Enforced
        );
        assert_eq!(
            stands(&lists, &bob, [old(), old()]),
            (EnforcedReason::Syncing, "0/2".to_owned())
        );
    }

    #[test]
    fn a_revocation_that_was_edited_is_to_be_enforced_anew() {
        let mut lists = Lists::default();
        let first = lists.make([&alice()].into_iter(), now());
        let edited = revocation(
            "alice",
            2,
            serde_json::json!({"user": "alice", "reason": "Suspended"}),
        );
        lists.make([&edited].into_iter(), now());
        let old = || Some(has(Some((first.list.revision(), false))));
        assert_eq!(
            stands(&lists, &edited, [old(), old()]).0,
            EnforcedReason::Syncing
        );
    }

    #[test]
    fn pods_that_have_no_sidecar_or_none_yet_do_not_count() {
        let (lists, alice) = (Lists::default(), alice());
        let none = PodFacts {
            injected: None,
            ..pod("a")
        };
        let starting = PodFacts {
            sidecar_started: false,
            ..pod("b")
        };
        let going = PodFacts {
            is_deleting: true,
            ..pod("c")
        };
        let tally = lists.tally(&alice, [none, starting, going].iter(), |_| None);
        assert_eq!(enforced(&Fate::Listed, &tally).0, EnforcedReason::NoPods);
    }

    #[test]
    fn what_is_not_in_the_list_is_enforced_nowhere_and_says_why() {
        let tally = Tally {
            total: 3,
            enforcing: 3,
            ..Tally::default()
        };
        for (fate, reason) in [(Fate::Expired, "Expired"), (Fate::Full, "ListFull")] {
            let status = status(&alice(), &fate, &tally, now_of_jiff());
            let condition = &status.conditions.as_ref().unwrap()[0];
            assert_eq!(
                (&*condition.r#type, &*condition.reason),
                ("Enforced", reason)
            );
            assert_eq!(status.enforced, None);
        }
    }
}
