//! The conversations: messages, and the types of what must come back for them.

use bulkhead_tests::wire::{Wire, send};

use super::answer;

/// What a client says, and hears, to show one feature.
pub(super) struct Conversation {
    /// Its row in the table.
    pub(super) feature: &'static str,
    turns: Vec<Turn>,
}

/// Messages, sent at once; the types of the answers; and words that must stand in them.
struct Turn(Vec<Vec<u8>>, &'static str, &'static str);

impl Conversation {
    /// Says everything, and holds every answer to what it must be; what is wrong with the first that is not.
    pub(super) async fn carry_on(&self, wire: &mut Wire) -> Result<(), String> {
        for (number, Turn(messages, tags, words)) in self.turns.iter().enumerate() {
            wire.send(messages.concat()).await;
            let said = answer(wire, tags.len()).await;
            if said.tags() != *tags || !format!("{said:?}").contains(words) {
                return Err(format!("turn {number}, {tags} {words}: {said:?}"));
            }
        }
        Ok(())
    }
}

/// A query of the simple protocol.
fn ask(sql: &str, tags: &'static str, words: &'static str) -> Turn {
    Turn(vec![send::query(sql)], tags, words)
}

/// Messages of the extended protocol.
fn say<const N: usize>(messages: [Vec<u8>; N], tags: &'static str, words: &'static str) -> Turn {
    Turn(messages.into(), tags, words)
}

fn row(feature: &'static str, turns: Vec<Turn>) -> Conversation {
    Conversation { feature, turns }
}

