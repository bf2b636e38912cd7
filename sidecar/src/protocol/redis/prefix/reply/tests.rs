//! Replies as the server sends them, and as the client gets them.

use proptest::prelude::*;

use super::super::PrefixTemplate;
use super::*;

fn prefix() -> KeyPrefix {
    PrefixTemplate::parse("{user}:").unwrap().prefix("al")
}

/// `|` stands for CR LF.
fn wire(text: &str) -> Vec<u8> {
    text.replace('|', "\r\n").into_bytes()
}

/// What a client gets of a reply, which comes in parts of `part` bytes.
fn client_gets(unprefixer: &Unprefixer, bytes: &[u8], part: usize) -> Result<Vec<u8>, ReplyError> {
    let mut unprefixer = unprefixer.clone();
    let (mut out, mut done, mut there) = (Vec::new(), 0, 0);
    loop {
        let step = unprefixer.step(&prefix(), &bytes[done..there], &mut out)?;
        done += step.consumed;
        if step.ends {
            assert_eq!(done, bytes.len());
            return Ok(out);
        }
        if step.consumed == 0 {
            assert!(there < bytes.len(), "the reply does not end");
            there = (there + part).min(bytes.len());
        }
    }
}

fn check(unprefixer: &Unprefixer, server: &str, client: &str) {
    let bytes = wire(server);
    for part in [1, 2, 3, 7, bytes.len()] {
        let got = client_gets(unprefixer, &bytes, part).unwrap();
        let got = String::from_utf8(got).unwrap().replace("\r\n", "|");
        assert_eq!(got, client, "{server} in parts of {part}");
    }
}

#[test]
fn keys_lose_the_prefix_where_a_command_returns_them() {
    use Shape::{FirstKey, Keys, Plain, Scan, Streams};
    for (shape, server, client) in [
        (Plain, "$5|al:ab|", "$5|al:ab|"),
        (Keys, "*2|$4|al:a|$5|al:bc|", "*2|$1|a|$2|bc|"),
        (Keys, "*1|$3|al:|", "*1|$0||"),
        (Keys, "*0|", "*0|"),
        (Keys, "~1|$4|al:a|", "~1|$1|a|"),
        (Keys, "-ERR no|", "-ERR no|"),
        (Keys, "+QUEUED|", "+QUEUED|"),
        (Scan, "*2|$1|0|*2|$4|al:a|$4|al:b|", "*2|$1|0|*2|$1|a|$1|b|"),
        (Scan, "*2|$2|17|*0|", "*2|$2|17|*0|"),
        (FirstKey, "*2|$4|al:a|$4|al:v|", "*2|$1|a|$4|al:v|"),
        (
            FirstKey,
            "*2|$4|al:a|*2|$1|v|$1|w|",
            "*2|$1|a|*2|$1|v|$1|w|",
        ),
        (FirstKey, "*3|$4|al:a|$1|m|,1.5|", "*3|$1|a|$1|m|,1.5|"),
        (FirstKey, "*-1|", "*-1|"),
        (FirstKey, "_|", "_|"),
        (
            Streams,
            "*1|*2|$4|al:s|*1|*2|$3|1-1|*2|$1|f|$4|al:v|",
            "*1|*2|$1|s|*1|*2|$3|1-1|*2|$1|f|$4|al:v|",
        ),
        (
            Streams,
            "%2|$4|al:s|*0|$4|al:t|*1|*2|$3|1-1|*0|",
            "%2|$1|s|*0|$1|t|*1|*2|$3|1-1|*0|",
        ),
        (
            Streams,
            "-NOGROUP No such key 'al:s' or consumer group 'g'|",
            "-NOGROUP No such key 's' or consumer group 'g'|",
        ),
        (
            Shape::Errors,
            "-NOGROUP No such consumer group 'g' for key name 'al:s'|",
            "-NOGROUP No such consumer group 'g' for key name 's'|",
        ),
        (Shape::Errors, ":1|", ":1|"),
        (Shape::Errors, "*1|$4|al:a|", "*1|$4|al:a|"),
        (
            Shape::Channels,
            "*2|$4|al:a|$21|__keyspace@0__:al:abc|",
            "*2|$1|a|$18|__keyspace@0__:abc|",
        ),
        (
            Shape::ChannelPairs,
            "*4|$4|al:a|:1|$4|al:b|:0|",
            "*4|$1|a|:1|$1|b|:0|",
        ),
    ] {
        check(&Unprefixer::new(shape), server, client);
    }
}

#[test]
fn an_attribute_before_a_reply_passes() {
    let attribute = b"|1\r\n+ttl\r\n:1\r\n";
    for part in [1, 5, 100] {
        let bytes = [&attribute[..], b"*1\r\n$4\r\nal:a\r\n"].concat();
        let got = client_gets(&Unprefixer::new(Shape::Keys), &bytes, part).unwrap();
        assert_eq!(got, [&attribute[..], b"*1\r\n$1\r\na\r\n"].concat());
    }
}

#[test]
fn a_key_of_somebody_elses_never_gets_through() {
    for (shape, server) in [
        (Shape::Keys, "*2|$4|al:a|$4|bo:a|"),
        (Shape::Keys, "*1|$2|al|"),
        (Shape::Scan, "*2|$1|0|*1|$5|alx:a|"),
        (Shape::FirstKey, "*2|$4|bo:a|$1|v|"),
        (Shape::Streams, "%1|$4|bo:s|*0|"),
        (Shape::Channels, "*1|$18|__keyspace@0__:bo:|"),
    ] {
        let bytes = wire(server);
        for part in [1, bytes.len()] {
            assert_eq!(
                client_gets(&Unprefixer::new(shape), &bytes, part),
                Err(foreign()),
                "{server}"
            );
        }
    }
}

