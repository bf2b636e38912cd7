//! The audit trail: what is recorded, that it holds, and what happens while it cannot be written.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use bulkhead_tests::policy::Policy;
use bulkhead_tests::processes::folder;
use bulkhead_tests::programs;
use bulkhead_tests::stage::{Setting, Stage};
use bulkhead_tests::wait;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::Value;

use crate::one_identity::House;
use crate::revocation::Revocations;

const KEY: &str = "an audit key of more than 32 bytes, for tests";
const FILE: &str = "auditTrail: {destination: File}";

/// How long a sidecar may take to end.
const END: Duration = Duration::from_secs(10);

/// The files of a sidecar's trail.
struct Trail(PathBuf);

impl Trail {
    fn new() -> Self {
        Self(folder("trail"))
    }

    fn of<'a>(&self, setting: Setting<'a>) -> Setting<'a> {
        setting.flag("--audit-folder", self.0.to_str().unwrap())
    }

    async fn start(&self, policy: Policy) -> Stage {
        self.of(Stage::with(policy)).start().await
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn text(&self) -> String {
        let files = self.files().into_iter();
        files
            .map(|file| std::fs::read_to_string(file).unwrap())
            .collect()
    }

    /// The whole records with this event.
    fn records(&self, event: &str) -> Vec<Value> {
        let text = self.text();
        let lines = text
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        let records = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        records.filter(|record| record["event"] == event).collect()
    }

    async fn until(&self, event: &str, count: usize) -> Vec<Value> {
        wait::until(&format!("{count} records of {event}"), || async {
            self.records(event).len() >= count
        })
        .await;
        self.records(event)
    }

    fn verify(&self, more: &[&str]) -> Output {
        audit(&["verify"], more, &self.files())
    }

    /// What `audit verify` says of a trail that holds.
    fn holds(&self, more: &[&str]) -> String {
        let said = self.verify(more);
        assert_eq!(said.status.code(), Some(0), "{said:?}");
        String::from_utf8(said.stdout).unwrap()
    }
}

fn audit(command: &[&str], more: &[&str], files: &[PathBuf]) -> Output {
    Command::new(programs::sidecar())
        .arg("audit")
        .args(command)
        .args(more)
        .args(files)
        .output()
        .unwrap()
}

/// A user's id as a trail with hashes has it.
fn hashed(key: &Path, user: &str) -> String {
    let said = audit(&["user", "--key"], &[key.to_str().unwrap(), user], &[]);
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    String::from_utf8(said.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

fn of<'a>(records: &'a [Value], field: &str) -> Vec<&'a str> {
    let mut values: Vec<_> = records
        .iter()
        .filter_map(|record| record[field].as_str())
        .collect();
    values.sort_unstable();
    values
}

