//! What is due next, under each combination of what runs and what is limited.

use TimeoutKind::{IdleInTransaction, Statement, Transaction};

use super::super::restore::RESTORE_LIMIT;
use super::*;
use crate::worker::fixtures::Stage;

/// Limits of statement, transaction and silence in seconds; 0 is none.
fn force(limits: [u64; 3]) -> Arc<DatabaseForce> {
    let limit = |at: usize| (limits[at] > 0).then(|| Duration::from_secs(limits[at]));
    let stage = Stage::new(|policy| {
        let timeouts = &mut policy.databases[0].timeouts;
        (
            timeouts.statement,
            timeouts.transaction,
            timeouts.idle_in_transaction,
        ) = (limit(0), limit(1), limit(2));
    });
    stage.entry.force()
}

#[tokio::test]
async fn the_first_of_what_runs_and_is_limited_is_due() {
    let start = Instant::now();
    // What runs, and since when; the limits; what is due, and when.
    type Row = ([Option<u64>; 3], [u64; 3], Option<(u64, TimeoutKind)>);
    let table: [Row; 10] = [
        ([None; 3], [1, 1, 1], None),
        ([Some(0); 3], [0, 0, 0], None),
        ([Some(0), Some(0), None], [5, 9, 1], Some((5, Statement))),
        ([Some(6), Some(0), None], [5, 9, 1], Some((9, Transaction))),
        (
            [None, Some(0), Some(3)],
            [5, 9, 1],
            Some((4, IdleInTransaction)),
        ),
        ([None, Some(0), Some(3)], [5, 9, 7], Some((9, Transaction))),
        ([Some(0), None, None], [0, 9, 1], None),
        ([Some(0), Some(0), None], [0, 9, 0], Some((9, Transaction))),
        ([None, None, Some(0)], [1, 1, 0], None),
        ([Some(2), Some(2), None], [3, 3, 0], Some((5, Statement))),
    ];
    for (running, limits, due) in table {
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let clocks = Clocks {
            statement: running[0].map(at),
            transaction: running[1].map(at),
            silence: running[2].map(at),
            ..Clocks::default()
        };
        let expected = due.map(|(seconds, kind)| (at(seconds), kind));
        assert_eq!(
            clocks.next(&force(limits)),
            expected,
            "{running:?} under {limits:?}"
        );
    }
}

#[tokio::test]
async fn a_copy_is_bounded_by_its_transaction_alone() {
    let start = Instant::now();
    let clocks = Clocks {
        statement: Some(start),
        transaction: Some(start),
        copying: true,
        ..Clocks::default()
    };
    let due = clocks.next(&force([1, 60, 1]));
    assert_eq!(due, Some((start + Duration::from_secs(60), Transaction)));
    assert_eq!(clocks.next(&force([1, 0, 1])), None);
}

#[tokio::test]
async fn once_a_timeout_has_fired_nothing_is_due_but_the_servers_return() {
    let start = Instant::now();
    let clocks = Clocks {
        statement: Some(start),
        transaction: Some(start),
        overdue: Some(Overdue::own(start)),
        ..Clocks::default()
    };
    assert!(clocks.is_overdue());
    assert_eq!(
        clocks.next(&force([1, 1, 1])),
        Some((start + RESTORE_LIMIT, Statement))
    );
}

#[tokio::test]
async fn each_timeout_names_its_setting_its_value_and_where_that_came_from() {
    let force = force([1, 2, 3]);
    for (kind, code, setting) in [
        (
            Statement,
            "57014",
            "databases[main].timeouts.statement = 1s (environment staging",
        ),
        (
            Transaction,
            "25P04",
            "databases[main].timeouts.transaction = 2s",
        ),
        (
            IdleInTransaction,
            "25P03",
            "databases[main].timeouts.idleInTransaction = 3s",
        ),
    ] {
        let mut bytes = Vec::new();
        timeout_error(&force, kind).write(&mut bytes);
        let text = String::from_utf8_lossy(&bytes);
        assert!(
            text.contains(&format!("C{code}\0")) && text.contains(setting),
            "{text}"
        );
    }
}
