//! When each sidecar is asked and each pod is poked. Pure: `now` is the time since the namespace has been tended.
//!
//! ```text
//!   behind ──poke, ask often──▶ in sync ──ask now and then──▶ in sync
//!      ▲                            │
//!      └──────── new revision ──────┘
//! ```
//!
//! A poke is repeated with back-off until the sidecar reports the revision: the kubelet may have been away when the first one came.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use bulkhead_crds::revocations::NONE;

use super::programmed::{Answer, Report};

/// Between asking a sidecar that is in sync.
const CALM: Duration = Duration::from_secs(60);
/// Between asking a sidecar that is behind: at first, and at most.
const EAGER: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// Between asking a sidecar that does not answer: at first, and at most.
const PATIENT: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// Between pokes for the same revision. The first pauses are short: a kubelet may be poked before it has seen the new content itself, and
/// on a busy node that takes it a second.
const POKES: [Duration; 6] = [
    Duration::from_millis(300),
    Duration::from_millis(700),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
    Duration::from_secs(60),
];

/// A pod whose sidecar is to have a revision in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.name`.
    pub pod: String,
    /// Where its sidecar answers.
    pub address: IpAddr,
    /// What it is to have in force.
    pub revision: String,
    /// The mark of the last poke that it bears.
    pub poked: Option<String>,
}

/// A sidecar to be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The pod's uid.
    pub uid: String,
    /// Where.
    pub address: IpAddr,
}

/// A pod to be poked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poke {
    /// The pod.
    pub pod: String,
    /// The annotation's value: the revision, and from the second time on which time it is.
    pub mark: String,
}

/// What is known of the sidecars of a namespace.
#[derive(Debug, Default)]
pub struct Sidecars {
    known: BTreeMap<String, Known>,
    /// The revision of the list of revocations that all of them are to have in force; empty where that has none.
    list: String,
    /// Whether an answer has told of traffic and of nothing else.
    has_traffic: bool,
}

#[derive(Debug)]
struct Known {
    pod: String,
    address: IpAddr,
    revision: String,
    list: String,
    report: Option<Report>,
    is_asked: bool,
    wait: Duration,
    next_ask: Duration,
    pokes: usize,
    next_poke: Option<Duration>,
}

impl Sidecars {
    /// Takes over which sidecars are to have what in force, and forgets all others.
    pub fn expect(&mut self, expected: Vec<Expected>, now: Duration) {
        let mut before = std::mem::take(&mut self.known);
        for pod in expected {
            let known = match before.remove(&pod.uid) {
                Some(mut known) => {
                    known.expect(&pod, &self.list, now);
                    known
                }
                None => Known::new(&pod, &self.list, now),
            };
            self.known.insert(pod.uid, known);
        }
    }

    /// All of them are to have this list of revocations in force from now on.
    pub fn expect_list(&mut self, revision: &str, now: Duration) {
        let list = if revision == NONE { "" } else { revision };
        if self.list == list {
            return;
        }
        list.clone_into(&mut self.list);
        for known in self.known.values_mut() {
            list.clone_into(&mut known.list);
            known.begin_anew(0, now);
        }
    }

    /// What a pod's sidecar said last.
    #[must_use]
    pub fn report(&self, uid: &str) -> Option<&Report> {
        self.known.get(uid)?.report.as_ref()
    }

    /// The sidecars that are to be asked now. Each is taken for asked until [`Self::answered`].
    pub fn due(&mut self, now: Duration) -> Vec<Ask> {
        let mut due = Vec::new();
        for (uid, known) in &mut self.known {
            if !known.is_asked && known.next_ask <= now {
                known.is_asked = true;
                due.push(Ask {
                    uid: uid.clone(),
                    address: known.address,
                });
            }
        }
        due
    }

    /// Takes an answer in; says whether it says anything new. Queries alone are no news, but see [`Self::take_traffic`].
    pub fn answered(&mut self, uid: &str, report: Report, now: Duration) -> bool {
        let Some(known) = self.known.get_mut(uid) else {
            return false;
        };
        let before = known.report.clone();
        if !known.answered(report, now) {
            return false;
        }
        if let (Some(Report::Answer(before)), Some(Report::Answer(after))) = (before, &known.report)
            && before.with_inventory_of(after) == *after
        {
            self.has_traffic = true;
            return false;
        }
        true
    }

