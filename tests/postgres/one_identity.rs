//! One user over four protocols: the token that came with a WebSocket opens every database, and all of it ends together.

use bulkhead_tests::clickhouse::{self, Answer, curl};
use bulkhead_tests::policy::Policy;
use bulkhead_tests::processes::free_port;
use bulkhead_tests::redis::{self, Connection};
use bulkhead_tests::stage::{Setting, Stage};
use bulkhead_tests::tokens::{Signer, key_set, seconds_from_now};
use bulkhead_tests::wait;
use bulkhead_tests::websocket::Peer;
use bulkhead_tests::wire::{Wire, send};
use jsonwebtoken::Algorithm;
use serde_json::json;

use crate::lost_socket::{Application, Socket, last_word, work};
use crate::revocation::{JWT, Revocations};

/// A sidecar with a WebSocket and three databases behind it, and its servers.
pub(crate) struct House {
    pub(crate) stage: Stage,
    application: Application,
    cache: redis::Server,
    cache_port: u16,
    facts_port: u16,
    signer: Signer,
}

/// What one user has open.
pub(crate) struct Open {
    pub(crate) socket: Socket,
    postgres: Wire,
    cache: Connection,
    /// The text by which their query is known on the server.
    mark: String,
    facts: tokio::task::JoinHandle<Answer>,
}

impl House {
    async fn start(revocations: &Revocations) -> Self {
        Self::start_with(revocations, "{}", |setting| setting).await
    }

    /// The same with `spec` merged into the policy's, and set up further.
    pub(crate) async fn start_with(
        revocations: &Revocations,
        spec: &str,
        set_up: impl FnOnce(Setting<'static>) -> Setting<'static>,
    ) -> Self {
        let signer = Signer::new("one", Algorithm::EdDSA);
        let cache = redis::Server::own();
        let (cache_port, facts_port) = (free_port(), free_port());
        let policy = Policy::jwt(JWT)
            .another(
                "cache",
                &format!("{{protocol: Redis, session: null, listen: {{port: {cache_port}}}, upstream: {{port: {}, credentialsSecretRef: null}}}}", cache.port()),
            )
            .another(
                "facts",
                &format!("{{protocol: ClickHouse, session: null, listen: {{port: {facts_port}}}, upstream: {{port: {}, database: default, credentialsSecretRef: {{name: facts}}}}}}", clickhouse::Server::shared().port),
            )
            .spec(spec);
        let (application, setting) = Application::start(policy).await;
        let setting = setting
            .secret("keys/jwks.json", &key_set(&[&signer]))
            .secret("facts/username", clickhouse::USER)
            .secret("facts/password", bulkhead_tests::postgres::PASSWORD);
        let stage = set_up(revocations.watched_by(setting)).start().await;
        Self {
            stage,
            application,
            cache,
            cache_port,
            facts_port,
            signer,
        }
    }

    /// A token that was issued a minute ago.
    pub(crate) fn token(&self, user: &str) -> String {
        self.signer.sign(&json!({
            "sub": user, "aud": "chat", "iat": seconds_from_now(-60), "exp": seconds_from_now(600),
        }))
    }

    /// Opens a socket for a user, and with the token that comes with it a transaction, a command that waits, and a query that runs.
    pub(crate) async fn open(&self, user: &str) -> Open {
        let socket = self.application.open(&self.token(user)).await;
        let mut postgres = work(&self.stage, &socket.token).await;
        postgres.query("BEGIN").await;
        postgres.send(send::query("SELECT pg_sleep(60)")).await;
        let mut cache = self.cache_with(&socket.token);
        cache.try_send(b"BLPOP nothing 0\r\n").unwrap();
        let mark = format!("/* {user} {} */", self.facts_port);
        let facts = tokio::spawn(ask(
            self.facts_port,
            socket.token.clone(),
            format!("SELECT sleepEachRow(1) {mark} FROM numbers(60) SETTINGS max_block_size = 1"),
        ));
        clickhouse::Server::shared().until_running(&mark, 1).await;
        Open {
            socket,
            postgres,
            cache,
            mark,
            facts,
        }
    }

    pub(crate) fn cache_with(&self, token: &str) -> Connection {
        let mut cache = Connection::to_port(self.cache_port);
        let said = cache.ask(&[b"AUTH", b"default", token.as_bytes()]);
        assert_eq!(said.text(), "OK");
        cache
    }

    /// The console has one row for a user, over every protocol.
    fn shows_one_row(&self, user: &str, clients: u32, sockets: u32) {
        let shown = self.stage.sidecar.command(&["console", "-c", "SHOW USERS"]);
        let shown = String::from_utf8(shown.stdout).unwrap();
        let rows: Vec<Vec<&str>> = shown
            .lines()
            .map(|line| line.split_whitespace().collect())
            .filter(|row: &Vec<&str>| row.first() == Some(&user))
            .collect();
        let [row] = rows.as_slice() else {
            panic!("not one row: {shown}");
        };
        let (clients, sockets) = (clients.to_string(), sockets.to_string());
        assert_eq!(row[3..5], [clients.as_str(), &sockets], "{shown}");
    }

    pub(crate) async fn until_waiting(&self, count: usize) {
        let wanted = format!("blocked_clients:{count}\r");
        wait::until(&wanted, || async {
            let clients = self.cache.connect().ask_line("INFO clients").text();
            clients.contains(&wanted)
        })
        .await;
    }
}

impl House {
    /// What the ClickHouse entry answers to a query.
    pub(crate) async fn ask_facts(&self, token: &str, query: &str) -> Answer {
        ask(self.facts_port, token.to_owned(), query.to_owned()).await
    }

