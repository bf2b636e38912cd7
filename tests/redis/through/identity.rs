//! Who is let in, and as whom.

use bulkhead_tests::policy::Policy;
use bulkhead_tests::redis::Server;
use bulkhead_tests::tokens::{Signer, key_set};
use jsonwebtoken::Algorithm;

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
fn in_audit_names_are_claims_and_commands_are_counted_by_them() {
    let signer = Signer::new("house", Algorithm::EdDSA);
    let keys = key_set(&[&signer]);
    let policy = Policy::signed_context().redis("").spec("mode: Audit");
    let secrets = [("bulkhead-context-keys/jwks.json", keys.as_str())];
    let stage = Stage::before(Server::own(), &policy, &secrets);
    let counted = |family: &str, application: &str| {
        let metrics = stage.sidecar.metrics();
        ["verified", "claimed", "placeholder", "unattributed"].map(|way| {
            let labels = [
                ("application", application),
                ("attribution", way),
                ("protocol", "redis"),
            ];
            metrics.sum(family, &labels) as u32
        })
    };
    let (queries, connections) = (
        "bulkhead_inventory_queries_total",
        "bulkhead_inventory_connections_total",
    );
    let mut nobody = stage.stranger();
    nobody.ask_line("CLIENT SETNAME web");
    nobody.ask_line("SET k v");
    nobody.ask_line("GET k");
    assert_eq!(counted(queries, "web"), [0, 0, 0, 2]);
    assert_eq!(counted(connections, "web"), [0, 0, 0, 1]);
    // It says so later, on the same connection.
    assert_eq!(
        nobody.ask_line("CLIENT SETNAME bulkhead:alice").text(),
        "OK"
    );
    assert_eq!(
        nobody.ask_line("GET k").text(),
        "v",
        "nobody's key, as before"
    );
    assert_eq!(counted(queries, "web"), [0, 1, 0, 2]);
    let mut library = stage.stranger();
    library.ask_line("CLIENT SETINFO LIB-NAME redis-py");
    assert_eq!(library.ask_line("CLIENT SETNAME bulkhead:bob").text(), "OK");
    library.ask_line("PING x");
    library.ask_line("GET k");
    assert_eq!(counted(connections, "redis-py"), [0, 1, 0, 0]);
    assert!(counted(queries, "redis-py")[1] >= 1);
    let mut placeholder = stage.stranger();
    placeholder.ask_line("CLIENT SETNAME bulkhead:null");
    placeholder.ask_line("GET k");
    assert_eq!(counted(connections, ""), [0, 0, 1, 0]);
    let told = stage.sidecar.metrics().text().to_owned();
    assert!(!told.contains("alice") && !told.contains("bob"), "{told}");
}

#[test]
fn in_tier_shared_nobody_need_say_who_they_are() {
    let stage = Stage::start(&Policy::trusted().redis("").tier("Shared"));
    let mut client = stage.stranger();
    assert_eq!(client.ask_line("AUTH default secret").text(), "OK");
    assert_eq!(client.ask_line("SET k v").text(), "OK");
}
