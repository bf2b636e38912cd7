//! A pod's share of what all pods of a policy have together: `pool.maxConnections` is the upstream's limit, not a sidecar's. Pure.

use std::time::Duration;

use bulkhead_crds::EffectivePolicy;
use bulkhead_crds::effective::Origin;

/// How long fewer pods must be seen before each gets more: a rollout's gap is not a smaller fleet, and what has been given to one pod is
/// taken back from the others only as their connections end.
pub const SETTLE: Duration = Duration::from_secs(30);

/// What a limit is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Divisor {
    /// The number of pods.
    pub pods: u32,
    /// Since when fewer would be enough; none: they would not. In the caller's own clock.
    pub fewer_since: Option<Duration>,
}

/// How many pods to reckon with: the ready ones and a quarter more (a Deployment's default surge), and never fewer than are living.
#[must_use]
pub fn wanted(ready: u32, living: u32) -> u32 {
    ready.saturating_add(ready.div_ceil(4)).max(living).max(1)
}

impl Divisor {
    /// The first one.
    #[must_use]
    pub const fn of(pods: u32) -> Self {
        Self {
            pods,
            fewer_since: None,
        }
    }

    /// What it becomes at `now` where `wanted` pods are to be reckoned with: more at once, fewer only when that has lasted [`SETTLE`].
    #[must_use]
    pub fn next(self, wanted: u32, now: Duration) -> Self {
        if wanted >= self.pods {
            return Self::of(wanted);
        }
        let since = self.fewer_since.unwrap_or(now);
        if now.saturating_sub(since) >= SETTLE {
            Self::of(wanted)
        } else {
            Self {
                fewer_since: Some(since),
                ..self
            }
        }
    }
}

/// The policy for one of `pods` pods. A share is never less than one connection; with more pods than connections the whole is exceeded,
/// which [`exceeds`] tells.
#[must_use]
pub fn divide(policy: &EffectivePolicy, pods: u32) -> EffectivePolicy {
    let mut policy = policy.clone();
    if pods <= 1 {
        return policy;
    }
    for database in &mut policy.databases {
        let pool = &mut database.pool;
        let whole = pool.max_connections;
        let share = (whole / pods).max(1);
        let mut set = |field: &str, value: &mut u32, most: u32, whole: u32| {
            if *value > most {
                *value = most;
                let path = format!("databases[{}].pool.{field}", database.name);
                policy.origins.0.insert(path, Origin::Share { pods, whole });
            }
        };
        set("maxConnections", &mut pool.max_connections, share, whole);
        let (per_user, warm) = (pool.per_user_max, pool.warm);
        set("perUser.max", &mut pool.per_user_max, share, per_user);
        // A spare is a connection of the share too, and somebody has to be served.
        set("warm", &mut pool.warm, share.saturating_sub(1), warm);
    }
    policy
}

/// The databases whose pods would together open more connections than the policy allows, because each needs one.
#[must_use]
pub fn exceeds(policy: &EffectivePolicy, pods: u32) -> Vec<String> {
    policy
        .databases
        .iter()
        .filter(|database| database.pool.max_connections < pods)
        .map(|database| database.name.clone())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> EffectivePolicy {
        let policy = bulkhead_crds::load(
            "apiVersion: bulkhead.dev/v1alpha1\nkind: IsolationPolicy\nmetadata: {name: chat}\n\
             spec:\n  selector: {}\n  identity: {source: Trusted}\n  databases:\n\
             \x20 - {name: main, protocol: PostgreSQL, listen: {auth: {mode: Trust}}, upstream: {host: db},\n\
             \x20    pool: {maxConnections: 20, warm: 4, perUser: {max: 8}}}\n",
        )
        .unwrap();
        bulkhead_crds::resolve(&policy, "staging").unwrap()
    }

    #[test]
    fn surge_is_reckoned_with_and_no_living_pod_is_left_out() {
        for (ready, living, expected) in [
            (0, 0, 1),
            (1, 1, 2),
            (4, 4, 5),
            (8, 8, 10),
            (2, 6, 6),
            (100, 100, 125),
        ] {
            assert_eq!(wanted(ready, living), expected, "{ready} ready of {living}");
        }
    }

    #[test]
    fn more_pods_count_at_once_and_fewer_when_it_has_lasted() {
        let at = Duration::from_secs;
        let ten = Divisor::of(10);
        assert_eq!(ten.next(12, at(1)), Divisor::of(12));
        let waiting = ten.next(5, at(100));
        assert_eq!((waiting.pods, waiting.fewer_since), (10, Some(at(100))));
        assert_eq!(waiting.next(5, at(129)).pods, 10);
        assert_eq!(waiting.next(5, at(130)), Divisor::of(5));
        assert_eq!(
            waiting.next(10, at(110)),
            Divisor::of(10),
            "the gap has closed"
        );
    }

    #[test]
    fn a_share_takes_what_hangs_on_it_along_and_says_where_it_comes_from() {
        let part = divide(&policy(), 5);
        let pool = part.databases[0].pool;
        assert_eq!(
            (pool.max_connections, pool.per_user_max, pool.warm),
            (4, 4, 3)
        );
        let origin = part.origins.of("databases[main].pool.maxConnections");
        assert_eq!(origin, &Origin::Share { pods: 5, whole: 20 });
        assert_eq!(divide(&policy(), 1), policy());
    }

    #[test]
    fn a_share_that_was_divided_is_sound() {
        for pods in [2, 3, 7, 20, 500] {
            let part = divide(&policy(), pods);
            let pool = part.databases[0].pool;
            assert!(pool.max_connections >= 1 && pool.per_user_max <= pool.max_connections);
            assert!(pool.warm < pool.max_connections || pool.warm == 0);
        }
        assert_eq!(exceeds(&policy(), 21), ["main"]);
        assert!(exceeds(&policy(), 20).is_empty());
    }
}
