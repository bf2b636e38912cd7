//! How the server is reached: over TLS, by a Unix socket, as one node of a cluster; and what `check` says of it.

use std::path::Path;
use std::process::Command;

use bulkhead_tests::certificates::{Authority, Identity};
use bulkhead_tests::policy::Policy;
use bulkhead_tests::processes::{folder, free_port};
use bulkhead_tests::programs;
use bulkhead_tests::redis::{Connection, Server};
use bulkhead_tests::sidecar::Sidecar;

use super::stage::{Stage, error, launch};

/// A server that speaks TLS at a second port, and that port.
fn with_tls(identity: &Identity) -> (Server, u16) {
    let place = folder("redis-tls");
    let write = |name: &str, text: &str| {
        let path = place.join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (certificate, key) = (
        write("tls.crt", &identity.certificate),
        write("tls.key", &identity.key),
    );
    let port = free_port();
    let server = Server::own_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &certificate,
        "--tls-key-file",
        &key,
        "--tls-auth-clients",
        "no",
    ]);
    (server, port)
}

fn over_tls(authority: &Authority, identity: &Identity, more: &str) -> Stage {
    let (server, port) = with_tls(identity);
    let policy = Policy::trusted()
        .redis("{upstream: {tls: {mode: VerifyFull, caSecretRef: {name: ca}}}}")
        .database(more);
    let authority = authority.certificate();
    let secrets = [
        ("ca/ca.crt", authority.as_str()),
        ("redis/username", "default"),
        ("redis/password", "hidden"),
    ];
    let sidecar = Sidecar::start(&policy, port, "0", &launch(&secrets));
    Stage { server, sidecar }
}

/// `check` with a running sidecar's policy: whether it is content, and what it says.
fn check(sidecar: &Sidecar) -> (bool, String) {
    let home = sidecar.home();
    let said = Command::new(programs::sidecar())
        .arg("check")
        .arg("--policy")
        .arg(home.join("policy.yaml"))
        .args(["--environment", "testing", "--secrets"])
        .arg(home.join("secrets"))
        .output()
        .unwrap();
    let text = [said.stdout, said.stderr].concat();
    (said.status.success(), String::from_utf8(text).unwrap())
}

#[test]
fn a_server_is_reached_over_tls_and_must_be_who_it_says() {
    let authority = Authority::new("house");
    let stage = over_tls(&authority, &authority.issue(&["127.0.0.1"]), "{}");
    let mut alice = stage.user("alice");
    let value = vec![b'x'; 3_000_000];
    assert_eq!(alice.ask(&[b"SET", b"big", &value]).text(), "OK");
    assert_eq!(alice.ask_line("GET big").text().len(), value.len());
    let mut listens = stage.user("alice");
    listens.ask_line("SUBSCRIBE news");
    assert_eq!(alice.ask_line("PUBLISH news hello").text(), "1");
    assert!(
        String::from_utf8(listens.try_read().unwrap())
            .unwrap()
            .contains("hello")
    );
    let connections = stage.direct().ask_line("INFO clients").text();
    assert!(connections.contains("connected_clients:3"), "{connections}");
    let (well, text) = check(&stage.sidecar);
    assert!(
        well && text.contains("is Redis 7.") && text.contains(", TLS; connected in"),
        "{text}"
    );
    let others = Authority::new("another house");
    for identity in [
        authority.issue(&["cache.example"]),
        others.issue(&["127.0.0.1"]),
    ] {
        let stage = over_tls(&authority, &identity, "{}");
        let told = error(&stage.user("alice").ask_line("PING x"));
        assert!(
            told.starts_with("UNAVAILABLE") && told.contains("TLS failed"),
            "{told}"
        );
        let (well, text) = check(&stage.sidecar);
        assert!(!well && text.contains("TLS failed"), "{text}");
        let seen = stage.direct().ask_line("INFO stats").text();
        assert!(
            seen.contains("total_error_replies:0"),
            "nothing was said: {seen}"
        );
    }
}

