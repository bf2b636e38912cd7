//! What it costs to walk frames, and to look into them where a policy asks for it.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros, and a bench may panic"
)]

use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bulkhead_crds::effective::EffectiveExecution;
use bulkhead_crds::{load, resolve};
use bulkhead_sidecar::force::Force;
use bulkhead_sidecar::identity::{Presented, UserId};
use bulkhead_sidecar::process::Process;
use bulkhead_sidecar::protocol::websocket::codec::{
    Opcode, Sender, Step, Utf8, Walker, apply_mask, write_message,
};
use bulkhead_sidecar::protocol::websocket::events::{CriticalEvents, Landmark};
use bulkhead_sidecar::protocol::websocket::runs::{RunStep, Runs};
use bulkhead_sidecar::protocol::websocket::{SocketEntry, Upgraded};
use bulkhead_sidecar::secrets::Secrets;
use bulkhead_sidecar::stream::Stream;
use bulkhead_sidecar::telemetry::Metrics;
use bulkhead_sidecar::upstream::Resolver;
use bulkhead_sidecar::worker::Worker;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::Instant;

/// Bytes that a read gives at the most.
const READ: usize = 16 * 1024;

const SENDERS: [(Sender, &str); 2] = [(Sender::Client, "client"), (Sender::Server, "server")];

/// Text frames with payloads of `size`, as many whole ones as there is room for, and at least one.
fn frames(sender: Sender, size: usize) -> (Vec<u8>, u64) {
    let mask = (sender == Sender::Client).then_some(0xDEAD_BEEF);
    let payload = vec![b'x'; size];
    let (mut stream, mut count) = (Vec::new(), 0);
    while count == 0 || stream.len() + size + 14 <= READ {
        write_message(&mut stream, Opcode::Text, &[], &payload, mask);
        count += 1;
    }
    (stream, count)
}

/// Walks what reads of `read` bytes give; says how many messages have ended.
fn walk(walker: &mut Walker, stream: &[u8], read: usize) -> u64 {
    let (mut messages, mut start, mut end) = (0, 0, 0);
    while end < stream.len() {
        end = stream.len().min(end + read);
        loop {
            match walker.step(black_box(&stream[start..end])).unwrap() {
                Step::More => break,
                Step::Data { len, ends, .. } => {
                    start += len;
                    messages += u64::from(ends);
                }
                Step::Control(control) => start += control.len,
            }
        }
    }
    messages
}

/// The time shown is of all frames; divide by the elements, or read the throughput.
fn walking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("walk");
    for (sender, name) in SENDERS {
        for size in [0, 125, 1024, READ] {
            let (stream, count) = frames(sender, size);
            group.throughput(Throughput::Elements(count));
            group.bench_function(format!("{name}/{count}x{size}"), |bencher| {
                let mut walker = Walker::new(sender, Some(1 << 20), false);
                bencher.iter(|| walk(&mut walker, &stream, usize::MAX >> 1));
            });
        }
        let (stream, count) = frames(sender, READ);
        group.throughput(Throughput::Elements(count));
        group.bench_function(
            format!("{name}/{count}x{READ}_in_reads_of_1460"),
            |bencher| {
                let mut walker = Walker::new(sender, Some(1 << 20), false);
                bencher.iter(|| walk(&mut walker, &stream, 1460));
            },
        );
    }
    group.finish();
}

fn payloads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("payload");
    let mask = [0xDE, 0xAD, 0xBE, 0xEF];
    for size in [125, READ] {
        group.throughput(Throughput::Bytes(size as u64));
        let mut bytes = vec![b'x'; size];
        group.bench_function(format!("unmask/{size}"), |bencher| {
            bencher.iter(|| apply_mask(black_box(&mut bytes), black_box(mask), 1));
        });
        for (name, text) in [("ascii", "x"), ("greek", "κ")] {
            let text = text.repeat(size / text.len()).into_bytes();
            group.bench_function(format!("utf8_{name}/{size}"), |bencher| {
                bencher.iter(|| Utf8::default().check(black_box(&text)));
            });
            let mut masked = text.clone();
            apply_mask(&mut masked, mask, 0);
            group.bench_function(format!("utf8_masked_{name}/{size}"), |bencher| {
                bencher.iter(|| Utf8::default().check_masked(black_box(&masked), mask));
            });
        }
    }
    group.finish();
}

