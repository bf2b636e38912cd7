//! The closed grammar, and what only resembles it.

use proptest::prelude::*;

use super::*;

const SETTING: Option<&str> = Some("app.current_user_id");

fn read(text: &str) -> Mention {
    read_naming(text.as_bytes(), SETTING)
}

fn naming(name: Name, value: &str, lasts: Lasts, form: Form) -> Mention {
    Mention::Names(Naming {
        name,
        value: NamingValue::Text(value.to_owned()),
        lasts,
        form,
    })
}

fn column(name: &str) -> Form {
    Form::SetConfig(name.to_owned())
}

#[test]
fn the_closed_grammar_sets_a_user() {
    use Lasts::{Scope, Transaction};
    use Name::{Context, Setting, User};
    let config = || column("set_config");
    for (text, name, value, lasts, form) in [
        (
            "SET bulkhead.context = 'a.b.c'",
            Context,
            "a.b.c",
            Scope,
            Form::Set,
        ),
        (
            "set session BULKHEAD.Context to 'x' ;",
            Context,
            "x",
            Scope,
            Form::Set,
        ),
        (
            "SET LOCAL bulkhead.user TO 'bob'",
            User,
            "bob",
            Transaction,
            Form::Set,
        ),
        (
            "SET \"bulkhead\".\"user\" = 'bob'",
            User,
            "bob",
            Scope,
            Form::Set,
        ),
        (
            "/* pool */ SET bulkhead . user = 'bob' -- x",
            User,
            "bob",
            Scope,
            Form::Set,
        ),
        (
            "SET app.current_user_id = 42",
            Setting,
            "42",
            Scope,
            Form::Set,
        ),
        (
            "SET app.current_user_id TO o_brien",
            Setting,
            "o_brien",
            Scope,
            Form::Set,
        ),
        (
            "SET app.current_user_id = ''",
            Setting,
            "",
            Scope,
            Form::Set,
        ),
        (
            "SET app.current_user_id = 'o''brien'",
            Setting,
            "o'brien",
            Scope,
            Form::Set,
        ),
        (
            "SELECT set_config('app.current_user_id', 'bob', false)",
            Setting,
            "bob",
            Scope,
            config(),
        ),
        (
            "select pg_catalog.set_config('bulkhead.user', 'bob', TRUE);",
            User,
            "bob",
            Transaction,
            config(),
        ),
        (
            "SELECT set_config('bulkhead.user'::text, 'bob'::varchar, true) AS who",
            User,
            "bob",
            Transaction,
            column("who"),
        ),
        (
            "SELECT \"set_config\"('bulkhead.user', $$bob$$, false) \"Who\"",
            User,
            "bob",
            Scope,
            column("Who"),
        ),
    ] {
        assert_eq!(read(text), naming(name, value, lasts, form), "{text}");
    }
}

#[test]
fn a_parameter_and_nobody_are_values_too() {
    let value = |text: &str| match read(text) {
        Mention::Names(naming) => naming.value,
        other => panic!("{text}: {other:?}"),
    };
    for text in [
        "SELECT set_config('app.current_user_id', $1, true)",
        "SELECT set_config('app.current_user_id', $1::text, false)",
    ] {
        assert!(value(text) == NamingValue::Parameter, "{text}");
    }
    for text in [
        "RESET bulkhead.context",
        "RESET app.current_user_id;",
        "SET bulkhead.user TO DEFAULT",
        "SELECT set_config('bulkhead.user', NULL, false)",
    ] {
        assert!(value(text) == NamingValue::Nobody, "{text}");
    }
}

#[test]
fn what_has_no_reserved_name_passes() {
    for text in [
        "SELECT * FROM bulkhead_events",
        "SELECT bulkhead.user_id()",
        "CREATE POLICY p ON t USING (owner = (SELECT bulkhead.user_id()))",
        "SELECT current_user_id FROM app",
        "SELECT set_config('search_path', $1, false)",
        "SELECT current_setting('app.current_user_id', true)",
        "INSERT INTO t VALUES (current_setting('app.current_user_id'))",
        "SELECT 'a\\b'",
        "SELECT * FROM pg_settings WHERE name = 'work_mem'",
        "SELECT a & 'x'::bit(4)",
        "DO $$ BEGIN PERFORM set_config('work_mem', '1MB', false); END $$",
        "SET application_name = 'bulkhead'",
    ] {
        assert_eq!(read(text), Mention::Nothing, "{text}");
    }
}

