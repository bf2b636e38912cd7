use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::Value;

use super::*;

fn events(list: &[&str]) -> CriticalEvents {
    let list: Vec<String> = list.iter().map(|&entry| entry.to_owned()).collect();
    CriticalEvents::new(&list)
}

#[test]
fn what_a_message_is() {
    use Verdict::{Event, Ordinary};
    let events = events(&[
        "done",
        "/payload/kind=done",
        "/n=5",
        "/list/1=x",
        "/deep=true",
    ]);
    let rows = [
        (r#"{"type":"done"}"#, Event(0)),
        (" {\n\t\"type\" : \"done\" }", Event(0)),
        (r#"{"a":{"type":"done"},"b":["type","done"]}"#, Ordinary),
        (r#"{"a":"\"type\":\"done\"","type":"other"}"#, Ordinary),
        (r#"{"a":"}{]["\\","type":"done"}"#, Ordinary),
        (r#"{"a":"}{][\\","type":"done"}"#, Event(0)),
        (r#"{"\u0074ype":"d\u006fne"}"#, Event(0)),
        (r#"{"payload":{"x":[{"kind":1}],"kind":"done"}}"#, Event(1)),
        (r#"{"payload":["kind","done"]}"#, Ordinary),
        (r#"{"n":5}"#, Event(2)),
        (r#"{"n":"5"}"#, Event(2)),
        (r#"{"n":50}"#, Ordinary),
        (r#"{"n":[5]}"#, Ordinary),
        (r#"{"list":["a","x"]}"#, Event(3)),
        (r#"{"list":["x","a"]}"#, Ordinary),
        (r#"{"list":{"1":"x"}}"#, Event(3)),
        (r#"{"deep":true}"#, Event(4)),
        // Of two, the one that comes first.
        (r#"{"n":5,"type":"done"}"#, Event(2)),
        (r#"{"type":"other","type":"done"}"#, Ordinary),
        // No objects, and no JSON.
        (r#"["type","done"]"#, Ordinary),
        (r#""done""#, Ordinary),
        ("done", Ordinary),
        ("", Ordinary),
        (r#"{"type":"done"#, Ordinary),
        (r#"{type:"done"}"#, Ordinary),
        ("{", Ordinary),
        ("}", Ordinary),
    ];
    for (message, expected) in rows {
        assert_eq!(events.text(message.as_bytes(), true), expected, "{message}");
    }
}

#[test]
fn a_message_names_its_run() {
    let rows: [(&str, Option<&str>); 10] = [
        (r#"{"type":"done","run_id":"r-1"}"#, Some("r-1")),
        (r#" { "run_id" : "r-1" , "type":"done"}"#, Some("r-1")),
        (r#"{"a":[{"run_id":"no"}],"run_id":17}"#, Some("17")),
        (r#"{"run\u005fid":"r-1"}"#, Some("r-1")),
        (r#"{"run_id":{"a":1}}"#, None),
        (r#"{"a":{"run_id":"no"}}"#, None),
        (r#"["run_id","no"]"#, None),
        (r#"{"run_id":"cut"#, None),
        ("{}", None),
        ("", None),
    ];
    for (message, expected) in rows {
        let id = CriticalEvents::run_id(message.as_bytes());
        assert_eq!(id, expected.map(str::as_bytes), "{message}");
    }
    let long = format!(r#"{{"run_id":"{}"}}"#, "x".repeat(129));
    assert_eq!(CriticalEvents::run_id(long.as_bytes()), None);
}

#[test]
fn what_stands_behind_the_limit_is_not_looked_at() {
    let done = events(&["done"]);
    let padded = |padding: usize| {
        let padding = "x".repeat(padding);
        format!(r#"{{"padding":"{padding}","type":"done"}}"#).into_bytes()
    };
    let empty = padded(0).len();
    // The closing brace is not needed for it.
    let most = SCANNED_BYTES - empty + 1;
    assert_eq!(done.text(&padded(most), true), Verdict::Event(0));
    assert_eq!(done.text(&padded(most + 1), true), Verdict::Unscanned);
    assert_eq!(done.text(&padded(100_000), true), Verdict::Unscanned);
    let late = format!(r#"{{"type":"other","padding":"{}"}}"#, "x".repeat(9000));
    assert_eq!(
        done.text(late.as_bytes(), true),
        Verdict::Ordinary,
        "it is known early"
    );
    assert_eq!(
        done.text("x".repeat(9000).as_bytes(), true),
        Verdict::Ordinary
    );
}

#[test]
fn what_a_packet_of_socket_io_is() {
    use Verdict::{Event, Needed, Ordinary};
    let events = events(&["socket.io:done", "typed"]);
    let rows = [
        (r#"42["done",{"a":1}]"#, Event(0)),
        (r#"42["d\u006fne"]"#, Event(0)),
        (r#"42/admin,["done"]"#, Event(0)),
        (r#"42/admin,17["done"]"#, Event(0)),
        (r#"4217[ "done"]"#, Event(0)),
        (r#"451-["done",{"_placeholder":true,"num":0}]"#, Event(0)),
        (r#"4512-/admin,3["done"]"#, Event(0)),
        (r#"42["other","done"]"#, Ordinary),
        (r#"42/done,["other"]"#, Ordinary),
        // Never left out: pings, connects, acknowledgements, what has attachments, and what nobody understands.
        ("2", Needed),
        (r#"40{"sid":"x"}"#, Needed),
        (r#"4317["done"]"#, Needed),
        (r#"451-["other",{}]"#, Needed),
        ("42", Needed),
        ("42/admin", Needed),
        (r#"42{"type":"done"}"#, Needed),
        // The others of the list are looked for as well.
        (r#"{"type":"typed"}"#, Event(1)),
        (r#"{"type":"done"}"#, Ordinary),
    ];
    for (message, expected) in rows {
        assert_eq!(events.text(message.as_bytes(), true), expected, "{message}");
    }
    assert_eq!(events.text(br#"42/admin,["do"#, false), Verdict::Unscanned);
    assert_eq!(events.binary(), Needed);
    assert_eq!(super::CriticalEvents::default().binary(), Ordinary);
}

const NAMES: [&str; 5] = ["type", "a", "b/c", "0", "é\n"];

fn document() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        Just("done".to_owned()),
        Just("a\"\\\n\u{1F600}".to_owned()),
        "[ -~]{0,6}"
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-3_i64..3).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let name = prop_oneof![
        4 => (0..NAMES.len()).prop_map(|at| NAMES[at].to_owned()),
        1 => any::<String>()
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(name.clone(), inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// The same document as others write it: with white space, and with characters escaped that need not be.
fn written(document: &Value, pretty: bool, escaped: bool) -> String {
    let plain = if pretty {
        serde_json::to_string_pretty(document).unwrap()
    } else {
        document.to_string()
    };
    if !escaped {
        return plain;
    }
    let mut units = [0; 2];
    let mut out = String::new();
    for character in plain.chars() {
        if character.is_ascii() {
            out.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut units) {
            out += &format!("\\u{unit:04x}");
        }
    }
    out
}

/// What a full parser finds.
fn is_there(document: &Value, entry: &str) -> bool {
    let (pointer, value) = entry.split_once('=').unwrap_or(("/type", entry));
    document.pointer(pointer).is_some_and(|found| match found {
        Value::String(text) => text == value,
        Value::Array(_) | Value::Object(_) => false,
        scalar => format!("{scalar}") == value,
    })
}

const ENTRIES: [&str; 7] = [
    "done",
    "/a/type=done",
    "/a/0=done",
    "/b~1c=1",
    "/0/a=true",
    "/é\n=a\"\\\n\u{1F600}",
    "/a/b~1c/0=null",
];

proptest! {
    #[test]
    fn it_finds_what_a_full_parser_finds(
        document in document(),
        entries in proptest::sample::subsequence(&ENTRIES[..], 1..ENTRIES.len()),
        pretty: bool,
        escaped: bool,
    ) {
        let text = written(&document, pretty, escaped);
        prop_assume!(text.len() <= SCANNED_BYTES);
        let verdict = events(&entries).text(text.as_bytes(), true);
        match verdict {
            Verdict::Event(number) => prop_assert!(is_there(&document, entries[number]), "{}", text),
            Verdict::Ordinary => {
                prop_assert!(!entries.iter().any(|entry| is_there(&document, entry)), "{}", text);
            }
            other => prop_assert!(false, "{other:?} of {text}"),
        }
    }

    #[test]
    fn what_it_says_of_a_beginning_holds_for_the_whole(
        document in document(),
        entries in proptest::sample::subsequence(&ENTRIES[..], 1..ENTRIES.len()),
        cut: proptest::sample::Index,
    ) {
        let text = document.to_string();
        prop_assume!(text.len() <= SCANNED_BYTES);
        let events = events(&entries);
        let early = events.text(&text.as_bytes()[..cut.index(text.len())], false);
        if early != Verdict::Unscanned {
            prop_assert_eq!(early, events.text(text.as_bytes(), true), "{}", text);
        }
    }

    #[test]
    fn nothing_makes_it_fall(bytes in vec(any::<u8>(), 0..200), is_whole: bool, json in "[\\[\\]{}\",:a0\\\\ ]{0,60}") {
        let all = events(&["done", "/a/0=0", "socket.io:a"]);
        let _ = all.text(&bytes, is_whole);
        let _ = all.text(json.as_bytes(), is_whole);
        let _ = all.text([b"42", json.as_bytes()].concat().as_slice(), is_whole);
    }
}