#[test]
fn replies_within_a_transaction_are_those_of_their_commands() {
    let queued = vec![Shape::Plain, Shape::Keys, Shape::FirstKey, Shape::Errors];
    let unprefixer = Unprefixer::exec(queued);
    check(
        &unprefixer,
        "*4|$4|al:v|*1|$4|al:a|*2|$4|al:k|*1|$4|al:v|-NOGROUP No such key 'al:s'|",
        "*4|$4|al:v|*1|$1|a|*2|$1|k|*1|$4|al:v|-NOGROUP No such key 's'|",
    );
    check(&unprefixer, "*-1|", "*-1|");
    check(
        &unprefixer,
        "-EXECABORT Transaction discarded|",
        "-EXECABORT Transaction discarded|",
    );
}

#[test]
fn a_subscriber_hears_of_what_is_theirs_alone() {
    let messages = Unprefixer::new(Shape::Messages);
    for (server, client) in [
        ("*3|$9|subscribe|$4|al:a|:1|", "*3|$9|subscribe|$1|a|:1|"),
        (
            ">3|$9|subscribe|$21|__keyspace@0__:al:abc|:1|",
            ">3|$9|subscribe|$18|__keyspace@0__:abc|:1|",
        ),
        (
            ">3|$9|subscribe|$18|__keyevent@0__:del|:1|",
            ">3|$9|subscribe|$18|__keyevent@0__:del|:1|",
        ),
        ("*3|$11|unsubscribe|$-1|:0|", "*3|$11|unsubscribe|$-1|:0|"),
        (">3|$11|unsubscribe|_|:0|", ">3|$11|unsubscribe|_|:0|"),
        (
            "*3|$10|psubscribe|$5|al:a*|:1|",
            "*3|$10|psubscribe|$2|a*|:1|",
        ),
        (
            "*3|$10|psubscribe|$19|__keyspace@*__:al:*|:1|",
            "*3|$10|psubscribe|$16|__keyspace@*__:*|:1|",
        ),
        (
            "*3|$7|message|$4|al:a|$4|al:v|",
            "*3|$7|message|$1|a|$4|al:v|",
        ),
        (">3|$8|smessage|$4|al:a|$1|v|", ">3|$8|smessage|$1|a|$1|v|"),
        (
            "*4|$8|pmessage|$4|al:*|$4|al:a|$1|v|",
            "*4|$8|pmessage|$1|*|$1|a|$1|v|",
        ),
        (
            "*3|$7|message|$19|__keyspace@0__:al:k|$3|del|",
            "*3|$7|message|$16|__keyspace@0__:k|$3|del|",
        ),
        (
            "*3|$7|message|$18|__keyevent@0__:del|$4|al:k|",
            "*3|$7|message|$18|__keyevent@0__:del|$1|k|",
        ),
        // Of others, and of what nobody asked for.
        ("*3|$7|message|$18|__keyevent@0__:del|$4|bo:k|", ""),
        (
            "*4|$8|pmessage|$19|__keyspace@*__:al:*|$19|__keyspace@0__:bo:k|$3|del|",
            "",
        ),
        (
            "*4|$8|pmessage|$16|__keyevent@*__:*|$18|__keyevent@0__:del|$4|bo:k|",
            "",
        ),
        ("*3|$7|message|$4|bo:a|$1|v|", ""),
        (">2|$10|invalidate|*1|$4|bo:k|", ""),
        // While subscribed, a client may still ask for this.
        ("*2|$4|pong|$0||", "*2|$4|pong|$0||"),
        ("+OK|", "+OK|"),
        ("-ERR no|", "-ERR no|"),
    ] {
        check(&messages, server, client);
    }
}

#[test]
fn big_values_are_not_held_back() {
    let mut unprefixer = Unprefixer::new(Shape::FirstKey);
    let mut out = Vec::new();
    let step = unprefixer
        .step(&prefix(), b"*2\r\n$4\r\nal:a\r\n$1000000\r\nabc", &mut out)
        .unwrap();
    assert_eq!(step.consumed, 27);
    assert_eq!(out, b"*2\r\n$1\r\na\r\n$1000000\r\nabc");
}

proptest! {
    #[test]
    fn what_was_prefixed_comes_back_as_it_was(
        keys in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..6),
        part in 1_usize..40,
    ) {
        let list = |prefix: &[u8]| {
            let mut out = format!("*{}\r\n", keys.len()).into_bytes();
            for key in &keys {
                super::super::super::codec::push_bulk(&mut out, &[prefix, key].concat());
            }
            out
        };
        let got = client_gets(&Unprefixer::new(Shape::Keys), &list(b"al:"), part).unwrap();
        prop_assert_eq!(got, list(b""));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes: Vec<u8>, text in "[*$%~>|+:_0-9a\r\n-]{0,60}") {
        for shape in [Shape::Keys, Shape::Streams, Shape::Messages, Shape::Scan, Shape::ChannelPairs] {
            for bytes in [&bytes[..], text.as_bytes(), &[b"*3\r\n$7\r\nmessage\r\n", text.as_bytes()].concat()] {
                let mut unprefixer = Unprefixer::new(shape);
                let mut out = Vec::new();
                let _ = unprefixer.step(&prefix(), bytes, &mut out);
            }
        }
    }
}