#[test]
fn over_tls_too_credentials_are_renewed_under_sessions_that_go_on() {
    let authority = Authority::new("house");
    let identity = authority.issue(&["127.0.0.1"]);
    let entry = "{upstream: {credentialsSecretRef: {name: redis}}, session: {keyPrefix: '{user}:', acl: PerUser}}";
    let (server, port) = with_tls(&identity);
    server.connect().ask_line("CONFIG SET requirepass hidden");
    let policy = Policy::trusted()
        .redis("{upstream: {tls: {mode: VerifyFull, caSecretRef: {name: ca}}}}")
        .database(entry);
    let authority = authority.certificate();
    let secrets = [
        ("ca/ca.crt", authority.as_str()),
        ("redis/username", "default"),
        ("redis/password", "hidden"),
    ];
    let sidecar = Sidecar::start(&policy, port, "0", &launch(&secrets));
    let stage = Stage { server, sidecar };
    let mut alice = stage.user("alice");
    assert_eq!(alice.ask_line("SET k v").text(), "OK");
    alice.ask_line("WATCH k");
    let mut admin = stage.direct();
    admin.ask_line("AUTH hidden");
    admin.ask_line("CONFIG SET requirepass rotated");
    stage.sidecar.write_secret("redis/password", "rotated");
    assert_eq!(
        stage.user("alice").ask_line("GET k").text(),
        "v",
        "a new connection"
    );
    assert_eq!(alice.ask_line("GET k").text(), "v", "and the old one");
}

#[test]
fn a_server_is_reached_by_its_unix_socket() {
    let server = Server::own();
    let socket = server.socket().display().to_string();
    let policy = Policy::trusted().redis(&format!("upstream: {{host: {socket}}}"));
    let stage = Stage::before(server, &policy, &[]);
    let mut alice = stage.user("alice");
    assert_eq!(alice.ask_line("SET k v").text(), "OK");
    let list = stage.direct().ask_line("CLIENT LIST").text();
    assert!(list.lines().all(|line| line.contains(&socket)), "{list}");
    let (well, text) = check(&stage.sidecar);
    assert!(well && text.contains("not encrypted"), "{text}");
}

#[test]
fn check_says_which_right_is_missing() {
    let user = ["--user", "sidecar", "on", ">hidden", "+hello", "+select"];
    let policy = Policy::trusted().redis(
        "{upstream: {credentialsSecretRef: {name: redis}}, session: {keyPrefix: '{user}:', acl: PerUser}}",
    );
    let secrets = [("redis/username", "sidecar"), ("redis/password", "hidden")];
    let stage = Stage::before(Server::own_with(&user), &policy, &secrets);
    let mut admin = stage.direct();
    for right in ["+command|list", "+acl|setuser"] {
        let (well, text) = check(&stage.sidecar);
        assert!(!well && text.contains("error[AclRights]"), "{text}");
        for part in [
            "databases[main].session.acl",
            "\"sidecar\"",
            "+acl|setuser +command|list",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("hidden"), "{text}");
        admin.ask_line(&format!("ACL SETUSER sidecar {right}"));
    }
    let (well, text) = check(&stage.sidecar);
    assert!(well && text.contains("user \"sidecar\""), "{text}");
    let users = admin.ask_line("ACL USERS");
    assert_eq!(users.elements().len(), 2, "nothing was made: {users:?}");
    admin.ask_line("ACL SETUSER sidecar resetpass >other");
    let (well, text) = check(&stage.sidecar);
    assert!(
        !well && text.contains("error[Connect]") && text.contains("WRONGPASS"),
        "{text}"
    );
}

