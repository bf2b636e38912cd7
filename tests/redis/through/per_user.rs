//! A Redis user for each end user (`session.acl: PerUser`), through the whole sidecar: scripts are allowed, and the server itself holds them
//! to their user's keys.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::redis::{Connection, Server};
use bulkhead_tests::sidecar::Sidecar;
use bulkhead_tests::{PATIENCE, wait};

use super::prefixed::Client;
use super::stage::{Stage, error, launch};
use crate::across_users::nothing_crosses;
use crate::hostile_scripts::{no_script_crosses, scripts_of_ones_own_work};

const ENTRY: &str = "{upstream: {credentialsSecretRef: {name: redis}}, session: {keyPrefix: '{user}:', acl: PerUser}}";
const SECRETS: [(&str, &str); 2] = [("redis/username", "sidecar"), ("redis/password", "hidden")];

fn policy() -> Policy {
    Policy::trusted().redis(ENTRY)
}

fn server() -> Server {
    let user = ["--user", "sidecar", "on", ">hidden", "~*", "&*", "+@all"];
    Server::own_with(&[&user[..], &["--notify-keyspace-events", "KEA"]].concat())
}

fn stage() -> Stage {
    Stage::before(server(), &policy(), &SECRETS)
}

/// The Redis users of those connections of clients that the server has, without the one that asks.
fn logged_in(server: &Server) -> Vec<String> {
    let list = server.connect().ask_line("CLIENT LIST").text();
    let users = list
        .lines()
        .filter(|line| !line.contains("cmd=client|list"));
    let user = |line: &str| {
        let mut words = line.split(' ');
        let found = words.find_map(|word| word.strip_prefix("user="));
        found.map(str::to_owned)
    };
    let mut users: Vec<String> = users.filter_map(user).collect();
    users.sort();
    users
}

fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let met = wait::blocking(PATIENCE, || condition().then_some(()));
    assert!(met.is_some(), "{what}");
}

fn read(connection: &mut Connection) -> String {
    String::from_utf8(connection.try_read().unwrap()).unwrap()
}

#[test]
fn no_command_and_no_script_sees_or_changes_what_is_anothers() {
    let stage = stage();
    let alice = || Box::new(Client(stage.user("alice"))) as Box<dyn crate::user::Way>;
    nothing_crosses(&stage.server, true, alice);
    no_script_crosses(&stage.server, alice);
    scripts_of_ones_own_work(&mut Client(stage.user("alice")));
}

#[test]
fn every_connection_of_a_users_is_their_redis_users() {
    let stage = stage();
    let (mut alice, mut bob) = (stage.user("alice"), stage.user("b:ob"));
    assert_eq!(alice.ask_line("SET k v").text(), "OK");
    assert_eq!(bob.ask_line("SET k v").text(), "OK");
    assert_eq!(
        logged_in(&stage.server),
        ["bulkhead:alice:", "bulkhead:b%3Aob:"]
    );
    // What a client says of itself does not leave the user.
    for line in [
        "RESET",
        "AUTH sidecar hidden",
        "HELLO 3 AUTH sidecar hidden",
        "AUTH hidden",
    ] {
        let mut client = stage.user("alice");
        client.ask_line("GET k");
        client.ask_line(line);
        let told = error(&client.ask_line("GET k"));
        assert!(told.starts_with("NOAUTH"), "{line}: {told}");
    }
    let mut client = stage.user("alice");
    assert_eq!(client.ask_line("ACL WHOAMI").text(), "bulkhead:alice:");
    assert_eq!(client.ask_line("CLIENT SETNAME bulkhead:b:ob").text(), "OK");
    assert_eq!(client.ask_line("ACL WHOAMI").text(), "bulkhead:b%3Aob:");
    let long = "u".repeat(256);
    let mut long = stage.user(&long);
    assert_eq!(long.ask_line("SET k v").text(), "OK");
    let name = long.ask_line("ACL WHOAMI").text();
    assert!(name.starts_with("bulkhead#") && name.len() == 73, "{name}");
}

