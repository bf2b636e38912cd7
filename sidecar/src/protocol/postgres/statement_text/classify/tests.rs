//! Texts, and what is seen in them.

use proptest::prelude::*;

use super::*;

#[test]
fn ordinary_queries_are_plain() {
    for text in [
        "",
        ";",
        "-- nothing",
        "SELECT abalance FROM pgbench_accounts WHERE aid = 1;",
        "select 1 ; \n",
        "(SELECT 1) UNION (SELECT 2)",
        "INSERT INTO temp VALUES ('a;b')",
        "WITH x AS (SELECT 1) INSERT INTO temp SELECT * FROM x",
        "UPDATE t SET set_at = now(), advisory_lock = 1",
        "SELECT pg_advisory_xact_lock(1), pg_try_advisory_xact_lock(2), pg_advisory_unlock(3)",
        "SELECT 'SET x = 1'",
        "SELECT 'CREATE TEMP TABLE x; pg_advisory_lock(1)'",
        "SELECT set_config('x', current_setting('y', false), true)",
        "SELECT * FROM t WHERE a = $$; SET x = 1$$",
        "SELECT temperature FROM weather",
        "CREATE TABLE temp (id int)",
        "CREATE TEMP TABLE t (id int) ON COMMIT DROP",
        "create temporary table t on commit drop as select 1",
        "DECLARE c CURSOR WITHOUT HOLD FOR SELECT 1",
        "SET CONSTRAINTS ALL DEFERRED",
        "COPY t FROM STDIN",
        "EXPLAIN (ANALYZE, SUMMARY) SELECT 1",
        "CREATE RULE r AS ON INSERT TO t DO (DELETE FROM a; DELETE FROM b)",
    ] {
        assert_eq!(classify(text.as_bytes()), Traits::PLAIN, "{text}");
    }
}

#[test]
fn each_trait_is_seen() {
    for (text, expected) in [
        ("SET x = 1", Traits::SETS),
        ("/* a */ set session x to 1;", Traits::SETS),
        (
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            Traits::SETS,
        ),
        ("SET ROLE bob", Traits::SETS),
        ("SET LOCAL x = 1", Traits::SETS_LOCALLY),
        ("SET TRANSACTION READ ONLY", Traits::SETS_LOCALLY),
        ("RESET ALL", Traits::RESETS),
        ("DISCARD TEMP", Traits::DISCARDS),
        ("DEALLOCATE ALL", Traits::DEALLOCATES),
        ("PREPARE p AS SELECT 1", Traits::PREPARES),
        ("PREPARE TRANSACTION 'x'", Traits::TRANSACTION),
        ("EXECUTE p(1)", Traits::EXECUTES),
        ("LISTEN jobs", Traits::LISTENS),
        ("UNLISTEN *", Traits::UNLISTENS),
        (
            "DECLARE c SCROLL CURSOR WITH HOLD FOR SELECT 1",
            Traits::HOLDS_CURSOR,
        ),
        ("CREATE TEMP TABLE t (id int)", Traits::TEMPORARY),
        (
            "CREATE LOCAL TEMPORARY TABLE t (id int) ON COMMIT DELETE ROWS",
            Traits::TEMPORARY,
        ),
        (
            "create or replace temp view v as select 1",
            Traits::TEMPORARY,
        ),
        ("CREATE TABLE pg_temp.t (id int)", Traits::TEMPORARY),
        ("SELECT 1 INTO TEMP t", Traits::TEMPORARY),
        ("SELECT 1 INTO LOCAL TEMPORARY TABLE t", Traits::TEMPORARY),
        (
            "WITH x AS (SELECT 1) SELECT * INTO TEMP t FROM x",
            Traits::TEMPORARY,
        ),
        (
            "EXPLAIN ANALYZE CREATE TEMP TABLE t AS SELECT 1",
            Traits::TEMPORARY,
        ),
        ("SELECT PG_ADVISORY_LOCK(1)", Traits::SESSION_LOCK),
        (
            "SELECT pg_try_advisory_lock_shared(1)",
            Traits::SESSION_LOCK,
        ),
        ("SELECT Set_Config('x', '1', false)", Traits::SET_CONFIG),
        ("DO $$ BEGIN PERFORM 1; END $$", Traits::BLOCK),
        (
            "DO $$ BEGIN CREATE TEMP TABLE t(); END $$",
            Traits::BLOCK.and(Traits::TEMPORARY),
        ),
        ("BEGIN", Traits::TRANSACTION),
        ("end", Traits::TRANSACTION),
        ("ROLLBACK TO s", Traits::TRANSACTION),
    ] {
        assert_eq!(classify(text.as_bytes()), expected, "{text}");
    }
}

#[test]
fn several_statements_have_the_traits_of_all() {
    for (text, expected) in [
        ("SELECT 1; SELECT 2", Traits::PLAIN),
        ("SELECT 'a;b'; SET x = 1", Traits::SETS),
        (
            "BEGIN; SET LOCAL x = 1; COMMIT;",
            Traits::TRANSACTION.and(Traits::SETS_LOCALLY),
        ),
        ("SELECT 1;; /* ; */ LISTEN a", Traits::LISTENS),
        (
            "CREATE TEMP TABLE t() ON COMMIT DROP; CREATE TEMP TABLE u()",
            Traits::TEMPORARY,
        ),
    ] {
        assert_eq!(
            classify(text.as_bytes()),
            expected.and(Traits::MULTI),
            "{text}"
        );
    }
}

#[test]
fn words_inside_of_quotes_and_comments_start_nothing() {
    for text in [
        "SELECT \"; SET x = 1\"",
        "SELECT 1 -- ; SET x = 1",
        "SELECT 1 /* ; SET x = 1 /* */ ; SET x = 1 */",
        "SELECT E'\\'; SET x = 1'",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS $f$ SELECT 1; SET x = 1 $f$",
    ] {
        assert_eq!(classify(text.as_bytes()), Traits::PLAIN, "{text}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(text: Vec<u8>) {
        let _ = classify(&text);
    }

    #[test]
    fn a_set_is_seen_behind_any_blanks(
        blank in "( |\t|\n|--x\n|/\\*y\\*/|;){0,5}", before in "(SELECT 'a' ;|BEGIN;)?",
    ) {
        let text = format!("{before}{blank}SET x = 1");
        prop_assert!(classify(text.as_bytes()).sets_parameter(), "{}", text);
    }

    #[test]
    fn the_quick_look_agrees_with_the_long_one(
        text in "(select|with|insert into|table)( a| into| temp| ;| '| \"| --| \n| \\$\\$| /\\*| \\*/| set x| \\(| \\)){0,8}",
    ) {
        let quick = classify(text.as_bytes());
        let long = classify(format!("/**/{text}").as_bytes());
        prop_assert_eq!(quick, long, "{}", text);
    }
}
