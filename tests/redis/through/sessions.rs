//! Commands, pipelines and connections.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::redis::{Connection, Reply};

use super::stage::{Stage, error};

fn stage() -> Stage {
    Stage::start(&Policy::trusted().redis(""))
}

#[test]
fn a_users_commands_reach_the_server_and_their_answers_come_back() {
    let stage = stage();
    let mut alice = stage.user("alice");
    assert_eq!(alice.ask_line("SET k v").text(), "OK");
    assert_eq!(alice.ask_line("GET k").text(), "v");
    assert_eq!(alice.ask_line("GET nothing"), Reply::Null);
    assert_eq!(stage.direct().ask_line("GET k").text(), "v");
    assert!(error(&alice.ask_line("LPUSH k x")).starts_with("WRONGTYPE"));
}

#[test]
fn inline_commands_are_taken() {
    let stage = stage();
    let mut alice = stage.user("alice");
    alice.try_send(b"SET k \"a b\"\r\n\r\nGET k\r\n").unwrap();
    assert_eq!(alice.try_read().unwrap(), b"+OK\r\n");
    assert_eq!(alice.try_read().unwrap(), b"$3\r\na b\r\n");
}

#[test]
fn a_pipeline_is_answered_in_order_whoever_answers() {
    let stage = stage();
    let mut alice = stage.user("alice");
    let mut sent = Vec::new();
    for number in 0..1000 {
        sent.extend(format!("INCR n\r\nCLIENT SETNAME c{number}\r\nCLIENT GETNAME\r\n").bytes());
    }
    alice.try_send(&sent).unwrap();
    for number in 0..1000 {
        assert_eq!(read(&mut alice), format!(":{}\r\n", number + 1));
        assert_eq!(read(&mut alice), "+OK\r\n");
        let name = format!("c{number}");
        assert_eq!(read(&mut alice), format!("${}\r\n{name}\r\n", name.len()));
    }
}

fn read(connection: &mut Connection) -> String {
    String::from_utf8(connection.try_read().unwrap()).unwrap()
}

#[test]
fn a_client_may_send_a_long_pipeline_before_it_reads() {
    let stage = stage();
    let mut alice = stage.user("alice");
    let count = 50_000;
    let sent = "PING\r\n".repeat(count);
    alice.try_send(sent.as_bytes()).unwrap();
    for _ in 0..count {
        assert_eq!(alice.try_read().unwrap(), b"+PONG\r\n");
    }
}

#[test]
fn big_values_pass_both_ways_and_are_not_kept() {
    let stage = stage();
    let mut alice = stage.user("alice");
    let value: Vec<u8> = (0..32 * 1024 * 1024_u32)
        .map(|at| (at % 251) as u8)
        .collect();
    let before = stage.sidecar.memory("VmHWM");
    assert_eq!(alice.ask(&[b"SET", b"big", &value]).text(), "OK");
    assert_eq!(alice.ask_line("STRLEN big").text(), value.len().to_string());
    assert_eq!(alice.ask_line("GET big"), Reply::Bytes(value.clone()));
    let grown = stage.sidecar.memory("VmHWM") - before;
    assert!(
        grown < 8 * 1024 * 1024,
        "{grown} bytes for a value of 32 MiB"
    );
}

#[test]
fn a_command_of_many_arguments_passes_and_is_not_kept() {
    let stage = stage();
    let mut alice = stage.user("alice");
    let value = vec![b'v'; 1000];
    let keys: Vec<String> = (0..20_000).map(|at| format!("key:{at}")).collect();
    let mut words: Vec<&[u8]> = vec![b"MSET"];
    keys.iter()
        .for_each(|key| words.extend([key.as_bytes(), &value]));
    let before = stage.sidecar.memory("VmHWM");
    assert_eq!(alice.ask(&words).text(), "OK");
    let grown = stage.sidecar.memory("VmHWM") - before;
    assert!(
        grown < 8 * 1024 * 1024,
        "{grown} bytes for 20 MB of arguments"
    );
    assert_eq!(alice.ask_line("DBSIZE").text(), "20000");
}

#[test]
fn whoever_asks_without_end_while_a_reply_is_owed_is_not_kept_in_memory() {
    let stage = stage();
    let mut alice = stage.user("alice");
    alice.try_send(b"BLPOP list 0\r\n").unwrap();
    let count = 100_000;
    let asks = std::thread::spawn(move || {
        alice
            .try_send("CLIENT GETNAME\r\n".repeat(count).as_bytes())
            .unwrap();
        alice
    });
    let mut bob = stage.user("bob");
    let waits = || {
        bob.ask_line("INFO clients")
            .text()
            .contains("blocked_clients:1")
    };
    until("she waits", waits);
    assert_eq!(bob.ask_line("RPUSH list one").text(), "1");
    let mut alice = asks.join().unwrap();
    assert!(read(&mut alice).contains("one"));
    for _ in 0..count {
        assert_eq!(read(&mut alice), "$0\r\n\r\n");
    }
}

#[test]
fn a_connection_goes_back_to_its_user_and_to_nobody_else() {
    let stage = stage();
    let mut first = stage.user("alice");
    first.ask_line("PING");
    first.ask_line("GET k");
    let mut second = stage.user("alice");
    second.ask_line("GET k");
    assert_eq!(
        stage.server_clients(),
        1,
        "two clients of one user, in turn"
    );
    let mut bob = stage.user("bob");
    bob.ask_line("GET k");
    assert_eq!(stage.server_clients(), 2);
    let name = "bulkhead_cross_user_handoffs_total";
    assert!(stage.sidecar.metric(name, &[("upstream", "main")]) < 0.5);
}

