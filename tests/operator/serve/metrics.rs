//! What an operator says of itself: metrics that Prometheus takes, and health.

use std::process::Stdio;

use bulkhead_tests::operator::{Operator, control_plane};
use bulkhead_tests::{programs, tools};
use tokio::process::Command;

#[tokio::test]
async fn the_metrics_hold_to_prometheus_own_rules_and_health_tells_alive_from_ready() {
    let cluster = control_plane().await;
    let operator = Operator::start(&cluster).await;
    operator.until_installed().await;

    let metrics = operator.metrics();
    for family in [
        "bulkhead_operator_leader",
        "bulkhead_operator_certificate_expiry_timestamp_seconds",
        "bulkhead_operator_build_info",
        "bulkhead_operator_repairs_total",
        "bulkhead_operator_evictions_total",
    ] {
        assert!(metrics.has(family), "{family} in\n{}", metrics.text());
    }
    let mut promtool = Command::new(programs::promtool());
    promtool.args(["check", "metrics"]).stdout(Stdio::piped());
    let said = tools::run(promtool, metrics.text()).await;
    assert!(said.success, "{said:?}");
    assert_eq!(said.errors, "", "promtool finds nothing to mend");

    assert_eq!(operator.get("/healthz").unwrap().0, 200);
    assert_eq!(operator.get("/elsewhere").unwrap().0, 404);
}
