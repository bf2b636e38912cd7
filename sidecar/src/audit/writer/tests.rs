use std::fs::{self, File, OpenOptions};
use std::path::Path;

use bulkhead_crds::effective::EffectiveAuditTrail;
use bulkhead_crds::kinds::{AuditDestination, AuditFailure, UserIds};

use super::super::verify::{Report, Verifier};
use super::super::{EntryTrail, Site, Trail};
use super::*;
use crate::factory::key::Owner;
use crate::identity::UserId;
use crate::policy::fixtures::{database, policy};
use crate::secrets::Secrets;
use crate::telemetry::{AuditEvent, Metrics};
use crate::worker::fixtures::within;

const SMALL: u64 = 64 * 1024;

fn terms(on_failure: AuditFailure) -> EffectiveAuditTrail {
    EffectiveAuditTrail {
        destination: AuditDestination::File,
        claim_name: None,
        max_bytes: SMALL,
        segments: None,
        user_ids: UserIds::Plain,
        key_secret_ref: None,
        on_failure,
    }
}

struct Stage {
    folder: tempfile::TempDir,
    metrics: Arc<Metrics>,
}

impl Stage {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            metrics: Metrics::new().unwrap(),
        }
    }

    fn trail(&self, terms: EffectiveAuditTrail) -> Arc<Trail> {
        self.trail_in(self.folder.path(), terms)
    }

    fn trail_in(&self, folder: &Path, terms: EffectiveAuditTrail) -> Arc<Trail> {
        let mut policy = policy(vec![database("main", 5432)]);
        policy.audit_trail = Some(terms);
        let site = Site {
            folder: folder.to_owned(),
            pod: "chat-0".to_owned(),
        };
        let (revision, secrets) = ("r1".into(), Secrets::new(None));
        let trail = Trail::begin(&policy, &revision, &secrets, site, &self.metrics);
        Arc::new(trail.unwrap())
    }

    fn files(&self) -> Vec<std::path::PathBuf> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn bytes(&self) -> Vec<u8> {
        let files = self.files().into_iter();
        files.flat_map(|file| fs::read(file).unwrap()).collect()
    }

    fn verify(&self) -> Report {
        let mut verifier = Verifier::new(Vec::new());
        for line in self.bytes().split_inclusive(|byte| *byte == b'\n') {
            let whole = line.strip_suffix(b"\n");
            verifier.take(whole.unwrap_or(line), whole.is_some());
        }
        verifier.finish().unwrap()
    }

    fn recorded(&self, event: AuditEvent) -> u64 {
        self.metrics.audit.records(event)
    }
}

fn entry(trail: &Arc<Trail>) -> EntryTrail {
    EntryTrail::new(Arc::clone(trail), "postgresql", "main".into())
}

fn alice() -> Owner {
    Owner::User(UserId::parse("alice").unwrap())
}

