//! Database work belongs to a session that survives its connection: while the client may come back, it goes on.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::APP_ROLE;
use bulkhead_tests::processes::free_port;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::websocket::Application;
use bulkhead_tests::websocket::resumer::Resumer;
use bulkhead_tests::wire::send;

#[tokio::test]
async fn work_is_cancelled_when_the_window_is_over_and_not_when_the_connection_is_lost() {
    let application = Application::listen().await;
    let port = free_port();
    let policy = Policy::trusted().spec(&format!(
        "webSockets: [{{name: chat, listen: {{port: {port}}}, upstream: {{port: {}}}, resume: {{window: 2s}}}}]",
        application.port()
    ));
    let stage = Stage::with(policy).start().await;
    let admin = stage.admin().await;
    let (client, (token, _backend)) = tokio::join!(Resumer::open(port, "alice"), async {
        let asked = application.asked().await;
        let token = asked.header("x-bulkhead-context").unwrap();
        (token, asked.upgrade("").await)
    });
    let mut work = stage.wire().await;
    let options = format!("-c bulkhead.context={token}");
    let login = [
        ("user", APP_ROLE),
        ("database", stage.database.as_str()),
        ("options", options.as_str()),
    ];
    work.login(&login).await.unwrap();
    work.send(send::query("SELECT pg_sleep(60)")).await;
    let asleep = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' \
                  AND query LIKE 'SELECT pg_sleep%'";
    let until_asleep = |count: &'static str| {
        let admin = &admin;
        wait::until("sleepers", move || async move {
            admin.text(asleep).await.as_deref() == Some(count)
        })
    };
    until_asleep("1").await;
    // The client is lost, and comes back in time.
    let client = client.come_back().await;
    assert_eq!(client.greeting.state, 1);
    let resumed = [("outcome", "resumed")];
    let resumes = "bulkhead_websocket_resumes_total";
    stage.until_metric(resumes, &resumed, 1.0).await;
    until_asleep("1").await;
    // It is lost once more. A session that waits keeps the work,
    client.reset();
    let away = "bulkhead_websocket_away_sessions";
    stage.until_metric(away, &[], 1.0).await;
    until_asleep("1").await;
    // until its window is over.
    let refusal = work.until_closed().await.refusal();
    assert_eq!(refusal.code, "57P01");
    assert!(
        refusal.message.contains("isolation.onDisconnect = Cancel"),
        "{refusal:?}"
    );
    until_asleep("0").await;
    stage
        .until_metric(resumes, &[("outcome", "lost")], 1.0)
        .await;
}
