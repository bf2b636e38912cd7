//! What the kernel knows of the time that processes have had.

use std::fs;
use std::time::{Duration, Instant};

/// A stretch of time in which something is measured, and the processes whose time is.
pub(crate) struct Window {
    pids: Vec<u32>,
    warm: Duration,
    length: Duration,
}

/// What a window has seen.
pub(crate) struct Seen {
    /// How long it was, in seconds.
    pub(crate) seconds: f64,
    /// User and system time of the processes in it, in seconds.
    pub(crate) cpu: f64,
}

impl Window {
    /// A window of `seconds` that begins after `warm` seconds.
    pub(crate) fn new(pids: &str, warm: f64, seconds: f64) -> Self {
        let pids = pids.split(',').filter(|pid| !pid.is_empty());
        Self {
            pids: pids.map(|pid| pid.parse().unwrap()).collect(),
            warm: Duration::from_secs_f64(warm),
            length: Duration::from_secs_f64(seconds),
        }
    }

    /// Waits, tells when it begins and when it has ended.
    pub(crate) async fn pass(&self, tell: impl Fn(bool)) -> Seen {
        tokio::time::sleep(self.warm).await;
        let (begun, before) = (Instant::now(), self.nanos());
        tell(true);
        tokio::time::sleep(self.length).await;
        tell(false);
        Seen {
            cpu: (self.nanos() - before) as f64 / 1e9,
            seconds: begun.elapsed().as_secs_f64(),
        }
    }

    /// Time of all threads on a processor, in ns; the fields of `stat` say the same by ticks of 10 ms.
    fn nanos(&self) -> u64 {
        self.pids.iter().map(|pid| of_process(*pid)).sum()
    }
}

fn of_process(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("the process runs");
    tasks
        .map(|task| {
            let path = task.unwrap().path().join("schedstat");
            let text = fs::read_to_string(path).expect("the kernel has schedstat");
            text.split(' ').next().unwrap().parse::<u64>().unwrap()
        })
        .sum()
}
