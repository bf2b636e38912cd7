//! What bob does to see alice's row, with alice helping him: each way a row of the table, in both protocols.

use std::fmt::Write as _;

use bulkhead_tests::session::Session;
use bulkhead_tests::wait;

use super::world::{World, bodies};

/// One way: its name, and the statements, each of which may fail. What any of them shows is looked through.
type Attack = (&'static str, &'static [&'static str]);

const PROBE: &str = "SELECT body FROM secrets";
/// Alice's claim, from a connection of hers that lives.
const HERS: &str = "(SELECT said FROM public.board WHERE what = 'claim')";

/// `{HERS}` stands for the claim that alice has left on the board, `{OWNER}` for the role that owns the keys, `{DATABASE}` for the database.
const ATTACKS: &[Attack] = &[
    ("a name", &["SET bulkhead.claim = 'alice'", PROBE]),
    (
        "a claim of another connection",
        &["SELECT set_config('bulkhead.claim', {HERS}, false)", PROBE],
    ),
    (
        "the same, for the transaction",
        &[
            "BEGIN",
            "SELECT set_config('bulkhead.claim', {HERS}, true)",
            PROBE,
            "COMMIT",
        ],
    ),
    (
        "the same, within one statement",
        &["SELECT set_config('bulkhead.claim', {HERS}, false) UNION ALL SELECT body FROM secrets"],
    ),
    (
        "the same, in a function",
        &["SELECT set_in_secret('bulkhead.claim', {HERS})", PROBE],
    ),
    (
        "a function with a setting of its own",
        &[
            "DO $$ BEGIN EXECUTE format('CREATE FUNCTION as_alice() RETURNS SETOF text LANGUAGE sql SET bulkhead.claim = %L AS ''SELECT body FROM secrets''', {HERS}); END $$",
            "SELECT * FROM as_alice()",
        ],
    ),
    (
        "a DO block",
        &[
            "DO $$ BEGIN PERFORM set_config('bulkhead.claim', {HERS}, false); INSERT INTO board SELECT 'seen', body FROM secrets; END $$",
        ],
    ),
    (
        "a DO block that catches the error",
        &[
            "DO $$ BEGIN PERFORM set_config('bulkhead.claim', {HERS}, false); BEGIN PERFORM bulkhead.user_id(); EXCEPTION WHEN OTHERS THEN NULL; END; INSERT INTO board SELECT 'seen', body FROM secrets; END $$",
        ],
    ),
    (
        "the view of settings",
        &[
            "UPDATE pg_settings SET setting = {HERS} WHERE name = 'bulkhead.claim'",
            PROBE,
        ],
    ),
    (
        "a setting of the role",
        &[
            "DO $$ BEGIN EXECUTE format('ALTER ROLE chat_app IN DATABASE {DATABASE} SET bulkhead.claim = %L', {HERS}); END $$",
            PROBE,
        ],
    ),
    (
        "the sidecar's own statement",
        &["SELECT bulkhead.assert({HERS})", PROBE],
    ),
    (
        "one's own claim with another name",
        &[
            "SELECT set_config('bulkhead.claim', replace(current_setting('bulkhead.claim'), ':626f62:', ':616c696365:'), false)",
            PROBE,
        ],
    ),
    (
        "hers, with one's own process and beginning",
        &[
            "SELECT set_config('bulkhead.claim', array_to_string(a[1:2] || b[3:7] || a[8:10], ':'), false) FROM string_to_array({HERS}, ':') a, string_to_array(current_setting('bulkhead.claim'), ':') b",
            PROBE,
        ],
    ),
    (
        "hers, without a signature",
        &[
            "SELECT set_config('bulkhead.claim', regexp_replace({HERS}, '[0-9a-f]*$', ''), false)",
            PROBE,
        ],
    ),
    (
        "a key of nobody's",
        &[
            "SELECT set_config('bulkhead.claim', regexp_replace(regexp_replace({HERS}, '^v1:first:', 'v1::'), '[0-9a-f]*$', encode(sha256(''), 'hex')), false)",
            PROBE,
        ],
    ),
    (
        "a key of one's own",
        &[
            "SELECT bulkhead.add_key('mine', decode(repeat('00', 32), 'hex'))",
            "INSERT INTO bulkhead.keys VALUES ('mine', '', '', '')",
            PROBE,
        ],
    ),
    (
        "the keys themselves",
        &[
            "INSERT INTO board SELECT 'seen', 'hers' || encode(inner_pad, 'hex') FROM bulkhead.keys",
            "COPY bulkhead.keys TO PROGRAM 'cat'",
            "SELECT most_common_vals::text FROM pg_stats WHERE tablename = 'keys'",
        ],
    ),
    (
        "another tenure",
        &[
            "BEGIN",
            "SELECT bulkhead.hello()",
            "SELECT set_config('bulkhead.claim', {HERS}, false)",
            PROBE,
            "ROLLBACK",
        ],
    ),
    (
        "no tenure",
        &[
            "BEGIN",
            "DISCARD SEQUENCES",
            "SELECT set_config('bulkhead.claim', {HERS}, false)",
            PROBE,
            "ROLLBACK",
        ],
    ),
    (
        "the sequence",
        &[
            "SELECT setval('bulkhead.tenure', 1)",
            "SELECT nextval('bulkhead.tenure')",
            "SELECT currval('bulkhead.tenure')",
            "SELECT lastval()",
            "ALTER SEQUENCE bulkhead.tenure RESTART",
            "SELECT set_config('bulkhead.claim', {HERS}, false)",
            PROBE,
        ],
    ),
    (
        "what others run",
        &[
            "INSERT INTO board SELECT 'live', query FROM pg_stat_activity WHERE query ~ 'v1:[a-z]+:'  AND pid <> pg_backend_pid()",
            "SELECT 'hers, read from pg_stat_activity' FROM board WHERE what = 'live'",
        ],
    ),
    (
        "a table in front of the keys",
        &[
            "CREATE TEMP TABLE keys (id text, inner_pad bytea, outer_pad bytea, fingerprint text, added timestamptz, retires timestamptz)",
            "INSERT INTO pg_temp.keys VALUES ('first', decode(repeat('36', 64), 'hex'), decode(repeat('5c', 64), 'hex'), '', now(), NULL)",
            "CREATE TEMP SEQUENCE tenure",
            "BEGIN",
            "SET LOCAL search_path = pg_temp, bulkhead, pg_catalog",
            "SELECT set_config('bulkhead.claim', {HERS}, false)",
            "SELECT body FROM public.secrets",
            "ROLLBACK",
        ],
    ),
    (
        "functions in front of the server's",
        &[
            "CREATE SCHEMA front",
            "CREATE FUNCTION front.pg_backend_pid() RETURNS int LANGUAGE sql AS $$ SELECT split_part(said, ':', 5)::int FROM public.board WHERE what = 'claim' $$",
            "CREATE FUNCTION front.sha256(bytea) RETURNS bytea LANGUAGE sql AS $$ SELECT '\\x00'::bytea $$",
            "CREATE FUNCTION front.currval(regclass) RETURNS bigint LANGUAGE sql AS 'SELECT 1::bigint'",
            "CREATE FUNCTION front.current_setting(text, boolean) RETURNS text LANGUAGE sql AS $$ SELECT said FROM public.board WHERE what = 'claim' $$",
            "BEGIN",
            "SET LOCAL search_path = front, pg_catalog, public",
            "SELECT set_config('bulkhead.claim', {HERS}, false)",
            "SELECT body FROM public.secrets",
            "ROLLBACK",
        ],
    ),
    (
        "operators in front of the server's",
        &[
            "CREATE SCHEMA signs",
            "CREATE FUNCTION signs.yes(text, text) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
            "CREATE OPERATOR signs.= (LEFTARG = text, RIGHTARG = text, FUNCTION = signs.yes)",
            "CREATE FUNCTION signs.yes(bytea, bytea) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
            "CREATE OPERATOR signs.= (LEFTARG = bytea, RIGHTARG = bytea, FUNCTION = signs.yes)",
            "BEGIN",
            "SET LOCAL search_path = signs, pg_catalog, public",
            "SELECT set_config('bulkhead.claim', {HERS}, false)",
            "SELECT body FROM public.secrets",
            "ROLLBACK",
        ],
    ),
    (
        "another function of the name",
        &[
            "CREATE OR REPLACE FUNCTION bulkhead.user_id() RETURNS text LANGUAGE sql AS $$ SELECT 'alice' $$",
            "CREATE FUNCTION bulkhead.user_id(int DEFAULT 1) RETURNS text LANGUAGE sql AS $$ SELECT 'alice' $$",
            "CREATE FUNCTION pg_temp.user_id() RETURNS text LANGUAGE sql AS $$ SELECT 'alice' $$",
            "ALTER FUNCTION bulkhead.user_id() SECURITY INVOKER",
            "ALTER SCHEMA bulkhead RENAME TO gone",
            "DROP SCHEMA bulkhead CASCADE",
            PROBE,
        ],
    ),
    (
        "another role",
        &[
            "SET ROLE {OWNER}",
            "SET SESSION AUTHORIZATION {OWNER}",
            "SET ROLE chat_owner",
            "GRANT {OWNER} TO chat_app",
            "ALTER ROLE chat_app BYPASSRLS",
            "BEGIN",
            "SELECT set_config('bulkhead.claim', {HERS}, false)",
            "SET ROLE chat_reader",
            PROBE,
            "ROLLBACK",
        ],
    ),
    (
        "row-level security off",
        &[
            "SET row_security = off",
            PROBE,
            "SET row_security = on",
            "SET session_replication_role = replica",
            "ALTER TABLE secrets DISABLE ROW LEVEL SECURITY",
            "ALTER TABLE secrets NO FORCE ROW LEVEL SECURITY",
            "DROP POLICY own ON secrets",
            "CREATE POLICY mine ON secrets USING (true)",
            PROBE,
        ],
    ),
    (
        "a generic plan",
        &[
            "BEGIN",
            "SET LOCAL plan_cache_mode = force_generic_plan",
            "PREPARE peep AS SELECT body FROM secrets",
            "EXECUTE peep",
            "SELECT set_config('bulkhead.claim', {HERS}, false)",
            "EXECUTE peep",
        ],
    ),
    (
        "a cursor",
        &[
            "BEGIN",
            "DECLARE peep CURSOR WITH HOLD FOR SELECT body FROM secrets",
            "SELECT set_config('bulkhead.claim', {HERS}, false)",
            "FETCH ALL FROM peep",
            "COMMIT",
            "FETCH ALL FROM peep",
        ],
    ),
    (
        "a parallel plan",
        &[
            "CREATE FUNCTION elsewhere() RETURNS text LANGUAGE sql PARALLEL SAFE AS 'SELECT bulkhead.user_id()'",
            "BEGIN",
            "SET LOCAL force_parallel_mode = on",
            "SET LOCAL parallel_setup_cost = 0",
            "SET LOCAL parallel_tuple_cost = 0",
            "SET LOCAL min_parallel_table_scan_size = 0",
            "SAVEPOINT own",
            "SELECT elsewhere(), body FROM secrets",
            "ROLLBACK TO own",
            "SELECT set_config('bulkhead.claim', {HERS}, false)",
            "SAVEPOINT hers",
            "SELECT elsewhere(), body FROM secrets",
            "ROLLBACK TO hers",
            PROBE,
            "ROLLBACK",
        ],
    ),
    (
        "a function that tells what it is given",
        &[
            "CREATE FUNCTION tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN INSERT INTO board VALUES ('seen', $1); RETURN true; END $$",
            "SELECT 1 FROM secrets WHERE tell(body)",
            "ALTER FUNCTION tell(text) LEAKPROOF",
            "SELECT 1 FROM secrets WHERE tell(body)",
            "CREATE OPERATOR public.<<<< (RIGHTARG = text, FUNCTION = tell)",
            "SELECT 1 FROM secrets WHERE <<<< body",
        ],
    ),
    (
        "a view, a rule and a trigger",
        &[
            "CREATE VIEW through AS SELECT body FROM secrets",
            "SELECT body FROM through",
            "CREATE RULE peep AS ON INSERT TO secrets DO INSTEAD SELECT body FROM secrets",
            "CREATE FUNCTION carry() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO board VALUES ('seen', NEW.body); RETURN NEW; END $$",
            "CREATE TRIGGER carry BEFORE UPDATE ON secrets FOR EACH ROW EXECUTE FUNCTION carry()",
            "UPDATE secrets SET body = body RETURNING body",
        ],
    ),
    (
        "statistics, locks and plans",
        &[
            "SELECT most_common_vals::text FROM pg_stats WHERE tablename = 'secrets'",
            "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) SELECT body FROM secrets WHERE body LIKE 'h%'",
            "SELECT body FROM secrets FOR UPDATE",
            "SELECT body FROM secrets TABLESAMPLE SYSTEM (100)",
            "COPY secrets TO PROGRAM 'cat'",
        ],
    ),
    (
        "writing as somebody else",
        &[
            "SELECT set_config('bulkhead.claim', {HERS}, false)",
            "INSERT INTO secrets VALUES ('alice', 'forged')",
            "UPDATE secrets SET owner = 'alice'",
            "DELETE FROM secrets WHERE owner = 'alice'",
        ],
    ),
    (
        "savepoints",
        &[
            "BEGIN",
            "SAVEPOINT one",
            "SELECT set_config('bulkhead.claim', {HERS}, false)",
            "SAVEPOINT two",
            "SELECT set_config('bulkhead.claim', '', false)",
            "ROLLBACK TO two",
            PROBE,
            "ROLLBACK",
            PROBE,
        ],
    ),
];

#[derive(Clone, Copy, Debug)]
enum Protocol {
    Simple,
    Extended,
}

#[tokio::test]
async fn no_way_shows_another_users_row_in_the_simple_protocol() {
    none_works(Protocol::Simple).await;
}

#[tokio::test]
async fn no_way_shows_another_users_row_in_the_extended_protocol() {
    none_works(Protocol::Extended).await;
}

async fn none_works(protocol: Protocol) {
    assert!(ATTACKS.len() >= 20);
    // Given alice, who is at work, and has left her claim where bob finds it.
    let world = World::new(|policy| policy).await;
    let alice = world.user("alice").await;
    alice
        .run("INSERT INTO board VALUES ('claim', current_setting('bulkhead.claim'))")
        .await;
    assert_eq!(bodies(&alice).await, ["hers"]);
    let mut leaks = String::new();
    for (name, statements) in ATTACKS {
        // When bob tries a way,
        let bob = world.user("bob").await;
        let mut seen = Vec::new();
        for statement in *statements {
            let statement = statement
                .replace("{HERS}", HERS)
                .replace("{OWNER}", &world.owner())
                .replace("{DATABASE}", &world.stage.database);
            seen.extend(shown(protocol, &bob, &statement).await);
        }
        bob.close().await;
        seen.extend(left_behind(&world).await);
        // then he sees nothing of hers,
        for cell in seen.iter().filter(|cell| cell.contains("hers")) {
            let _ = writeln!(leaks, "{name}: {cell}");
        }
        let rows = world
            .admin
            .rows("SELECT owner || ' ' || body FROM secrets ORDER BY 1")
            .await;
        let rows: Vec<String> = rows.into_iter().filter_map(|row| row[0].clone()).collect();
        if rows != ["alice hers", "bob his"] {
            let _ = writeln!(leaks, "{name}: the table now has {rows:?}");
        }
        // and the next session of his is in order.
        let bob = world.user("bob").await;
        assert_eq!(bodies(&bob).await, ["his"], "after {name}");
        bob.close().await;
    }
    assert!(leaks.is_empty(), "{protocol:?}\n{leaks}");
    assert_eq!(bodies(&alice).await, ["hers"]);
}

/// What has been put on the board meanwhile; it is taken off.
async fn left_behind(world: &World) -> Vec<String> {
    let rows = world
        .admin
        .rows("DELETE FROM board WHERE what <> 'claim' RETURNING said")
        .await;
    rows.into_iter().filter_map(|row| row[0].clone()).collect()
}

/// All that a statement shows: nothing where it fails, which most do.
async fn shown(protocol: Protocol, session: &Session, statement: &str) -> Vec<String> {
    use tokio_postgres::SimpleQueryMessage::Row;
    match protocol {
        Protocol::Simple => {
            let answer = wait::within(statement, session.simple_query(statement)).await;
            let rows = answer.unwrap_or_default().into_iter();
            rows.filter_map(|message| match message {
                Row(row) => Some(
                    (0..row.len())
                        .filter_map(|at| row.get(at).map(str::to_owned))
                        .collect::<Vec<_>>(),
                ),
                _ => None,
            })
            .flatten()
            .collect()
        }
        Protocol::Extended => {
            let answer = wait::within(statement, session.query(statement, &[])).await;
            let cells = answer.unwrap_or_default().into_iter().map(|row| {
                let text = |at| row.try_get::<_, Option<String>>(at).ok().flatten();
                (0..row.len()).filter_map(text).collect::<Vec<_>>()
            });
            cells.flatten().collect()
        }
    }
}

/// The control: what the table looks for is there to be found, where a policy goes by the user parameter.
#[tokio::test]
async fn a_user_parameter_is_forged_by_one_statement() {
    let world = World::new(|policy| policy).await;
    let bob = world.user("bob").await;
    for protocol in [Protocol::Simple, Protocol::Extended] {
        let forged =
            "SELECT set_config('app.user_id', 'alice', false) UNION ALL SELECT body FROM notes";
        let seen = shown(protocol, &bob, forged).await;
        assert!(
            seen.iter().any(|cell| cell == "hers"),
            "{protocol:?}: {seen:?}"
        );
    }
}
