//! Whether every pod that a policy selects has it in force, counted from what the pods and their sidecars say. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use bulkhead_crds::conditions::{ProgrammedReason, SkippedReason};
use bulkhead_crds::kinds::{AttributionCounts, OptOut, Selector};

use super::judge::listed;
use crate::index::{PodFacts, Workload};

/// What a policy's pods are measured by.
#[derive(Clone, Debug)]
pub struct Force<'a> {
    /// The policy.
    pub policy: &'a str,
    /// Its namespace.
    pub namespace: &'a str,
    /// The pods that it selects.
    pub selector: &'a Selector,
    /// The pods that older policies have.
    pub excluding: &'a [Selector],
    /// When the policy was created, in seconds since the epoch.
    pub created: i64,
    /// Whether an annotation may keep the sidecar out.
    pub opt_out: OptOut,
    /// The hash of the template in force.
    pub template: &'a str,
    /// The revision of the snapshot in force.
    pub revision: &'a str,
}

/// What a sidecar said when it was last asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Report {
    /// It answered.
    Answer(Answer),
    /// It did not.
    Silent(String),
}

/// A sidecar's answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The revision in force.
    pub revision: String,
    /// Why it refuses a newer one.
    pub rejection: Option<String>,
    /// Which list of revocations it has in force; none from a sidecar that knows of none.
    pub revocations: Option<ListAnswer>,
    /// Fields that only a restart can change.
    pub pending_restart: Vec<String>,
    /// Listeners that no client has come to for ten minutes.
    pub quiet: BTreeSet<String>,
    /// Connections that named a user, since the sidecar started.
    pub attributed: u64,
    /// Connections in all.
    pub total: u64,
    /// Which applications name their users, since the sidecar started.
    pub inventory: Vec<Applicant>,
}

impl Answer {
    /// The same with what another one says of applications.
    #[must_use]
    pub fn with_inventory_of(self, other: &Self) -> Self {
        Self {
            inventory: other.inventory.clone(),
            ..self
        }
    }
}

/// What one application has come to in one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applicant {
    /// The protocol's label.
    pub protocol: &'static str,
    /// What it calls itself.
    pub application: String,
    /// Its connections.
    pub connections: AttributionCounts,
    /// Its queries.
    pub queries: AttributionCounts,
}

/// What a sidecar says of its list of revocations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListAnswer {
    /// The revision in force.
    pub revision: String,
    /// Whether it refuses a newer one.
    pub refused: bool,
}

/// The pods of a policy, counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Selected, living, and no older policy's.
    pub eligible: u32,
    /// With a sidecar.
    pub injected: u32,
    /// With a sidecar that has the newest policy in force, from the newest template.
    pub in_sync: u32,
    /// Without a sidecar, by reason.
    pub skipped: BTreeMap<SkippedReason, u32>,
    /// Pods without a sidecar that the policy does not let go without.
    pub bare: Vec<String>,
    /// What a rollout would mend, and what made it.
    pub to_roll_out: BTreeSet<Workload>,
    /// Pods that a rollout would mend.
    pub stale: Vec<String>,
    /// Sidecars that refuse the revision, and why.
    pub refusing: Vec<String>,
    /// Sidecars that cannot be asked, and why.
    pub unreachable: Vec<String>,
    /// Sidecars that have an older revision, or have not been asked yet.
    pub behind: Vec<String>,
    /// Listeners that no client has come to for ten minutes, and in how many pods.
    pub quiet: BTreeMap<String, u32>,
    /// Connections that named a user.
    pub attributed: u64,
    /// Connections in all.
    pub total: u64,
    /// Which applications of which workloads name their users.
    pub inventory: BTreeMap<Applying, Applied>,
}

/// An application of a workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Applying {
    /// As `kubectl` names it; of a pod that nothing has made, the pod.
    pub workload: String,
    /// The protocol's label.
    pub protocol: &'static str,
    /// What it calls itself.
    pub application: String,
}

/// What it has come to in all of its pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Its connections.
    pub connections: AttributionCounts,
    /// Its queries.
    pub queries: AttributionCounts,
}

