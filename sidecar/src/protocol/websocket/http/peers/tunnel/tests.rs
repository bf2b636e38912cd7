use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

use super::*;
use crate::worker::fixtures::within;

/// Bytes that either end takes before it is read.
const WINDOW: usize = 1024;

/// A tunnel, with what was read too far of each side, and the far ends: the client's, and the other pod's.
fn tunnel(
    slab: &Slab,
    early: (&[u8], &[u8]),
) -> (
    Tunnel<DuplexStream, DuplexStream>,
    DuplexStream,
    DuplexStream,
) {
    let (client, near_client) = duplex(WINDOW);
    let (other, near_other) = duplex(WINDOW);
    let tunnel = Tunnel {
        client: near_client,
        other: near_other,
        up: Way::new(slab, early.0),
        down: Way::new(slab, early.1),
    };
    (tunnel, client, other)
}

#[tokio::test]
async fn what_came_early_goes_first_and_everything_arrives_both_ways() {
    let (mut tunnel, client, other) = tunnel(&Slab::default(), (b"early up", b"early down"));
    let talk = |mut end: DuplexStream, says: u8, hears: Vec<u8>| async move {
        let (mut reading, mut writing) = tokio::io::split(&mut end);
        let all = vec![says; 100 * WINDOW];
        let write = async {
            writing.write_all(&all).await.unwrap();
            writing.shutdown().await.unwrap();
        };
        let mut heard = Vec::new();
        let (read, ()) = tokio::join!(reading.read_to_end(&mut heard), write);
        read.unwrap();
        assert!(heard == [hears, vec![3 - says; 100 * WINDOW]].concat());
    };
    let ((), (), ()) = within(async {
        tokio::join!(
            tunnel.carry(),
            talk(client, 1, b"early down".to_vec()),
            talk(other, 2, b"early up".to_vec())
        )
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_end_is_told_at_once_that_the_other_has_ended_and_is_not_waited_for_for_ever() {
    let (mut tunnel, mut client, mut other) = tunnel(&Slab::default(), (b"", b""));
    let began = tokio::time::Instant::now();
    let hears = async {
        other.shutdown().await.unwrap();
        // What the client still says is carried.
        client.write_all(b"goodbye").await.unwrap();
        let mut heard = [0; 7];
        other.read_exact(&mut heard).await.unwrap();
        assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
        assert!(began.elapsed() < LINGER);
        // And says no more, without ever ending.
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = tunnel.carry() => {}
        () = hears => {}
    }
    assert!((LINGER..LINGER * 2).contains(&began.elapsed()));
}

#[tokio::test]
async fn a_side_is_not_read_while_the_other_takes_nothing_and_an_idle_tunnel_holds_no_buffer() {
    let slab = Slab::default();
    let (mut tunnel, mut client, mut other) = tunnel(&slab, (b"", b""));
    let far_more = vec![7; 10 * crate::relay::BUFFER_BYTES];
    let talk = async {
        let mut sent = 0;
        // Until nothing more is taken: both windows are full, and one buffer.
        while let Ok(Ok(count)) =
            timeout(Duration::from_millis(100), client.write(&far_more[sent..])).await
        {
            sent += count;
        }
        assert!(sent <= 2 * WINDOW + crate::relay::BUFFER_BYTES, "{sent}");
        let mut heard = vec![0; sent];
        other.read_exact(&mut heard).await.unwrap();
    };
    within(async {
        tokio::select! {
            () = tunnel.carry() => panic!("nobody has ended"),
            () = talk => {}
        }
    })
    .await;
    assert!(tunnel.up.inbox.is_empty() && tunnel.down.inbox.is_empty());
}
