//! Commands as a client writes them, and as the server gets them.

use std::time::Duration;

use super::super::codec::{Limits, RequestStep, RequestWalker, push_array_header, push_bulk};
use super::super::commands::{Kept, SubscribesTo, Subscription, Transaction, all};
use super::super::prefix::PrefixTemplate;
use super::*;

fn isolation(per_user: bool) -> Isolation {
    Isolation {
        prefix: PrefixTemplate::parse("{user}:").unwrap().prefix("al"),
        per_user,
    }
}

fn array(words: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    push_array_header(&mut out, words.len());
    for word in words {
        push_bulk(&mut out, word);
    }
    out
}

fn words(bytes: &[u8]) -> Vec<String> {
    let mut walker = RequestWalker::new(Limits::SERVER);
    assert_eq!(
        walker.walk(bytes),
        Ok(RequestStep::Whole { len: bytes.len() })
    );
    let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    walker.arguments(bytes).iter().map(text).collect()
}

/// What becomes of a command: what the server gets, or the error of the client. An array and an inline command are treated alike.
fn becomes(line: &str, per_user: bool) -> String {
    let isolation = isolation(per_user);
    let inline = format!("{line}\r\n").into_bytes();
    let as_array = array(
        &words_of_line(&inline)
            .iter()
            .map(String::as_bytes)
            .collect::<Vec<_>>(),
    );
    let [one, other] = [inline, as_array].map(|bytes| {
        let mut walker = RequestWalker::new(Limits::SERVER);
        walker.walk(&bytes).unwrap();
        let arguments = walker.arguments(&bytes);
        match decide(&arguments, Some(&isolation)) {
            Decision::More => panic!("{line}: all is there"),
            Decision::Refused(refusal) => format!("-{}", refusal.line("keyPrefix")),
            Decision::Plan(plan) => {
                let mut out = Vec::new();
                plan.write(&arguments, &isolation.prefix, &mut out);
                words(&out).join(" ")
            }
        }
    });
    assert_eq!(one, other, "{line}");
    one
}

fn words_of_line(line: &[u8]) -> Vec<String> {
    let mut walker = RequestWalker::new(Limits::SERVER);
    walker.walk(line).unwrap();
    let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    walker.arguments(line).iter().map(text).collect()
}

#[test]
fn keys_get_the_prefix() {
    for (line, want) in [
        ("GET k", "GET al:k"),
        ("get \"\"", "get al:"),
        ("SET k v EX 10", "SET al:k v EX 10"),
        ("MGET a b c", "MGET al:a al:b al:c"),
        ("MSET a 1 b 2", "MSET al:a 1 al:b 2"),
        ("DEL a", "DEL al:a"),
        ("RENAME a b", "RENAME al:a al:b"),
        ("COPY a b DB 3 REPLACE", "COPY al:a al:b DB 3 REPLACE"),
        ("BITOP AND d a b", "BITOP AND al:d al:a al:b"),
        ("BLPOP a b 0", "BLPOP al:a al:b 0"),
        ("BRPOPLPUSH a b 0", "BRPOPLPUSH al:a al:b 0"),
        ("LMPOP 2 a b LEFT", "LMPOP 2 al:a al:b LEFT"),
        ("BZMPOP 0 2 a b MIN", "BZMPOP 0 2 al:a al:b MIN"),
        (
            "ZUNIONSTORE d 2 a b WEIGHTS 1 2",
            "ZUNIONSTORE al:d 2 al:a al:b WEIGHTS 1 2",
        ),
        ("ZUNION 2 a b", "ZUNION 2 al:a al:b"),
        ("SINTERCARD 1 a LIMIT 5", "SINTERCARD 1 al:a LIMIT 5"),
        ("OBJECT ENCODING k", "OBJECT ENCODING al:k"),
        ("MEMORY USAGE k SAMPLES 0", "MEMORY USAGE al:k SAMPLES 0"),
        (
            "XGROUP CREATE s g $ MKSTREAM",
            "XGROUP CREATE al:s g $ MKSTREAM",
        ),
        (
            "GEOSEARCHSTORE d s FROMMEMBER m BYRADIUS 1 m",
            "GEOSEARCHSTORE al:d al:s FROMMEMBER m BYRADIUS 1 m",
        ),
        ("WATCH a b", "WATCH al:a al:b"),
        ("LCS a b", "LCS al:a al:b"),
        ("CLUSTER KEYSLOT k", "CLUSTER KEYSLOT al:k"),
        ("MSETEX 2 a 1 b 2 EX 5", "MSETEX 2 al:a 1 al:b 2 EX 5"),
        ("JSON.MGET a b $", "JSON.MGET al:a al:b $"),
        ("JSON.MSET a $ 1 b $ 2", "JSON.MSET al:a $ 1 al:b $ 2"),
        ("CMS.MERGE d 2 a b", "CMS.MERGE al:d 2 al:a al:b"),
        ("ZRANK z m WITHSCORE", "ZRANK al:z m WITHSCORE"),
        ("PING", "PING"),
        ("COMMAND GETKEYS GET k", "COMMAND GETKEYS GET k"),
    ] {
        assert_eq!(becomes(line, false), want, "{line}");
    }
}

