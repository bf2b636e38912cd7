//! What a process has used: /proc knows.

use std::fs;
use std::time::Duration;

/// Resident memory, in MiB.
///
/// # Panics
/// When there is no such process.
pub fn resident(id: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kibibytes: f64 = kibibytes.and_then(|it| it.parse().ok()).expect("VmRSS");
    kibibytes / 1024.0
}

/// User and system time so far.
///
/// # Panics
/// When there is no such process.
pub fn cpu(id: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("the process runs");
    // The name may have anything in it, so count from where it ends: utime and stime are the 12th and 13th after it.
    let (_, fields) = stat.rsplit_once(") ").expect("a name in parentheses");
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().expect("ticks"))
        .sum();
    // The kernel tells user space of ticks of a hundredth of a second, whatever its own are.
    Duration::from_millis(ticks * 10)
}