    /// Whether an answer has come since the last time that tells of queries and of nothing else: it may be looked at together with others.
    pub const fn take_traffic(&mut self) -> bool {
        std::mem::replace(&mut self.has_traffic, false)
    }

    /// The pods that are to be poked now. Each is taken for poked.
    pub fn pokes(&mut self, now: Duration) -> Vec<Poke> {
        let due = self.known.values_mut().filter_map(|known| known.poke(now));
        due.collect()
    }

    /// When something is due next.
    #[must_use]
    pub fn next(&self) -> Option<Duration> {
        let asks = self.known.values().filter(|known| !known.is_asked);
        let asks = asks.map(|known| known.next_ask);
        let pokes = self.known.values().filter_map(|known| known.next_poke);
        asks.chain(pokes).min()
    }
}

impl Known {
    fn new(pod: &Expected, list: &str, now: Duration) -> Self {
        Self {
            pod: pod.pod.clone(),
            address: pod.address,
            revision: pod.revision.clone(),
            list: list.to_owned(),
            report: None,
            is_asked: false,
            wait: EAGER.0,
            next_ask: now,
            pokes: pokes_before(pod, &mark(&pod.revision, list)),
            // Whoever has started since has it; the answer will say.
            next_poke: None,
        }
    }

    fn expect(&mut self, pod: &Expected, list: &str, now: Duration) {
        if self.address != pod.address {
            *self = Self::new(pod, list, now);
            return;
        }
        if self.revision == pod.revision {
            return;
        }
        self.revision.clone_from(&pod.revision);
        self.begin_anew(pokes_before(pod, &mark(&pod.revision, list)), now);
    }

    /// Something else is to be in force: it has been poked for that so often.
    fn begin_anew(&mut self, pokes: usize, now: Duration) {
        self.pokes = pokes;
        self.wait = EAGER.0;
        self.next_ask = now + EAGER.0;
        self.next_poke = Some(now);
        if self.is_current() {
            self.settle(now);
        }
    }

    fn is_current(&self) -> bool {
        let Some(Report::Answer(answer)) = &self.report else {
            return false;
        };
        // One that knows of no lists will never have one.
        let list = answer.revocations.as_ref();
        let has_list = list.is_none_or(|list| list.revision == self.list_revision());
        answer.revision == self.revision && has_list
    }

    fn list_revision(&self) -> &str {
        if self.list.is_empty() {
            NONE
        } else {
            &self.list
        }
    }

    fn settle(&mut self, now: Duration) {
        self.wait = EAGER.0;
        self.next_ask = now + CALM;
        self.next_poke = None;
    }

    fn answered(&mut self, report: Report, now: Duration) -> bool {
        self.is_asked = false;
        let is_new = self.report.as_ref() != Some(&report);
        let (first, most) = match &report {
            Report::Answer(_) => EAGER,
            Report::Silent(_) => PATIENT,
        };
        let refuses = matches!(&report, Report::Answer(answer) if self.refuses(answer));
        self.report = Some(report);
        if self.is_current() {
            self.settle(now);
            return is_new;
        }
        self.wait = self.wait.clamp(first, most);
        self.next_ask = now + self.wait;
        self.wait = (self.wait * 3 / 2).min(most);
        let answered = matches!(self.report, Some(Report::Answer(_)));
        if refuses || !answered {
            // It has read what it refuses, or nobody is there to read: poking would be noise.
            self.next_poke = None;
        } else if self.next_poke.is_none() {
            self.next_poke = Some(now + self.pause());
        }
        is_new
    }

    /// Whether it has read what it lacks, and does not take it.
    fn refuses(&self, answer: &Answer) -> bool {
        let list = answer.revocations.as_ref();
        if answer.revision != self.revision {
            return answer.rejection.is_some();
        }
        list.is_some_and(|list| list.refused)
    }

    fn pause(&self) -> Duration {
        match self.pokes {
            0 => Duration::ZERO,
            more => POKES[(more - 1).min(POKES.len() - 1)],
        }
    }

    fn poke(&mut self, now: Duration) -> Option<Poke> {
        if self.next_poke? > now {
            return None;
        }
        self.pokes += 1;
        self.next_poke = Some(now + self.pause());
        let mark = mark(&self.revision, &self.list);
        let mark = match self.pokes {
            1 => mark,
            more => format!("{mark}.{more}"),
        };
        Some(Poke {
            pod: self.pod.clone(),
            mark,
        })
    }
}

