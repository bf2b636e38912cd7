//! Comments as sqlcommenter's libraries write them, and as somebody would who means harm.

use std::time::Instant;

use proptest::prelude::*;

use super::*;

const CLAIMED: Option<Attribution> = Some(Attribution::Claimed);
const PLACEHOLDER: Option<Attribution> = Some(Attribution::Placeholder);
const UNATTRIBUTED: Option<Attribution> = Some(Attribution::Unattributed);

fn said(text: &str) -> Option<Attribution> {
    claim(text.as_bytes(), true)
}

#[test]
fn a_comment_at_either_end_names_the_user() {
    for text in [
        "SELECT 1 /*bulkhead_user='alice'*/",
        "SELECT 1/*bulkhead_user='alice'*/;",
        "SELECT 1 /*bulkhead_user='alice'*/ ; \r\n",
        "/*bulkhead_user='alice'*/ SELECT 1",
        "  \n/*bulkhead_user='alice'*/SELECT 1;",
        "/*bulkhead_user='alice'*/",
        // Sorted pairs around it, as the specification has them.
        "SELECT 1 /*action='index',bulkhead_user='alice',traceparent='00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01'*/",
        "SELECT 1 /* bulkhead_user='alice', route='%2Fpolls%201000' */",
        "SELECT 1 /*bulkhead_user = 'alice'*/",
        // Another comment, of another kind, at the other end.
        "/* hint */ SELECT 1 /*bulkhead_user='alice'*/",
        "/*bulkhead_user='alice'*/ SELECT 1 /* a hint */",
        "/*bulkhead_user='alice'*/ SELECT 1 /*route='%2F'*/",
        // The same twice is one.
        "SELECT 1 /*bulkhead_user='alice',bulkhead_user='alice'*/",
        // Quotes in ids and in what stands beside them.
        r"SELECT 1 /*bulkhead_user='o\'hara'*/",
        "SELECT 1 /*bulkhead_user='o''hara'*/",
        "SELECT 1 /*bulkhead_user='o%27hara'*/",
        r"SELECT 1 /*route='it\'s',bulkhead_user='alice'*/",
        "SELECT 1 /*bulkhead_user='auth0%7C5f7c8ec7'*/",
        "SELECT 1 /*bulkhead_user='%C3%BClle'*/",
        "SELECT 1 /*bulkhead_user='alice@example.com'*/",
        "SELECT '/*bulkhead_user=''null''*/' /*bulkhead_user='alice'*/",
    ] {
        assert_eq!(said(text), CLAIMED, "{text}");
    }
}

#[test]
fn a_placeholder_is_told_from_a_user() {
    for text in [
        "SELECT 1 /*bulkhead_user='null'*/",
        "SELECT 1 /*bulkhead_user='undefined'*/",
        "SELECT 1 /*bulkhead_user=''*/",
        "SELECT 1 /*bulkhead_user='%00'*/ /*bulkhead_user='0'*/",
        "SELECT 1 /*bulkhead_user='%7B%7B%20user.id%20%7D%7D'*/",
        "SELECT 1 /*bulkhead_user='00000000-0000-0000-0000-000000000000'*/",
    ] {
        assert_eq!(said(text), PLACEHOLDER, "{text}");
    }
}

#[test]
fn what_is_no_such_comment_says_nothing() {
    for text in [
        "",
        "SELECT 1",
        "SELECT 1 -- bulkhead_user='alice'",
        "SELECT 1 /*route='%2Fchat'*/",
        // In the middle.
        "SELECT /*bulkhead_user='alice'*/ 1",
        // In strings, quoted names and dollar quotes.
        "SELECT '/*bulkhead_user=\\'alice\\'*/'",
        "SELECT '/*bulkhead_user=''alice''*/'",
        "SELECT \"/*bulkhead_user='alice'*/\"",
        "SELECT $$ /*bulkhead_user='alice'*/ $$",
        "SELECT $q$/*bulkhead_user='alice'*/$q$;",
        // Not ended, not begun, ended twice, nested.
        "SELECT 1 /*bulkhead_user='alice'",
        "SELECT 1 /*bulkhead_user='alice'*",
        "SELECT 1 bulkhead_user='alice'*/",
        "SELECT 1 /*bulkhead_user='alice'*/ */",
        "SELECT 1 /* a /*bulkhead_user='alice'*/ */",
        "SELECT 1 /* /* bulkhead_user='alice' */*/",
        "SELECT 1 /*/",
        "/*/",
        "*/",
        // Of another form.
        "SELECT 1 /*bulkhead_user=alice*/",
        "SELECT 1 /*bulkhead_user=\"alice\"*/",
        "SELECT 1 /*bulkhead_user:alice*/",
        "SELECT 1 /*bulkhead_user='alice*/",
        "SELECT 1 /*bulkhead_user='alice' or more*/",
        "SELECT 1 /*bulkhead_user='alice',*/",
        "SELECT 1 /*,bulkhead_user='alice'*/",
        "SELECT 1 /*='x',bulkhead_user='alice'*/",
        "SELECT 1 /*xbulkhead_user='alice'*/",
        "SELECT 1 /*bulkhead_user2='alice'*/",
        "SELECT 1 /*BULKHEAD_USER='alice'*/",
        r"SELECT 1 /*bulkhead_user='alice\'*/",
        // Two users are nobody that could be told.
        "SELECT 1 /*bulkhead_user='alice',bulkhead_user='bob'*/",
    ] {
        assert_eq!(said(text), None, "{text}");
    }
}

