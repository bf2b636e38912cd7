//! Prepared statements and their names.

use bulkhead_tests::wire::send;

use super::{Conversation, ask, row, say};

pub(super) fn statements() -> Vec<Conversation> {
    let again = || {
        say(
            [
                send::bind("", "s", &["7"]),
                send::execute("", 0),
                send::sync(),
            ],
            "2DCZ",
            "7",
        )
    };
    let prepare = || say([send::parse("s", "SELECT $1::int"), send::sync()], "1Z", "");
    let gone = || say([send::bind("", "s", &["7"]), send::sync()], "EZ", "26000");
    vec![
        row(
            "A named statement in later transactions",
            vec![prepare(), again(), again()],
        ),
        row(
            "Describe of a statement and of a portal",
            vec![
                prepare(),
                say([send::describe_statement("s"), send::sync()], "tTZ", ""),
                say(
                    [
                        send::bind("p", "s", &["7"]),
                        send::describe_portal("p"),
                        send::execute("p", 0),
                        send::sync(),
                    ],
                    "2TDCZ",
                    "7",
                ),
            ],
        ),
        row(
            "Close, and a name given again",
            vec![
                prepare(),
                say(
                    [
                        send::close_statement("s"),
                        send::parse("s", "SELECT $1 || '!'"),
                        send::sync(),
                    ],
                    "31Z",
                    "",
                ),
                say(
                    [
                        send::bind("", "s", &["a"]),
                        send::execute("", 0),
                        send::sync(),
                    ],
                    "2DCZ",
                    "a!",
                ),
                say(
                    [
                        send::close_statement("s"),
                        send::close_statement("never was"),
                        send::sync(),
                    ],
                    "33Z",
                    "",
                ),
                gone(),
            ],
        ),
        row(
            "A name that is taken (42P05)",
            vec![
                prepare(),
                say([send::parse("s", "SELECT 2"), send::sync()], "EZ", "42P05"),
                again(),
            ],
        ),
        row(
            "DEALLOCATE ALL and DISCARD ALL forget statements",
            vec![
                prepare(),
                ask("DEALLOCATE ALL", "CZ", "DEALLOCATE"),
                gone(),
                prepare(),
                ask("DISCARD ALL", "CZ", "DISCARD"),
                gone(),
            ],
        ),
        row(
            "A statement of 65,536 parameters, which can be described and not bound",
            vec![say(
                [
                    send::parse("many", &many_parameters()),
                    send::describe_statement("many"),
                    send::sync(),
                ],
                "1tTZ",
                "",
            )],
        ),
        row(
            "A result type that has changed (0A000)",
            vec![
                ask("CREATE TABLE shifting AS SELECT 7 AS a", "CZ", ""),
                say(
                    [
                        send::parse("t", "SELECT * FROM shifting"),
                        send::bind("", "t", &[]),
                        send::execute("", 0),
                        send::sync(),
                    ],
                    "12DCZ",
                    "",
                ),
                ask("ALTER TABLE shifting ALTER a TYPE text", "CZ", ""),
                say([send::bind("", "t", &[]), send::sync()], "EZ", "0A000"),
                say(
                    [
                        send::parse("u", "SELECT * FROM shifting"),
                        send::bind("", "u", &[]),
                        send::execute("", 0),
                        send::sync(),
                    ],
                    "12DCZ",
                    "",
                ),
                ask("DROP TABLE shifting", "CZ", ""),
            ],
        ),
    ]
}

/// One more than a Bind can carry.
fn many_parameters() -> String {
    let parameters: Vec<_> = (1..=65_536).map(|n| format!("(${n}::text)")).collect();
    format!("VALUES {}", parameters.join(", "))
}