#[test]
fn spares_are_the_sidecars_own_until_somebody_has_them() {
    let policy = policy().pool("warm: 2, warmRate: 100");
    let stage = Stage::before(server(), &policy, &SECRETS);
    until("there are spares", || {
        logged_in(&stage.server) == ["sidecar", "sidecar"]
    });
    let mut alice = stage.user("alice");
    assert_eq!(alice.ask_line("ACL WHOAMI").text(), "bulkhead:alice:");
    let told = error(&alice.ask_line("EVAL return{redis.call('GET','bob:k')} 0"));
    assert!(
        told.contains("can't access at least one of the keys"),
        "{told}"
    );
}

#[test]
fn keys_of_scripts_and_transactions_are_the_users_own() {
    let stage = stage();
    let mut alice = stage.user("alice");
    alice.ask_line("MULTI");
    alice.ask_line("SET k v");
    alice.ask_line("EVAL return{redis.call('GET',KEYS[1])} 1 k");
    let done = alice.ask_line("EXEC");
    assert_eq!(done.elements()[1].elements()[0].text(), "v");
    for refused in [
        "FUNCTION LOAD x",
        "SCRIPT FLUSH",
        "SCAN 0",
        "KEYS *",
        "INFO",
        "PUBSUB CHANNELS",
    ] {
        let told = error(&alice.ask_line(refused));
        assert!(
            told.starts_with("NOPERM Bulkhead refuses"),
            "{refused}: {told}"
        );
    }
}

#[test]
fn a_subscriber_hears_their_own_keys_and_channels() {
    let stage = stage();
    let mut listens = stage.user("alice");
    for (line, name) in [
        ("SUBSCRIBE news __keyspace@0__:k", "news"),
        ("PSUBSCRIBE * __keyspace@0__:*", "*"),
    ] {
        let words = line.split(' ').collect::<Vec<_>>();
        listens
            .try_send(format!("{}\r\n", words.join(" ")).as_bytes())
            .unwrap();
        assert!(read(&mut listens).contains(name), "{line}");
        assert!(read(&mut listens).contains("__keyspace@0__:"), "{line}");
    }
    stage.user("bob").ask_line("SET k 1");
    let mut alice = stage.user("alice");
    alice.ask_line("SET k 1");
    let heard = [read(&mut listens), read(&mut listens)];
    assert!(
        heard
            .iter()
            .all(|heard| heard.contains("__keyspace@0__:k\r\n")),
        "{heard:?}"
    );
    assert_eq!(
        alice
            .ask_line("EVAL return{redis.call('PUBLISH','alice:news','x')} 0")
            .elements()
            .len(),
        1
    );
    assert!(read(&mut listens).contains("news"));
}

#[test]
fn a_server_that_has_forgotten_its_users_is_told_again() {
    let mut stage = stage();
    let mut alice = stage.user("alice");
    alice.ask_line("SET k v");
    // Its connections end with it.
    assert_eq!(
        stage
            .direct()
            .ask_line("ACL DELUSER bulkhead:alice:")
            .text(),
        "1"
    );
    until("she is served again", || {
        !alice.ask_line("SET k v").is_error()
    });
    assert_eq!(alice.ask_line("ACL WHOAMI").text(), "bulkhead:alice:");
    stage.server.kill();
    stage.server.start();
    until("she is served again", || {
        !alice.ask_line("SET k v").is_error()
    });
    assert_eq!(alice.ask_line("ACL WHOAMI").text(), "bulkhead:alice:");
    let told = error(&alice.ask_line("EVAL return{redis.call('GET','bob:k')} 0"));
    assert!(
        told.contains("can't access at least one of the keys"),
        "{told}"
    );
}

