//! What a user costs: a factory made for them, a connection taken and given back, and the words of a transaction.
//!
//! `cargo bench -p bulkhead-sidecar --bench factory`. To be reached: 5 µs for a factory, with its metrics and the count of
//! users.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros, and a bench may panic"
)]

use std::hint::black_box;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bulkhead_crds::{load, resolve};
use bulkhead_sidecar::breaker::upstream::UpstreamBreaker;
use bulkhead_sidecar::factory::key::{FactoryKey, Owner};
use bulkhead_sidecar::factory::server::{Server, Spare, Terms};
use bulkhead_sidecar::force::Force;
use bulkhead_sidecar::identity::UserId;
use bulkhead_sidecar::process::Process;
use bulkhead_sidecar::protocol::postgres::codec::BackendTag as T;
use bulkhead_sidecar::protocol::postgres::session::backend::Backend;
use bulkhead_sidecar::protocol::postgres::session::baseline::{Settings, Value, difference};
use bulkhead_sidecar::protocol::postgres::session::replies::{Expect, Replies};
use bulkhead_sidecar::protocol::postgres::statement_text::classify;
use bulkhead_sidecar::relay::Inbox;
use bulkhead_sidecar::secrets::Secrets;
use bulkhead_sidecar::stream::Stream;
use bulkhead_sidecar::telemetry::Metrics;
use bulkhead_sidecar::upstream::Resolver;
use bulkhead_sidecar::worker::{Entry, Worker};
use criterion::{Criterion, criterion_group, criterion_main};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

const POLICY: &str = "
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: chat}
spec:
  selector: {matchLabels: {app: chat}}
  identity: {source: Trusted}
  limits: {maxUsers: 1000000}
  databases:
  - name: main
    protocol: PostgreSQL
    listen: {port: 6432, auth: {mode: Trust}}
    upstream: {host: 127.0.0.1, port: 5432, tls: {mode: Disable}, credentialsSecretRef: {name: db}}
";

/// Users of one round: their factories are freed between two rounds, outside of what is measured.
const ROUND: u64 = 10_000;

/// As long as a statement of an application usually is.
const SELECT: &[u8] =
    b"SELECT id, title, created_at FROM documents WHERE owner = $1 AND archived = $2 ORDER BY id LIMIT 50;";

fn stage() -> (Rc<Worker>, Rc<Entry>) {
    let policy = Arc::new(resolve(&load(POLICY).unwrap(), "").unwrap());
    let secrets = Arc::new(Secrets::new(None));
    let force = Force::build("1".into(), &policy, &secrets, &Resolver::system(), None).unwrap();
    let database = &force.databases[0];
    let (mailbox, _) = mpsc::unbounded_channel();
    let process = Arc::new(Process::new(Metrics::new().unwrap(), vec![mailbox]));
    let (limiter, metrics, steering) = (
        process.limiter(database),
        process.upstream_metrics(database),
        process.steering(&database.name),
    );
    let worker = Rc::new(Worker::new(0, process));
    let breaker = UpstreamBreaker::new(Arc::clone(&metrics));
    let entry = Rc::new(Entry::new(
        Arc::clone(database),
        limiter,
        breaker,
        steering,
        metrics,
    ));
    worker.add_entry(Rc::clone(&entry));
    (worker, entry)
}

fn key(entry: &Entry, user: &str) -> FactoryKey {
    let force = entry.force();
    FactoryKey {
        policy: Arc::clone(&force.policy_key),
        upstream: Arc::clone(&force.name),
        database: "app".into(),
        role: "app".into(),
        owner: Owner::User(UserId::parse(user).unwrap()),
    }
}

fn factories(criterion: &mut Criterion) {
    let (worker, entry) = stage();
    let keys: Vec<_> = (0..ROUND)
        .map(|number| key(&entry, &format!("user-{number}")))
        .collect();
    criterion.bench_function("a factory for a new user", |bencher| {
        bencher.iter_custom(|count| {
            let mut took = Duration::ZERO;
            let mut left = count;
            while left > 0 {
                let round = left.min(ROUND);
                let batch: Vec<_> = keys
                    .iter()
                    .take(usize::try_from(round).unwrap())
                    .cloned()
                    .collect();
                let began = Instant::now();
                for key in batch {
                    black_box(worker.factory(&entry, key));
                }
                took += began.elapsed();
                for factory in worker.factories_of("main") {
                    worker.release_factory(&entry, &factory);
                }
                left -= round;
            }
            took
        });
    });
}

fn checkout(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    let (worker, entry) = stage();
    let factory = worker.factory(&entry, key(&entry, "alice"));
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let permit = entry.limiter.try_acquire(None).unwrap();
    let server = Server::new(
        Stream::unix(ours).unwrap(),
        Inbox::new(worker.slab.clone()),
        Backend::new(None, None, Rc::new(Settings::new()), Vec::new()),
        permit,
        Arc::clone(&entry.metrics),
        Terms::default(),
    );
    let seat = factory.try_seat().unwrap();
    factory.park(
        Spare::new(server).claim(&factory.key, seat, &factory.holder),
        tokio::time::Instant::now(),
    );
    let force = entry.force();
    criterion.bench_function("an idle connection taken and given back", |bencher| {
        bencher.iter(|| {
            let owned = factory
                .take_idle(tokio::time::Instant::now(), force.epoch)
                .unwrap();
            factory.park(black_box(owned), tokio::time::Instant::now());
        });
    });
}

fn texts(criterion: &mut Criterion) {
    assert_eq!(SELECT.len(), 100);
    criterion.bench_function("what a SELECT of 100 bytes does", |bencher| {
        bencher.iter(|| classify(black_box(SELECT)));
    });
}

/// Walks the answers to what was asked, up to the last.
fn settle(replies: &mut Replies, tags: &[T]) {
    for tag in tags {
        black_box(replies.step(*tag, drop).unwrap());
    }
    assert!(replies.is_settled());
}

fn answers(criterion: &mut Criterion) {
    let mut replies = Replies::default();
    criterion.bench_function("the answers to a simple query", |bencher| {
        bencher.iter(|| {
            replies.push(Expect::Query(None));
            settle(
                &mut replies,
                &[
                    T::RowDescription,
                    T::DataRow,
                    T::CommandComplete,
                    T::ReadyForQuery,
                ],
            );
        });
    });
    criterion.bench_function("the answers to an extended query", |bencher| {
        bencher.iter(|| {
            replies.push(Expect::Bind);
            replies.push(Expect::DescribePortal);
            replies.push(Expect::Execute(None));
            replies.push_sync();
            settle(
                &mut replies,
                &[
                    T::BindComplete,
                    T::RowDescription,
                    T::DataRow,
                    T::CommandComplete,
                    T::ReadyForQuery,
                ],
            );
        });
    });
}

fn settings(criterion: &mut Criterion) {
    let mut now = Settings::new();
    for (name, value) in [
        ("application_name", "chat"),
        ("client_encoding", "UTF8"),
        ("datestyle", "ISO"),
        ("idle_in_transaction_session_timeout", "32000"),
        ("statement_timeout", "62000"),
        ("timezone", "UTC"),
    ] {
        now.set(name, Value::Text(value.into()));
    }
    let wanted = now.clone();
    let start = Settings::new();
    criterion.bench_function("six parameters that are as they should be", |bencher| {
        bencher.iter(|| difference(&start, black_box(&now), black_box(&wanted)));
    });
}

criterion_group!(benches, factories, checkout, texts, answers, settings);
criterion_main!(benches);
