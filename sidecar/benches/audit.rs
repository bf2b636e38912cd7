//! What a login costs more where it is recorded: nothing where there is no trail, else the record's way into the queue.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "criterion's macros, and a bench may panic"
)]

use std::sync::Arc;

use bulkhead_sidecar::audit::{EntryTrail, Site, Trail};
use bulkhead_sidecar::factory::key::Owner;
use bulkhead_sidecar::identity::UserId;
use bulkhead_sidecar::secrets::Secrets;
use bulkhead_sidecar::telemetry::Metrics;
use criterion::{Criterion, criterion_group, criterion_main};

const POLICY: &str = "
apiVersion: bulkhead.dev/v1alpha1
kind: IsolationPolicy
metadata: {name: chat}
spec:
  selector: {matchLabels: {app: chat}}
  identity: {source: Trusted}
";

/// A trail in a folder of its own, as this YAML says.
fn trail(written: &str, folder: &std::path::Path) -> Trail {
    let text = format!("{POLICY}{written}");
    let policy = bulkhead_crds::load(&text).unwrap();
    let policy = bulkhead_crds::resolve(&policy, "bench").unwrap();
    std::fs::create_dir_all(folder.join("audit")).unwrap();
    std::fs::write(folder.join("audit/key"), [7; 32]).unwrap();
    let site = Site {
        folder: folder.to_owned(),
        pod: "bench".to_owned(),
    };
    let secrets = Secrets::new(Some(folder.to_owned()));
    Trail::begin(
        &policy,
        &"r".into(),
        &secrets,
        site,
        &Metrics::new().unwrap(),
    )
    .unwrap()
}

fn accepting(criterion: &mut Criterion) {
    let owner = Owner::User(UserId::parse("alice@example.org").unwrap());
    for (name, written) in [
        ("off", ""),
        (
            "plain",
            "  auditTrail: {destination: File, onFailure: DropAndCount, file: {segments: 2}}",
        ),
        (
            "keyed",
            "  auditTrail: {destination: File, onFailure: DropAndCount, file: {segments: 2}, userIds: KeyedHash, keySecretRef: {name: audit}}",
        ),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let trail = Arc::new(trail(written, folder.path()));
        let entry = EntryTrail::new(trail, "postgresql", "main".into());
        criterion.bench_function(&format!("context_accepted/{name}"), |bencher| {
            bencher.iter(|| entry.accepted(&owner));
        });
    }
}

criterion_group!(benches, accepting);
criterion_main!(benches);
