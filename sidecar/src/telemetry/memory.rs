//! The memory that the kernel counts against this process's container, and how much it allows; read when scraped.
//!
//! The resident memory of the process is not what a container is killed for: its sockets' buffers count too, and pages of files that
//! could be given back do not.

use std::fs;
use std::path::{Path, PathBuf};

use prometheus::IntGauge;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use crate::control_group::{ControlGroups, Version};

/// Version 1 writes no limit as the largest number of whole pages.
const NO_LIMIT: i64 = 1 << 60;

/// Collects `bulkhead_memory_*`.
#[derive(Debug)]
pub(super) struct Memory {
    /// Where the hierarchies are mounted.
    root: PathBuf,
    used: IntGauge,
    limit: IntGauge,
}

/// What the files of a control group say, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reading {
    used: i64,
    limit: i64,
}

impl Memory {
    pub(super) fn new() -> prometheus::Result<Self> {
        Self::below(Path::new("/sys/fs/cgroup"))
    }

    fn below(root: &Path) -> prometheus::Result<Self> {
        Ok(Self {
            root: root.to_owned(),
            used: IntGauge::new(
                "bulkhead_memory_used_bytes",
                "Memory that counts against bulkhead_memory_limit_bytes: of the control group that has this limit, without file pages that can be given back.",
            )?,
            limit: IntGauge::new(
                "bulkhead_memory_limit_bytes",
                "Memory at which the kernel ends this process: the tightest limit of its control group and of those above it; absent where there is none.",
            )?,
        })
    }

    fn show(&self, groups: &ControlGroups) -> Vec<MetricFamily> {
        let Some(reading) = tightest(groups) else {
            return Vec::new();
        };
        self.used.set(reading.used);
        self.limit.set(reading.limit);
        [self.used.collect(), self.limit.collect()].concat()
    }
}

/// The tightest limit, and what counts against that very one.
fn tightest(groups: &ControlGroups) -> Option<Reading> {
    let folders = groups.folders.iter();
    let readings = folders.filter_map(|(version, folder)| read(*version, folder));
    readings.min_by_key(|reading| reading.limit)
}

fn read(version: Version, folder: &Path) -> Option<Reading> {
    let (limit, usage, cache) = match version {
        Version::V2 => ("memory.max", "memory.current", "inactive_file "),
        Version::V1 => (
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "total_inactive_file ",
        ),
    };
    let text = |file: &str| fs::read_to_string(folder.join(file)).ok();
    // "max" is no number, and no limit.
    let limit: i64 = text(limit)?.trim().parse().ok()?;
    if limit <= 0 || limit >= NO_LIMIT {
        return None;
    }
    let usage: i64 = text(usage)?.trim().parse().ok()?;
    let statistics = text("memory.stat").unwrap_or_default();
    let cached = statistics
        .lines()
        .find_map(|line| line.strip_prefix(cache))
        .and_then(|bytes| bytes.trim().parse::<i64>().ok())
        .unwrap_or_default();
    let used = usage.saturating_sub(cached).max(0);
    Some(Reading { used, limit })
}

impl Collector for Memory {
    fn desc(&self) -> Vec<&Desc> {
        [self.used.desc(), self.limit.desc()].concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.show(&ControlGroups::of_this_process(&self.root, "memory"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, text) in files {
            fs::write(folder.path().join(name), text).expect("written");
        }
        folder
    }

    #[test]
    fn what_counts_is_without_the_pages_that_can_be_given_back() {
        let second = group(&[
            ("memory.max", "1000000\n"),
            ("memory.current", "700000\n"),
            (
                "memory.stat",
                "anon 5\ninactive_file 200000\nactive_file 9\n",
            ),
        ]);
        let first = group(&[
            ("memory.limit_in_bytes", "1000000\n"),
            ("memory.usage_in_bytes", "700000\n"),
            (
                "memory.stat",
                "cache 1\ninactive_file 3\ntotal_inactive_file 200000\n",
            ),
        ]);
        let expected = Some(Reading {
            used: 500_000,
            limit: 1_000_000,
        });
        assert_eq!(read(Version::V2, second.path()), expected);
        assert_eq!(read(Version::V1, first.path()), expected);
    }

    #[test]
    fn no_limit_is_no_reading() {
        let rows = [
            (Version::V2, "memory.max", "memory.current", "max"),
            (Version::V2, "memory.max", "memory.current", ""),
            (Version::V2, "memory.max", "memory.current", "0"),
            (
                Version::V1,
                "memory.limit_in_bytes",
                "memory.usage_in_bytes",
                "9223372036854771712",
            ),
        ];
        for (version, limit, usage, text) in rows {
            let folder = group(&[(limit, text), (usage, "5")]);
            assert_eq!(read(version, folder.path()), None, "{text:?}");
        }
        assert_eq!(read(Version::V2, group(&[]).path()), None);
    }

    #[test]
    fn the_tightest_limit_counts_with_its_own_use() {
        let (own, above) = (
            group(&[("memory.max", "900"), ("memory.current", "100")]),
            group(&[("memory.max", "500"), ("memory.current", "400")]),
        );
        let memory = Memory::below(Path::new("/nowhere")).expect("names are legal");
        assert!(memory.collect().is_empty(), "no limit, no sample");
        let folders = [own.path(), above.path()].map(|path| (Version::V2, path.to_owned()));
        let groups = ControlGroups {
            folders: folders.to_vec(),
        };
        let expected = Reading {
            used: 400,
            limit: 500,
        };
        assert_eq!(tightest(&groups), Some(expected));
        assert_eq!(memory.show(&groups).len(), 2);
    }
}