/// Two nodes of a cluster on ports of the kernel's: the first has the slots up to 8191, the second the rest.
fn cluster() -> [Server; 2] {
    let nodes = [(); 2].map(|()| {
        let bus = free_port().to_string();
        Server::own_with(&["--cluster-enabled", "yes", "--cluster-port", &bus])
    });
    let bus_of = |node: &Server| {
        let line = node.connect().ask_line("CLUSTER NODES").text();
        let address = line.split(' ').nth(1).unwrap();
        let bus = address.split('@').nth(1).unwrap();
        bus.split(',').next().unwrap().to_owned()
    };
    nodes[0].connect().ask_line("CLUSTER ADDSLOTSRANGE 0 8191");
    nodes[1]
        .connect()
        .ask_line("CLUSTER ADDSLOTSRANGE 8192 16383");
    nodes[1].connect().ask_line("CLUSTER SET-CONFIG-EPOCH 2");
    let met = format!(
        "CLUSTER MEET 127.0.0.1 {} {}",
        nodes[1].port(),
        bus_of(&nodes[1])
    );
    assert_eq!(nodes[0].connect().ask_line(&met).text(), "OK");
    for node in &nodes {
        let whole = bulkhead_tests::wait::blocking(bulkhead_tests::PATIENCE, || {
            let info = node.connect().ask_line("CLUSTER INFO").text();
            info.contains("cluster_state:ok").then_some(())
        });
        assert!(whole.is_some(), "the cluster is not whole");
    }
    nodes
}

#[test]
fn a_nodes_redirections_pass_as_they_are_and_lead_past_the_sidecar() {
    let [node, other] = cluster();
    let stage = Stage::before(node, &Policy::trusted().redis(""), &[]);
    let mut alice = stage.user("alice");
    // Slots 3300 and 11694.
    assert_eq!(alice.ask_line("SET b v").text(), "OK");
    let moved = format!("MOVED 15495 127.0.0.1:{}", other.port());
    for _ in 0..2 {
        assert_eq!(error(&alice.ask_line("GET a")), moved);
        assert_eq!(
            alice.ask_line("GET b").text(),
            "v",
            "the connection goes on"
        );
    }
    let inside = alice.ask_line("MULTI");
    assert_eq!(inside.text(), "OK");
    assert_eq!(error(&alice.ask_line("SET a v")), moved);
    assert!(error(&alice.ask_line("EXEC")).starts_with("EXECABORT"));
    assert!(error(&alice.ask_line("MGET a b")).starts_with("CROSSSLOT"));
    // A slot on its way to the other node.
    let id = |node: &Server| node.connect().ask_line("CLUSTER MYID").text();
    let to = format!("CLUSTER SETSLOT 3300 MIGRATING {}", id(&other));
    assert_eq!(stage.direct().ask_line(&to).text(), "OK");
    let from = format!("CLUSTER SETSLOT 3300 IMPORTING {}", id(&stage.server));
    assert_eq!(other.connect().ask_line(&from).text(), "OK");
    let ask = format!("ASK 3300 127.0.0.1:{}", other.port());
    assert_eq!(error(&alice.ask_line("GET {b}nothing")), ask);
    // ASKING holds for the next command of the connection that it was said on.
    let sidecar = Sidecar::start(
        &Policy::trusted().redis(""),
        other.port(),
        "0",
        &launch(&[]),
    );
    let mut there = Connection::to_port(sidecar.port());
    there.ask_line("CLIENT SETNAME bulkhead:alice");
    assert_eq!(there.ask_line("ASKING").text(), "OK");
    assert_eq!(there.ask_line("SET {b}new v").text(), "OK");
    let back = format!("MOVED 3300 127.0.0.1:{}", stage.server.port());
    assert_eq!(error(&there.ask_line("GET {b}new")), back);
}

#[test]
fn under_a_prefix_with_a_hash_tag_a_users_keys_are_one_nodes() {
    let [node, other] = cluster();
    let policy = Policy::trusted().redis("session: {keyPrefix: '{{user}}:'}");
    let stage = Stage::before(node, &policy, &[]);
    // Whose slot is this node's, and whose is not.
    let mut here = stage.user("b");
    assert_eq!(here.ask_line("MSET one 1 two 2 three 3").text(), "OK");
    let moved = format!("MOVED 15495 127.0.0.1:{}", other.port());
    assert_eq!(error(&stage.user("a").ask_line("MSET one 1 two 2")), moved);
    assert!(Path::new(&stage.server.socket()).exists());
}
