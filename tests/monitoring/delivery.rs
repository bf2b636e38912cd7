//! From a database that is gone to whoever has the duty: Prometheus, Alertmanager, a webhook; and the all-clear.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::Server;
use bulkhead_tests::stage::Stage;

use crate::databases::{Storm, users};
use crate::prometheus::{Prometheus, Target};
use crate::receiver::Alertmanager;

const BREAKER: &str = "BulkheadUpstreamBreakerOpen";

#[tokio::test]
async fn who_has_the_duty_hears_of_a_database_that_is_gone_and_that_it_is_back() {
    let mut server = Server::own();
    let policy = Policy::trusted()
        .timeouts("connect: 2s")
        .database("breaker: {failures: 2, window: 30s, open: 1s, halfOpenProbes: 1}");
    let stage = Stage::on(&server, policy).start().await;
    let alertmanager = Alertmanager::start().await;
    let target = Target::sidecar(stage.sidecar.admin(), "chat-production", "chat-7");
    let prometheus = Prometheus::start_with(&[target], Some(alertmanager.port)).await;
    let _clients = Storm::of(&stage.config(), &users(2), "SELECT 1");
    assert!(!prometheus.fires(BREAKER));

    server.kill();
    let labels = [("namespace", "chat-production"), ("upstream", "main")];
    prometheus.firing(BREAKER, &labels).await;
    let told = alertmanager.webhook.came(BREAKER, "firing").await;
    assert_eq!(told["labels"]["severity"], "critical");
    assert_eq!(told["labels"]["upstream"], "main");
    let page = told["annotations"]["runbook_url"].as_str().unwrap();
    assert!(
        page.ends_with("/docs/runbooks/BulkheadUpstreamBreakerOpen.md"),
        "{told}"
    );
    assert!(alertmanager.amtool(BREAKER).contains(BREAKER));

    server.start();
    prometheus.resolved(BREAKER, &labels).await;
    alertmanager.webhook.came(BREAKER, "resolved").await;
}