/// Looking for events in a message, and following a run: what its first event and its last one cost together is the creation and the end.
fn events(criterion: &mut Criterion) {
    let names = [
        "agent_started",
        "tool_executing",
        "/payload/kind=done",
        "agent_completed",
    ];
    let events = CriticalEvents::new(&names.map(str::to_owned));
    let mut group = criterion.benchmark_group("events");
    let padding = "x".repeat(READ);
    let messages = [
        (
            "found",
            r#"{"type":"agent_started","run_id":"r-1"}"#.to_owned(),
        ),
        (
            "ordinary",
            r#"{"type":"token","payload":{"text":"word"}}"#.to_owned(),
        ),
        (
            "unscanned",
            format!(r#"{{"padding":"{padding}","type":"agent_started"}}"#),
        ),
    ];
    for (name, message) in &messages {
        group.bench_function(format!("scan/{name}"), |bencher| {
            bencher.iter(|| events.text(black_box(message.as_bytes()), true));
        });
    }
    group.bench_function("run", |bencher| {
        let mut runs = Runs::new(EffectiveExecution::default());
        let now = Instant::now();
        let mut steps = 0_u64;
        bencher.iter(|| {
            let mut tell = |_: RunStep<'_>| steps += 1;
            runs.event(
                black_box("run-0123456789"),
                Landmark::Progress,
                now,
                &mut tell,
            );
            runs.event(
                black_box("run-0123456789"),
                Landmark::Completed,
                now,
                &mut tell,
            );
        });
        black_box(steps);
    });
    group.finish();
}

const POLICY: &str = "
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: chat, namespace: chat}
spec:
  selector: {matchLabels: {app: chat}}
  identity: {source: Trusted}
  webSockets:
  - name: chat
    listen: {port: 8080}
    upstream: {port: 8000}
";

/// Sockets of one round: they are closed between two rounds, outside of what is measured.
const ROUND: u64 = 200;

/// The policy, in force.
fn force() -> Force {
    let policy = Arc::new(resolve(&load(POLICY).unwrap(), "").unwrap());
    let secrets = Arc::new(Secrets::new(None));
    Force::build("1".into(), &policy, &secrets, &Resolver::system(), None).unwrap()
}

/// The token that the application is given with each request: signed, and put together.
fn tokens(criterion: &mut Criterion) {
    let force = force();
    let web_socket = &force.web_sockets[0];
    let presented = Presented {
        token: None,
        user: Some("alice"),
    };
    let now = SystemTime::now();
    let context = web_socket.verifier.verify_now(&presented, now).unwrap();
    criterion.bench_function("context_token", |bencher| {
        bencher.iter(|| {
            web_socket
                .issue(black_box(&context), Some("0123456789abcdef"))
                .unwrap()
        });
    });
}

/// A session made for a socket whose two sides have upgraded, with its user and its clocks, up to where it waits for either side.
fn sessions(criterion: &mut Criterion) {
    let force = force();
    let (mailbox, _letters) = mpsc::unbounded_channel();
    let metrics = Metrics::new().unwrap();
    let process = Arc::new(Process::new(Arc::clone(&metrics), vec![mailbox]));
    let worker = Rc::new(Worker::new(0, process));
    let web_socket = Arc::clone(&force.web_sockets[0]);
    let entry = Rc::new(SocketEntry::new(web_socket, metrics.socket("chat")));
    worker.add_socket_entry(entry);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .unwrap();
    criterion.bench_function("session", |bencher| {
        bencher.iter_custom(|count| {
            let (mut took, mut left) = (Duration::ZERO, count);
            while left > 0 {
                let round = left.min(ROUND);
                left -= round;
                took += runtime.block_on(of_users(&worker, round));
            }
            took
        });
    });
}

/// How long the sessions of so many users take to be there.
async fn of_users(worker: &Rc<Worker>, count: u64) -> Duration {
    let (peers, sockets): (Vec<_>, Vec<_>) = (0..count)
        .map(|number| {
            let (client, ours) = UnixStream::pair().unwrap();
            let (application, theirs) = UnixStream::pair().unwrap();
            let user = UserId::parse(&format!("user-{number}")).unwrap();
            let seat = worker.keep_seat(&"chat".into(), user).unwrap();
            let upgraded = Upgraded {
                entry: "chat".into(),
                seat: Some(seat),
                context: None,
                presented: worker.process.kills.now(),
                client: Stream::unix(ours).unwrap(),
                client_early: Default::default(),
                application: Stream::unix(theirs).unwrap(),
                application_early: Default::default(),
                deflates: false,
                resumes: None,
            };
            ((client, application), Box::new(upgraded))
        })
        .unzip();
    let begun = Instant::now();
    for upgraded in sockets {
        worker.take_socket(upgraded);
    }
    // A session counts from the beginning of its first turn, and this one comes again at the end of it.
    while (worker.sessions() as u64) < count {
        yield_now().await;
    }
    let took = begun.elapsed();
    drop(peers);
    while worker.sessions() > 0 {
        yield_now().await;
    }
    took
}

criterion_group!(benches, walking, payloads, events, tokens, sessions);
criterion_main!(benches);
