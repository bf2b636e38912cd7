//! A server that dies in the middle of its answers, at each message of them. The client gets what was whole, then an error, and
//! never an answer to something else; and what it does next is served by another connection.

use bulkhead_tests::listeners::{Cut, Scissors};
use bulkhead_tests::policy::Policy;
use bulkhead_tests::postgres::Server;
use bulkhead_tests::session::Session;
use bulkhead_tests::stage::Stage;
use bulkhead_tests::wait;
use bulkhead_tests::wire::{Message, Replies, Wire, send};

use super::{policy, until_served};

/// What alice sends at once.
struct Conversation {
    sent: Vec<u8>,
    readies: usize,
}

fn one_query() -> Conversation {
    Conversation {
        sent: send::query("SELECT 'a' UNION ALL SELECT 'b'"),
        readies: 1,
    }
}

/// Two batches and a simple query, none of which waits for the one before.
fn pipeline() -> Conversation {
    let batch = |sql: &str| [send::run_unnamed(sql), send::sync()].concat();
    Conversation {
        sent: [
            batch("SELECT 'one'"),
            batch("SELECT 'two'"),
            send::query("SELECT 'three'"),
        ]
        .concat(),
        readies: 3,
    }
}

fn copy_out() -> Conversation {
    Conversation {
        sent: send::query("COPY (SELECT g FROM generate_series(1, 4) g) TO STDOUT"),
        readies: 1,
    }
}

/// The messages up to the conversation's end: its last `ReadyForQuery`, or the connection's end. Whether it was the former.
async fn answers(wire: &mut Wire, readies: usize) -> (Replies, bool) {
    let mut all = Vec::new();
    let mut left = readies;
    while left > 0 {
        let Some(message) = wire.receive_whole().await else {
            return (Replies::of_messages(&all), false);
        };
        left -= usize::from(message.tag == b'Z');
        all.push(message);
    }
    (Replies::of_messages(&all), true)
}

/// What was answered is the beginning of what should be (`whole`), then come errors and nothing else, or the connection ends there,
/// be it inside of a message.
fn judge(at: Cut, whole: &Replies, got: &Replies, rest: &[u8], goes_on: bool) {
    let is_error = |message: &Message| message.tag == b'E';
    let good = got.iter().position(is_error).unwrap_or(got.len());
    assert!(good <= whole.len(), "{at:?}: {got:?}");
    assert_eq!(got[..good], whole[..good], "{at:?}");
    let behind = &got[good..];
    let expected = |message: &Message| b"EZ".contains(&message.tag);
    assert!(behind.iter().all(expected), "{at:?}: {got:?}");
    if !rest.is_empty() {
        let begun = &whole[good];
        let begun = send::message(begun.tag, &begun.body);
        assert!(
            behind.is_empty() && begun.starts_with(rest),
            "{at:?}: {got:?} {rest:?}"
        );
        return;
    }
    assert!(!behind.is_empty(), "{at:?}: nothing was told: {got:?}");
    if goes_on {
        let errors = got.iter().filter(|message| is_error(message)).count();
        let ready = |replies: &[Message]| replies.iter().filter(|one| one.tag == b'Z').count();
        assert_eq!(errors, ready(got) - ready(&got[..good]), "{at:?}: {got:?}");
    }
}

async fn bob_goes_on(bob: &Session) {
    assert_eq!(bob.text("SELECT 'his'").await.as_deref(), Some("his"));
}

/// Cuts the conversation at each message in turn, until it comes through whole.
async fn cut_at_each_message(policy: Policy, conversation: Conversation, inside: usize) {
    let scissors = Scissors::before(Server::shared().place().port).await;
    let stage = Stage::with(policy).upstream(scissors.port()).start().await;
    let bob = stage.user("bob").await;
    bob.run("BEGIN").await;
    bob_goes_on(&bob).await;
    let mut alice = stage.wire_of("alice").await;
    alice.send(&conversation.sent).await;
    let (whole, _) = answers(&mut alice, conversation.readies).await;
    drop(alice);
    for after in 0.. {
        // A reset comes in turn with an end.
        let at = Cut {
            after,
            inside,
            reset: after % 2 == 1,
        };
        let mut alice = stage.wire_of("alice").await;
        alice.query("SELECT 'warm'").await;
        scissors.cut_next(at);
        alice.send(&conversation.sent).await;
        let (got, goes_on) = answers(&mut alice, conversation.readies).await;
        if !scissors.spare() {
            assert_eq!(got[..], whole[..]);
            // The sidecar's own statement ahead of hers is answered too.
            assert!(after >= whole.len());
            return;
        }
        judge(at, &whole, &got, alice.rest(), goes_on);
        bob_goes_on(&bob).await;
        if goes_on {
            let next = alice.query("SELECT 'next'").await;
            assert_eq!(next.value().as_deref(), Some("next"), "{at:?}: {next:?}");
        } else {
            until_served(&stage, "alice").await;
        }
    }
}