#[test]
fn sidecars_share_a_server_and_a_rotation_cuts_nobody_off() {
    let first = stage();
    let second = Sidecar::start(&policy(), first.server.port(), "0", &launch(&SECRETS));
    let at_second = || {
        let mut client = Connection::to_port(second.port());
        assert_eq!(
            client.ask_line("CLIENT SETNAME bulkhead:alice").text(),
            "OK"
        );
        client
    };
    let mut listens = first.user("alice");
    listens.ask_line("SUBSCRIBE news");
    let mut opened = first.user("alice");
    opened.ask_line("WATCH k");
    let mut other = at_second();
    assert_eq!(other.ask_line("SET k v").text(), "OK");
    let mut admin = first.direct();
    let hashes = |admin: &mut Connection| {
        let user = admin.ask_line("ACL GETUSER bulkhead:alice:");
        user.elements()[3].elements().to_vec()
    };
    let before = hashes(&mut admin);
    assert_eq!(before.len(), 1, "one password for all pods");
    admin.ask_line("ACL SETUSER sidecar resetpass >rotated");
    first.sidecar.write_secret("redis/password", "rotated");
    second.write_secret("redis/password", "rotated");
    // Another connection than the one that is open.
    other.ask_line("WATCH k");
    assert_eq!(at_second().ask_line("SET k v").text(), "OK");
    let after = hashes(&mut admin);
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");
    assert_eq!(opened.ask_line("GET k").text(), "v", "what is open goes on");
    assert_eq!(at_second().ask_line("PUBLISH news hello").text(), "1");
    assert!(read(&mut listens).contains("hello"));
}

#[test]
fn the_sidecars_own_user_needs_few_rights_and_is_told_which() {
    let stage = stage();
    let mut admin = stage.direct();
    let mut allow = |rights: &str| {
        let line = format!("ACL SETUSER sidecar reset on >hidden {rights}");
        assert_eq!(admin.ask_line(&line).text(), "OK");
    };
    allow("+hello +select");
    let mut alice = stage.user("alice");
    let told = error(&alice.ask_line("SET k v"));
    for part in [
        "UNAVAILABLE",
        "databases[main].session.acl = PerUser",
        "\"sidecar\"",
        "+acl|setuser +command|list",
        "NOPERM",
    ] {
        assert!(told.contains(part), "{told}");
    }
    allow("+hello +select +command|list");
    let told = error(&alice.ask_line("SET k v"));
    assert!(
        told.contains("makes a Redis user") && told.contains("NOPERM"),
        "{told}"
    );
    allow("+hello +select +command|list +acl|setuser");
    assert_eq!(alice.ask_line("SET k v").text(), "OK");
}

#[test]
fn a_policy_that_keeps_keys_apart_in_another_way_holds_from_the_next_command_on() {
    let plain = Policy::trusted().redis(
        "{upstream: {credentialsSecretRef: {name: redis}}, session: {keyPrefix: '{user}:'}}",
    );
    let stage = Stage::before(server(), &plain, &SECRETS);
    let mut alice = stage.user("alice");
    alice.ask_line("SET k v");
    let mut watches = stage.user("alice");
    watches.ask_line("WATCH k");
    let mut listens = stage.user("alice");
    listens.ask_line("HELLO 3");
    listens.ask_line("SUBSCRIBE news");
    let changed = stage.sidecar.policy().clone();
    let changed = changed.database("session: {acl: PerUser}");
    stage.sidecar.write_policy(&changed.text());
    until("the policy is in force", || {
        alice.ask_line("ACL WHOAMI").text() == "bulkhead:alice:"
    });
    assert_eq!(alice.ask_line("GET k").text(), "v");
    // What stands on a connection that was opened before is ended with it, and never runs as the sidecar's own user.
    let told = error(&listens.ask_line("EVAL return{redis.call('GET','bob:k')} 0"));
    assert!(
        told.contains("connect again") || told.starts_with("NOPERM"),
        "{told}"
    );
    assert!(listens.try_read().is_err(), "closed");
    watches.ask_line("UNWATCH");
    assert_eq!(watches.ask_line("ACL WHOAMI").text(), "bulkhead:alice:");
}
