//! What a client makes of its transaction, of its parameters and of its session.

use super::{Conversation, ask, row};

pub(super) fn transactions() -> Vec<Conversation> {
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

pub(super) fn settings() -> Vec<Conversation> {
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

pub(super) fn states() -> Vec<Conversation> {
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
