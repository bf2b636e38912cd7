//! How many workers this process can use: the CPU limit of its control group, rounded up, at most four.
//!
//! The standard library's `available_parallelism` knows the limit too, and rounds it down: a pod with 1.5 CPUs would leave a
//! third of them unused.

use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use crate::control_group::{ControlGroups, Version};

/// More workers gain little for a sidecar, and each costs memory.
const MOST: usize = 4;

/// What `--workers` is when it is left out.
#[must_use]
pub fn default_workers() -> usize {
    let cpus = available_parallelism().map_or(1, usize::from);
    workers(cgroup_limit(Path::new("/sys/fs/cgroup")), cpus)
}

/// Workers for a limit in CPUs and what the standard library says, which is the smaller of the limit rounded down and of the
/// processors that this process may run on.
fn workers(limit: Option<f64>, available: usize) -> usize {
    let wanted = match limit {
        // The processors are fewer than the limit: they decide.
        Some(limit) if (available as f64) < limit.floor() => available,
        Some(limit) => limit.ceil() as usize,
        None => available,
    };
    wanted.clamp(1, MOST)
}

/// The smallest limit of this process's control group and of those above it.
fn cgroup_limit(root: &Path) -> Option<f64> {
    let groups = ControlGroups::of_this_process(root, "cpu");
    let limits = groups
        .folders
        .iter()
        .filter_map(|(version, folder)| limit_in(*version, folder));
    limits.reduce(f64::min)
}

fn limit_in(version: Version, folder: &Path) -> Option<f64> {
    let read = |file: &str| fs::read_to_string(folder.join(file)).ok();
    match version {
        Version::V2 => v2_limit(&read("cpu.max")?),
        Version::V1 => v1_limit(&read("cpu.cfs_quota_us")?, &read("cpu.cfs_period_us")?),
    }
}

/// `cpu.max` of version 2: `QUOTA PERIOD` in microseconds, where the quota may be `max`.
fn v2_limit(text: &str) -> Option<f64> {
    let mut words = text.split_ascii_whitespace();
    let (quota, period) = (words.next()?, words.next()?);
    ratio(quota, period)
}

/// Version 1's quota, where -1 means none, and period.
fn v1_limit(quota: &str, period: &str) -> Option<f64> {
    ratio(quota.trim(), period.trim())
}

fn ratio(quota: &str, period: &str) -> Option<f64> {
    let (quota, period): (u64, u64) = (quota.parse().ok()?, period.parse().ok()?);
    (quota > 0 && period > 0).then(|| quota as f64 / period as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_read_or_there_is_no_limit() {
        let rows = [
            ("200000 100000\n", Some(2.0)),
            ("150000 100000", Some(1.5)),
            ("max 100000\n", None),
            ("", None),
            ("200000", None),
            ("0 100000", None),
            ("200000 0", None),
            ("-1 100000", None),
            ("lots of", None),
        ];
        for (text, limit) in rows {
            assert_eq!(v2_limit(text), limit, "{text:?}");
        }
        assert_eq!(v1_limit("50000\n", "100000\n"), Some(0.5));
        assert_eq!(v1_limit("-1\n", "100000\n"), None);
    }

    #[test]
    fn the_limit_is_rounded_up_and_held_between_one_and_four() {
        let rows = [
            (None, 8, 4),
            (None, 2, 2),
            (Some(0.1), 1, 1),
            (Some(1.0), 1, 1),
            (Some(1.5), 1, 2),
            (Some(2.0), 2, 2),
            (Some(2.1), 2, 3),
            (Some(16.0), 16, 4),
            (Some(3.0), 2, 2), // two processors, three CPUs allowed
        ];
        for (limit, available, expected) in rows {
            assert_eq!(
                workers(limit, available),
                expected,
                "{limit:?} of {available}"
            );
        }
    }

    #[test]
    fn a_group_above_may_be_the_tighter_one() {
        let root = tempfile::tempdir().expect("a directory");
        let pod = root.path().join("pod/container");
        fs::create_dir_all(&pod).expect("created");
        fs::write(pod.join("cpu.max"), "max 100000").expect("written");
        fs::write(root.path().join("pod/cpu.max"), "150000 100000").expect("written");

        let limits: Vec<_> = ["pod/container", "pod", ""]
            .map(|path| limit_in(Version::V2, &root.path().join(path)))
            .to_vec();
        assert_eq!(limits, [None, Some(1.5), None]);
    }
}