impl Force<'_> {
    /// Whether a pod is one of the policy's.
    #[must_use]
    pub fn has(&self, pod: &PodFacts) -> bool {
        pod.counts() && self.selector.claims(&pod.labels, self.excluding)
    }

    /// Counts the pods.
    #[must_use]
    pub fn tally<'a>(
        &self,
        pods: impl Iterator<Item = &'a PodFacts>,
        report: impl Fn(&PodFacts) -> Option<&'a Report>,
    ) -> Tally {
        let mut tally = Tally::default();
        for pod in pods.filter(|pod| self.has(pod)) {
            tally.eligible += 1;
            if pod.is_injected_by(self.policy) {
                tally.injected += 1;
                self.count_injected(pod, report(pod), &mut tally);
            } else {
                self.count_bare(pod, &mut tally);
            }
        }
        tally
    }

    fn count_injected(&self, pod: &PodFacts, report: Option<&Report>, tally: &mut Tally) {
        let mut waits = pod
            .injected
            .as_ref()
            .is_some_and(|injected| injected.hash != self.template);
        match report {
            Some(Report::Answer(answer)) => {
                tally.attributed += answer.attributed;
                tally.total += answer.total;
                tally.count_inventory(pod, &answer.inventory);
                waits |= !answer.pending_restart.is_empty();
                for listener in &answer.quiet {
                    *tally.quiet.entry(listener.clone()).or_default() += 1;
                }
                if answer.revision == self.revision {
                    tally.in_sync += u32::from(!waits);
                } else if let Some(why) = &answer.rejection {
                    tally.refusing.push(format!("{} ({why})", pod.name));
                } else {
                    tally.behind.push(pod.name.clone());
                }
            }
            Some(Report::Silent(why)) if pod.sidecar_started => {
                tally.unreachable.push(format!("{} ({why})", pod.name));
            }
            _ => tally.behind.push(pod.name.clone()),
        }
        if waits {
            tally.stale.push(pod.name.clone());
            tally.to_roll_out.extend(pod.workload.clone());
        }
    }

    fn count_bare(&self, pod: &PodFacts, tally: &mut Tally) {
        let reason = self.skipped(pod);
        *tally.skipped.entry(reason).or_default() += 1;
        if reason == SkippedReason::OptedOut {
            return;
        }
        tally.bare.push(pod.name.clone());
        if matches!(
            reason,
            SkippedReason::OlderThanPolicy | SkippedReason::Missed
        ) {
            tally.stale.push(pod.name.clone());
            tally.to_roll_out.extend(pod.workload.clone());
        }
    }

    /// Why a pod of the policy has no sidecar.
    #[must_use]
    pub fn skipped(&self, pod: &PodFacts) -> SkippedReason {
        if pod.is_mirror {
            SkippedReason::StaticPod
        } else if pod.opts_out && self.opt_out == OptOut::Allowed {
            SkippedReason::OptedOut
        } else if pod.host_network {
            SkippedReason::HostNetwork
        } else if pod.has_container && pod.injected.is_none() {
            SkippedReason::NameTaken
        } else if pod.created < self.created {
            SkippedReason::OlderThanPolicy
        } else {
            SkippedReason::Missed
        }
    }
}

impl Tally {
    fn count_inventory(&mut self, pod: &PodFacts, applicants: &[Applicant]) {
        let workload = || match &pod.workload {
            Some(workload) => workload.to_string(),
            None => format!("pod/{}", pod.name),
        };
        for applicant in applicants {
            let key = Applying {
                workload: workload(),
                protocol: applicant.protocol,
                application: applicant.application.clone(),
            };
            let applied = self.inventory.entry(key).or_default();
            applied.connections = applied.connections.plus(&applicant.connections);
            applied.queries = applied.queries.plus(&applicant.queries);
        }
    }

