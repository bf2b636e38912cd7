//! Who a request is for: tokens, the application's word, and nobody.

use bulkhead_tests::clickhouse::{Server, Stage, clickhouse, curl, trusted};
use bulkhead_tests::policy::Policy;
use bulkhead_tests::tokens::{Signer, key_set};
use jsonwebtoken::Algorithm;
use serde_json::json;

fn signed() -> (Signer, Stage) {
    let signer = Signer::new("house", Algorithm::EdDSA);
    let keys = key_set(&[&signer]);
    let policy = clickhouse(Policy::signed_context());
    let secrets = [("bulkhead-context-keys/jwks.json", keys.as_str())];
    let stage = Stage::before(Server::shared().port, &policy, &secrets);
    (signer, stage)
}

async fn ask(stage: &Stage, headers: &[&str]) -> bulkhead_tests::clickhouse::Answer {
    let url = stage.url("/");
    let mut arguments = vec!["--data-binary", "SELECT 1"];
    for header in headers {
        arguments.extend(["-H", header]);
    }
    arguments.push(&url);
    curl(&arguments, "").await
}

#[tokio::test]
async fn a_token_is_taken_from_either_header() {
    let (signer, stage) = signed();
    let token = signer.token("alice");
    for header in [
        format!("X-Bulkhead-Context: {token}"),
        format!("Authorization: Bearer {token}"),
    ] {
        assert_eq!(ask(&stage, &[&header]).await.rows(), "1");
    }
    let users = stage.sidecar.command(&["users"]);
    assert!(String::from_utf8_lossy(&users.stdout).contains("alice"));
}

#[tokio::test]
async fn nobody_is_refused_with_a_hint_and_counted() {
    let (signer, stage) = signed();
    let none = ask(&stage, &[]).await;
    none.is_error(401, 516, "send the header X-Bulkhead-Context: TOKEN");
    assert!(
        none.header("www-authenticate")
            .unwrap()
            .starts_with("Bearer")
    );
    let expired = signer
        .sign(&json!({"sub": "alice", "iss": "https://issuer.test", "aud": "chat", "exp": 1}));
    ask(&stage, &[&format!("X-Bulkhead-Context: {expired}")])
        .await
        .is_error(401, 516, "get a new token");
    let forged = Signer::new("house", Algorithm::EdDSA).token("alice");
    ask(&stage, &[&format!("X-Bulkhead-Context: {forged}")])
        .await
        .is_error(401, 516, "compare the token's key");
    for word in ["X-Bulkhead-User: alice", "X-ClickHouse-User: app+alice"] {
        let refused = ask(&stage, &[word]).await;
        assert!(
            refused.status == 401 && refused.body.contains("X-Bulkhead-Context"),
            "{refused:?}"
        );
    }
    for reason in ["missing", "expired", "signature"] {
        let counted = stage
            .sidecar
            .metric("bulkhead_identity_rejections_total", &[("reason", reason)]);
        assert!(counted >= 1.0, "{reason}");
    }
}

#[tokio::test]
async fn an_applications_word_comes_in_one_of_four_ways() {
    let stage = Stage::start(&trusted());
    let url = stage.url("/");
    let in_address = stage.url("/?user=app%2Balice");
    let sql = ["--data-binary", "SELECT 1"];
    let ways: [&[&str]; 4] = [
        &["-u", "app+alice:any", &url],
        &["-H", "X-ClickHouse-User: app+alice", &url],
        &["-H", "X-Bulkhead-User: alice", &url],
        &[&in_address],
    ];
    for way in ways {
        let answer = curl(&[&sql[..], way].concat(), "").await;
        assert_eq!(answer.rows(), "1", "{way:?}");
    }
    assert!(
        stage
            .sidecar
            .metric("bulkhead_factories_created_total", &[])
            <= 1.0
    );
}

#[tokio::test]
async fn two_words_a_placeholder_and_another_role_are_refused() {
    let stage = Stage::start(&trusted());
    ask(
        &stage,
        &["X-Bulkhead-User: alice", "X-ClickHouse-User: app+bob"],
    )
    .await
    .is_error(401, 516, "two different users");
    ask(&stage, &["X-Bulkhead-User: anonymous"])
        .await
        .is_error(401, 516, "rejectPlaceholders");
    ask(&stage, &["X-ClickHouse-User: root+alice"])
        .await
        .is_error(403, 516, "credentialsSecretRef is for \"app\"");
}

#[tokio::test]
async fn audit_counts_what_queries_say_of_their_users() {
    let stage = Stage::start(&trusted().spec("mode: Audit"));
    let counted = |family: &str, application: &str| {
        let metrics = stage.sidecar.metrics();
        ["verified", "claimed", "placeholder", "unattributed"].map(|way| {
            let labels = [
                ("application", application),
                ("attribution", way),
                ("protocol", "clickhouse"),
            ];
            metrics.sum(family, &labels) as u32
        })
    };
    let queries = "bulkhead_inventory_queries_total";
    let asked = async |agent: &str, parameters: &str, text: &str| {
        let url = stage.url(&format!("/?{parameters}"));
        let agent = format!("User-Agent: {agent}");
        let answer = curl(&["-H", &agent, "--data-binary", "@-", &url], text).await;
        assert_eq!(answer.rows(), "1", "{answer:?}");
    };
    asked("web/1.0", "", "SELECT 1").await;
    asked("web/1.0", "", "SELECT 1 /*bulkhead_user='alice'*/").await;
    asked("web/1.0", "", "/*bulkhead_user='null'*/ SELECT 1").await;
    asked(
        "web/1.0",
        "query=SELECT%201%20/*bulkhead_user=%27alice%27*/",
        "",
    )
    .await;
    // Servers before 20.12 do not know the setting, and say so; it has been asked all the same.
    let url = stage.url("/?log_comment=bulkhead:alice");
    let arguments = [
        "-H",
        "User-Agent: web/1.0",
        "--data-binary",
        "SELECT 1",
        &url,
    ];
    let _ = curl(&arguments, "").await;
    asked("web/1.0", "", "SELECT 1 -- '/*bulkhead_user=''alice''*/'").await;
    assert_eq!(counted(queries, "web"), [0, 3, 1, 2]);
    asked("job/2 bulkhead:alice", "", "SELECT 1").await;
    assert_eq!(counted(queries, "job"), [0, 1, 0, 0]);
    assert_eq!(
        counted("bulkhead_inventory_connections_total", "job"),
        [0, 1, 0, 0]
    );
    assert_eq!(
        ask(&stage, &["X-Bulkhead-User: alice", "User-Agent: own"])
            .await
            .rows(),
        "1"
    );
    assert_eq!(counted(queries, "own"), [1, 0, 0, 0]);
    assert!(!stage.sidecar.metrics().text().contains("alice"));
}

#[tokio::test]
async fn audit_serves_nobody_as_unattributed_and_counts_it() {
    let stage = Stage::start(&trusted().spec("mode: Audit"));
    assert_eq!(ask(&stage, &[]).await.rows(), "1");
    let labels = [("protocol", "clickhouse")];
    let counted = stage.sidecar.metric("bulkhead_unattributed_total", &labels);
    assert!((counted - 1.0).abs() < f64::EPSILON, "{counted}");
}