/// Waits until something holds, which another thread brings about.
async fn until(holds: impl Fn() -> bool) {
    within(async {
        while !holds() {
            sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_is_told_is_written_and_the_chain_goes_on_after_a_restart() {
    let stage = Stage::new();
    for start in 1..=3 {
        let trail = stage.trail(terms(AuditFailure::Refuse));
        entry(&trail).accepted(&alice()).unwrap();
        within(trail.end()).await;
        let report = stage.verify();
        assert_eq!((report.first, report.head.sequence), (1, 4 * start));
    }
    assert_eq!(stage.files().len(), 1);
    let text = String::from_utf8(stage.bytes()).unwrap();
    assert_eq!(text.matches("\"event\":\"context_accepted\"").count(), 3);
    assert_eq!(text.matches("\"event\":\"policy_in_force\"").count(), 3);
    assert!(text.contains("\"revision\":\"r1\""));
}

#[tokio::test]
async fn a_torn_end_stays_and_is_told_of() {
    for left in [
        "{\"bulkheadAudit\":1,\"seq",
        "{\"bulkheadAudit\":1,\n{\"bulk",
        "\n",
        "x\n",
    ] {
        let stage = Stage::new();
        within(stage.trail(terms(AuditFailure::Refuse)).end()).await;
        let file = &stage.files()[0];
        let mut written = fs::read(file).unwrap();
        written.extend_from_slice(left.as_bytes());
        fs::write(file, &written).unwrap();
        within(stage.trail(terms(AuditFailure::Refuse)).end()).await;
        assert_eq!(stage.verify().head.sequence, 6, "{left:?}");
        assert!(stage.bytes().starts_with(&written), "{left:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_no_trail_is_left_alone() {
    let stage = Stage::new();
    within(stage.trail(terms(AuditFailure::Refuse)).end()).await;
    let file = stage.files().remove(0);
    fs::write(&file, "something else\n").unwrap();
    within(stage.trail(terms(AuditFailure::Refuse)).end()).await;
    assert_eq!(fs::read_to_string(&file).unwrap(), "something else\n");
    let next = fs::read_to_string(&stage.files()[1]).unwrap();
    let name = file.file_name().unwrap().to_str().unwrap();
    assert!(
        next.contains(&format!("\"unreadable\":\"{name}\"")),
        "{next}"
    );
    assert!(next.contains("\"sequence\":1,"));
}

#[tokio::test]
async fn a_next_file_begins_and_the_chain_goes_through_all_of_them() {
    let stage = Stage::new();
    let trail = stage.trail(terms(AuditFailure::Refuse));
    let entry = entry(&trail);
    for _ in 0..1000 {
        entry.accepted(&alice()).unwrap();
    }
    within(trail.end()).await;
    let files = stage.files();
    assert!(files.len() > 4, "{files:?}");
    for file in &files {
        assert!(fs::metadata(file).unwrap().len() <= SMALL);
    }
    assert_eq!(stage.verify().head.sequence, 1003);
}

#[tokio::test]
async fn the_oldest_file_goes_and_the_trail_says_through_which_record() {
    let stage = Stage::new();
    let trail = stage.trail(EffectiveAuditTrail {
        segments: Some(2),
        ..terms(AuditFailure::Refuse)
    });
    let entry = entry(&trail);
    for _ in 0..1000 {
        entry.accepted(&alice()).unwrap();
    }
    within(trail.end()).await;
    assert_eq!(stage.files().len(), 2);
    let text = String::from_utf8(stage.bytes()).unwrap();
    let removed = text.lines().rfind(|line| line.contains("segment_removed"));
    let removed: serde_json::Value = serde_json::from_str(removed.unwrap()).unwrap();
    let through = removed["through"].as_str().unwrap().parse().unwrap();
    let mut verifier = Verifier::new(Vec::new()).after(Some(through));
    text.lines()
        .for_each(|line| verifier.take(line.as_bytes(), true));
    let report = verifier.finish().unwrap();
    assert_eq!(report.first, through.sequence + 1);
}

#[tokio::test]
async fn threads_that_record_at_once_lose_nothing() {
    let stage = Stage::new();
    let trail = stage.trail(EffectiveAuditTrail {
        max_bytes: 1 << 30,
        ..terms(AuditFailure::DropAndCount)
    });
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let entry = entry(&trail);
            std::thread::spawn(move || {
                for _ in 0..1500 {
                    entry.accepted(&alice()).unwrap();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    within(trail.end()).await;
    assert_eq!(stage.verify().head.sequence, 6003);
    assert_eq!(stage.metrics.audit.dropped.get(), 0);
    assert_eq!(stage.recorded(AuditEvent::ContextAccepted), 6000);
}

/// A folder that is not there yet: its trail cannot be written.
fn absent(stage: &Stage) -> std::path::PathBuf {
    stage.folder.path().join("not").join("there")
}

#[tokio::test]
async fn while_it_cannot_be_written_nobody_is_accepted_where_the_policy_says_so() {
    let stage = Stage::new();
    let folder = absent(&stage);
    let trail = stage.trail_in(&folder, terms(AuditFailure::Refuse));
    let up = stage.metrics.audit.up(AuditDestination::File);
    until(|| up.get() == 0).await;
    assert!(entry(&trail).accepted(&alice()).is_err());
    // It comes back by itself.
    fs::create_dir_all(&folder).unwrap();
    until(|| up.get() == 1).await;
    assert!(entry(&trail).accepted(&alice()).is_ok());
    within(trail.end()).await;
    assert_eq!(stage.metrics.audit.dropped.get(), 0);
}

#[tokio::test]
async fn while_it_cannot_be_written_records_are_dropped_and_counted_where_the_policy_says_so() {
    let stage = Stage::new();
    let folder = absent(&stage);
    let trail = stage.trail_in(&folder, terms(AuditFailure::DropAndCount));
    let entry = entry(&trail);
    for _ in 0..10_000 {
        entry.accepted(&alice()).unwrap();
    }
    let dropped = stage.metrics.audit.dropped.get();
    // The revision in force is in the queue as well.
    assert_eq!(dropped, 10_001 - 8192);
    fs::create_dir_all(&folder).unwrap();
    let up = stage.metrics.audit.up(AuditDestination::File);
    until(|| up.get() == 1 && stage.recorded(AuditEvent::RecordsDropped) == 1).await;
    within(trail.end()).await;
    let mut verifier = Verifier::new(Vec::new());
    for file in fs::read_dir(&folder)
        .unwrap()
        .map(|it| it.unwrap().path())
        .collect::<std::collections::BTreeSet<_>>()
    {
        let text = fs::read_to_string(file).unwrap();
        text.lines()
            .for_each(|line| verifier.take(line.as_bytes(), true));
    }
    let report = verifier.finish().unwrap();
    assert_eq!(report.dropped, dropped);
    assert_eq!(report.head.sequence, 8192 + 3);
}

#[tokio::test]
async fn a_full_queue_refuses_where_the_policy_says_so() {
    let stage = Stage::new();
    let trail = stage.trail_in(&absent(&stage), terms(AuditFailure::Refuse));
    let entry = entry(&trail);
    until(|| entry.accepted(&alice()).is_err()).await;
    // What is not a context is taken as long as there is room, and counted from then on.
    for _ in 0..10_000 {
        entry.revoked(alice().user().unwrap());
    }
    assert!(stage.metrics.audit.dropped.get() > 1_000);
    assert!(entry.accepted(&alice()).is_err());
}

/// A sink in which a write fails, as on a full disk.
#[tokio::test]
async fn a_full_disk_is_a_failure_and_no_record_is_written_twice() {
    let stage = Stage::new();
    let file = stage.folder.path().join("sink");
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut sink = Sink::Output(full);
    let error = sink.write(b"line\n", false).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    let mut sink = Sink::Output(File::create(&file).unwrap());
    assert!(matches!(sink.write(b"line\n", false), Ok(Taken::Bytes(5))));
    assert!(sink.recover().unwrap());
    assert_eq!(fs::read_to_string(&file).unwrap(), "line\n");
}

#[test]
fn a_line_that_is_half_written_begins_where_it_began() {
    let lines = b"one\ntwo\nthree\n";
    for (at, begin) in [(0, 0), (3, 0), (4, 4), (6, 4), (8, 8), (14, 14)] {
        assert_eq!(line_begin(lines, at), begin, "{at}");
    }
}

#[test]
fn a_trail_that_is_off_takes_nothing() {
    let trail = Arc::new(Trail::default());
    assert!(entry(&trail).accepted(&alice()).is_ok());
    trail.record(|_| panic!("no event is made"));
}