#[tokio::test]
async fn one_user_over_four_protocols_is_recorded_by_a_hash_and_nothing_else_of_theirs_is() {
    let (trail, revocations) = (Trail::new(), Revocations::none());
    let house = House::start_with(
        &revocations,
        "auditTrail: {destination: File, userIds: KeyedHash, keySecretRef: {name: audit}}",
        |setting| trail.of(setting).secret("audit/key", KEY),
    )
    .await;
    let key = house.stage.sidecar.secrets().join("audit/key");
    let (alice, bob) = (hashed(&key, "alice"), hashed(&key, "bob"));
    // Given two users who work in all four,
    let hers = house.open("alice").await;
    let his = house.open("bob").await;
    house.until_waiting(2).await;
    // when one of them is revoked, and tries again,
    let (token, context) = (house.token("alice"), hers.socket.token.clone());
    revocations.revoke("alice", -30);
    hers.until_ended().await;
    assert!(house.said_by_cache(&token).contains("revoked"));
    assert_ne!(
        house.ask_facts(&context, "SELECT 'forty-two'").await.status,
        200
    );
    assert!(house.refused_socket(&token).await.0.contains("401"));
    let login = house
        .stage
        .try_options(&format!("-c bulkhead.context={context}"))
        .await;
    assert!(login.is_err());
    // then each of that is in the trail, once for each protocol,
    let four = ["clickhouse", "postgresql", "redis", "websocket"];
    let of_user = |event: &str, user: &str| -> Vec<Value> {
        let records = trail.records(event).into_iter();
        records.filter(|record| record["user"] == user).collect()
    };
    trail.until("context_refused", 4).await;
    for user in [&alice, &bob] {
        let accepted = of_user("context_accepted", user);
        assert_eq!(of(&accepted, "protocol"), four, "{accepted:?}");
        assert_eq!(
            of(&accepted, "upstream"),
            ["cache", "chat", "facts", "main"]
        );
        let made = of_user("factory_created", user);
        assert_eq!(of(&made, "protocol"), four[..3], "{made:?}");
    }
    let ended = of_user("session_revoked", &alice);
    assert_eq!(of(&ended, "protocol"), four);
    assert!(of_user("session_revoked", &bob).is_empty());
    let refused = of_user("context_refused", &alice);
    assert_eq!(of(&refused, "protocol"), four);
    assert_eq!(of(&refused, "reason"), ["revoked"; 4]);
    wait::until("her factories to end", || async {
        of_user("factory_ended", &alice).len() == 3
    })
    .await;
    let reasons = of_user("factory_ended", &alice);
    assert_eq!(of(&reasons, "reason"), ["revoked"; 3]);
    let lists = trail.records("revocations_in_force");
    assert_eq!(lists.last().unwrap()["revocations"], 1);
    // and it holds under its key, and under no other.
    drop(his);
    let mut house = house;
    house.stage.sidecar.terminate();
    house.stage.sidecar.ends_well(END);
    let key = key.to_str().unwrap();
    let told = trail.holds(&["--key", key]);
    assert!(told.contains("HMAC-SHA256 under key"), "{told}");
    assert_eq!(trail.records("trail_ended").len(), 1);
    assert!(!of_user("factory_ended", &bob).is_empty());
    let without = trail.verify(&[]);
    assert_eq!(without.status.code(), Some(1), "{without:?}");
    // Nobody's id stands there, no token, no key, and nothing of what they asked.
    let text = trail.text();
    for canary in [
        "alice",
        "bob",
        &token[..40],
        &token[token.len() - 40..],
        &context[..40],
        "pg_sleep",
        "BEGIN",
        "BLPOP",
        "sleepEachRow",
        "forty-two",
        KEY,
        bulkhead_tests::postgres::PASSWORD,
    ] {
        assert!(!text.contains(canary), "{canary} in {text}");
    }
    assert!(text.contains(&alice));
}