#[test]
fn keys_among_options_get_the_prefix() {
    for (line, want) in [
        ("SORT k", "SORT al:k"),
        (
            "SORT k BY nosort LIMIT 0 1 GET # ASC ALPHA STORE d",
            "SORT al:k BY nosort LIMIT 0 1 GET # ASC ALPHA STORE al:d",
        ),
        ("SORT_RO k DESC", "SORT_RO al:k DESC"),
        ("GEORADIUS k 1 2 3 m", "GEORADIUS al:k 1 2 3 m"),
        (
            "GEORADIUS k 1 2 3 m COUNT 1 ANY STORE d STOREDIST e",
            "GEORADIUS al:k 1 2 3 m COUNT 1 ANY STORE al:d STOREDIST al:e",
        ),
        (
            "GEORADIUSBYMEMBER k STORE 3 m STORE d",
            "GEORADIUSBYMEMBER al:k STORE 3 m STORE al:d",
        ),
        ("XREAD STREAMS a b 0 0", "XREAD STREAMS al:a al:b 0 0"),
        (
            "XREAD COUNT 2 BLOCK 5 STREAMS a $",
            "XREAD COUNT 2 BLOCK 5 STREAMS al:a $",
        ),
        (
            "XREADGROUP GROUP streams streams COUNT 1 NOACK STREAMS a >",
            "XREADGROUP GROUP streams streams COUNT 1 NOACK STREAMS al:a >",
        ),
        (
            "XREADGROUP COUNT 1 GROUP g streams STREAMS a >",
            "XREADGROUP COUNT 1 GROUP g streams STREAMS al:a >",
        ),
    ] {
        assert_eq!(becomes(line, false), want, "{line}");
    }
}

#[test]
fn patterns_and_channels_get_the_prefix() {
    for (line, want) in [
        ("KEYS *", "KEYS al:*"),
        ("SCAN 0", "SCAN 0 MATCH al:*"),
        (
            "SCAN 0 COUNT 10 TYPE hash",
            "SCAN 0 COUNT 10 TYPE hash MATCH al:*",
        ),
        ("SCAN 0 MATCH a* MATCH b*", "SCAN 0 MATCH al:a* MATCH al:b*"),
        ("SUBSCRIBE a b", "SUBSCRIBE al:a al:b"),
        ("UNSUBSCRIBE", "UNSUBSCRIBE"),
        (
            "SUBSCRIBE __keyspace@0__:k",
            "SUBSCRIBE __keyspace@0__:al:k",
        ),
        (
            "SUBSCRIBE __keyevent@0__:del x",
            "SUBSCRIBE __keyevent@0__:del al:x",
        ),
        ("PSUBSCRIBE * a?", "PSUBSCRIBE al:* al:a?"),
        (
            "PSUBSCRIBE __keyspace@*__:a*",
            "PSUBSCRIBE __keyspace@*__:al:a*",
        ),
        ("PSUBSCRIBE __keyevent@*__:*", "PSUBSCRIBE __keyevent@*__:*"),
        ("PUBLISH c hello", "PUBLISH al:c hello"),
        ("SPUBLISH c hello", "SPUBLISH al:c hello"),
        ("PUBSUB CHANNELS", "PUBSUB CHANNELS al:*"),
        ("PUBSUB CHANNELS a*", "PUBSUB CHANNELS al:a*"),
        ("PUBSUB NUMSUB a b", "PUBSUB NUMSUB al:a al:b"),
        ("PUBSUB NUMSUB", "PUBSUB NUMSUB"),
        ("INFO", "INFO server"),
        ("INFO replication Server", "INFO replication Server"),
    ] {
        assert_eq!(becomes(line, false), want, "{line}");
    }
}

