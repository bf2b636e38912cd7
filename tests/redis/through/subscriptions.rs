//! Publish and subscribe, in both versions of the protocol.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::redis::Connection;

use super::stage::Stage;

fn read(connection: &mut Connection) -> String {
    String::from_utf8(connection.try_read().unwrap()).unwrap()
}

#[test]
fn a_subscriber_hears_what_is_published_and_may_go_on_in_between() {
    for hello in ["HELLO 2", "HELLO 3"] {
        let stage = Stage::start(&Policy::trusted().redis(""));
        let mut listens = stage.user("alice");
        listens.ask_line(hello);
        listens
            .try_send(b"INCR n\r\nSUBSCRIBE one two\r\nPING\r\n")
            .unwrap();
        assert_eq!(read(&mut listens), ":1\r\n");
        let mark = if hello == "HELLO 3" { ">" } else { "*" };
        assert_eq!(
            read(&mut listens),
            format!("{mark}3\r\n$9\r\nsubscribe\r\n$3\r\none\r\n:1\r\n")
        );
        assert_eq!(
            read(&mut listens),
            format!("{mark}3\r\n$9\r\nsubscribe\r\n$3\r\ntwo\r\n:2\r\n")
        );
        let pong = read(&mut listens);
        assert!(pong.to_lowercase().contains("pong"), "{pong}");
        let mut speaks = stage.user("alice");
        assert_eq!(speaks.ask_line("PUBLISH one hello").text(), "1");
        assert_eq!(
            read(&mut listens),
            format!("{mark}3\r\n$7\r\nmessage\r\n$3\r\none\r\n$5\r\nhello\r\n")
        );
        listens.try_send(b"UNSUBSCRIBE\r\nINCR n\r\n").unwrap();
        for left in [1, 0] {
            let gone = read(&mut listens);
            assert!(
                gone.contains("unsubscribe") && gone.ends_with(&format!(":{left}\r\n")),
                "{gone}"
            );
        }
        assert_eq!(read(&mut listens), ":2\r\n");
    }
}

#[test]
fn a_subscription_outlives_the_limit_of_a_command() {
    let stage = Stage::start(&Policy::trusted().redis("timeouts: {statement: 200ms}"));
    let mut listens = stage.user("alice");
    listens.ask_line("SUBSCRIBE one");
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert_eq!(stage.direct().ask_line("PUBLISH one hello").text(), "1");
    assert!(read(&mut listens).contains("hello"));
}

#[test]
fn under_a_prefix_users_share_no_channel() {
    let stage = Stage::start(&Policy::trusted().redis("session: {keyPrefix: '{user}:'}"));
    let mut alice = stage.user("alice");
    let mut pattern = stage.user("alice");
    let mut bob = stage.user("bob");
    assert!(alice.ask_line("SUBSCRIBE news").elements()[1].text() == "news");
    pattern.ask_line("PSUBSCRIBE *");
    assert_eq!(bob.ask_line("PUBLISH news theirs").text(), "0");
    let mut speaks = stage.user("alice");
    assert_eq!(speaks.ask_line("PUBLISH news mine").text(), "2");
    assert_eq!(
        read(&mut alice),
        "*3\r\n$7\r\nmessage\r\n$4\r\nnews\r\n$4\r\nmine\r\n"
    );
    assert_eq!(
        read(&mut pattern),
        "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$4\r\nnews\r\n$4\r\nmine\r\n"
    );
}

#[test]
fn a_monitor_sees_what_the_server_does() {
    let stage = Stage::start(&Policy::trusted().redis(""));
    let mut watches = stage.user("alice");
    assert_eq!(watches.ask_line("MONITOR").text(), "OK");
    stage.user("bob").ask_line("SET seen 1");
    let seen = bulkhead_tests::wait::blocking(bulkhead_tests::PATIENCE, || {
        read(&mut watches).contains("seen").then_some(())
    });
    assert!(seen.is_some());
}