#[test]
fn what_a_client_has_chosen_is_its_own_on_whatever_connection() {
    let stage = stage();
    let mut zero = stage.user("alice");
    let mut three = stage.user("alice");
    assert_eq!(three.ask_line("SELECT 3").text(), "OK");
    three.ask_line("SET k three");
    zero.ask_line("SET k zero");
    let hello = three.ask_line("HELLO 3");
    assert!(matches!(hello, Reply::Map(_)), "{hello:?}");
    for _ in 0..3 {
        assert_eq!(three.ask_line("GET k").text(), "three");
        assert_eq!(zero.ask_line("GET k").text(), "zero");
        three.ask_line("HSET h a 1");
        assert!(matches!(three.ask_line("HGETALL h"), Reply::Map(_)));
        zero.ask_line("HSET h a 1");
        assert!(matches!(zero.ask_line("HGETALL h"), Reply::List(_)));
    }
    assert_eq!(stage.server_clients(), 1);
    assert!(error(&three.ask_line("SELECT 99")).contains("out of range"));
    assert_eq!(three.ask_line("GET k").text(), "three");
}

#[test]
fn only_what_leaves_something_behind_keeps_its_connection() {
    let stage = Stage::start(&Policy::trusted().redis("pool: {perUser: {max: 1}}"));
    let (mut one, mut other) = (stage.user("alice"), stage.user("alice"));
    for unknown in ["NO.SUCH command", "CLIENT NO-SUCH on"] {
        assert!(one.ask_line(unknown).is_error());
        assert_eq!(other.ask_line("PING").text(), "PONG", "{unknown}");
    }
    // MONITOR does: until its client has gone, another of the user's has none.
    assert_eq!(one.ask_line("MONITOR").text(), "OK");
    drop(one);
    assert_eq!(other.ask_line("PING").text(), "PONG");
}

#[test]
fn what_breaks_the_protocol_ends_its_connection_behind_what_is_owed() {
    let stage = stage();
    let mut alice = stage.user("alice");
    let mut bob = stage.user("bob");
    alice.try_send(b"INCR n\r\n*1\r\n!oops\r\n").unwrap();
    assert_eq!(read(&mut alice), ":1\r\n");
    assert!(read(&mut alice).starts_with("-ERR Protocol error"));
    assert!(alice.try_read().is_err(), "closed");
    assert_eq!(bob.ask_line("INCR n").text(), "2");
}

#[test]
fn quit_and_reset() {
    let stage = stage();
    let mut alice = stage.user("alice");
    alice.ask_line("SELECT 5");
    assert_eq!(alice.ask_line("RESET").text(), "RESET");
    assert!(
        error(&alice.ask_line("GET k")).starts_with("NOAUTH"),
        "nobody's again"
    );
    let again = alice.ask_line("CLIENT SETNAME bulkhead:bob");
    assert_eq!(again.text(), "OK");
    alice.ask_line("SET k bobs");
    assert_eq!(
        stage.direct().ask_line("GET k").text(),
        "bobs",
        "in database 0"
    );
    assert_eq!(alice.ask_line("QUIT").text(), "OK");
    assert!(alice.try_read().is_err(), "closed");
}

#[test]
fn blocking_commands_wait_without_keeping_anybody_else() {
    let policy = Policy::trusted().redis("timeouts: {statement: 500ms}");
    let stage = Stage::start(&policy);
    let mut waits = stage.user("alice");
    waits.try_send(b"BLPOP list 0\r\n").unwrap();
    let mut gives = stage.user("alice");
    // Longer than a command may take.
    for _ in 0..8 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        assert_eq!(gives.ask_line("PING").text(), "PONG");
    }
    gives.ask_line("RPUSH list one");
    assert_eq!(read(&mut waits), "*2\r\n$4\r\nlist\r\n$3\r\none\r\n");
}

#[test]
fn a_client_that_goes_while_it_waits_leaves_nothing_waiting() {
    let stage = stage();
    let mut waits = stage.user("alice");
    waits.try_send(b"BLPOP list 0\r\n").unwrap();
    let mut direct = stage.direct();
    let blocked = |direct: &mut Connection| {
        direct
            .ask_line("INFO clients")
            .text()
            .contains("blocked_clients:1")
    };
    until("it waits", || blocked(&mut direct));
    drop(waits);
    until("nobody waits", || !blocked(&mut direct));
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let met =
        bulkhead_tests::wait::blocking(bulkhead_tests::PATIENCE, || condition().then_some(()));
    assert!(met.is_some(), "{what}");
}

#[test]
fn a_server_that_goes_costs_the_commands_under_way_and_no_more() {
    let mut stage = stage();
    let mut alice = stage.user("alice");
    alice.ask_line("SET k v");
    alice.try_send(b"BLPOP list 0\r\n").unwrap();
    until("it waits", || {
        stage
            .direct()
            .ask_line("INFO clients")
            .text()
            .contains("blocked_clients:1")
    });
    stage.server.kill();
    let told = read(&mut alice);
    assert!(
        told.starts_with("-UNAVAILABLE") && told.contains("not known"),
        "{told}"
    );
    let refused = error(&alice.ask_line("GET k"));
    assert!(
        refused.starts_with("UNAVAILABLE") && refused.contains("databases[main]"),
        "{refused}"
    );
    stage.server.start();
    until("it is served again", || !alice.ask_line("GET k").is_error());
}
