//! Steps and inventories over time.

use super::*;

const AUDIT: Terms<'static> = Terms {
    environment: "production",
    mode: Mode::Audit,
};

fn second(n: i64) -> Timestamp {
    Timestamp::from_second(n).unwrap()
}

fn traffic(attributed: u64, total: u64) -> Tally {
    Tally {
        injected: 1,
        attributed,
        total,
        ..Tally::default()
    }
}

fn queries_of(rows: &[(&str, &str, i64, i64)]) -> Tally {
    let mut tally = traffic(1, 2);
    for (workload, application, verified, unattributed) in rows {
        let key = Applying {
            workload: (*workload).to_owned(),
            protocol: "postgresql",
            application: (*application).to_owned(),
        };
        tally.inventory.entry(key).or_default().queries = AttributionCounts {
            verified: *verified,
            unattributed: *unattributed,
            ..AttributionCounts::default()
        };
    }
    tally
}

/// What becomes of the compliance as time goes by.
fn over_time(events: &[(i64, Terms<'static>, Tally)]) -> Compliance {
    let mut before = None;
    for (when, terms, tally) in events {
        before = compliance(
            Some(tally),
            Some(*terms),
            before.as_ref(),
            true,
            second(*when),
        );
    }
    before.unwrap()
}

fn ratios(compliance: &Compliance) -> Vec<&str> {
    let steps = compliance.history.iter().flatten();
    steps
        .map(|step| step.ratio.as_deref().unwrap_or("-"))
        .collect()
}

#[test]
fn a_step_is_a_whole_percent_and_no_closer_than_ten_minutes_to_the_last() {
    let found = over_time(&[
        (0, AUDIT, traffic(0, 0)),
        (1, AUDIT, traffic(50, 100)),
        (599, AUDIT, traffic(90, 100)),
        (601, AUDIT, traffic(51, 100)),
        (700, AUDIT, traffic(99, 100)),
        (1300, AUDIT, traffic(515, 1000)),
        (1400, AUDIT, traffic(52, 100)),
    ]);
    assert_eq!(ratios(&found), ["50.0%", "51.0%", "52.0%"]);
    let times: Vec<_> = found
        .history
        .unwrap()
        .into_iter()
        .map(|it| it.time)
        .collect();
    assert_eq!(times[1], "1970-01-01T00:10:01Z");
}

#[test]
fn another_mode_or_environment_is_a_step_at_once() {
    let enforce = Terms {
        mode: Mode::Enforce,
        ..AUDIT
    };
    let staging = Terms {
        environment: "staging",
        ..AUDIT
    };
    let found = over_time(&[
        (1, AUDIT, traffic(9, 10)),
        (2, enforce, traffic(9, 10)),
        (3, enforce, traffic(9, 10)),
        (4, staging, traffic(0, 0)),
    ]);
    assert_eq!(ratios(&found), ["90.0%", "90.0%", "-"]);
    let steps = found.history.unwrap();
    let modes: Vec<Mode> = steps.iter().map(|step| step.mode).collect();
    assert_eq!(modes, [Mode::Audit, Mode::Enforce, Mode::Audit]);
    assert_eq!(steps[2].environment, "staging");
}

#[test]
fn pods_that_have_just_been_replaced_make_no_step() {
    let found = over_time(&[
        (1, AUDIT, traffic(50, 100)),
        (5000, AUDIT, traffic(1, 1)),
        (6000, AUDIT, traffic(19, 19)),
    ]);
    assert_eq!(ratios(&found), ["50.0%"]);
    assert_eq!(found.ratio.as_deref(), Some("100.0%"), "now it is that");
    let found = over_time(&[(1, AUDIT, traffic(50, 100)), (6000, AUDIT, traffic(20, 20))]);
    assert_eq!(ratios(&found), ["50.0%", "100.0%"]);
    assert_eq!(found.history.unwrap()[1].connections, 20);
}

#[test]
fn the_last_ten_steps_are_kept_and_outlive_the_pods() {
    let events: Vec<_> = (0..14_u64)
        .map(|n| (n as i64 * 1000, AUDIT, traffic(2 * n, 100)))
        .collect();
    let found = over_time(&events);
    let kept = ratios(&found);
    assert_eq!((kept.len(), kept[0], kept[9]), (10, "8.0%", "26.0%"));
    for gone in [Some(traffic(0, 0)), None] {
        let gone = gone.map(|tally| Tally {
            injected: 0,
            ..tally
        });
        let next = compliance(
            gone.as_ref(),
            Some(AUDIT),
            Some(&found),
            true,
            second(99_999),
        );
        let next = next.unwrap();
        assert_eq!((next.total, next.ratio.as_ref()), (0, None));
        assert_eq!(next.history, found.history);
    }
    assert_eq!(compliance(None, None, None, true, second(1)), None);
}

#[test]
fn queries_are_counted_where_the_inventory_is_and_only_in_audit() {
    let tally = queries_of(&[("deployment/web", "web", 3, 1)]);
    let first = over_time(&[(1, AUDIT, tally.clone())]);
    let queries = first.queries.clone().unwrap();
    assert_eq!(
        (queries.verified, queries.total, queries.ratio.as_deref()),
        (3, 4, Some("75.0%"))
    );
    let more = queries_of(&[("deployment/web", "web", 30, 1)]);
    let kept = compliance(Some(&more), Some(AUDIT), Some(&first), false, second(2));
    assert_eq!(kept.unwrap().queries, first.queries);
    let enforce = Terms {
        mode: Mode::Enforce,
        ..AUDIT
    };
    let enforced = compliance(Some(&more), Some(enforce), Some(&first), true, second(2));
    assert_eq!(enforced.unwrap().queries, None);
}

#[test]
fn an_inventory_is_written_once_a_minute_and_for_counts_alone_every_ten() {
    let first = inventory(
        &queries_of(&[("deployment/web", "web", 1, 1)]),
        Mode::Audit,
        None,
        second(1000),
    );
    let first = first.unwrap();
    let at = |tally: &Tally, when: i64| {
        let next = inventory(tally, Mode::Audit, Some(&first), second(when)).unwrap();
        (
            next != first,
            next_inventory(tally, Mode::Audit, Some(&next), second(when)),
        )
    };
    let same = queries_of(&[("deployment/web", "web", 1, 1)]);
    assert_eq!(at(&same, 99_999), (false, None));
    let more = queries_of(&[("deployment/web", "web", 10, 10)]);
    assert_eq!(at(&more, 1599), (false, Some(second(1600))));
    assert_eq!(at(&more, 1600), (true, None));
    for other in [
        queries_of(&[("deployment/web", "web", 10, 1)]),
        queries_of(&[("deployment/web", "web", 1, 1), ("job/x", "web", 1, 1)]),
    ] {
        assert_eq!(at(&other, 1059), (false, Some(second(1060))));
        assert_eq!(at(&other, 1060), (true, None));
        // A clock that has been set back does not stop the writing.
        assert!(at(&other, 999).0);
    }
    assert_eq!(
        inventory(&more, Mode::Enforce, Some(&first), second(2000)),
        None
    );
}

#[test]
fn those_stand_first_who_name_nobody_and_the_rest_is_counted() {
    let names: Vec<String> = (0..40).map(|n| format!("app-{n:02}")).collect();
    let rows: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(n, name)| ("deployment/web", name.as_str(), 7, n as i64))
        .collect();
    let found = inventory(&queries_of(&rows), Mode::Audit, None, second(1)).unwrap();
    assert_eq!((found.rows.len(), found.truncated), (32, 8));
    assert_eq!(found.rows[0].application, "app-39");
    assert_eq!(found.rows[31].application, "app-08");
}

#[test]
fn counts_as_large_as_they_can_be_break_nothing() {
    let tally = queries_of(&[
        ("deployment/web", "web", i64::MAX, i64::MAX),
        ("deployment/web", "job", i64::MAX, 1),
    ]);
    let found = inventory(&tally, Mode::Audit, None, second(1)).unwrap();
    let again = inventory(&tally, Mode::Audit, Some(&found), second(9999)).unwrap();
    assert_eq!(found, again);
    assert_eq!(
        over_time(&[(1, AUDIT, tally)]).queries.unwrap().total,
        i64::MAX
    );
}