#[test]
fn what_cannot_be_an_id_is_no_claim() {
    let long = format!("SELECT 1 /*bulkhead_user='{}'*/", "a".repeat(257));
    let longer = format!("SELECT 1 /*bulkhead_user='{}'*/", "a".repeat(2000));
    for text in [
        "SELECT 1 /*bulkhead_user='%'*/",
        "SELECT 1 /*bulkhead_user='%4'*/",
        "SELECT 1 /*bulkhead_user='%zz'*/",
        "SELECT 1 /*bulkhead_user='al%00ice'*/",
        "SELECT 1 /*bulkhead_user='alice%0A'*/",
        "SELECT 1 /*bulkhead_user='%ff%fe'*/",
        &long,
        &longer,
    ] {
        assert_eq!(said(text), UNATTRIBUTED, "{text}");
    }
    let raw = b"SELECT 1 /*bulkhead_user='\xff\xfe'*/";
    assert_eq!(claim(raw, true), UNATTRIBUTED);
}

#[test]
fn a_text_of_which_only_the_beginning_is_there_is_judged_by_that() {
    let text = b"SELECT 1 /*bulkhead_user='alice'*/";
    assert_eq!(claim(text, false), None, "it may go on");
    let text = b"/*bulkhead_user='alice'*/ INSERT INTO t VALUES (";
    assert_eq!(claim(text, false), CLAIMED);
}

#[test]
fn what_is_looked_at_is_bounded() {
    let padding = "x".repeat(LONGEST);
    let late = format!("SELECT 1 /*a='{padding}',bulkhead_user='alice'*/");
    let early = format!("/*bulkhead_user='alice',z='{padding}'*/ SELECT 1");
    assert_eq!((said(&late), said(&early)), (None, None));
    let within = format!(
        "SELECT '{}' /*bulkhead_user='alice'*/",
        "x".repeat(1_000_000)
    );
    assert_eq!(said(&within), CLAIMED);
}

/// A megabyte of what a search could stumble over takes no longer than a megabyte of anything else: nothing of it is read.
#[test]
fn a_hostile_megabyte_costs_nothing() {
    let texts = [
        "/*".repeat(500_000),
        "*/".repeat(500_000),
        "'".repeat(1_000_000),
        format!("/*{}", "bulkhead_user='".repeat(60_000)),
        format!("{}*/", "bulkhead_user='".repeat(60_000)),
        format!("SELECT 1 /*{}*/", "bulkhead_user='a',".repeat(60_000)),
        format!("/*{}\\*/", "bulkhead_user='\\".repeat(60_000)),
        " ;".repeat(500_000),
    ];
    let start = Instant::now();
    for text in &texts {
        assert_eq!(said(text), None, "{}", &text[..40]);
    }
    // Eight megabytes in a debug build: each looks at eight KiB.
    assert!(start.elapsed().as_millis() < 200, "{:?}", start.elapsed());
}

/// What a statement pays in mode `Audit`; printed by `--nocapture`. The bound is a debug build's on a busy machine.
#[test]
fn a_statement_pays_little() {
    const TIMES: u32 = 100_000;
    let body = "x = 1 AND ".repeat(40);
    for (what, text) in [
        ("none", format!("SELECT * FROM t WHERE {body} y = $1")),
        (
            "another's",
            format!(
                "SELECT * FROM t WHERE {body} y = $1 /*route='%2Fchat',traceparent='00-5bd66ef5095369c7b0d1f8f4bd33716a-c532cb4098ac3dd2-01'*/"
            ),
        ),
        (
            "a user's",
            format!(
                "SELECT * FROM t WHERE {body} y = $1 /*bulkhead_user='alice',route='%2Fchat'*/"
            ),
        ),
    ] {
        let start = Instant::now();
        for _ in 0..TIMES {
            let _ = std::hint::black_box(claim(std::hint::black_box(text.as_bytes()), true));
        }
        let each = start.elapsed() / TIMES;
        println!("{what}: {each:?}");
        assert!(each.as_micros() < 50, "{what}: {each:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_get_an_answer(text: Vec<u8>, whole: bool) {
        let _ = claim(&text, whole);
    }

    #[test]
    fn whatever_is_made_of_its_marks_gets_an_answer(text in "[/*'\\\\%=,; a]{0,60}(bulkhead_user='[a%'\\\\]{0,6})?[/*'\\\\ ]{0,6}") {
        let _ = said(&text);
    }

    /// What a library writes is read again: the value percent-encoded, then escaped, then quoted.
    #[test]
    fn what_is_written_by_the_specification_is_read(id in "[\\PC]{1,40}") {
        let encoded: String = id.bytes().map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        }).collect();
        let text = format!("SELECT 1 /*action='x',bulkhead_user='{encoded}',z='1'*/");
        prop_assert_eq!(said(&text), Some(of_id(&id)));
    }
}