#[test]
fn what_could_see_another_users_keys_is_refused() {
    for (line, why) in [
        ("FLUSHALL", Why::OthersData),
        ("RANDOMKEY", Why::OthersKeys),
        ("DBSIZE", Why::OthersCounts),
        ("SORT k BY w_*", Why::SortPatterns),
        ("SORT k GET o_*", Why::SortPatterns),
        ("SORT k GET o_1", Why::SortPatterns),
        ("EVAL script 1 k", Why::Script),
        ("SCRIPT LOAD script", Why::Script),
        ("SCRIPT FLUSH", Why::SharedCode),
        ("CLIENT LIST", Why::OthersActivity),
        ("CLIENT KILL ID 3", Why::ConnectionNumbers),
        ("CLIENT NONSENSE", Why::Unknown),
        ("COMMAND NONSENSE", Why::Unknown),
        ("NONSENSE k", Why::Unknown),
        ("INFO keyspace", Why::InfoSection),
        ("INFO all", Why::InfoSection),
        ("PSUBSCRIBE a __key*", Why::NotificationPattern),
        ("PUBLISH __keyevent@0__:del bo:k", Why::KeyEvents),
        ("RESTORE k 0 x", Why::Payload),
        ("MONITOR", Why::OthersActivity),
        ("PSYNC ? -1", Why::Replication),
    ] {
        let error = becomes(line, false);
        let want = format!(": {} (keyPrefix)", why.text());
        assert!(
            error.starts_with("-NOPERM Bulkhead refuses '") && error.ends_with(&want),
            "{line}: {error}"
        );
    }
    assert!(becomes("client list", false).contains("'CLIENT LIST'"));
}

#[test]
fn what_is_malformed_is_an_error_in_the_servers_words() {
    for (line, want) in [
        ("GET", "-ERR wrong number of arguments for 'get' command"),
        (
            "GET a b",
            "-ERR wrong number of arguments for 'get' command",
        ),
        (
            "OBJECT ENCODING",
            "-ERR wrong number of arguments for 'object|encoding' command",
        ),
        ("ZUNION x a", "-ERR value is not an integer or out of range"),
        (
            "ZUNION 02 a b",
            "-ERR value is not an integer or out of range",
        ),
        ("ZUNION 3 a b", "-ERR syntax error"),
        ("ZUNION -1 a b", "-ERR syntax error"),
        ("ZUNION 9223372036854775807 a b", "-ERR syntax error"),
        ("SORT k NONSENSE", "-ERR syntax error"),
        ("SORT k STORE", "-ERR syntax error"),
        ("SORT k STORE a STORE b STORE c", "-ERR syntax error"),
        ("GEORADIUS k 1 2 3 m STORE", "-ERR syntax error"),
        ("XREAD COUNT 1 NONSENSE a 0", "-ERR syntax error"),
        (
            "XREAD STREAMS a b 0",
            "-ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified.",
        ),
        ("SCAN 0 MATCH", "-ERR syntax error"),
        (
            "SCAN 0 COUNT x",
            "-ERR value is not an integer or out of range",
        ),
    ] {
        assert_eq!(becomes(line, false), want, "{line}");
    }
}

#[test]
fn with_a_redis_user_of_their_own_scripts_run_and_nothing_looks_past_the_prefix() {
    for (line, want) in [
        ("EVAL s 2 a b c", "EVAL s 2 al:a al:b c"),
        ("EVALSHA h 0", "EVALSHA h 0"),
        ("FCALL f 1 a", "FCALL f 1 al:a"),
        ("SCRIPT LOAD s", "SCRIPT LOAD s"),
        ("GET k", "GET al:k"),
    ] {
        assert_eq!(becomes(line, true), want, "{line}");
    }
    for line in [
        "SCAN 0",
        "KEYS *",
        "INFO",
        "PUBSUB CHANNELS",
        "SUBSCRIBE __keyevent@0__:del",
        "PSUBSCRIBE __keyevent@0__:*",
        "FUNCTION LOAD x",
    ] {
        assert!(becomes(line, true).starts_with("-NOPERM"), "{line}");
    }
}