    /// Whether the policy is programmed, why not, and what to do.
    #[must_use]
    pub fn programmed(&self, force: &Force<'_>) -> (ProgrammedReason, String) {
        let sidecars = |all: &[String]| format!("{} of {}", all.len(), self.injected);
        if self.eligible == 0 {
            let message =
                "no living pod of this namespace is selected, or older policies have them all";
            return (ProgrammedReason::NoPods, message.to_owned());
        }
        if !self.refusing.is_empty() {
            return (
                ProgrammedReason::SidecarsRefuse,
                format!(
                    "{} sidecars refuse revision {} and keep the last good one: {}",
                    sidecars(&self.refusing),
                    force.revision,
                    listed(&self.refusing, "; ")
                ),
            );
        }
        if !self.stale.is_empty() {
            return (ProgrammedReason::RolloutPending, self.rollout(force));
        }
        if !self.unreachable.is_empty() {
            return (
                ProgrammedReason::SidecarsUnreachable,
                format!(
                    "{} sidecars cannot be asked what they have in force: {}; let the operator's pods reach port {} of these pods (a NetworkPolicy, or the mesh's)",
                    sidecars(&self.unreachable),
                    listed(&self.unreachable, "; "),
                    bulkhead_crds::names::objects::ADMIN_PORT
                ),
            );
        }
        if !self.behind.is_empty() {
            return (
                ProgrammedReason::Syncing,
                format!(
                    "{} sidecars have not confirmed revision {} yet: {}",
                    sidecars(&self.behind),
                    force.revision,
                    listed(&self.behind, ", ")
                ),
            );
        }
        if !self.bare.is_empty() {
            return (
                ProgrammedReason::RolloutPending,
                format!(
                    "{} pods run without the sidecar, and no rollout will change that: {}; status.pods.skipped says why",
                    self.bare.len(),
                    listed(&self.bare, ", ")
                ),
            );
        }
        (
            ProgrammedReason::Programmed,
            format!(
                "{} pods have revision {} in force",
                self.in_sync, force.revision
            ),
        )
    }

    fn rollout(&self, force: &Force<'_>) -> String {
        let commands: Vec<String> = self
            .to_roll_out
            .iter()
            .filter(|workload| workload.can_be_restarted())
            .map(|workload| format!("kubectl rollout restart {workload} -n {}", force.namespace))
            .collect();
        let what_to_do = if commands.is_empty() {
            "create them anew".to_owned()
        } else {
            listed(&commands, "; ")
        };
        format!(
            "{} pods run without the sidecar, or with one of an older form, until they are replaced ({}): {what_to_do}",
            self.stale.len(),
            listed(&self.stale, ", ")
        )
    }
}