#[tokio::test]
async fn a_chain_goes_on_after_kill_9_and_every_change_of_its_files_is_found() {
    let trail = Trail::new();
    let mut stage = trail.start(Policy::trusted().spec(FILE)).await;
    for number in 0..20 {
        stage.user(&format!("user-{number}")).await;
    }
    trail.until("context_accepted", 20).await;
    stage.sidecar.kill();
    stage.sidecar.wait(END);
    let head = trail.holds(&[]);
    let head = head.lines().last().unwrap().strip_prefix("head ").unwrap();
    // The next one goes on behind it.
    let mut stage = trail.start(Policy::trusted().spec(FILE)).await;
    stage.user("alice").await;
    trail.until("context_accepted", 21).await;
    stage.sidecar.terminate();
    stage.sidecar.ends_well(END);
    let told = trail.holds(&["--expect", head]);
    assert_eq!(trail.files().len(), 1);
    assert_eq!(trail.records("trail_began").len(), 2);
    let after = trail.holds(&["--after", head]);
    assert_eq!(after.lines().last(), told.lines().last());
    // Any change is found, and where.
    let file = trail.files().remove(0);
    let written = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<&str> = written.lines().collect();
    let (third, rest) = (lines[2].to_owned(), lines[3..].join("\n"));
    let two = lines[..2].join("\n");
    let head = told.lines().last().unwrap().strip_prefix("head ").unwrap();
    for (text, code, what) in [
        (written.clone(), 0, ""),
        (written.replacen("user-7", "user-8", 1), 1, "was changed"),
        (
            format!("{two}\n{rest}\n"),
            1,
            ":3: records 3 to 3 are missing",
        ),
        (
            format!("{two}\n{rest}\n{third}\n"),
            1,
            ":3: record 3 stands further down",
        ),
        (
            format!("{two}\n{third}\n"),
            1,
            "which was noted, is not here",
        ),
        (
            written[..written.len() - 9].to_owned(),
            1,
            "the end is torn",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let said = trail.verify(&["--expect", head]);
        let errors = String::from_utf8(said.stderr).unwrap();
        assert_eq!(said.status.code(), Some(code), "{errors}");
        assert!(errors.contains(what), "{errors}");
    }
    let wrong = trail.verify(&["--after", "nonsense"]);
    assert_eq!(wrong.status.code(), Some(2));
}

/// Limits the files of a process: what is longer cannot be written, as on a full disk.
fn limit_files(stage: &Stage, bytes: Option<u64>) {
    let pid = Pid::from_raw(i32::try_from(stage.sidecar.id()).unwrap());
    let limit = Rlimit {
        current: bytes,
        maximum: None,
    };
    prlimit(pid, Resource::Fsize, limit).unwrap();
}

/// The next record is the last that can be written, and that not to its end.
fn leave_little_room(stage: &Stage, trail: &Trail) {
    let written = std::fs::metadata(trail.files().remove(0)).unwrap().len();
    // Half a record still fits, so that its end has to follow.
    limit_files(stage, Some(written + 100));
}

/// The trail can be written no more.
async fn fill_up(stage: &Stage, trail: &Trail) {
    leave_little_room(stage, trail);
    let session = stage.user("last").await;
    stage
        .until_metric("bulkhead_audit_trail_up", &[("destination", "file")], 0.0)
        .await;
    drop(session);
}

#[tokio::test]
async fn on_a_full_disk_nobody_is_accepted_and_what_runs_goes_on_until_there_is_room() {
    let trail = Trail::new();
    let mut stage = trail.start(Policy::trusted().spec(FILE)).await;
    let alice = stage.user("alice").await;
    alice.run("BEGIN").await;
    trail.until("factory_created", 1).await;
    fill_up(&stage, &trail).await;
    let refused = stage.first_refusal("chat_app+bob").await;
    assert_eq!(refused.code, "57P03", "{refused:?}");
    assert!(refused.says("auditTrail.onFailure = Refuse"), "{refused:?}");
    alice.run("INSERT INTO things VALUES (900077, 'x')").await;
    alice.run("COMMIT").await;
    alice.run("SELECT 1").await;
    assert!(
        stage.sidecar.metric(
            "bulkhead_identity_rejections_total",
            &[("reason", "audit_unavailable")]
        ) >= 1.0
    );
    // It comes back by itself, and nothing is missing.
    limit_files(&stage, None);
    stage
        .until_metric("bulkhead_audit_trail_up", &[], 1.0)
        .await;
    stage.user("bob").await;
    stage.sidecar.terminate();
    stage.sidecar.ends_well(END);
    let told = trail.holds(&[]);
    assert!(!told.contains("could not record"), "{told}");
    assert_eq!(
        of(&trail.records("context_accepted"), "user"),
        ["alice", "bob", "last"]
    );
}

#[tokio::test]
async fn on_a_full_disk_each_protocol_refuses_in_its_own_words() {
    let trail = Trail::new();
    let house = House::start_with(&Revocations::none(), FILE, |setting| trail.of(setting)).await;
    let (hers, his) = (house.token("alice"), house.token("bob"));
    let mut cache = house.cache_with(&hers);
    assert_eq!(cache.ask_line("PING").text(), "PONG");
    trail.until("factory_created", 1).await;
    leave_little_room(&house.stage, &trail);
    drop(house.cache_with(&hers));
    eprintln!(
        "LIM {}",
        std::fs::read_to_string(format!("/proc/{}/limits", house.stage.sidecar.id()))
            .unwrap()
            .lines()
            .nth(2)
            .unwrap()
    );
    house
        .stage
        .until_metric("bulkhead_audit_trail_up", &[], 0.0)
        .await;
    let login = house
        .stage
        .try_options(&format!("-c bulkhead.context={his}"))
        .await;
    let told = [
        ("57P03", format!("{:?}", login.err().unwrap())),
        ("MISCONF", house.said_by_cache(&his)),
        (
            "503",
            format!("{:?}", house.ask_facts(&his, "SELECT 1").await),
        ),
        ("503", house.refused_socket(&his).await.0),
    ];
    for (code, told) in told {
        assert!(told.contains(code), "{code}: {told}");
    }
    // Who is there already works on, and with room they all come in.
    assert_eq!(cache.ask_line("PING").text(), "PONG");
    limit_files(&house.stage, None);
    house
        .stage
        .until_metric("bulkhead_audit_trail_up", &[], 1.0)
        .await;
    assert_eq!(house.cache_with(&his).ask_line("PING").text(), "PONG");
    assert_eq!(house.ask_facts(&his, "SELECT 1").await.status, 200);
}

#[tokio::test]
async fn where_the_policy_says_so_work_goes_on_without_its_records_and_the_trail_says_how_many() {
    let trail = Trail::new();
    let policy = "auditTrail: {destination: File, onFailure: DropAndCount}";
    let mut stage = trail.start(Policy::trusted().spec(policy)).await;
    stage.user("alice").await;
    trail.until("factory_created", 1).await;
    fill_up(&stage, &trail).await;
    stage.user("bob").await;
    assert_eq!(
        stage
            .sidecar
            .metric("bulkhead_audit_records_dropped_total", &[]),
        0.0,
        "there is room to wait"
    );
    limit_files(&stage, None);
    stage
        .until_metric("bulkhead_audit_trail_up", &[], 1.0)
        .await;
    stage.sidecar.terminate();
    stage.sidecar.ends_well(END);
    trail.holds(&[]);
    assert_eq!(
        of(&trail.records("context_accepted"), "user"),
        ["alice", "bob", "last"]
    );
}

#[tokio::test]
async fn records_on_standard_output_are_told_from_the_log() {
    let mut stage = Stage::start(Policy::trusted().spec("auditTrail: {}")).await;
    stage.user("alice").await;
    stage.sidecar.terminate();
    stage.sidecar.ends_well(END);
    // Both are in one file here, as they are in a container's log.
    let both = [stage.sidecar.log.path().to_owned()];
    let strict = audit(&["verify"], &[], &both);
    assert_eq!(strict.status.code(), Some(1), "{strict:?}");
    let mixed = audit(&["verify", "--mixed"], &[], &both);
    assert_eq!(mixed.status.code(), Some(0), "{mixed:?}");
    let told = String::from_utf8(mixed.stdout).unwrap();
    assert!(told.contains("other lines were passed over"), "{told}");
}

#[tokio::test]
async fn what_administrators_do_and_which_policy_is_in_force_is_recorded() {
    let trail = Trail::new();
    let mut stage = trail.start(Policy::trusted().spec(FILE)).await;
    let alice = stage.user("alice").await;
    let killed = stage
        .sidecar
        .command(&["console", "-c", "KILL USER 'alice'"]);
    assert!(killed.status.success(), "{killed:?}");
    wait::until("her session to end", || async {
        alice.simple_query("SELECT 1").await.is_err()
    })
    .await;
    let policy = stage.sidecar.policy().clone();
    stage
        .sidecar
        .write_policy(&policy.clone().spec("limits: {maxUsers: 7}").text());
    trail.until("policy_in_force", 2).await;
    stage
        .sidecar
        .write_policy(&policy.text().replace("databases:", "databasse:"));
    trail.until("policy_refused", 1).await;
    assert!(stage.sidecar.command(&["drain"]).status.success());
    let acts = trail.until("administrator_acted", 2).await;
    assert_eq!(of(&acts, "action"), ["drain", "kill_user"]);
    assert_eq!(acts[0]["user"], "alice");
    assert!(acts[0]["caller"].as_str().unwrap().starts_with("uid="));
    let cancelled = trail.records("cancelled");
    assert_eq!(of(&cancelled, "by"), ["administrator"]);
    let ended = trail.until("factory_ended", 1).await;
    assert_eq!(of(&ended, "reason"), ["killed"]);
    let revisions = trail.records("policy_in_force");
    assert_ne!(revisions[0]["revision"], revisions[1]["revision"]);
    stage.sidecar.terminate();
    stage.sidecar.ends_well(END);
    trail.holds(&[]);
}

#[tokio::test]
async fn a_hand_over_names_both_users_and_a_timeout_and_a_cancel_whose_work_they_end() {
    let trail = Trail::new();
    let policy = Policy::trusted()
        .spec(FILE)
        .tier("Reset")
        .pool("maxConnections: 1, perUser: {max: 1}")
        .timeouts("statement: 300ms, acquire: 10s");
    let mut stage = trail.start(policy).await;
    let (alice, bob) = (stage.user("alice").await, stage.user("bob").await);
    for _ in 0..3 {
        let (hers, his) =
            tokio::join!(alice.simple_query("SELECT 1"), bob.simple_query("SELECT 1"));
        assert!(hers.is_ok() && his.is_ok());
    }
    let handed = trail.until("server_handed_over", 1).await;
    let users = [handed[0]["from"].as_str(), handed[0]["to"].as_str()];
    assert!(
        users == [Some("alice"), Some("bob")] || users == [Some("bob"), Some("alice")],
        "{handed:?}"
    );
    let handovers = stage.cross_user_handoffs();
    trail.until("server_handed_over", handovers as usize).await;
    assert!(alice.simple_query("SELECT pg_sleep(5)").await.is_err());
    let late = trail.until("timed_out", 1).await;
    assert_eq!(
        (&late[0]["kind"], &late[0]["user"]),
        (&"statement".into(), &"alice".into())
    );
    let cancel = bob.cancel_token();
    let (slept, ()) = tokio::join!(bob.simple_query("SELECT pg_sleep(5)"), async {
        stage
            .until_metric("bulkhead_executions", &[("state", "running")], 1.0)
            .await;
        cancel.cancel_query(tokio_postgres::NoTls).await.unwrap();
    });
    assert!(slept.is_err());
    let cancelled = trail.until("cancelled", 1).await;
    assert_eq!(
        (&cancelled[0]["by"], &cancelled[0]["user"]),
        (&"client".into(), &"bob".into())
    );
    stage.sidecar.terminate();
    stage.sidecar.ends_well(END);
    trail.holds(&[]);
}

#[tokio::test]
async fn many_users_on_several_workers_are_all_recorded() {
    const USERS: usize = 200;
    let trail = Trail::new();
    let policy = Policy::trusted()
        .spec("auditTrail: {destination: File, file: {maxBytes: 64Ki}}")
        .pool("maxConnections: 20");
    let mut stage = trail.of(Stage::with(policy)).workers(4).start().await;
    let logins = (0..USERS).map(|number| {
        let config = stage
            .config()
            .options(format!("-c bulkhead.user=user-{number}"))
            .clone();
        tokio::spawn(async move { bulkhead_tests::session::connect(&config).await.unwrap() })
    });
    let mut sessions = Vec::new();
    for login in logins.collect::<Vec<_>>() {
        sessions.push(login.await.unwrap());
    }
    drop(sessions);
    let accepted = trail.until("context_accepted", USERS).await;
    let mut users = of(&accepted, "user");
    users.dedup();
    assert_eq!(users.len(), USERS);
    assert_eq!(
        stage
            .sidecar
            .metric("bulkhead_audit_records_dropped_total", &[]),
        0.0
    );
    stage.sidecar.terminate();
    stage.sidecar.ends_well(END);
    assert!(trail.files().len() > 1);
    trail.holds(&[]);
    let (made, ended) = (
        trail.records("factory_created"),
        trail.records("factory_ended"),
    );
    assert_eq!(made.len(), ended.len(), "each that was made has ended");
}