fn plan_of(line: &str, isolation: Option<&Isolation>) -> Plan {
    let bytes = format!("{line}\r\n").into_bytes();
    let mut walker = RequestWalker::new(Limits::SERVER);
    walker.walk(&bytes).unwrap();
    match decide(&walker.arguments(&bytes), isolation) {
        Decision::Plan(plan) => plan,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn a_plan_says_what_the_command_does_to_its_connection() {
    let subscription = |to, begins| Effect::Subscription(Subscription { to, begins });
    for (line, want) in [
        ("GET k", Effect::None),
        ("MULTI", Effect::Transaction(Transaction::Multi)),
        ("WATCH k", Effect::Transaction(Transaction::Watch)),
        ("SUBSCRIBE a", subscription(SubscribesTo::Channels, true)),
        (
            "SUNSUBSCRIBE",
            subscription(SubscribesTo::ShardChannels, false),
        ),
        ("CLIENT SETNAME x", Effect::Kept(Kept::SetName)),
        ("AUTH a b", Effect::Kept(Kept::Auth)),
        ("SELECT 1", Effect::Kept(Kept::Select)),
        ("MONITOR", Effect::Pins),
        ("CLIENT TRACKING on", Effect::Pins),
        ("NONSENSE a", Effect::Pins),
        ("CLIENT NONSENSE", Effect::Pins),
        ("EVAL s 0", Effect::Script),
        ("XREAD STREAMS a 0", Effect::None),
        (
            "XREAD BLOCK 0 STREAMS a 0",
            Effect::Blocking(Timeout::Block),
        ),
    ] {
        let plan = plan_of(line, None);
        assert_eq!(plan.effect, want, "{line}");
        assert!(!plan.rewrites(), "{line}");
        assert_eq!(plan.reply, Shape::Plain, "{line}");
    }
}

#[test]
fn a_plan_says_how_long_the_command_waits() {
    let at_most = |milliseconds| Some(Wait::AtMost(Duration::from_millis(milliseconds)));
    for (line, want) in [
        ("GET k", None),
        ("BLPOP a b 1.5", at_most(1500)),
        ("BLPOP a 0", Some(Wait::Forever)),
        ("BLMPOP 2 1 a LEFT", at_most(2000)),
        ("BLMOVE a b LEFT LEFT 3", at_most(3000)),
        ("XREAD BLOCK 250 STREAMS a 0", at_most(250)),
        ("XREAD STREAMS a 0", None),
        ("WAIT 1 100", at_most(100)),
        ("WAITAOF 1 1 100", at_most(100)),
        ("BLMPOP", None),
    ] {
        assert_eq!(plan_of(line, None).wait, want, "{line}");
    }
}

#[test]
fn a_command_is_decided_by_its_first_arguments_where_they_say_enough() {
    let isolation = isolation(false);
    let long = vec![b'v'; 20_000];
    for (arguments, index, want) in [
        (&[&b"SET"[..], b"k", &long][..], 2, "*3|$3|SET|$4|al:k|"),
        (
            &[b"MSET", b"k", &long, b"b", b"1"],
            2,
            "*5|$4|MSET|$4|al:k|",
        ),
        (&[b"GET", &long], 1, "*2|$3|GET|"),
        (&[b"PUBLISH", b"c", &long], 2, "*3|$7|PUBLISH|$4|al:c|"),
        (
            &[b"XADD", b"s", b"*", b"f", &long],
            4,
            "*5|$4|XADD|$4|al:s|$1|*|$1|f|",
        ),
    ] {
        let bytes = array(arguments);
        let mut walker = RequestWalker::new(Limits::SERVER);
        let there = bytes.len() - 1000;
        let RequestStep::Long(head) = walker.walk(&bytes[..there.min(bytes.len() - 100)]).unwrap()
        else {
            panic!("it is long")
        };
        assert_eq!(head.index, index);
        let arguments = walker.arguments(&bytes);
        let Decision::Plan(plan) = decide(&arguments, Some(&isolation)) else {
            panic!("enough is there")
        };
        let mut out = Vec::new();
        plan.write(&arguments, &isolation.prefix, &mut out);
        let text = String::from_utf8(out).unwrap().replace("\r\n", "|");
        assert_eq!(text, want);
        let mut out = Vec::new();
        plan.write_header(head.index, head.length, &isolation.prefix, &mut out);
        let want: &[u8] = if index == 1 {
            b"$20003\r\nal:"
        } else {
            b"$20000\r\n"
        };
        assert_eq!(out, want);
    }
}

#[test]
fn a_command_is_not_decided_by_arguments_that_say_too_little() {
    let isolation = isolation(true);
    let long = vec![b'v'; 20_000];
    for arguments in [
        &[&b"EVAL"[..], &long, b"1", b"k"][..],
        &[b"CLIENT", &long],
        &[b"SORT", b"k", b"BY", &long],
        &[b"XREAD", b"STREAMS", &long, b"0"],
        &[b"BLPOP", &long, b"0"],
        &[b"PUBLISH", &long, b"m"],
    ] {
        let bytes = array(arguments);
        let mut walker = RequestWalker::new(Limits::SERVER);
        let step = walker.walk(&bytes[..2000]).unwrap();
        assert!(matches!(step, RequestStep::Long(_)));
        let decision = decide(&walker.arguments(&bytes), Some(&isolation));
        assert_eq!(decision, Decision::More, "{:?}", arguments[0]);
    }
}

/// What is decided early is what would be decided late.
#[test]
fn more_arguments_change_nothing_that_was_decided() {
    let isolation = isolation(true);
    for line in [
        "SET k v EX 10",
        "MSET a 1 b 2 c 3",
        "BITOP AND d a b",
        "ZUNIONSTORE d 2 a b WEIGHTS 1 2",
        "EVAL s 2 a b c",
        "EVAL s 9 a b c",
        "BLPOP a b 0",
        "BLMPOP 2 1 a LEFT",
        "SORT k GET x",
        "SORT k STORE d",
        "XREAD BLOCK 5 STREAMS a b 0 0",
        "SCAN 0 MATCH a",
        "SUBSCRIBE a b __keyevent@0__:del",
        "PSUBSCRIBE a __key*",
        "PUBLISH c m",
        "PUBLISH __keyevent@0__:del m",
        "CLIENT LIST x y",
        "OBJECT ENCODING k",
        "INFO server keyspace",
        "NONSENSE a b c",
        "GET a b c",
    ] {
        let bytes = array(&line.split(' ').map(str::as_bytes).collect::<Vec<_>>());
        for isolation in [None, Some(&isolation)] {
            let decided = |there: usize| {
                let mut walker = RequestWalker::new(Limits::SERVER);
                walker.walk(&bytes[..there]).unwrap();
                decide(&walker.arguments(&bytes[..there]), isolation)
            };
            let whole = decided(bytes.len());
            assert_ne!(whole, Decision::More, "{line}");
            for there in 0..bytes.len() {
                let early = decided(there);
                assert!(
                    early == Decision::More || early == whole,
                    "{line}: {early:?} and then {whole:?}"
                );
            }
        }
    }
}

/// Whatever the arguments, a command is decided, and what gets the prefix lies within it.
#[test]
fn every_command_is_decided_with_any_number_of_arguments() {
    for per_user in [false, true] {
        let isolation = isolation(per_user);
        for command in all() {
            let (name, sub) = command.facts.names();
            for extra in 0..9 {
                for filler in ["1", "2", "STREAMS", "x"] {
                    let mut words: Vec<&[u8]> = vec![name.as_bytes()];
                    words.extend(sub.map(str::as_bytes));
                    words.extend(std::iter::repeat_n(filler.as_bytes(), extra));
                    let bytes = array(&words);
                    let mut walker = RequestWalker::new(Limits::SERVER);
                    walker.walk(&bytes).unwrap();
                    let arguments = walker.arguments(&bytes);
                    match decide(&arguments, Some(&isolation)) {
                        Decision::More => panic!("{name} {sub:?} {extra}"),
                        Decision::Refused(_) => {}
                        Decision::Plan(plan) => {
                            let mut out = Vec::new();
                            plan.write(&arguments, &isolation.prefix, &mut out);
                            let written = super::tests::words(&out);
                            assert!(written.len() >= words.len());
                        }
                    }
                }
            }
        }
    }
}