/// All of them, in the order of the table.
pub(super) fn conversations() -> Vec<Conversation> {
    [
        queries(),
        batches(),
        statements(),
        copies(),
        transactions(),
        settings(),
        states(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn queries() -> Vec<Conversation> {
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

fn batches() -> Vec<Conversation> {
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

fn statements() -> Vec<Conversation> {
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

fn copies() -> Vec<Conversation> {
    let begin = || ask("COPY things FROM STDIN", "G", "");
    let none = || ask("SELECT count(*) FROM things WHERE id = 9001", "TDCZ", "0");
    vec![
        row(
            "COPY in and out",
            vec![
                begin(),
                say(
                    [send::copy_data(b"9001\tx\n"), send::copy_done()],
                    "CZ",
                    "COPY 1",
                ),
                ask("COPY (SELECT 1) TO STDOUT", "HdcCZ", ""),
                ask("DELETE FROM things WHERE id = 9001", "CZ", "DELETE 1"),
            ],
        ),
        row(
            "CopyFail",
            vec![
                begin(),
                say(
                    [send::copy_data(b"9001\tx\n"), send::copy_fail("no more")],
                    "EZ",
                    "57014",
                ),
                none(),
            ],
        ),
        row(
            "Sync and Flush during COPY in",
            vec![
                say(
                    [
                        send::parse("", "COPY things FROM STDIN"),
                        send::bind("", "", &[]),
                        send::execute("", 0),
                    ],
                    "",
                    "",
                ),
                say([send::flush()], "12G", ""),
                say(
                    [
                        send::copy_data(b"9001\tx\n"),
                        send::sync(),
                        send::flush(),
                        send::copy_done(),
                        send::sync(),
                    ],
                    "CZ",
                    "COPY 1",
                ),
                ask("DELETE FROM things WHERE id = 9001", "CZ", "DELETE 1"),
            ],
        ),
        row(
            "An error in mid-COPY",
            vec![
                begin(),
                say(
                    [
                        send::copy_data(b"no number\tx\n"),
                        send::copy_data(b"9001\tx\n"),
                        send::copy_done(),
                    ],
                    "EZ",
                    "22P02",
                ),
                none(),
            ],
        ),
    ]
}

fn transactions() -> Vec<Conversation> {
    vec![
        row(
            "Savepoints",
            vec![
                ask("BEGIN", "CZ", ""),
                ask("SAVEPOINT s", "CZ", ""),
                ask("SELECT 1 / 0", "EZ", "22012"),
                ask("ROLLBACK TO s", "CZ", ""),
                ask("COMMIT", "CZ", "COMMIT"),
            ],
        ),
        row(
            "A failed transaction until ROLLBACK (25P02)",
            vec![
                ask("BEGIN", "CZ", ""),
                ask("SELECT 1 / 0", "EZ", "22012"),
                ask("SELECT 1", "EZ", "25P02"),
                ask("ROLLBACK", "CZ", ""),
            ],
        ),
        row(
            "COMMIT AND CHAIN",
            vec![
                ask("BEGIN", "CZ", ""),
                ask("COMMIT AND CHAIN", "CZ", ""),
                ask("SELECT 1", "TDCZ", ""),
                ask("COMMIT", "CZ", ""),
            ],
        ),
        row(
            "A cursor inside of a transaction",
            vec![
                ask("BEGIN", "CZ", ""),
                ask("DECLARE c CURSOR FOR SELECT 1", "CZ", ""),
                ask("FETCH c", "TDCZ", ""),
                ask("COMMIT", "CZ", ""),
            ],
        ),
        row(
            "Two-phase commit",
            vec![
                ask(
                    "BEGIN; INSERT INTO things VALUES (9002, 'x'); PREPARE TRANSACTION 'corner'",
                    "CCCZ",
                    "",
                ),
                ask("ROLLBACK PREPARED 'corner'", "CZ", ""),
            ],
        ),
        row(
            "Large objects",
            vec![ask("SELECT lo_unlink(lo_create(0))", "TDCZ", "")],
        ),
        row(
            "pg_advisory_xact_lock",
            vec![ask("SELECT pg_advisory_xact_lock(77)", "TDCZ", "")],
        ),
    ]
}

fn settings() -> Vec<Conversation> {
    let german = || ask("SHOW datestyle", "TDCZ", "German");
    let iso = || ask("SHOW datestyle", "TDCZ", "ISO");
    vec![
        row(
            "SET, told by ParameterStatus",
            vec![ask("SET datestyle = German", "CZ", "DateStyle"), german()],
        ),
        row(
            "RESET, SET … DEFAULT, RESET ALL",
            vec![
                ask("SET datestyle = German", "CZ", ""),
                ask("RESET datestyle", "CZ", ""),
                iso(),
                ask("SET datestyle = German", "CZ", ""),
                ask("RESET ALL", "CZ", ""),
                iso(),
            ],
        ),
        row(
            "SET LOCAL",
            vec![
                ask("BEGIN", "CZ", ""),
                ask("SET LOCAL datestyle = German", "CZ", ""),
                german(),
                ask("COMMIT", "CZ", ""),
                iso(),
            ],
        ),
        row(
            "SET inside of a transaction",
            vec![
                ask("BEGIN", "CZ", ""),
                ask("SET datestyle = German", "CZ", ""),
                ask("COMMIT", "CZ", ""),
                german(),
            ],
        ),
        row(
            "SET undone by ROLLBACK",
            vec![
                ask("SET datestyle = German", "CZ", ""),
                ask("BEGIN", "CZ", ""),
                ask("SET datestyle = ISO", "CZ", ""),
                ask("ROLLBACK", "CZ", ""),
                german(),
            ],
        ),
        row(
            "set_config in a statement of its own",
            vec![
                ask(
                    "SELECT set_config('datestyle', 'German', false)",
                    "TDCZ",
                    "",
                ),
                german(),
            ],
        ),
        row(
            "SET ROLE",
            vec![
                ask("SET ROLE chat_reader", "CZ", ""),
                ask("SELECT current_user", "TDCZ", "chat_reader"),
            ],
        ),
        row(
            "SET SESSION CHARACTERISTICS",
            vec![
                ask(
                    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
                    "CZ",
                    "",
                ),
                ask("INSERT INTO things VALUES (9003, 'x')", "EZ", "25006"),
            ],
        ),
    ]
}

fn states() -> Vec<Conversation> {
    vec![
        row(
            "Temporary tables",
            vec![
                ask("CREATE TEMP TABLE mine (n int)", "CZ", ""),
                ask("SELECT * FROM mine", "TCZ", ""),
            ],
        ),
        row(
            "LISTEN and NOTIFY",
            vec![
                ask("LISTEN news", "CZ", ""),
                ask("NOTIFY news, 'hello'", "CZ", "hello"),
            ],
        ),
        row(
            "A session-level advisory lock",
            vec![
                ask("SELECT pg_advisory_lock(78)", "TDCZ", ""),
                // RESET ALL lets go of neither lock nor role.
                ask("RESET ALL", "CZ", ""),
                ask(
                    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 78",
                    "TDCZ",
                    "1",
                ),
            ],
        ),
        row(
            "An advisory lock that was given back",
            vec![
                ask("SELECT pg_advisory_lock(79)", "TDCZ", ""),
                ask("SELECT pg_advisory_unlock(79)", "TDCZ", "t"),
            ],
        ),
        row(
            "A cursor WITH HOLD",
            vec![
                ask("BEGIN", "CZ", ""),
                ask("DECLARE held CURSOR WITH HOLD FOR SELECT 5", "CZ", ""),
                ask("COMMIT", "CZ", ""),
                ask("FETCH held", "TDCZ", "5"),
            ],
        ),
        row(
            "PREPARE and EXECUTE of SQL",
            vec![
                ask("PREPARE q AS SELECT 6", "CZ", ""),
                ask("EXECUTE q", "TDCZ", "6"),
            ],
        ),
    ]
}
