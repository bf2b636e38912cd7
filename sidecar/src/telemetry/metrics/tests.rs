//! What is shown, under which names, and that it is documented.

use std::io::Write;
use std::process::{Command, Stdio};

use super::*;
use crate::telemetry::{
    Attribution, BreakerState, CertificateEnd, CertificateUse, ConnectionOutcome, ErrorClass,
    Initiator, MessageDirection, ServerState, TimeoutKind,
};

fn fed() -> Arc<Metrics> {
    let metrics = Metrics::new().expect("names are legal");
    let main = metrics.upstream("main", Protocol::PostgreSQL);
    main.connection(ConnectionOutcome::Accepted);
    main.timeout(TimeoutKind::Statement);
    main.error(ErrorClass::Deadlock);
    main.server_connections(ServerState::Idle).inc();
    main.query_seconds.observe(0.003);
    main.breaker(BreakerState::Open);
    let chat = metrics.socket("chat");
    chat.clients.connection(ConnectionOutcome::Unavailable);
    chat.messages(MessageDirection::Up, 2);
    for code in [1000, 1006, 3008, 3999, 4001, 999] {
        chat.closed(code, Initiator::Sidecar);
    }
    metrics.unattributed_socket();
    metrics.unattributed(Protocol::PostgreSQL);
    let report = metrics
        .inventory
        .application("postgresql", "nightly report");
    report.connection(Attribution::Placeholder);
    report.query(Attribution::Unattributed);
    metrics.identity_rejection(RejectionReason::Placeholder);
    metrics.executions(ExecutionState::Running).inc();
    metrics.policy_revision("a1b2");
    metrics.policy_terms(Mode::Enforce, Tier::Dedicated);
    metrics.certificates(&[
        end("main", CertificateUse::Listener, 30),
        end("main", CertificateUse::Listener, 20),
        end("", CertificateUse::Peers, 10),
    ]);
    metrics
}

fn end(upstream: &str, of: CertificateUse, at: i64) -> CertificateEnd {
    CertificateEnd {
        upstream: upstream.to_owned(),
        of,
        at,
    }
}

#[test]
fn every_series_of_an_upstream_exists_at_zero_before_anything_happens() {
    let metrics = Metrics::new().expect("names are legal");
    let _ = metrics.upstream("main", Protocol::PostgreSQL);

    let text = metrics.render().expect("renders");
    for outcome in ConnectionOutcome::ALL {
        let outcome = outcome.as_str();
        assert_has(
            &text,
            &format!(
                "bulkhead_connections_total{{outcome=\"{outcome}\",protocol=\"postgresql\",upstream=\"main\"}} 0"
            ),
        );
    }
    for kind in TimeoutKind::ALL {
        let kind = kind.as_str();
        assert_has(
            &text,
            &format!("bulkhead_timeouts_total{{kind=\"{kind}\",upstream=\"main\"}} 0"),
        );
    }
    for class in ErrorClass::ALL {
        let class = class.as_str();
        assert_has(
            &text,
            &format!("bulkhead_errors_total{{class=\"{class}\",upstream=\"main\"}} 0"),
        );
    }
    for reason in RejectionReason::ALL {
        let reason = reason.as_str();
        assert_has(
            &text,
            &format!("bulkhead_identity_rejections_total{{reason=\"{reason}\"}} 0"),
        );
    }
    for state in ExecutionState::ALL {
        assert_has(
            &text,
            &format!("bulkhead_executions{{state=\"{state}\"}} 0"),
        );
    }
    for line in [
        "bulkhead_connections{protocol=\"postgresql\",upstream=\"main\"} 0",
        "bulkhead_factories{upstream=\"main\"} 0",
        "bulkhead_factories_created_total{upstream=\"main\"} 0",
        "bulkhead_server_connections{state=\"spare\",upstream=\"main\"} 0",
        "bulkhead_acquire_seconds_count{upstream=\"main\"} 0",
        "bulkhead_connect_seconds_count{upstream=\"main\"} 0",
        "bulkhead_query_seconds_count{upstream=\"main\"} 0",
        "bulkhead_cross_user_handoffs_total{upstream=\"main\"} 0",
        "bulkhead_evictions_total{upstream=\"main\"} 0",
        "bulkhead_breaker_state{upstream=\"main\"} 0",
        "bulkhead_unattributed_total{protocol=\"postgresql\"} 0",
        "bulkhead_policy_rejections_total 0",
    ] {
        assert_has(&text, line);
    }
}

