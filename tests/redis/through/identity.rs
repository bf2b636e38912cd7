//! Who is let in, and as whom.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::redis::Server;

use super::stage::{Stage, error};

#[test]
fn a_client_says_who_it_is_in_one_of_three_ways() {
    let stage = Stage::start(&Policy::trusted().redis(""));
    for line in [
        "CLIENT SETNAME bulkhead:alice",
        "AUTH default+alice anything",
        "HELLO 3 SETNAME bulkhead:alice",
        "HELLO 2 AUTH default+alice anything",
    ] {
        let mut client = stage.stranger();
        let said = client.ask_line(line);
        assert!(!said.is_error(), "{line}: {said:?}");
        assert_eq!(client.ask_line("PING").text(), "PONG", "{line}");
    }
    let users = stage.sidecar.command(&["users", "--json"]);
    let users = String::from_utf8_lossy(&users.stdout).into_owned();
    assert!(users.contains("alice"), "{users}");
}

#[test]
fn whoever_has_not_said_so_is_told_how() {
    let stage = Stage::start(&Policy::trusted().redis(""));
    let mut client = stage.stranger();
    assert_eq!(client.ask_line("PING").text(), "PONG", "a health check");
    let told = error(&client.ask_line("GET k"));
    assert!(
        told.starts_with("NOAUTH") && told.contains("CLIENT SETNAME bulkhead:ID"),
        "{told}"
    );
    assert!(error(&client.ask_line("CLIENT SETNAME bulkhead:null")).starts_with("WRONGPASS"));
    assert_eq!(
        client.ask_line("CLIENT SETNAME bulkhead:alice").text(),
        "OK",
        "and may try again"
    );
    assert_eq!(client.ask_line("SET k v").text(), "OK");
    assert!(error(&stage.stranger().ask_line("AUTH other+alice x")).contains("role \"other\""));
}

#[test]
fn another_user_on_the_same_connection_gets_connections_of_their_own() {
    let stage = Stage::start(&Policy::trusted().redis(""));
    let mut client = stage.user("alice");
    client.ask_line("SET k v");
    for user in ["bob", "carol", "alice", "dave"] {
        let line = format!("CLIENT SETNAME bulkhead:{user}");
        assert_eq!(client.ask_line(&line).text(), "OK", "{user}");
        assert_eq!(client.ask_line("GET k").text(), "v", "{user}");
    }
    assert_eq!(stage.server_clients(), 4);
    assert!(error(&client.ask_line("CLIENT SETNAME bulkhead:null")).starts_with("WRONGPASS"));
    assert!(
        error(&client.ask_line("GET k")).starts_with("NOAUTH"),
        "not dave any more"
    );
}

#[test]
fn the_sidecars_own_credentials_reach_the_server_and_no_clients_do() {
    let server = Server::own_with(&["--requirepass", "hidden"]);
    let policy = Policy::trusted().redis("upstream: {credentialsSecretRef: {name: redis}}");
    let secrets = [("redis/username", "default"), ("redis/password", "hidden")];
    let stage = Stage::before(server, &policy, &secrets);
    let mut alice = stage.user("alice");
    assert_eq!(alice.ask_line("SET k v").text(), "OK");
    stage.sidecar.write_secret("redis/password", "wrong");
    let mut bob = stage.user("bob");
    let told = error(&bob.ask_line("GET k"));
    assert!(
        told.starts_with("UNAVAILABLE") && told.contains("WRONGPASS"),
        "{told}"
    );
    assert_eq!(alice.ask_line("GET k").text(), "v", "what is open goes on");
}

#[test]
fn in_audit_everybody_is_served_and_counted() {
    let stage = Stage::start(&Policy::trusted().redis("").spec("mode: Audit"));
    let mut client = stage.stranger();
    client.ask_line("CLIENT SETNAME nightly");
    assert_eq!(client.ask_line("SET k v").text(), "OK");
    let labels = [("protocol", "redis")];
    assert!(stage.sidecar.metric("bulkhead_unattributed_total", &labels) > 0.5);
}

#[test]
fn in_tier_shared_nobody_need_say_who_they_are() {
    let stage = Stage::start(&Policy::trusted().redis("").tier("Shared"));
    let mut client = stage.stranger();
    assert_eq!(client.ask_line("AUTH default secret").text(), "OK");
    assert_eq!(client.ask_line("SET k v").text(), "OK");
}