#[tokio::test]
async fn a_server_that_dies_in_mid_query_leaves_what_was_whole_and_an_error() {
    cut_at_each_message(policy(), one_query(), 0).await;
    cut_at_each_message(policy(), one_query(), 6).await;
}

#[tokio::test]
async fn a_server_that_dies_in_mid_pipeline_never_has_one_statements_answer_given_to_another() {
    cut_at_each_message(policy(), pipeline(), 0).await;
    cut_at_each_message(policy(), pipeline(), 3).await;
}

#[tokio::test]
async fn a_server_that_dies_in_mid_pipeline_ends_the_client_whose_own_it_was() {
    cut_at_each_message(policy().in_session_mode(), pipeline(), 0).await;
}

#[tokio::test]
async fn a_server_that_dies_in_mid_copy_out_leaves_a_copy_that_has_failed() {
    cut_at_each_message(policy(), copy_out(), 0).await;
    cut_at_each_message(policy(), copy_out(), 2).await;
}

/// A COPY that has sent a row, and whose server is ended before it gets the rest.
async fn copying(stage: &Stage, user: &str) -> Wire {
    let mut wire = stage.wire_of(user).await;
    wire.send(send::query("COPY things FROM STDIN")).await;
    wire.until(b'G').await;
    wire.send(send::copy_data(b"9001\tlost\n")).await;
    wire
}

/// The client of a COPY that was cut off is told, whatever it goes on to send.
async fn told_of_the_loss(wire: &mut Wire) {
    let rest = [send::copy_data(b"9002\tlost\n"), send::copy_done()].concat();
    let _ = wire.try_send(rest).await;
    let (replies, _) = answers(wire, 1).await;
    assert!(replies.of(b'E').count() > 0, "{replies:?}");
    assert!(replies.commands().is_empty(), "{replies:?}");
}

async fn rows_of_the_copy(admin: &Session) -> Option<String> {
    admin
        .text("SELECT count(*) FROM things WHERE id > 9000")
        .await
}

#[tokio::test]
async fn a_server_process_that_dies_in_mid_copy_in_leaves_no_row() {
    for policy in [policy(), policy().in_session_mode()] {
        let stage = Stage::start(policy).await;
        let admin = stage.admin().await;
        let bob = stage.user("bob").await;
        bob.run("BEGIN").await;
        let mut alice = copying(&stage, "alice").await;
        stage
            .until_server(&admin, "query LIKE 'COPY things%'")
            .await;
        admin
            .run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE datname = current_database() AND query LIKE 'COPY things%' AND pid <> pg_backend_pid()",
            )
            .await;
        told_of_the_loss(&mut alice).await;
        bob_goes_on(&bob).await;
        assert_eq!(rows_of_the_copy(&admin).await.as_deref(), Some("0"));
        until_served(&stage, "alice").await;
    }
}

#[tokio::test]
async fn a_server_that_is_shut_down_at_once_in_mid_copy_is_told_both_ways_and_mended_by_its_restart()
 {
    // Given one client in the middle of a COPY in, one in the middle of a COPY out, and one in a pipeline,
    let mut server = Server::own();
    let stage = Stage::on(&server, policy().timeouts("connect: 2s"))
        .start()
        .await;
    let admin = stage.admin().await;
    let mut inward = copying(&stage, "alice").await;
    let mut outward = stage.wire_of("bob").await;
    let endless = "COPY (SELECT repeat('x', 1000), generate_series(1, 100000000)) TO STDOUT";
    outward.send(send::query(endless)).await;
    outward.until(b'd').await;
    let mut piped = stage.wire_of("carol").await;
    let batch = |sql: &str| [send::run_unnamed(sql), send::sync()].concat();
    piped
        .send([batch("SELECT 'first'"), batch("SELECT pg_sleep(60)")].concat())
        .await;
    let first = piped.until_ready().await;
    assert_eq!(first.value().as_deref(), Some("first"));
    stage.until_asleep(&admin).await;
    drop(admin);

    // when the whole server goes at once,
    server.kill();

    // then each is told,
    told_of_the_loss(&mut inward).await;
    let (replies, _) = answers(&mut piped, 1).await;
    assert_eq!(replies.of(b'E').count(), 1, "{replies:?}");
    assert_eq!(replies.of(b'D').count(), 0, "{replies:?}");
    let end = async { while outward.discard_some().await > 0 {} };
    // In mid-message nothing can be told, and the connection ends; else the error is behind what had come.
    let closed = tokio::time::timeout(std::time::Duration::from_secs(5), end).await;
    if closed.is_err() {
        let _ = outward.try_send(send::terminate()).await;
    }

    // and everybody is served when it is there again, without anybody's doing.
    server.start();
    for user in ["alice", "bob", "carol"] {
        until_served(&stage, user).await;
    }
    let admin = stage.admin().await;
    assert_eq!(rows_of_the_copy(&admin).await.as_deref(), Some("0"));
    wait::until("no client to be left in the lurch", || async {
        stage
            .sidecar
            .metric("bulkhead_server_connections", &[("state", "active")])
            < 0.5
    })
    .await;
}
