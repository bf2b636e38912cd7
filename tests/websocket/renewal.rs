//! A fresh token on sockets that are open: by a POST that the application never sees.

use bulkhead_tests::browser::Browser;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::tokens::{Signer, key_set, seconds_from_now};
use bulkhead_tests::wait;
use bulkhead_tests::websocket::{
    Answer, Application, Asking, Frame, Kind, Peer, Server, SocketStage,
};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

/// Where tokens are renewed unless the policy says otherwise.
const PATH: &str = "/.bulkhead/token";

/// A stage, the application behind it, and who signs its users' tokens.
struct World {
    stage: SocketStage,
    application: Application,
    signer: Signer,
}

impl World {
    /// With `entry` in the WebSocket entry and `spec` in the policy.
    async fn with(entry: &str, spec: &str) -> Self {
        let signer = Signer::new("one", Algorithm::EdDSA);
        let application = Application::listen().await;
        let policy =
            Policy::jwt("{jwks: {secretRef: {name: keys}}, audiences: [chat], leeway: 0s}")
                .web_socket(entry)
                .spec(spec);
        let stage = SocketStage::with(policy, application.port())
            .secret("keys/jwks.json", &key_set(&[&signer]))
            .start()
            .await;
        Self {
            stage,
            application,
            signer,
        }
    }

    /// A token of `user` that ends then; `login` is what the identity provider calls the session.
    fn token(&self, user: &str, end: i64, login: Option<&str>) -> String {
        let mut claims = json!({"sub": user, "aud": "chat", "exp": end});
        if let Some(login) = login {
            claims["sid"] = json!(login);
        }
        self.signer.sign(&claims)
    }

    /// A socket that was opened with this token: the client's end and the application's.
    async fn socket(&self, token: &str) -> (Peer, Peer) {
        let asking = Asking::upgrade("/ws").bearer(token);
        let (answer, peer) = tokio::join!(self.stage.ask(&asking), self.application.opened());
        let (mut client, mut peer) = (answer.opened(), peer);
        // From here on it is one of the user's sockets.
        talks(&mut client, &mut peer).await;
        (client, peer)
    }

    async fn post(&self, token: &str) -> Answer {
        self.stage
            .ask(&Asking::request("POST", PATH).bearer(token))
            .await
    }

    /// How many sockets live by this token from now on, and until when.
    async fn renewed(&self, token: &str) -> (u64, Value) {
        let mut answer = self.post(token).await;
        let text = answer.body().await;
        assert_eq!(answer.status, 200, "{text}");
        assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
        let told: Value = serde_json::from_str(&text).unwrap();
        (told["renewed"].as_u64().unwrap(), told["expires"].clone())
    }

    async fn renewals(&self, outcome: &str) -> f64 {
        let labels = [("outcome", outcome)];
        self.stage
            .sidecar
            .metric("bulkhead_websocket_renewals_total", &labels)
    }
}

/// What one end says reaches the other.
async fn talks(client: &mut Peer, peer: &mut Peer) {
    client.send(Frame::text("still here")).await;
    assert_eq!(peer.next().await.as_text(), "still here");
    peer.send(Frame::text("so am I")).await;
    assert_eq!(client.next().await.as_text(), "so am I");
}

