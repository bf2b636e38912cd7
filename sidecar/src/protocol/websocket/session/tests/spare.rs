//! Messages that are left out for a client that does not read.

use super::*;

const COUNT: usize = 4000;

fn drops() -> Stage {
    let text = POLICY.replace("SLOW", "Drop");
    stage_under(&format!("{text}    criticalEvents: [done]\n"))
}

/// The message of this number: every tenth is critical, where there are any.
fn numbered(number: usize, with_events: bool) -> Vec<u8> {
    let kind = if with_events && number.is_multiple_of(10) {
        "done"
    } else {
        "tick"
    };
    let padding = "x".repeat(1000);
    text(
        false,
        &format!(r#"{{"type":"{kind}","number":{number},"padding":"{padding}"}}"#),
    )
}

/// The type and the number of the next message.
async fn read(stream: &mut UnixStream) -> (String, usize) {
    let (opcode, payload) = next(stream).await;
    assert_eq!(opcode, Opcode::Text);
    let message: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    let number = message["number"].as_u64().unwrap() as usize;
    (message["type"].as_str().unwrap().to_owned(), number)
}

#[tokio::test(flavor = "local")]
async fn an_application_is_not_held_up_by_a_client_that_does_not_read() {
    let mut stage = drops();
    for number in 0..COUNT {
        // In parts, so that messages are left out wherever reads have cut them.
        for part in numbered(number, false).chunks(700) {
            within(stage.application.write_all(part)).await.unwrap();
        }
    }
    let alice = stage.entry.user(&UserId::parse("alice").unwrap());
    assert!(alice.held() <= (256 << 10) + 5 * crate::relay::BUFFER_BYTES as u64);
    within(stage.application.write_all(&numbered(10 * COUNT, true)))
        .await
        .unwrap();
    let mut numbers = Vec::new();
    loop {
        let (kind, number) = read(&mut stage.client).await;
        if kind == "done" {
            break;
        }
        numbers.push(number);
    }
    assert!(numbers.is_sorted());
    assert!(numbers.len() > 256, "as many as the ledger holds");
    let dropped = stage.entry.metrics.dropped.get() as usize;
    assert_eq!(numbers.len() + dropped, COUNT);
}

#[tokio::test(flavor = "local")]
async fn critical_events_wait_for_the_client_and_are_never_left_out() {
    let stage = drops();
    let (mut client, mut application) = (stage.client, stage.application);
    let writing = spawn_local(async move {
        for number in 0..COUNT {
            application
                .write_all(&numbered(number, true))
                .await
                .unwrap();
        }
        application
    });
    let mut got = 0;
    let mut expected = 0;
    while expected < COUNT {
        let (kind, number) = read(&mut client).await;
        got += 1;
        if kind == "done" {
            assert_eq!(number, expected, "each of them, in their order");
            expected += 10;
        }
        if got % 100 == 0 {
            // A client that falls behind, which is what is tested: no condition comes of it that could be waited for.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    within(writing).await.unwrap();
    assert!(stage.entry.metrics.dropped.get() > 0);
}
