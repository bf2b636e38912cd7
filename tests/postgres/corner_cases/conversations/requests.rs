//! Queries, and batches of the extended protocol.

use bulkhead_tests::wire::send;

use super::{Conversation, ask, row, say};

pub(super) fn queries() -> Vec<Conversation> {
    vec![
        row(
            "Several statements in one Query",
            vec![
                ask("SELECT 1; SELECT 'two'", "TDCTDCZ", "two"),
                ask("SELECT 1; SELECT 1 / 0; SELECT 3", "TDCEZ", "22012"),
            ],
        ),
        row("An empty Query", vec![ask("", "IZ", "")]),
        row(
            "A DataRow of 4 MB",
            vec![ask("SELECT repeat('x', 4194304)", "TDCZ", "xxx")],
        ),
        row(
            "FunctionCall",
            vec![say([send::function_call(1598, &[])], "VZ", "")],
        ),
        row(
            "Notices, and errors with detail and hint",
            vec![
                ask("SELECT complain('loud')", "TDCZ", "complaint: loud"),
                ask("SELECT refuse()", "TEZ", "ask again"),
            ],
        ),
    ]
}

pub(super) fn batches() -> Vec<Conversation> {
    let run = |sql: &str| send::run_unnamed(sql);
    vec![
        row(
            "Many requests before one Sync",
            vec![say(
                [
                    run("SELECT 1"),
                    run("SELECT 2"),
                    run("SELECT 3"),
                    send::sync(),
                ],
                "12DC12DC12DCZ",
                "",
            )],
        ),
        row(
            "Many Syncs in flight",
            vec![say(
                [
                    run("SELECT 1"),
                    send::sync(),
                    run("SELECT 1 / 0"),
                    send::sync(),
                    run("SELECT 2"),
                    send::sync(),
                ],
                "12DCZ1EZ12DCZ",
                "22012",
            )],
        ),
        row(
            "Flush without Sync",
            vec![
                say([run("SELECT 1"), send::flush()], "12DC", ""),
                say([run("SELECT 2"), send::flush()], "12DC", ""),
                say([send::sync()], "Z", ""),
            ],
        ),
        row(
            "After an error everything is skipped until Sync",
            vec![
                say(
                    [
                        run("SELECT 1 / 0"),
                        send::parse("skipped", "SELECT 1"),
                        run("SELECT 2"),
                        send::sync(),
                    ],
                    "1EZ",
                    "22012",
                ),
                // And a Parse that was skipped has not happened.
                say(
                    [send::bind("", "skipped", &[]), send::sync()],
                    "EZ",
                    "26000",
                ),
            ],
        ),
        row(
            "A portal in parts (PortalSuspended)",
            vec![say(
                [
                    send::parse("", "SELECT generate_series(1, 5)"),
                    send::bind("", "", &[]),
                    send::execute("", 2),
                    send::execute("", 2),
                    send::execute("", 2),
                    send::sync(),
                ],
                "12DDsDDsDCZ",
                "",
            )],
        ),
        row(
            "Sync and Flush alone",
            vec![say([send::flush(), send::sync(), send::sync()], "ZZ", "")],
        ),
        row(
            "Query between extended messages",
            vec![say(
                [
                    run("SELECT 1"),
                    send::query("SELECT 2"),
                    run("SELECT 3"),
                    send::sync(),
                ],
                "12DCTDCZ12DCZ",
                "",
            )],
        ),
    ]
}
