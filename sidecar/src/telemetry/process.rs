//! The process seen from `/proc/self`: memory, CPU time, file descriptors and start time, read when they are scraped.
//!
//! The prometheus crate's own collector cuts CPU time to whole seconds, too coarse for the cost of a transaction.

use std::fs;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge, IntGauge};

/// Clock ticks a second in `/proc/*/stat`; the kernel's ABI fixes `USER_HZ` at 100 on every architecture that we build for.
const TICKS_PER_SECOND: f64 = 100.0;

/// What `/proc/self/stat` says.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    /// Since boot.
    start_seconds: f64,
}

/// Collects `process_*` metrics.
#[derive(Debug)]
pub(super) struct Process {
    cpu_seconds: Counter,
    resident_bytes: IntGauge,
    virtual_bytes: IntGauge,
    open_fds: IntGauge,
    max_fds: IntGauge,
    threads: IntGauge,
    start_time: Gauge,
    /// Seconds since the epoch at which the machine booted.
    boot_seconds: f64,
}

impl Process {
    pub(super) fn new() -> prometheus::Result<Self> {
        let boot_seconds = fs::read_to_string("/proc/stat")
            .ok()
            .and_then(|text| boot_time(&text))
            .unwrap_or_default();
        Ok(Self {
            cpu_seconds: Counter::new(
                "process_cpu_seconds_total",
                "User and system CPU time spent.",
            )?,
            resident_bytes: IntGauge::new("process_resident_memory_bytes", "Resident memory.")?,
            virtual_bytes: IntGauge::new("process_virtual_memory_bytes", "Virtual memory.")?,
            open_fds: IntGauge::new("process_open_fds", "Open file descriptors.")?,
            max_fds: IntGauge::new("process_max_fds", "Limit of open file descriptors.")?,
            threads: IntGauge::new("process_threads", "Threads.")?,
            start_time: Gauge::new(
                "process_start_time_seconds",
                "When the process started, in seconds since the epoch.",
            )?,
            boot_seconds,
        })
    }

    fn refresh(&self) {
        let read =
            |file: &str| fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default();
        if let Some(stat) = stat(&read("stat")) {
            let spent = stat.cpu_seconds - self.cpu_seconds.get();
            self.cpu_seconds.inc_by(spent.max(0.0));
            self.start_time.set(self.boot_seconds + stat.start_seconds);
        }
        let status = read("status");
        let set = |gauge: &IntGauge, field: &str, unit: i64| {
            if let Some(number) = first_number(&status, field) {
                gauge.set(number.saturating_mul(unit));
            }
        };
        set(&self.resident_bytes, "VmRSS:", 1024);
        set(&self.virtual_bytes, "VmSize:", 1024);
        set(&self.threads, "Threads:", 1);
        if let Some(limit) = first_number(&read("limits"), "Max open files") {
            self.max_fds.set(limit);
        }
        if let Ok(entries) = fs::read_dir("/proc/self/fd") {
            // The listing itself holds one.
            let open = entries.count().saturating_sub(1);
            self.open_fds.set(i64::try_from(open).unwrap_or(i64::MAX));
        }
    }
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        [
            self.cpu_seconds.desc(),
            self.resident_bytes.desc(),
            self.virtual_bytes.desc(),
            self.open_fds.desc(),
            self.max_fds.desc(),
            self.threads.desc(),
            self.start_time.desc(),
        ]
        .concat()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.refresh();
        [
            self.cpu_seconds.collect(),
            self.resident_bytes.collect(),
            self.virtual_bytes.collect(),
            self.open_fds.collect(),
            self.max_fds.collect(),
            self.threads.collect(),
            self.start_time.collect(),
        ]
        .concat()
    }
}

/// Reads `/proc/self/stat` (proc_pid_stat(5)). The command in brackets may itself hold spaces and brackets, so fields are
/// counted after the last one.
fn stat(text: &str) -> Option<Stat> {
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_ascii_whitespace().collect();
    // Field 3, the state, is the first of these.
    let ticks = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some(Stat {
        cpu_seconds: ticks(14)?.checked_add(ticks(15)?)? as f64 / TICKS_PER_SECOND,
        start_seconds: ticks(22)? as f64 / TICKS_PER_SECOND,
    })
}

/// The number after `field` at the start of a line, as in `/proc/self/status` and `/proc/self/limits`.
fn first_number(text: &str, field: &str) -> Option<i64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(field))?;
    rest.split_ascii_whitespace().next()?.parse().ok()
}

/// `btime` of `/proc/stat`, in seconds since the epoch.
fn boot_time(text: &str) -> Option<f64> {
    first_number(text, "btime ").map(|seconds| seconds as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_after_the_commands_last_bracket() {
        let text =
            "7 (a) b) c) S 1 7 7 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 4 0 12345 1000 20 184";
        assert_eq!(
            stat(text),
            Some(Stat {
                cpu_seconds: 3.0,
                start_seconds: 123.45
            })
        );
    }

    #[test]
    fn what_cannot_be_read_is_none() {
        for text in ["", "7 (a", "7 (a) S 1", "7 (a) S 1 2 3 4 5 6 7 8 9 10 x y"] {
            assert_eq!(stat(text), None, "{text}");
        }
        assert_eq!(first_number("VmRSS:\t  12 kB\n", "VmRSS:"), Some(12));
        assert_eq!(
            first_number("Max open files unlimited", "Max open files"),
            None
        );
        assert_eq!(
            boot_time("cpu 1 2\nbtime 1700000000\n"),
            Some(1_700_000_000.0)
        );
    }

    #[test]
    fn this_process_has_memory_a_start_and_open_files() {
        let process = Process::new().expect("names are legal");
        process.refresh();
        assert!(process.resident_bytes.get() > 1024 * 1024);
        assert!(process.start_time.get() > 1_600_000_000.0);
        assert!(process.open_fds.get() >= 3);
        assert!(process.max_fds.get() > 0);
    }
}
