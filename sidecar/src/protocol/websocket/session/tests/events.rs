//! Critical events of the application, counted by what becomes of them.

use super::*;

const EVENTS: &str = r#"criticalEvents: [done, /payload/kind=end, "socket.io:done"]"#;

/// The series of critical events that have counted anything: event, outcome and count.
fn counted(worker: &Worker) -> Vec<(String, String, u64)> {
    let text = worker.process.metrics.render().unwrap();
    let mut found = Vec::new();
    for line in text.lines() {
        let Some(line) = line.strip_prefix("bulkhead_websocket_critical_events_total{") else {
            continue;
        };
        let (labels, count) = line.rsplit_once("} ").unwrap();
        let label = |name: &str| {
            let mut values = labels.split('"').skip_while(|it| !it.ends_with(name));
            values.nth(1).unwrap().to_owned()
        };
        let count = count.parse().unwrap();
        if count > 0 {
            found.push((label("event="), label("outcome="), count));
        }
    }
    found
}

fn row(event: &str, outcome: &str, count: u64) -> (String, String, u64) {
    (event.to_owned(), outcome.to_owned(), count)
}

#[tokio::test(flavor = "local")]
async fn events_are_counted_when_the_client_has_been_given_them() {
    let mut stage = stage_that(EVENTS);
    let long = format!(r#"{{"padding":"{}","type":"done"}}"#, "x".repeat(5000));
    let sent = [
        text(false, r#"{"type":"done","n":1}"#),
        text(false, r#"{"type":"other","n":2}"#),
        frame(0x01, false, br#"{"payload":{"ki"#),
        frame(0x89, false, b"between"),
        frame(0x00, false, br#"nd":"e"#),
        frame(0x80, false, br#"nd"}}"#),
        text(false, r#"42["done",{}]"#),
        frame(0x82, false, br#"{"type":"done"}"#),
        text(false, &long),
        text(false, r#"{"type":"done"}"#),
    ]
    .concat();
    for part in sent.chunks(7) {
        stage.application.write_all(part).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut got = vec![0; sent.len()];
    within(stage.client.read_exact(&mut got)).await.unwrap();
    assert_eq!(got, sent);
    let expected = [
        row("", "unscanned", 1),
        row("/payload/kind=end", "delivered", 1),
        row("done", "delivered", 2),
        row("socket.io:done", "delivered", 1),
    ];
    assert_eq!(counted(&stage.worker), expected);
}

#[tokio::test(flavor = "local")]
async fn what_a_client_sends_is_no_event() {
    let mut stage = stage_that(EVENTS);
    let sent = text(true, r#"{"type":"done"}"#);
    stage.client.write_all(&sent).await.unwrap();
    assert_eq!(next(&mut stage.application).await.0, Opcode::Text);
    assert_eq!(counted(&stage.worker), []);
}

#[tokio::test(flavor = "local")]
async fn events_that_a_client_has_not_taken_at_its_end_are_lost() {
    let mut stage = stage_that(EVENTS);
    let event = text(false, r#"{"type":"done"}"#);
    let many = event.repeat(1000);
    let mut written = 0;
    while let Ok(Ok(count)) = tokio::time::timeout(
        Duration::from_millis(100),
        stage.application.write(&many[written % event.len()..]),
    )
    .await
    {
        written += count;
    }
    drop(stage.client);
    within(&mut stage.session).await.unwrap();
    let counted = counted(&stage.worker);
    let outcomes: Vec<_> = counted.iter().map(|(_, outcome, _)| outcome).collect();
    assert_eq!(outcomes, ["delivered", "lost"]);
    let sum: u64 = counted.iter().map(|(_, _, count)| count).sum();
    assert!(sum <= (written / event.len()) as u64, "{counted:?}");
}

#[tokio::test(flavor = "local")]
async fn an_event_behind_a_close_of_ours_is_lost() {
    let mut stage = stage_that(EVENTS);
    let before = text(false, "before");
    stage.application.write_all(&before[..4]).await.unwrap();
    let mut got = [0; 4];
    within(stage.client.read_exact(&mut got)).await.unwrap();
    stage
        .client
        .write_all(&text(false, "no mask"))
        .await
        .unwrap();
    assert_eq!(closed(&mut stage.application).await.0, 1001);
    let rest = [&before[4..], &text(false, r#"{"type":"done"}"#)].concat();
    stage.application.write_all(&rest).await.unwrap();
    within(&mut stage.session).await.unwrap();
    assert_eq!(counted(&stage.worker), [row("done", "lost", 1)]);
}
