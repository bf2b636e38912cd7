//! Bodies pass piece by piece, in both directions and as they are compressed.

use std::process::Command;

use bulkhead_tests::clickhouse::{Server, Stage, curl, trusted};
use bulkhead_tests::processes::folder;
use bulkhead_tests::wait;

const MEBIBYTE: u64 = 1024 * 1024;

#[tokio::test]
async fn gzip_passes_untouched_both_ways() {
    let stage = Stage::start(&trusted());
    let server = Server::shared();
    server.direct("CREATE TABLE IF NOT EXISTS gzipped (a UInt64) ENGINE = Memory");
    let folder = folder("gzip");
    let (up, down) = (folder.join("up.gz"), folder.join("down.gz"));
    let script = "import gzip,sys; open(sys.argv[1],'wb').write(gzip.compress(b''.join(b'%d\\n' % i for i in range(100000))))";
    let made = Command::new("python3")
        .args(["-c", script])
        .arg(&up)
        .status();
    assert!(made.unwrap().success());
    let url = stage.url("/?query=INSERT+INTO+gzipped+FORMAT+TabSeparated");
    let body = format!("@{}", up.display());
    let header = "X-Bulkhead-User: alice";
    let sent = curl(
        &[
            "-H",
            header,
            "-H",
            "Content-Encoding: gzip",
            "--data-binary",
            &body,
            &url,
        ],
        "",
    )
    .await;
    assert_eq!(sent.rows(), "");
    assert_eq!(
        server.direct("SELECT count(), sum(a) FROM gzipped"),
        "100000\t4999950000"
    );
    let url = stage.url("/?query=SELECT+a+FROM+gzipped+ORDER+BY+a&enable_http_compression=1");
    let file = down.display().to_string();
    let read = Command::new("curl")
        .args([
            "-sS",
            "-o",
            &file,
            "-H",
            header,
            "-H",
            "Accept-Encoding: gzip",
            &url,
        ])
        .status();
    assert!(read.unwrap().success());
    let script =
        "import gzip,sys; d=gzip.open(sys.argv[1]).read().split(); print(len(d), sum(map(int, d)))";
    let read = Command::new("python3")
        .args(["-c", script])
        .arg(&down)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&read.stdout).trim(),
        "100000 4999950000"
    );
    server.direct("DROP TABLE gzipped");
}

#[tokio::test]
async fn a_hundred_megabytes_pass_in_bounded_memory_both_ways() {
    let stage = Stage::start(&trusted().timeouts("statement: 120s"));
    let server = Server::shared();
    assert_eq!(stage.query("alice", "SELECT 1").await.rows(), "1");
    let before = stage.sidecar.memory("VmHWM");
    let header = "X-Bulkhead-User: alice";
    let url = stage.url("/");
    let query = "SELECT arrayStringConcat(arrayMap(x -> 'x', range(999))) FROM numbers(110000)";
    let read = Command::new("curl")
        .args([
            "-sS",
            "-o",
            "/dev/null",
            "-w",
            "%{size_download}",
            "-H",
            header,
            "--data-binary",
            query,
            &url,
        ])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&read.stdout), "110000000");
    server.direct("CREATE TABLE IF NOT EXISTS large (a String) ENGINE = Null");
    let file = folder("large").join("rows");
    let line = format!("{}\n", "y".repeat(999));
    std::fs::write(&file, line.repeat(110_000)).unwrap();
    let body = format!("@{}", file.display());
    let insert = stage.url("/?query=INSERT+INTO+large+FORMAT+TabSeparated");
    let sent = curl(
        &[
            "-H",
            header,
            "-H",
            "Transfer-Encoding: chunked",
            "--data-binary",
            &body,
            &insert,
        ],
        "",
    )
    .await;
    assert_eq!(sent.rows(), "");
    let grown = stage.sidecar.memory("VmHWM").saturating_sub(before);
    assert!(grown < 24 * MEBIBYTE, "{grown} bytes more than before");
    server.direct("DROP TABLE large");
}

/// The server is read no faster than the client reads: what lies between is bounded.
#[tokio::test]
async fn a_client_that_does_not_read_stops_the_server_and_costs_no_memory() {
    let stage = Stage::start(&trusted().timeouts("statement: 120s"));
    assert_eq!(stage.query("alice", "SELECT 1").await.rows(), "1");
    let before = stage.sidecar.memory("VmRSS");
    let url = stage.url("/");
    let query = "SELECT arrayStringConcat(arrayMap(x -> 'x', range(999))) /* unread */ FROM numbers(10000000)";
    let mut slow = Command::new("curl");
    slow.args([
        "-sS",
        "--limit-rate",
        "10k",
        "-o",
        "/dev/null",
        "-H",
        "X-Bulkhead-User: alice",
        "--data-binary",
        query,
        &url,
    ]);
    let client = bulkhead_tests::processes::Running::start("curl", &mut slow);
    Server::shared().until_running("/* unread */", 1).await;
    let read = "SELECT sum(read_rows) FROM system.processes WHERE query LIKE '%/* unread */%' AND query NOT LIKE '%system.processes%'";
    // Once two looks show the same, nothing moves any more.
    let mut last = String::new();
    wait::until("the server to stand still", || {
        let now = Server::shared().direct(read);
        let still = now == last && now != "0";
        last = now;
        async move {
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            still
        }
    })
    .await;
    let grown = stage.sidecar.memory("VmRSS").saturating_sub(before);
    assert!(grown < 24 * MEBIBYTE, "{grown} bytes more than before");
    assert_eq!(stage.query("bob", "SELECT 1").await.rows(), "1");
    drop(client);
    Server::shared().until_running("/* unread */", 0).await;
}

#[tokio::test]
async fn an_upload_that_waits_for_leave_is_given_it() {
    let stage = Stage::start(&trusted());
    let url = stage.url("/");
    let answer = curl(
        &[
            "-H",
            "X-Bulkhead-User: alice",
            "-H",
            "Expect: 100-continue",
            "--data-binary",
            "SELECT 7",
            &url,
        ],
        "",
    )
    .await;
    assert_eq!(answer.rows(), "7");
}
