//! Sessions that survive their connections, with three pods behind one address: a client that comes back lands anywhere.

use bulkhead_tests::dice::Dice;
use bulkhead_tests::policy::Policy;
use bulkhead_tests::processes::free_port;
use bulkhead_tests::websocket::resumer::Resumer;
use bulkhead_tests::websocket::{Frame, Front, Kind, Server, SocketStage};
use tokio::task::JoinSet;

use super::pods::Shared;

const RESUME: &str = "resume: {window: 60s, buffer: 2Mi}\nlimits: {messagesPerSecond: 1000000}";

/// Three pods of one policy, and the address before them.
async fn three() -> (Server, Vec<SocketStage>, Front) {
    let server = Server::start(Kind::Websockets).await;
    let shared = Shared::of_operator();
    let pod = || {
        let policy = Policy::trusted().web_socket(RESUME);
        shared.stage(server.port(), free_port(), policy, "2s")
    };
    let (one, two, three) = tokio::join!(pod(), pod(), pod());
    let pods = vec![one, two, three];
    let port = |pod: &SocketStage| ([127, 0, 0, 1], pod.port()).into();
    let front = Front::of(pods.iter().map(port).collect()).await;
    (server, pods, front)
}

/// The sum of a metric over all pods.
fn of_all(pods: &[SocketStage], name: &str, labels: &[(&str, &str)]) -> u32 {
    let each = pods.iter().map(|pod| pod.sidecar.metric(name, labels));
    each.sum::<f64>() as u32
}

/// A message with a number and its owner, of any size.
fn numbered(owner: &str, number: u32, dice: &mut Dice) -> Frame {
    let size = [0, 3, 200, 3_000, 20_000][dice.below(5) as usize];
    Frame::text(format!("{owner} {number} {}", "x".repeat(size)))
}

/// Talks to the echo with `losses` lost connections on the way; each message must come back once, in order, and the session go on.
async fn talk(port: u16, owner: String, losses: u32) {
    const AHEAD: u32 = 8;
    let seed = |sum: u32, byte: u8| sum.wrapping_mul(31).wrapping_add(byte.into());
    let mut dice = Dice(owner.bytes().fold(1, seed));
    let mut client = Resumer::open(port, &owner).await;
    let (mut sent, mut heard, mut lost) = (0, 0, 0);
    let check = |message: &[u8], heard: u32| {
        let expected = format!("{owner} {heard} ");
        let begins = &message[..message.len().min(40)];
        assert!(
            message.starts_with(expected.as_bytes()),
            "{:?} in the place of {expected}",
            String::from_utf8_lossy(begins)
        );
    };
    while lost < losses {
        while sent < heard + AHEAD {
            client.send(numbered(&owner, sent, &mut dice)).await;
            sent += 1;
        }
        if dice.below(4) == 0 {
            client = client.come_back().await;
            assert_eq!(client.greeting.state, 1, "{owner} after {lost} losses");
            lost += 1;
            continue;
        }
        check(&client.message().await, heard);
        heard += 1;
    }
    while heard < sent {
        check(&client.message().await, heard);
        heard += 1;
    }
    client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wherever_a_client_comes_back_nothing_is_lost_and_nothing_comes_twice() {
    let (_server, pods, front) = three().await;
    talk(front.port, "alice".to_owned(), 1000).await;
    let resumed = of_all(
        &pods,
        "bulkhead_websocket_resumes_total",
        &[("outcome", "resumed")],
    );
    assert_eq!(resumed, 1000);
    // The front goes round: two of three come to another pod, each exactly once.
    let relayed = of_all(
        &pods,
        "bulkhead_websocket_relays_total",
        &[("outcome", "relayed")],
    );
    assert!((600..=700).contains(&relayed), "{relayed}");
    for outcome in ["refused", "unreachable", "silent"] {
        let labels = [("outcome", outcome)];
        assert_eq!(of_all(&pods, "bulkhead_websocket_relays_total", &labels), 0);
    }
    for pod in &pods {
        pod.until_metric("bulkhead_connections", &[("upstream", "chat")], 0.0)
            .await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_clients_come_back_anywhere_at_once() {
    let (_server, _pods, front) = three().await;
    let mut talks = JoinSet::new();
    for number in 0..40 {
        talks.spawn(talk(front.port, format!("user-{number}"), 25));
    }
    talks.join_all().await;
}

#[tokio::test]
async fn a_session_whose_pod_has_died_is_lost_and_says_so() {
    let (_server, mut pods, _front) = three().await;
    let mut client = Resumer::open(pods[0].port(), "alice").await;
    client.send(Frame::text("one")).await;
    client.message().await;
    pods[0].sidecar.kill();
    let _ = pods[0].sidecar.wait(bulkhead_tests::PATIENCE);
    client.port = pods[1].port();
    let mut client = client.come_back().await;
    let greeting = &client.greeting;
    assert_eq!((greeting.state, greeting.reason), (2, 3));
    client.send(Frame::text("two")).await;
    assert_eq!(client.message().await, b"two");
    // The new one is as good as the old one was, from the third pod.
    client.port = pods[2].port();
    let client = client.come_back().await;
    assert_eq!((client.greeting.state, client.greeting.count), (1, 1));
}

#[tokio::test]
async fn a_client_of_a_pod_that_leaves_goes_on_by_another_way_to_its_own() {
    let (_server, mut pods, _front) = three().await;
    let mut client = Resumer::open(pods[0].port(), "alice").await;
    client.send(Frame::text("one")).await;
    client.message().await;
    client.port = pods[1].port();
    let mut client = client.come_back().await;
    // The pod between them leaves: the session lives elsewhere.
    pods[1].sidecar.terminate();
    assert_eq!(
        client.next().await,
        bulkhead_tests::websocket::resumer::Came::Lost
    );
    client.port = pods[2].port();
    let mut client = client.come_back().await;
    assert_eq!((client.greeting.state, client.greeting.count), (1, 1));
    client.send(Frame::text("two")).await;
    assert_eq!(client.message().await, b"two");
    pods[1].sidecar.ends_well(bulkhead_tests::PATIENCE);
}
