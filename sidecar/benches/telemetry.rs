//! What counting costs, alone and while another thread counts the same.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros, and a bench may panic"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use bulkhead_crds::kinds::Protocol;
use bulkhead_sidecar::telemetry::{Metrics, ServerState, UpstreamMetrics};
use criterion::{Criterion, criterion_group, criterion_main};
use prometheus::{Histogram, HistogramOpts};

/// The time that `threads` take, on average, to do `count` each.
fn together(threads: u32, count: u64, work: impl Fn(f64) + Sync) -> Duration {
    let took: Vec<Duration> = thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let began = Instant::now();
                    for turn in 0..count {
                        work(black_box(0.0002 + (turn % 8) as f64 * 0.0004));
                    }
                    began.elapsed()
                })
            })
            .collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    took.iter().sum::<Duration>() / threads
}

fn counting(criterion: &mut Criterion) {
    let metrics = Metrics::new().unwrap();
    let main: Arc<UpstreamMetrics> = metrics.upstream("main", Protocol::PostgreSQL);
    let shared =
        Histogram::with_opts(HistogramOpts::new("shared_seconds", "For comparison.")).unwrap();
    for threads in [1, 2] {
        let mut bench = |name: &str, work: &(dyn Fn(f64) + Sync)| {
            criterion.bench_function(&format!("{name}/{threads}"), |bencher| {
                bencher.iter_custom(|count| together(threads, count, work));
            });
        };
        bench("query_seconds", &|seconds| {
            main.query_seconds.observe(seconds)
        });
        bench("idle_to_active_and_back", &|_| {
            let (idle, active) = (ServerState::Idle, ServerState::Active);
            for (from, to) in [(idle, active), (active, idle)] {
                main.server_connections(from).dec();
                main.server_connections(to).inc();
            }
        });
        bench("prometheus_histogram", &|seconds| shared.observe(seconds));
    }
}

criterion_group!(benches, counting);
criterion_main!(benches);
