//! Conversations that A leaves in the middle: the next one on that server connection must find none of their bytes.

use super::super::kind::{Kind, Probe, Step, Step::Run, kind};

const OF_B: Probe = Probe::Answer("SELECT 'of B'");

pub(super) const KINDS: &[Kind] = &[
    kind(
        "COPY FROM STDIN without an end",
        &[
            Run("CREATE TEMP TABLE t{n} (secret text)"),
            Step::CopyIn("COPY t{n} FROM STDIN"),
        ],
        OF_B,
    )
    .busy(),
    kind(
        "COPY TO STDOUT that nobody reads",
        &[Step::CopyOut("COPY (SELECT 'of A' FROM generate_series(1, 2000000)) TO STDOUT")],
        OF_B,
    )
    .busy(),
    kind(
        "a result that nobody reads",
        &[Step::Unread("SELECT 'of A' FROM generate_series(1, 2000000)")],
        OF_B,
    )
    .busy(),
    kind(
        "a statement that still runs",
        &[Step::Unread("SELECT pg_sleep(600)")],
        OF_B,
    )
    .busy(),
    kind(
        "notices that nobody reads",
        &[Step::Unread(
            "DO $$ BEGIN FOR i IN 1..2000 LOOP RAISE NOTICE 'of A %', repeat('x', 1000); END LOOP; END $$",
        )],
        OF_B,
    )
    .busy(),
    kind(
        "a batch without Sync",
        &[Step::Unsynced("SELECT 'of A'")],
        OF_B,
    )
    .busy(),
    kind(
        "a batch without Sync that has set something",
        &[Step::Unsynced("SET bulkhead_prove.v{n} = 'tenant of A'")],
        Probe::Sql("SELECT coalesce(current_setting('bulkhead_prove.v{n}', true), '')"),
    )
    .busy(),
    kind(
        "a batch that has failed, without Sync",
        &[Step::FailedUnsynced("SELECT 1/0")],
        OF_B,
    )
    .busy(),
    kind(
        "a portal that is suspended",
        &[Step::Suspend("SELECT 'of A' FROM generate_series(1, 9)")],
        Probe::Portal(""),
    )
    .busy(),
    kind(
        "half a message",
        &[Step::Half("SELECT 'of A'")],
        OF_B,
    )
    .busy(),
    kind("the cancel key", &[], Probe::CancelKey),
];