#[test]
fn every_other_form_is_hidden() {
    use Hidden::{ComputedName, OtherForm, UnicodeEscape, UpdatesSettings};
    for (text, why) in [
        ("SET bulkhead.context = 'a'; SELECT 1", OtherForm),
        ("SELECT 1; SET bulkhead.user = 'bob'", OtherForm),
        ("BEGIN; SET LOCAL app.current_user_id = 'bob'", OtherForm),
        ("SET bulkhead.user = 'a', 'b'", OtherForm),
        ("SET bulkhead.user FROM CURRENT", OtherForm),
        ("SET bulkhead.user = 'bob\\'", OtherForm),
        ("SHOW bulkhead.user", OtherForm),
        (
            "DO $$ BEGIN PERFORM set_config('bulkhead.user', 'bob', false); END $$",
            OtherForm,
        ),
        ("DO 'BEGIN SET bulkhead.user = ''bob''; END'", OtherForm),
        (
            "DO $$ BEGIN PERFORM set_config('bulk' || 'head.user', 'bob', false); END $$",
            ComputedName,
        ),
        (
            "DO LANGUAGE plpgsql $$ BEGIN PERFORM set_config(x, 'bob', false); END $$",
            ComputedName,
        ),
        (
            "PREPARE p AS SELECT set_config('bulkhead.user', $1, false)",
            OtherForm,
        ),
        (
            "PREPARE p AS SELECT set_config($1, $2, false)",
            ComputedName,
        ),
        ("EXECUTE p('bulkhead.user', 'bob')", OtherForm),
        (
            "SELECT set_config('app.' || 'current_user_id', 'bob', false)",
            ComputedName,
        ),
        (
            "SELECT set_config('bulk'\n'head.user', 'bob', false)",
            ComputedName,
        ),
        (
            "SELECT set_config(name, setting, false) FROM t",
            ComputedName,
        ),
        (
            "SELECT set_config(U&'\\0062ulkhead.user', 'bob', false)",
            ComputedName,
        ),
        (
            "SELECT set_config(E'\\x62ulkhead.user', 'bob', false)",
            ComputedName,
        ),
        (
            "SELECT set_config(E'\\142ulkhead.user', 'bob', false)",
            ComputedName,
        ),
        (
            "SELECT set_config('\\x62ulkhead.user', 'bob', false)",
            ComputedName,
        ),
        (
            "SELECT set_config('app.current_user_id', (SELECT 'bob'), false)",
            OtherForm,
        ),
        (
            "SELECT set_config('app.current_user_id', 'bob', 1 = 1)",
            OtherForm,
        ),
        (
            "SELECT set_config('app.current_user_id', $2, false)",
            OtherForm,
        ),
        (
            "SELECT set_config('app.current_user_id', 'bob', false), 1",
            OtherForm,
        ),
        (
            "SELECT x FROM t WHERE set_config('app.current_user_id', 'bob', false) = ''",
            OtherForm,
        ),
        (
            "SELECT 1 UNION SELECT set_config('app.current_user_id', 'bob', false)",
            OtherForm,
        ),
        (
            "WITH x AS (SELECT set_config('bulkhead.user', 'bob', false)) SELECT 1",
            OtherForm,
        ),
        ("SET U&\"\\0062ulkhead\".user = 'bob'", UnicodeEscape),
        ("SET bulkhead.U&\"us\\0065r\" = 'bob'", UnicodeEscape),
        ("SET u&\"bulkhead\".\"user\" = 'bob'", UnicodeEscape),
        ("SET bulkhead/**/./**/user = 'bob', 'x'", OtherForm),
        ("SHOW \"BULKHEAD\".\"USER\"", OtherForm),
        (
            "UPDATE pg_settings SET setting = 'bob' WHERE name LIKE 'bulk%'",
            UpdatesSettings,
        ),
        (
            "UPDATE pg_catalog.\"pg_settings\" SET setting = 'b'",
            UpdatesSettings,
        ),
        (
            "UPDATE pg_settings SET setting = 'bob' WHERE name = 'bulkhead.user'",
            OtherForm,
        ),
        ("ALTER ROLE app SET bulkhead.user = 'bob'", OtherForm),
        (
            "ALTER DATABASE chat SET app.current_user_id = 'bob'",
            OtherForm,
        ),
        ("ALTER SYSTEM SET bulkhead.user = 'bob'", OtherForm),
        (
            "CREATE FUNCTION f() RETURNS int SET bulkhead.user = 'bob' RETURN 1",
            OtherForm,
        ),
        (
            "EXPLAIN ANALYZE SELECT set_config('bulkhead.user', 'bob', false)",
            OtherForm,
        ),
        (
            "COPY (SELECT set_config('bulkhead.user', 'bob', false)) TO STDOUT",
            OtherForm,
        ),
        ("RESET bulkhead.user; SELECT 1", OtherForm),
        (
            "SELECT current_setting('a'), set_config('bulkhead.user', 'bob', false)",
            OtherForm,
        ),
    ] {
        assert_eq!(read(text), Mention::Hidden(why), "{text}");
    }
}

#[test]
fn without_a_setting_its_name_is_any_other() {
    let read = |text: &str| read_naming(text.as_bytes(), None);
    assert_eq!(read("SET app.current_user_id = 'bob'"), Mention::Nothing);
    assert!(matches!(
        read("SET bulkhead.user = 'bob'"),
        Mention::Names(_)
    ));
}

#[test]
fn a_token_stays_out_of_debug_output() {
    let shown = format!("{:?}", read("SET bulkhead.context = 'secret'"));
    assert!(!shown.contains("secret"), "{shown}");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(text: Vec<u8>) {
        let _ = read_naming(&text, SETTING);
        let _ = read_naming(&[b"SET bulkhead.user = ", &text[..]].concat(), SETTING);
    }

    /// Whatever stands around it, a reserved name that is written out is never passed over.
    #[test]
    fn a_name_that_is_written_out_is_seen(
        before in "[a-z ;('=,]{0,12}", name in "bulkhead\\.(context|user)|app\\.current_user_id", upper: bool,
    ) {
        let name = if upper { name.to_ascii_uppercase() } else { name };
        // Inside of a comment it is not written at all, and behind a word without a blank it is another one.
        let text = format!("{before} {name} = 'bob'");
        prop_assert_ne!(read(&text), Mention::Nothing, "{}", text);
    }
}