/// Where a pod's sidecar is asked: its first address.
#[must_use]
pub fn address(pod: &PodFacts) -> Option<IpAddr> {
    pod.addresses.first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::facts::InjectedFrom;

    const SELECTOR: Selector = Selector {
        match_labels: None,
        match_expressions: None,
    };

    fn force() -> Force<'static> {
        Force {
            policy: "chat",
            namespace: "prod",
            selector: &SELECTOR,
            excluding: &[],
            created: 100,
            opt_out: OptOut::Denied,
            template: "t2",
            revision: "r2",
        }
    }

    fn bare(name: &str) -> PodFacts {
        PodFacts {
            name: name.to_owned(),
            created: 200,
            is_living: true,
            ..PodFacts::default()
        }
    }

    fn injected(name: &str, template: &str) -> PodFacts {
        PodFacts {
            has_container: true,
            sidecar_started: true,
            injected: Some(InjectedFrom {
                policy: "chat".to_owned(),
                hash: template.to_owned(),
            }),
            workload: Some(Workload {
                kind: "Deployment".to_owned(),
                name: "web".to_owned(),
            }),
            ..bare(name)
        }
    }

    fn answer(revision: &str) -> Report {
        Report::Answer(Answer {
            revision: revision.to_owned(),
            ..Answer::default()
        })
    }

    fn outcome(pods: &[(PodFacts, Option<Report>)]) -> (Tally, ProgrammedReason, String) {
        let force = force();
        let report = |pod: &PodFacts| {
            let found = pods.iter().find(|(other, _)| other.name == pod.name);
            found.and_then(|(_, report)| report.as_ref())
        };
        let tally = force.tally(pods.iter().map(|(pod, _)| pod), report);
        let (reason, message) = tally.programmed(&force);
        (tally, reason, message)
    }

    #[test]
    fn a_pod_is_in_sync_when_its_sidecar_says_so() {
        let (tally, reason, _) = outcome(&[(injected("a", "t2"), Some(answer("r2")))]);
        assert_eq!((tally.eligible, tally.injected, tally.in_sync), (1, 1, 1));
        assert_eq!(reason, ProgrammedReason::Programmed);
    }

    #[test]
    fn the_gravest_reason_is_told_with_what_to_do() {
        let silent = Report::Silent("timed out".to_owned());
        let refused = Report::Answer(Answer {
            revision: "r1".to_owned(),
            rejection: Some("no secret".to_owned()),
            ..Answer::default()
        });
        let restart = Report::Answer(Answer {
            revision: "r2".to_owned(),
            pending_restart: vec!["databases[main].listen.port".to_owned()],
            ..Answer::default()
        });
        let roll_out = "kubectl rollout restart deployment/web -n prod";
        let table = [
            (vec![], ProgrammedReason::NoPods, "selected"),
            (
                vec![(injected("a", "t2"), None)],
                ProgrammedReason::Syncing,
                "r2",
            ),
            (
                vec![(injected("a", "t2"), Some(answer("r1")))],
                ProgrammedReason::Syncing,
                "a",
            ),
            (
                vec![(injected("a", "t2"), Some(silent.clone()))],
                ProgrammedReason::SidecarsUnreachable,
                "timed out",
            ),
            (
                vec![(injected("a", "t2"), Some(restart))],
                ProgrammedReason::RolloutPending,
                roll_out,
            ),
            (
                vec![(injected("a", "t1"), Some(answer("r2")))],
                ProgrammedReason::RolloutPending,
                roll_out,
            ),
            (
                vec![
                    (injected("a", "t1"), Some(silent)),
                    (injected("b", "t2"), Some(refused)),
                ],
                ProgrammedReason::SidecarsRefuse,
                "no secret",
            ),
        ];
        for (pods, expected, says) in table {
            let (_, reason, message) = outcome(&pods);
            assert_eq!(reason, expected, "{message}");
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn a_sidecar_that_is_still_starting_is_not_unreachable() {
        let mut young = injected("a", "t2");
        young.sidecar_started = false;
        let (_, reason, _) = outcome(&[(young, Some(Report::Silent("refused".to_owned())))]);
        assert_eq!(reason, ProgrammedReason::Syncing);
    }

    #[test]
    fn every_pod_without_a_sidecar_has_its_reason() {
        let older = PodFacts {
            created: 50,
            ..bare("older")
        };
        let host = PodFacts {
            host_network: true,
            ..bare("host")
        };
        let mirror = PodFacts {
            is_mirror: true,
            ..bare("mirror")
        };
        let taken = PodFacts {
            has_container: true,
            ..bare("taken")
        };
        let opted = PodFacts {
            opts_out: true,
            ..bare("opted")
        };
        let table = [
            (older, SkippedReason::OlderThanPolicy),
            (host, SkippedReason::HostNetwork),
            (mirror, SkippedReason::StaticPod),
            (taken, SkippedReason::NameTaken),
            (bare("missed"), SkippedReason::Missed),
            (opted.clone(), SkippedReason::Missed),
        ];
        for (pod, reason) in table {
            assert_eq!(force().skipped(&pod), reason, "{}", pod.name);
        }
        let lenient = Force {
            opt_out: OptOut::Allowed,
            ..force()
        };
        assert_eq!(lenient.skipped(&opted), SkippedReason::OptedOut);
        let tally = lenient.tally([&opted].into_iter(), |_| None);
        assert!(tally.bare.is_empty() && tally.skipped[&SkippedReason::OptedOut] == 1);
    }

    #[test]
    fn pods_of_older_policies_and_pods_that_end_are_not_counted() {
        let labelled = PodFacts {
            labels: [("app".to_owned(), "web".to_owned())].into(),
            ..bare("theirs")
        };
        let older = [Selector {
            match_labels: Some([("app".to_owned(), "web".to_owned())].into()),
            match_expressions: None,
        }];
        let force = Force {
            excluding: &older,
            ..force()
        };
        assert!(!force.has(&labelled));
        assert!(force.has(&bare("ours")));
        assert!(!force.has(&PodFacts {
            is_deleting: true,
            ..bare("ending")
        }));
    }
}
