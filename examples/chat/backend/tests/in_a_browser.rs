//! The page in a real browser, through a real sidecar, with a real PostgreSQL behind it all.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test reports by panicking, in its helpers too"
)]

use std::path::Path;

use bulkhead_example_chat::{Database, serve};
use bulkhead_tests::browser::{Browser, Page};
use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::APP_ROLE;
use bulkhead_tests::processes::free_port;
use bulkhead_tests::session::Session;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use tokio::net::TcpListener;

/// The chat as its users have it: a browser before the sidecar, the backend behind it, the sidecar again, a database.
struct Chat {
    stage: Stage,
    browser: Browser,
    door: u16,
}

impl Chat {
    /// `isolation` and `resume` are the policy's.
    async fn start(isolation: &str, resume: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (door, behind) = (free_port(), listener.local_addr().unwrap().port());
        let policy = Policy::trusted().spec(&format!(
            "isolation: {isolation}\n\
             webSockets: [{{name: chat, listen: {{port: {door}}}, upstream: {{port: {behind}}}, paths: [/room], resume: {resume}}}]"
        ));
        let stage = Stage::start(policy).await;
        let database = format!(
            "host=127.0.0.1 port={} user={APP_ROLE} dbname={}",
            stage.sidecar.port(),
            stage.database
        );
        let database = Database::new(&database).unwrap();
        tokio::spawn(serve(listener, database, std::future::pending()));
        Self {
            stage,
            browser: Browser::start().await,
            door,
        }
    }

    /// A tab in which `user` has entered.
    async fn enter(&mut self, user: &str) -> Page {
        let url = format!("http://127.0.0.1:{}/#{user}", self.door);
        let mut page = self.browser.open(&url).await;
        page.until(&format!(
            "document.getElementById('state').textContent === 'here as {user}'"
        ))
        .await;
        page
    }
}

/// Types `text` into the page's field, and presses the button.
async fn say(page: &mut Page, text: &str) {
    page.run(&format!(
        "const form = document.getElementById('say');
         form.elements.body.value = {text:?};
         form.querySelector('button').click();"
    ))
    .await;
    wait::pause().await;
}

/// Waits until the page shows these messages, oldest first; each with its name where it is somebody else's.
async fn shows(page: &mut Page, messages: &[&str]) {
    page.until(&format!(
        "JSON.stringify([...document.querySelectorAll('.mine, .theirs')].map((line) => line.innerText.replace('\\n', ': '))) === JSON.stringify({messages:?})"
    ))
    .await;
}

/// How many reports the database works at.
async fn reports(admin: &Session) -> Option<String> {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active' AND query LIKE 'SELECT pg_sleep(%'";
    admin.text(count).await
}

async fn until_reports(admin: &Session, count: &str) {
    let so_many = || async { reports(admin).await.as_deref() == Some(count) };
    wait::until(&format!("{count} reports"), so_many).await;
}

/// What closing alice's tab does to her report, while bob's goes on.
async fn a_closed_tab_ends_its_users_work(resume: &str) {
    let mut chat = Chat::start("{onDisconnect: Cancel}", resume).await;
    let admin = chat.stage.admin().await;
    let mut alice = chat.enter("alice").await;
    let mut bob = chat.enter("bob").await;
    say(&mut alice, "/report 600").await;
    say(&mut bob, "/report 600").await;
    until_reports(&admin, "2").await;

    chat.browser.close(alice).await;

    until_reports(&admin, "1").await;
    // It is bob's that goes on, and his page with it.
    say(&mut bob, "still here").await;
    shows(&mut bob, &["still here"]).await;
    assert_eq!(reports(&admin).await.as_deref(), Some("1"));
    let told = bob.run("return document.body.innerText").await;
    assert!(!told.to_string().contains("no report"), "{told}");
    assert!(chat.stage.cross_user_handoffs().abs() < 0.5);
}

#[tokio::test]
async fn a_closed_tab_cancels_what_the_database_does_for_its_user_and_for_nobody_else() {
    a_closed_tab_ends_its_users_work("{window: 60s}").await;
}

#[tokio::test]
async fn without_resume_a_closed_tab_does_the_same() {
    a_closed_tab_ends_its_users_work("{window: 0s}").await;
}

#[tokio::test]
async fn two_people_talk_and_this_is_what_they_see() {
    let mut chat = Chat::start("{}", "{window: 60s}").await;
    let mut alice = chat.enter("alice").await;
    let mut bob = chat.enter("bob").await;
    let mut seen = (Vec::new(), Vec::new());
    for (who, text) in [
        ("alice", "hello, is anybody here?"),
        ("bob", "me. Is this the chat that survives its connections?"),
        (
            "alice",
            "it is: I walked through a tunnel a minute ago, and nothing is missing",
        ),
        ("bob", "and closing the tab ends only my own reports"),
    ] {
        let page = if who == "alice" { &mut alice } else { &mut bob };
        say(page, text).await;
        for (viewer, seen) in [("alice", &mut seen.0), ("bob", &mut seen.1)] {
            seen.push(match who {
                _ if viewer == who => text.to_owned(),
                other => format!("{other}: {text}"),
            });
        }
        let lists =
            [&seen.0, &seen.1].map(|list| list.iter().map(String::as_str).collect::<Vec<_>>());
        shows(&mut alice, &lists[0]).await;
        shows(&mut bob, &lists[1]).await;
    }
    let picture = alice.photograph(640, 520).await;
    assert!(picture.starts_with(b"\x89PNG"));
    // A page without a style, or without a message, has far fewer colours and far fewer bytes.
    assert!(picture.len() > 10_000, "{} bytes", picture.len());
    if std::env::var_os("BULKHEAD_KEEP_PICTURE").is_some() {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/images/chat.png");
        std::fs::write(kept, picture).unwrap();
    }
}
