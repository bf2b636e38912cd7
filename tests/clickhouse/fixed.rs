//! Settings that clients may not change: in an address, and where the query's words show it.

use bulkhead_tests::clickhouse::{Stage, curl, trusted};

fn policy() -> bulkhead_tests::policy::Policy {
    trusted().database("session: {parameters: {max_memory_usage: '900000000'}, fixedParameters: [max_memory_usage]}")
}

#[tokio::test]
async fn a_fixed_setting_is_refused_wherever_it_is_seen() {
    let stage = Stage::start(&policy());
    for (parameters, query) in [
        ("max_memory_usage=1", "SELECT 1"),
        ("MAX%5FMEMORY_USAGE=1", "SELECT 1"),
        ("", "SELECT 1 SETTINGS max_memory_usage = 1"),
        ("", "SELECT 1 settings max_threads=1, `max_memory_usage`=1"),
        ("query=SELECT+1+SETTINGS+max_memory_usage=1", ""),
        ("session_id=s", "SET max_memory_usage = 1"),
        ("profile=default", "SELECT 1"),
        ("readonly=0", "SELECT 1"),
    ] {
        stage
            .query_with("alice", parameters, query)
            .await
            .is_error(403, 452, "cannot be changed");
    }
    let counted = stage
        .sidecar
        .metric("bulkhead_fixed_parameter_changes_total", &[]);
    assert!((counted - 8.0).abs() < f64::EPSILON, "{counted}");
    let query = "SELECT value, 'SETTINGS max_memory_usage = 1' FROM system.settings WHERE name = 'max_memory_usage'";
    let fine = stage.query_with("alice", "readonly=1", query).await;
    assert!(fine.rows().starts_with("900000000"), "{fine:?}");
}

#[tokio::test]
async fn audit_lets_it_through_and_counts() {
    let stage = Stage::start(&policy().spec("mode: Audit"));
    let query = "SELECT value FROM system.settings WHERE name = 'max_memory_usage'";
    let changed = stage
        .query_with("alice", "max_memory_usage=800000000", query)
        .await;
    assert_eq!(changed.rows(), "800000000");
    let counted = stage
        .sidecar
        .metric("bulkhead_fixed_parameter_changes_total", &[]);
    assert!((counted - 1.0).abs() < f64::EPSILON, "{counted}");
}

/// What compression hides is not seen; docs/clickhouse.md says so, and what to do on the server.
#[tokio::test]
async fn what_is_compressed_is_not_looked_at() {
    let stage = Stage::start(&policy());
    let folder = bulkhead_tests::processes::folder("hidden");
    let file = folder.join("query.gz");
    let script = "import gzip,sys; open(sys.argv[1],'wb').write(gzip.compress(b'SELECT 1 SETTINGS max_memory_usage = 800000000'))";
    let made = std::process::Command::new("python3")
        .args(["-c", script])
        .arg(&file)
        .status();
    assert!(made.unwrap().success());
    let body = format!("@{}", file.display());
    let answer = curl(
        &[
            "-H",
            "X-Bulkhead-User: alice",
            "-H",
            "Content-Encoding: gzip",
            "--data-binary",
            &body,
            &stage.url("/"),
        ],
        "",
    )
    .await;
    assert_eq!(answer.rows(), "1");
}