    /// What the Redis entry says to who logs in with a token.
    pub(crate) fn said_by_cache(&self, token: &str) -> String {
        let mut cache = Connection::to_port(self.cache_port);
        cache.ask(&[b"AUTH", b"default", token.as_bytes()]).text()
    }

    /// The first line and the text that a client is told who asks for a WebSocket and gets none.
    pub(crate) async fn refused_socket(&self, token: &str) -> (String, String) {
        self.application.refusal(token).await
    }
}

impl Open {
    /// Waits until all of it has ended.
    pub(crate) async fn until_ended(mut self) {
        let mut client = Peer::client(self.socket.client);
        wait::within("the close", client.frame_if_whole()).await;
        last_word(&mut self.postgres).await;
        while self.cache.try_read().is_ok() {}
        wait::within("the answer", self.facts).await.unwrap();
    }
}

async fn ask(port: u16, token: String, query: String) -> Answer {
    let header = format!("X-Bulkhead-Context: {token}");
    let url = format!("http://127.0.0.1:{port}/?wait_end_of_query=1");
    curl(&["-H", &header, "--data-binary", "@-", &url], &query).await
}

#[tokio::test]
async fn a_user_who_is_revoked_loses_all_four_and_comes_into_none() {
    let revocations = Revocations::none();
    let house = House::start(&revocations).await;
    let mut alice = house.open("alice").await;
    let bob = house.open("bob").await;
    house.until_waiting(2).await;
    house.shows_one_row("alice", 3, 1);
    revocations.revoke("alice", -30);
    let mut client = Peer::client(alice.socket.client);
    let close = wait::within("the close", client.frame_if_whole()).await;
    assert_eq!(close.unwrap().closes().0, 1008);
    assert_eq!(last_word(&mut alice.postgres).await.code, "28000");
    let told = String::from_utf8(alice.cache.try_read().unwrap()).unwrap();
    assert!(
        told.starts_with("-NOAUTH") && told.contains("revoked (TokenLeaked)"),
        "{told}"
    );
    assert!(alice.cache.try_read().is_err(), "closed");
    let answer = wait::within("the answer", alice.facts).await.unwrap();
    assert_ne!(answer.status, 200, "{answer:?}");
    assert!(answer.body.contains("revoked (TokenLeaked)"), "{answer:?}");
    clickhouse::Server::shared()
        .until_running(&alice.mark, 0)
        .await;
    house.until_waiting(1).await;
    // Neither her own token nor the one that was made of it opens anything.
    for token in [&house.token("alice"), &alice.socket.token] {
        let mut cache = Connection::to_port(house.cache_port);
        let said = cache.ask(&[b"AUTH", b"default", token.as_bytes()]).text();
        assert!(said.contains("revoked (TokenLeaked)"), "{said}");
        assert!(said.contains("UserRevocation out-alice"), "{said}");
        let answer = ask(house.facts_port, token.clone(), "SELECT 1".to_owned()).await;
        assert!(
            answer.status != 200 && answer.body.contains("UserRevocation out-alice"),
            "{answer:?}"
        );
    }
    // He has noticed nothing: his query runs, his command waits, and his token opens more.
    clickhouse::Server::shared()
        .until_running(&bob.mark, 1)
        .await;
    assert_eq!(
        house.cache_with(&bob.socket.token).ask_line("PING").text(),
        "PONG"
    );
    bob.facts.abort();
}

#[tokio::test]
async fn work_in_every_database_ends_with_its_socket() {
    let house = House::start(&Revocations::none()).await;
    let mut alice = house.open("alice").await;
    house.until_waiting(1).await;
    drop(alice.socket);
    assert_eq!(last_word(&mut alice.postgres).await.code, "57P01");
    let told = String::from_utf8(alice.cache.try_read().unwrap()).unwrap();
    assert!(told.contains("isolation.onDisconnect = Cancel"), "{told}");
    let answer = wait::within("the answer", alice.facts).await.unwrap();
    assert!(
        answer.body.contains("isolation.onDisconnect = Cancel"),
        "{answer:?}"
    );
    clickhouse::Server::shared()
        .until_running(&alice.mark, 0)
        .await;
    house.until_waiting(0).await;
}

#[tokio::test]
async fn while_an_administrator_has_paused_them_nothing_begins_in_any_database() {
    let house = House::start(&Revocations::none()).await;
    let token = house.token("alice");
    let mut postgres = work(&house.stage, &token).await;
    let mut cache = house.cache_with(&token);
    // Both keep their connections, and nothing is under way on them.
    let (mut listens, mut keeps) = (house.cache_with(&token), house.cache_with(&token));
    assert!(!listens.ask_line("SUBSCRIBE news").is_error());
    assert!(!keeps.ask_line("CLIENT NO-EVICT on").is_error());
    let said_at_the_console = |command: &str| {
        let said = house.stage.sidecar.command(&["console", "-c", command]);
        assert!(said.status.success(), "{command}: {said:?}");
    };
    for resumed in [true, false] {
        said_at_the_console("PAUSE");
        postgres.send(send::query("SELECT 7")).await;
        for client in [&mut cache, &mut keeps] {
            client.try_send(b"ECHO seven\r\n").unwrap();
        }
        let facts = ask(house.facts_port, token.clone(), "SELECT 7".to_owned());
        let facts = tokio::spawn(facts);
        let waiting = [("state", "pending")];
        wait::until("all four to wait", || async {
            let waiting = house.stage.sidecar.metric("bulkhead_executions", &waiting);
            (waiting - 4.0).abs() < 0.5
        })
        .await;
        if resumed {
            said_at_the_console("RESUME");
        }
        let replies = postgres.until_ready().await;
        let echo = |client: &mut Connection| {
            let said = client.try_read().unwrap();
            String::from_utf8(said).unwrap()
        };
        let (cached, kept) = (echo(&mut cache), echo(&mut keeps));
        assert_eq!(cached, kept);
        let facts = wait::within("the answer", facts).await.unwrap();
        if resumed {
            assert_eq!(replies.value().unwrap(), "7");
            assert_eq!(cached, "$5\r\nseven\r\n");
            assert_eq!((facts.status, facts.body.as_str()), (200, "7\n"));
            continue;
        }
        let told = [
            ("main", format!("{:?}", replies.refusal())),
            ("cache", cached),
            ("facts", format!("{} {}", facts.status, facts.body)),
        ];
        for (name, told) in told {
            let words = format!("databases[{name}] is paused by an administrator (PAUSE)");
            let setting = format!("databases[{name}].timeouts.acquire = 3s");
            assert!(told.contains(&words) && told.contains(&setting), "{told}");
        }
        said_at_the_console("RESUME");
    }
    // What was refused was not begun, and its connection is as it was.
    assert_eq!(postgres.query("SELECT 8").await.value().unwrap(), "8");
    assert_eq!(cache.ask_line("PING").text(), "PONG");
}
