//! What it costs to walk small commands and their replies, and to put a prefix into them.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros, and a bench may panic"
)]

use std::hint::black_box;

use bulkhead_sidecar::protocol::redis::codec::{
    Limits, ReplyStep, ReplyWalker, RequestStep, RequestWalker, push_array_header, push_bulk,
};
use bulkhead_sidecar::protocol::redis::plan::{Decision, Isolation, decide};
use bulkhead_sidecar::protocol::redis::prefix::PrefixTemplate;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// Commands in a pipeline, and replies.
const PIPELINE: usize = 50;

fn commands() -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..PIPELINE {
        push_array_header(&mut bytes, 3);
        push_bulk(&mut bytes, b"SET");
        push_bulk(&mut bytes, format!("key:{number:012}").as_bytes());
        push_bulk(&mut bytes, b"xxx");
    }
    bytes
}

/// Passes a pipeline on; with an isolation, as the server gets it.
fn pass(
    walker: &mut RequestWalker,
    bytes: &[u8],
    isolation: Option<&Isolation>,
    out: &mut Vec<u8>,
) {
    let mut at = 0;
    while let RequestStep::Whole { len } = walker.walk(&bytes[at..]).unwrap() {
        let arguments = walker.arguments(&bytes[at..]);
        let decision = decide(&arguments, isolation);
        if let (Decision::Plan(plan), Some(isolation)) = (&decision, isolation) {
            plan.write(&arguments, &isolation.prefix, out);
        }
        black_box(&decision);
        walker.next();
        at += len;
    }
}

fn requests(criterion: &mut Criterion) {
    let bytes = commands();
    let isolation = Isolation {
        prefix: PrefixTemplate::parse("{user}:").unwrap().prefix("alice"),
        per_user: false,
    };
    let mut group = criterion.benchmark_group("redis/commands");
    group.throughput(Throughput::Elements(PIPELINE as u64));
    for (name, isolation) in [("as they are", None), ("with a prefix", Some(&isolation))] {
        group.bench_function(name, |bencher| {
            let (mut walker, mut out) = (RequestWalker::new(Limits::SERVER), Vec::new());
            bencher.iter(|| {
                out.clear();
                pass(&mut walker, black_box(&bytes), isolation, &mut out);
            });
        });
    }
    group.finish();
}

fn replies(criterion: &mut Criterion) {
    let bytes = b"+OK\r\n$3\r\nxxx\r\n".repeat(PIPELINE / 2);
    let mut group = criterion.benchmark_group("redis/replies");
    group.throughput(Throughput::Elements(PIPELINE as u64));
    group.bench_function("short", |bencher| {
        let mut walker = ReplyWalker::new();
        bencher.iter(|| {
            let mut at = 0;
            while let ReplyStep::Data { len, .. } = walker.step(black_box(&bytes[at..])).unwrap() {
                at += len;
            }
        });
    });
    group.finish();
}

criterion_group!(benches, requests, replies);
criterion_main!(benches);