/// What a pod is poked for: a policy, and a list of revocations where there are any.
fn mark(revision: &str, list: &str) -> String {
    if list.is_empty() {
        return revision.to_owned();
    }
    format!("{revision}-{list}")
}

/// How often a pod has been poked for this mark already, by whoever tended it before.
fn pokes_before(pod: &Expected, mark: &str) -> usize {
    let Some(poked) = pod.poked.as_deref() else {
        return 0;
    };
    match poked.strip_prefix(mark) {
        Some("") => 1,
        Some(rest) => rest
            .strip_prefix('.')
            .and_then(|times| times.parse().ok())
            .unwrap_or(0),
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use bulkhead_crds::kinds::AttributionCounts;

    use super::super::programmed::{Applicant, ListAnswer};
    use super::*;

    fn pod(revision: &str, poked: Option<&str>) -> Expected {
        Expected {
            uid: "u".to_owned(),
            pod: "web".to_owned(),
            address: "10.0.0.1".parse().unwrap(),
            revision: revision.to_owned(),
            poked: poked.map(str::to_owned),
        }
    }

    fn has(revision: &str) -> Report {
        Report::Answer(Answer {
            revision: revision.to_owned(),
            ..Answer::default()
        })
    }

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// A sidecar that is in sync with `r1` at 0.
    fn in_sync() -> Sidecars {
        let mut sidecars = Sidecars::default();
        sidecars.expect(vec![pod("r1", None)], ms(0));
        assert_eq!(sidecars.due(ms(0)).len(), 1, "nothing is known of it");
        assert!(sidecars.answered("u", has("r1"), ms(0)));
        sidecars
    }

    #[test]
    fn queries_alone_are_no_news() {
        let mut sidecars = in_sync();
        let after = |queries: i64, total: u64| {
            Report::Answer(Answer {
                revision: "r1".to_owned(),
                total,
                inventory: vec![Applicant {
                    protocol: "redis",
                    application: "web".to_owned(),
                    connections: AttributionCounts::default(),
                    queries: AttributionCounts {
                        unattributed: queries,
                        ..AttributionCounts::default()
                    },
                }],
                ..Answer::default()
            })
        };
        assert!(!sidecars.answered("u", after(1, 0), ms(1)));
        assert!(sidecars.take_traffic() && !sidecars.take_traffic());
        assert!(!sidecars.answered("u", after(1, 0), ms(2)));
        assert!(!sidecars.take_traffic(), "it says the same");
        assert!(
            sidecars.answered("u", after(2, 1), ms(3)),
            "a connection is"
        );
        assert!(!sidecars.take_traffic());
    }

    #[test]
    fn a_sidecar_in_sync_is_left_alone_for_a_while_and_never_poked() {
        let mut sidecars = in_sync();
        assert!(sidecars.due(ms(59_999)).is_empty());
        assert!(sidecars.pokes(ms(59_999)).is_empty());
        assert_eq!(sidecars.next(), Some(CALM));
        assert_eq!(sidecars.due(ms(60_000)).len(), 1);
        assert!(sidecars.due(ms(60_000)).is_empty(), "it is being asked");
        assert!(
            !sidecars.answered("u", has("r1"), ms(60_001)),
            "nothing new"
        );
    }

    #[test]
    fn a_new_revision_is_poked_for_at_once_and_asked_after_soon() {
        let mut sidecars = in_sync();
        sidecars.expect(vec![pod("r2", None)], ms(5000));
        let pokes = sidecars.pokes(ms(5000));
        assert_eq!(
            pokes,
            [Poke {
                pod: "web".to_owned(),
                mark: "r2".to_owned()
            }]
        );
        assert!(sidecars.pokes(ms(5000)).is_empty());
        assert_eq!(sidecars.due(ms(5200)).len(), 1);
        assert!(sidecars.answered("u", has("r2"), ms(5210)));
        assert!(sidecars.pokes(ms(50_000)).is_empty());
    }

    #[test]
    fn a_poke_is_repeated_with_back_off_until_the_sidecar_has_it() {
        let mut sidecars = in_sync();
        sidecars.expect(vec![pod("r2", None)], ms(0));
        let mut marks = Vec::new();
        for now in (0..120_000).step_by(100) {
            marks.extend(
                sidecars
                    .pokes(ms(now))
                    .into_iter()
                    .map(|poke| (now, poke.mark)),
            );
            if !sidecars.due(ms(now)).is_empty() {
                sidecars.answered("u", has("r1"), ms(now));
            }
        }
        let expected = [
            (0, "r2"),
            (300, "r2.2"),
            (1000, "r2.3"),
            (2000, "r2.4"),
            (5000, "r2.5"),
            (15_000, "r2.6"),
            (75_000, "r2.7"),
        ];
        assert_eq!(marks, expected.map(|(now, mark)| (now, mark.to_owned())));
    }

    #[test]
    fn whoever_takes_over_goes_on_where_the_other_stopped() {
        let mut sidecars = Sidecars::default();
        sidecars.expect(vec![pod("r2", Some("r2.3"))], ms(0));
        sidecars.due(ms(0));
        sidecars.answered("u", has("r1"), ms(0));
        assert!(sidecars.pokes(ms(999)).is_empty());
        assert_eq!(sidecars.pokes(ms(1000))[0].mark, "r2.4");
        assert_eq!(pokes_before(&pod("r2", Some("r1.3")), "r2"), 0);
        assert_eq!(pokes_before(&pod("r2", Some("r2.x")), "r2"), 0);
        assert_eq!(pokes_before(&pod("r2", Some("r2-l1.3")), "r2"), 0);
        assert_eq!(pokes_before(&pod("r2", Some("r2-l1.3")), "r2-l1"), 3);
    }

    fn has_list(revision: &str, list: &str, refused: bool) -> Report {
        Report::Answer(Answer {
            revision: revision.to_owned(),
            revocations: Some(ListAnswer {
                revision: list.to_owned(),
                refused,
            }),
            ..Answer::default()
        })
    }

    #[test]
    fn a_new_list_is_poked_for_at_once_and_until_the_sidecar_has_it() {
        let mut sidecars = in_sync();
        sidecars.answered("u", has_list("r1", "none", false), ms(0));
        sidecars.expect_list("l1", ms(5000));
        sidecars.expect(vec![pod("r1", None)], ms(5000));
        assert_eq!(sidecars.pokes(ms(5000))[0].mark, "r1-l1");
        assert_eq!(sidecars.due(ms(5200)).len(), 1);
        sidecars.answered("u", has_list("r1", "none", false), ms(5200));
        assert_eq!(sidecars.pokes(ms(5300))[0].mark, "r1-l1.2");
        assert_eq!(sidecars.due(ms(5600)).len(), 1);
        sidecars.answered("u", has_list("r1", "l1", false), ms(5600));
        assert!(sidecars.pokes(ms(60_000)).is_empty());
        // The last revocation is taken away: that is news as well.
        sidecars.expect_list("none", ms(60_000));
        assert_eq!(sidecars.pokes(ms(60_000))[0].mark, "r1");
    }

    #[test]
    fn a_sidecar_that_refuses_the_list_or_knows_of_none_is_not_poked_for_ever() {
        for report in [has_list("r1", "none", true), has("r1")] {
            let mut sidecars = in_sync();
            sidecars.expect_list("l1", ms(0));
            sidecars.pokes(ms(0));
            sidecars.due(ms(200));
            sidecars.answered("u", report, ms(200));
            assert!(sidecars.pokes(ms(100_000)).is_empty());
        }
    }

    #[test]
    fn who_refuses_or_is_silent_is_asked_and_not_poked() {
        for report in [
            Report::Silent("refused".to_owned()),
            Report::Answer(Answer {
                revision: "r1".to_owned(),
                rejection: Some("why".to_owned()),
                ..Answer::default()
            }),
        ] {
            let mut sidecars = in_sync();
            sidecars.expect(vec![pod("r2", None)], ms(0));
            sidecars.pokes(ms(0));
            sidecars.due(ms(1000));
            sidecars.answered("u", report, ms(1000));
            assert!(sidecars.pokes(ms(100_000)).is_empty());
            assert_eq!(sidecars.due(ms(40_000)).len(), 1);
        }
    }

    #[test]
    fn a_pod_that_is_no_longer_expected_is_forgotten() {
        let mut sidecars = in_sync();
        sidecars.expect(Vec::new(), ms(1));
        assert_eq!(sidecars.report("u"), None);
        assert_eq!(sidecars.next(), None);
        assert!(!sidecars.answered("u", has("r1"), ms(2)));
    }
}