/// The socket has ended for want of a token.
async fn expired(client: &mut Peer) {
    let (code, reason) = client.closed().await;
    assert_eq!(code, 1008, "{reason}");
    assert!(
        reason.contains("webSockets[chat].timeouts.expiryGrace = 2s"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_socket_whose_token_was_renewed_lives_on_and_no_other_does() {
    let world = World::with("timeouts: {expiryGrace: 2s}", "{}").await;
    let end = seconds_from_now(2);
    let of = |user, login| world.token(user, end, login);
    let (mut one, mut one_peer) = world.socket(&of("alice", None)).await;
    let (mut two, mut two_peer) = world.socket(&of("alice", Some("phone"))).await;
    let (mut laptop, _laptop_peer) = world.socket(&of("alice", Some("laptop"))).await;
    let (mut bob, _bob_peer) = world.socket(&of("bob", None)).await;
    // In time, and in the grace.
    let later = seconds_from_now(60);
    let phone = world.token("alice", later, Some("phone"));
    assert_eq!(world.renewed(&phone).await, (2, json!(later)));
    while seconds_from_now(0) < end {
        wait::pause().await;
    }
    let carol = world.token("carol", later, None);
    assert_eq!(world.renewed(&carol).await, (0, json!(later)));
    assert_eq!(world.renewed(&phone).await, (2, json!(later)));
    // Who had another login, or is another user, has no fresh token.
    expired(&mut laptop).await;
    expired(&mut bob).await;
    assert!(seconds_from_now(0) >= end + 2);
    for _ in 0..10 {
        talks(&mut one, &mut one_peer).await;
        talks(&mut two, &mut two_peer).await;
        wait::pause().await;
    }
    assert_eq!(world.renewals("renewed").await as u64, 2);
    assert_eq!(world.renewals("no_socket").await as u64, 1);
}

#[tokio::test]
async fn a_token_that_came_in_the_grace_ends_it() {
    let world = World::with("timeouts: {expiryGrace: 2s}", "{}").await;
    let end = seconds_from_now(1);
    let (mut alice, mut peer) = world.socket(&world.token("alice", end, None)).await;
    let (mut bob, _bob_peer) = world.socket(&world.token("bob", end, None)).await;
    while seconds_from_now(0) < end {
        wait::pause().await;
    }
    // A shorter one than the socket's policy would wait for, which then counts with a grace of its own.
    let next = seconds_from_now(2);
    let fresh = world.token("alice", next, None);
    assert_eq!(world.renewed(&fresh).await, (1, json!(next)));
    expired(&mut bob).await;
    talks(&mut alice, &mut peer).await;
    expired(&mut alice).await;
    assert!(seconds_from_now(0) >= next + 2);
}

#[tokio::test]
async fn whoever_may_open_no_socket_renews_none_and_the_application_hears_of_nothing() {
    for mode in ["Enforce", "Audit"] {
        let world = World::with("", &format!("mode: {mode}")).await;
        let (_alice, _peer) = world
            .socket(&world.token("alice", seconds_from_now(60), None))
            .await;
        let stale = world.token("alice", seconds_from_now(-1), None);
        for (token, challenge) in [
            (Some(stale.as_str()), "Bearer error=\"invalid_token\""),
            (Some("rubbish"), "Bearer error=\"invalid_token\""),
            (None, "Bearer"),
        ] {
            let mut asking = Asking::request("POST", PATH);
            if let Some(token) = token {
                asking = asking.bearer(token);
            }
            let answer = world.stage.ask(&asking).await;
            let said = answer.header("www-authenticate");
            assert_eq!(said.as_deref(), Some(challenge));
            assert_eq!(answer.refused().await.0, 401);
        }
        for asking in [
            Asking::request("GET", PATH),
            Asking::upgrade(PATH),
            Asking::request("DELETE", PATH),
        ] {
            let answer = world.stage.ask(&asking.bearer(&stale)).await;
            assert_eq!(answer.header("allow").as_deref(), Some("POST, OPTIONS"));
            assert_eq!(answer.refused().await.0, 405);
        }
        assert_eq!(world.renewals("refused").await as u64, 6);
        // The next thing that the application hears is this.
        let asking = Asking::request("POST", "/.bulkhead/tokens").bearer(&stale);
        let (_, asked) = tokio::join!(world.stage.ask(&asking), async {
            let asked = world.application.asked().await;
            let line = asked.line.clone();
            asked
                .answer("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                .await;
            line
        });
        assert_eq!(asked, "POST /.bulkhead/tokens HTTP/1.1");
    }
}

#[tokio::test]
async fn only_pages_that_may_open_a_socket_renew_one() {
    let entry = "{allowedOrigins: ['https://chat.example'], tokens: [{source: Cookie, key: session}, {source: Subprotocol}]}";
    let world = World::with(entry, "{}").await;
    let token = world.token("alice", seconds_from_now(60), None);
    let cookie = format!("session={token}");
    let asking = Asking::upgrade("/ws").header("Cookie", &cookie);
    let (answer, mut peer) = tokio::join!(world.stage.ask(&asking), world.application.opened());
    let mut client = answer.opened();
    talks(&mut client, &mut peer).await;
    let post = Asking::request("POST", PATH).header("Cookie", &cookie);
    let preflight =
        Asking::request("OPTIONS", PATH).header("Access-Control-Request-Method", "POST");
    for (origin, status) in [("https://chat.example", 200), ("https://evil.example", 403)] {
        let answer = world
            .stage
            .ask(&post.clone().header("Origin", origin))
            .await;
        assert_eq!(answer.status, status, "{origin}");
        let may = (status == 200).then_some(origin);
        let told = answer.header("access-control-allow-origin");
        assert_eq!(told.as_deref(), may);
        let told = answer.header("access-control-allow-credentials");
        assert_eq!(told.as_deref(), may.map(|_| "true"));
        let answer = world
            .stage
            .ask(&preflight.clone().header("Origin", origin))
            .await;
        assert_eq!(answer.status, if may.is_some() { 204 } else { 403 });
        let told = answer.header("access-control-allow-headers");
        assert_eq!(told.as_deref(), may.map(|_| "authorization"));
    }
    // A page learns that its token is none.
    let stale = Asking::request("POST", PATH)
        .header("Origin", "https://chat.example")
        .bearer("rubbish");
    let answer = world.stage.ask(&stale).await;
    let told = answer.header("access-control-allow-origin");
    assert_eq!(told.as_deref(), Some("https://chat.example"));
    assert_eq!(answer.refused().await.0, 401);
    assert_eq!(world.renewals("renewed").await as u64, 1);
}

#[tokio::test]
async fn the_path_is_the_policys_to_name_and_to_give_back() {
    let world = World::with("tokenPath: /api/renew", "{}").await;
    let (_client, _peer) = world
        .socket(&world.token("alice", seconds_from_now(60), None))
        .await;
    let token = world.token("alice", seconds_from_now(90), None);
    let asking = Asking::request("POST", "/api/renew?x=1").bearer(&token);
    let mut answer = world.stage.ask(&asking).await;
    assert!(answer.body().await.contains("\"renewed\":1"));
    let world = World::with("tokenPath: ''", "{}").await;
    let token = world.token("alice", seconds_from_now(90), None);
    let (answer, asked) = tokio::join!(world.post(&token), async {
        let asked = world.application.asked().await;
        let line = asked.line.clone();
        asked
            .answer("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
            .await;
        line
    });
    assert_eq!(
        (answer.status, asked),
        (204, format!("POST {PATH} HTTP/1.1"))
    );
}

#[tokio::test]
async fn a_user_that_is_trusted_by_name_needs_no_fresh_token() {
    let application = Application::listen().await;
    let policy = Policy::trusted().web_socket("");
    let stage = SocketStage::start(policy, application.port()).await;
    let (mut client, mut peer) = tokio::join!(stage.open("alice"), application.opened());
    talks(&mut client, &mut peer).await;
    let mut answer = stage
        .ask(&Asking::request("POST", PATH).bearer("alice"))
        .await;
    assert_eq!(
        answer.body().await.trim_end(),
        r#"{"renewed":1,"expires":null}"#
    );
}

/// What the sidecar answers a token that comes on the socket itself: whether it was refused, until when the socket may live, and why.
async fn sent_on(client: &mut Peer, token: &str) -> (bool, u64, String) {
    let message = [b"\xF5bk1\x04", token.as_bytes()].concat();
    client.send(Frame::binary(message)).await;
    let answer = client.next().await.payload;
    let body = answer.strip_prefix(b"\xF5bk1\x04").expect("a CREDENTIAL");
    let until = u64::from_be_bytes(body[1..9].try_into().unwrap());
    (
        body[0] == 1,
        until,
        String::from_utf8(body[9..].to_vec()).unwrap(),
    )
}

#[tokio::test]
async fn a_client_that_resumes_sends_its_token_on_the_socket_and_hears_until_when_it_lives() {
    let entry = "{timeouts: {expiryGrace: 2s}, resume: {window: 60s}}";
    let world = World::with(entry, "{}").await;
    let end = seconds_from_now(2);
    let mut ends = Vec::new();
    for user in ["alice", "bob"] {
        let asking = Asking::upgrade("/ws")
            .bearer(&world.token(user, end, Some(user)))
            .header("Sec-WebSocket-Protocol", "bulkhead.resume.v1, bulkhead.v1");
        let (answer, peer) = tokio::join!(world.stage.ask(&asking), world.application.opened());
        let mut client = answer.opened();
        assert!(client.next().await.payload.starts_with(b"\xF5bk1\x01"));
        ends.push((client, peer));
    }
    let [(mut alice, mut peer), (mut bob, _bob_peer)] = ends.try_into().unwrap();
    let later = seconds_from_now(60);
    for (token, why) in [
        (world.token("bob", later, Some("bob")), "another user's"),
        (world.token("alice", later, Some("other")), "another login"),
        (world.token("alice", end - 60, Some("alice")), "expired"),
        ("rubbish".to_owned(), "token"),
    ] {
        let (refused, until, reason) = sent_on(&mut alice, &token).await;
        assert!(refused && reason.contains(why), "{reason}");
        assert_eq!(until, end as u64);
    }
    let fresh = world.token("alice", later, Some("alice"));
    let answer = sent_on(&mut alice, &fresh).await;
    assert_eq!(answer, (false, later as u64, String::new()));
    expired(&mut bob).await;
    talks(&mut alice, &mut peer).await;
    assert_eq!(world.renewals("renewed").await as u64, 1);
    assert_eq!(world.renewals("refused").await as u64, 4);
}

#[tokio::test]
async fn a_page_of_a_named_origin_renews_its_socket_and_a_page_of_another_cannot() {
    let (named, other) = (
        Server::start(Kind::Starlette).await,
        Server::start(Kind::Starlette).await,
    );
    let signer = Signer::new("one", Algorithm::EdDSA);
    let jwt = "{jwks: {secretRef: {name: keys}}, audiences: [chat], leeway: 0s}";
    let origin = format!("http://127.0.0.1:{}", named.port());
    // A page can put its first token nowhere but among the subprotocols, and a later one into a header.
    let policy = Policy::jwt(jwt).web_socket(&format!(
        "{{tokens: [{{source: Subprotocol}}], allowedOrigins: ['{origin}'], timeouts: {{expiryGrace: 1s}}}}"
    ));
    let stage = SocketStage::with(policy, named.port())
        .secret("keys/jwks.json", &key_set(&[&signer]))
        .start()
        .await;
    let mut browser = Browser::start().await;
    let mut page = browser.open(&format!("{origin}/whoami")).await;
    let foreign = format!("http://127.0.0.1:{}/whoami", other.port());
    let mut stranger = browser.open(&foreign).await;

    let of = |end| signer.sign(&json!({"sub": "alice", "aud": "chat", "exp": end}));
    let (first, fresh) = (of(seconds_from_now(3)), of(seconds_from_now(60)));
    let place = format!("127.0.0.1:{}", stage.port());
    let post = format!(
        "const post = () => fetch('http://{place}{PATH}', {{ method: 'POST', headers: {{ Authorization: 'Bearer {fresh}' }} }});"
    );
    let renewed = page
        .run(&format!(
            "{post}
             const token = btoa('{first}').replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
             const socket = new WebSocket('ws://{place}/ws', ['bulkhead.v1', 'bulkhead.token.' + token]);
             window.ended = new Promise((go) => socket.addEventListener('close', ({{ code }}) => go(code)));
             window.says = (text) => new Promise((go) => {{
                 socket.addEventListener('message', ({{ data }}) => go(data), {{ once: true }});
                 socket.send(text);
             }});
             await new Promise((go) => socket.addEventListener('open', go));
             await window.says('opened');
             return (await (await post()).json()).renewed;"
        ))
        .await;
    assert_eq!(renewed, 1);
    let refused = stranger
        .run(&format!(
            "{post} return post().then(() => 'read', (error) => error.name);"
        ))
        .await;
    assert_eq!(refused, "TypeError");
    let lives = page
        .run(
            "const over = new Promise((go) => setTimeout(() => go('time is over'), 5000));
             const first = await Promise.race([window.ended, over]);
             return [first, await window.says('still here')];",
        )
        .await;
    assert_eq!(lives, json!(["time is over", "still here"]));
}