#[test]
fn what_was_counted_is_shown() {
    let text = fed().render().expect("renders");
    for line in [
        "bulkhead_timeouts_total{kind=\"statement\",upstream=\"main\"} 1",
        "bulkhead_errors_total{class=\"deadlock\",upstream=\"main\"} 1",
        "bulkhead_query_seconds_bucket{upstream=\"main\",le=\"0.0025\"} 0",
        "bulkhead_query_seconds_bucket{upstream=\"main\",le=\"0.005\"} 1",
        "bulkhead_breaker_state{upstream=\"main\"} 2",
        "bulkhead_unattributed_total{protocol=\"postgresql\"} 1",
        "bulkhead_policy_revision{revision=\"a1b2\"} 1",
        "bulkhead_policy_info{mode=\"Enforce\",tier=\"Dedicated\"} 1",
        "bulkhead_certificate_expiry_timestamp_seconds{certificate=\"listener\",upstream=\"main\"} 20",
        "bulkhead_certificate_expiry_timestamp_seconds{certificate=\"peers\",upstream=\"\"} 10",
    ] {
        assert_has(&text, line);
    }
    for line in [
        "bulkhead_inventory_connections_total{application=\"nightly report\",attribution=\"placeholder\",protocol=\"postgresql\"} 1",
        "bulkhead_inventory_queries_total{application=\"nightly report\",attribution=\"unattributed\",protocol=\"postgresql\"} 1",
        "bulkhead_inventory_queries_total{application=\"nightly report\",attribution=\"verified\",protocol=\"postgresql\"} 0",
    ] {
        assert_has(&text, line);
    }
}

#[test]
fn an_execution_is_counted_where_it_is_and_then_where_it_ended() {
    use ExecutionState::{Completed, Completing, Pending, Running, Starting};
    let metrics = Metrics::new().expect("names are legal");
    let mut from = None;
    for to in [Pending, Starting, Running, Completing, Completed] {
        metrics.execution(from, to);
        assert_eq!(metrics.executions(to).get(), 1);
        from = Some(to);
    }
    for left in [Pending, Starting, Running, Completing] {
        assert_eq!(metrics.executions(left).get(), 0);
    }
    metrics.execution(None, Running);
    let text = metrics.render().expect("renders");
    for line in [
        "bulkhead_executions_started_total 2",
        "bulkhead_executions_finished_total{outcome=\"completed\"} 1",
        "bulkhead_executions_finished_total{outcome=\"dead\"} 0",
    ] {
        assert_has(&text, line);
    }
}

#[test]
fn only_the_newest_revision_is_shown() {
    let metrics = fed();
    metrics.policy_revision("c3d4");
    let text = metrics.render().expect("renders");
    assert_has(&text, "bulkhead_policy_revision{revision=\"c3d4\"} 1");
    assert!(!text.contains("a1b2"));
}

#[test]
fn handles_of_one_upstream_are_the_same_handles() {
    let metrics = fed();
    let again = metrics.upstream("main", Protocol::PostgreSQL);
    again.timeout(TimeoutKind::Statement);
    assert_has(
        &metrics.render().expect("renders"),
        "bulkhead_timeouts_total{kind=\"statement\",upstream=\"main\"} 2",
    );
}

#[test]
fn names_follow_the_conventions_of_prometheus() {
    let metrics = fed();
    for family in metrics.registry.gather() {
        let (name, kind) = (family.name(), format!("{:?}", family.get_field_type()));
        assert!(!family.help().is_empty(), "{name} has no help");
        assert!(family.help().ends_with('.'), "{name}: help is a sentence");
        let ours = name.starts_with("bulkhead_") || name.starts_with("process_");
        assert!(ours, "{name} has no prefix");
        assert!(
            name.chars().all(|c| c.is_ascii_lowercase() || c == '_'),
            "{name} is not in snake case"
        );
        let total = name.ends_with("_total");
        assert_eq!(total, kind == "COUNTER", "{name} is a {kind}");
        if kind == "HISTOGRAM" {
            assert!(name.ends_with("_seconds"), "{name} has no unit");
        }
        for unit in [
            "_ms", "_millis", "_kb", "_minutes", "_count", "_sum", "_bucket",
        ] {
            assert!(!name.ends_with(unit), "{name} ends with {unit}");
        }
        for metric in family.get_metric() {
            for label in metric.get_label() {
                assert!(!label.name().contains("user"), "{name} names users");
            }
        }
    }
}

#[test]
fn every_metric_and_label_value_is_documented() {
    const PAGE: &str = include_str!("../../../../docs/metrics.md");
    let documented = |word: &str| PAGE.contains(&format!("`{word}`"));
    for family in fed().registry.gather() {
        assert!(documented(family.name()), "{} is not", family.name());
        let labels = family.get_metric().iter().flat_map(|m| m.get_label());
        for label in labels.filter(|label| !FREE_LABELS.contains(&label.name())) {
            let value = label.value();
            assert!(documented(value), "{} {value} is not", label.name());
        }
    }
}

/// Labels whose values the policy or the build decides, and the applications' names.
const FREE_LABELS: [&str; 4] = ["upstream", "revision", "version", "application"];

/// Skipped where Prometheus' own tool is not installed; the table above then stands alone.
#[test]
fn promtool_finds_nothing_to_mend() {
    let Ok(mut promtool) = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
    else {
        return;
    };
    let text = fed().render().expect("renders");
    let mut stdin = promtool.stdin.take().expect("piped");
    stdin.write_all(text.as_bytes()).expect("promtool reads");
    drop(stdin);
    let output = promtool.wait_with_output().expect("promtool ends");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "promtool: {said}");
}

fn assert_has(text: &str, line: &str) {
    assert!(text.lines().any(|l| l == line), "no line {line} in\n{text}");
}
