use std::future::poll_fn;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn pair() -> (UnixSocket, tokio::net::UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    let theirs = tokio::net::UnixStream::from_std(theirs).unwrap();
    (UnixSocket::new(ours).unwrap(), theirs)
}

async fn read(socket: &UnixSocket, most: usize) -> Vec<u8> {
    let mut buffer = vec![0; most];
    let mut target = ReadBuf::new(&mut buffer);
    poll_fn(|cx| socket.poll_read(cx, &mut target))
        .await
        .unwrap();
    target.filled().to_vec()
}

async fn write(socket: &mut UnixSocket, bytes: &[u8]) -> usize {
    poll_fn(|cx| socket.poll_write(cx, bytes)).await.unwrap()
}

#[tokio::test]
async fn what_comes_is_read_to_the_end_whatever_the_size_of_the_reads() {
    let (socket, mut peer) = pair();
    peer.write_all(b"one two").await.unwrap();
    assert_eq!(read(&socket, 3).await, b"one");
    assert_eq!(read(&socket, 100).await, b" two");
    peer.write_all(b"three").await.unwrap();
    drop(peer);
    assert_eq!(read(&socket, 100).await, b"three");
    assert_eq!(read(&socket, 100).await, b"");
}

/// As many answers as leave the kernel's buffer so empty that it says so at each read.
const ANSWERS: usize = 40;

#[tokio::test]
async fn a_peer_that_reads_does_not_wake_the_worker() {
    let (ours, mut peer) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    let mut socket = UnixSocket::new(ours).unwrap();
    for _ in 0..ANSWERS {
        write(&mut socket, b"x").await;
    }
    let reads = std::thread::spawn(move || {
        for _ in 0..ANSWERS {
            peer.read_exact(&mut [0]).unwrap();
            // The worker has time to be woken.
            std::thread::yield_now();
        }
        peer.write_all(b"query").unwrap();
        peer
    });
    let waits = || {
        tokio::runtime::Handle::current()
            .metrics()
            .worker_park_count(0)
    };
    let before = waits();
    assert_eq!(read(&socket, 8).await, b"query");
    assert!(waits() - before <= 3, "{}", waits() - before);
    drop(reads.join().unwrap());
}

/// Writes until no more is taken.
async fn fill(socket: &mut UnixSocket) -> usize {
    let chunk = [7; 16 * 1024];
    let mut written = 0;
    loop {
        let more = poll_fn(|cx| Poll::Ready(socket.poll_write(cx, &chunk))).await;
        match more {
            Poll::Ready(count) => written += count.unwrap(),
            Poll::Pending => return written,
        }
    }
}

#[tokio::test]
async fn a_write_that_finds_no_room_goes_on_when_the_peer_has_read() {
    let (mut socket, mut peer) = pair();
    let written = fill(&mut socket).await;
    assert!(socket.room.is_some());
    let mut taken = vec![0; written];
    let (more, read) = tokio::join!(write(&mut socket, b"the rest"), peer.read_exact(&mut taken));
    assert_eq!((more, read.unwrap()), (8, written));
    let mut rest = [0; 8];
    peer.read_exact(&mut rest).await.unwrap();
    assert_eq!(&rest, b"the rest");
}

#[tokio::test]
async fn a_peer_that_keeps_up_again_is_no_longer_watched() {
    let (mut socket, mut peer) = pair();
    let written = fill(&mut socket).await;
    peer.read_exact(&mut vec![0; written]).await.unwrap();
    for turn in 0..CALM_WRITES {
        assert!(socket.room.is_some(), "{turn}");
        write(&mut socket, b"x").await;
        peer.read_exact(&mut [0]).await.unwrap();
    }
    assert!(socket.room.is_none());
}

#[tokio::test]
async fn a_peer_that_goes_ends_a_write_that_waits() {
    let (mut socket, peer) = pair();
    fill(&mut socket).await;
    let waits = poll_fn(|cx| socket.poll_write(cx, b"x"));
    let (written, ()) = tokio::join!(waits, async { drop(peer) });
    assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_socket_is_moved_with_what_has_come() {
    let (mut socket, mut peer) = pair();
    peer.write_all(b"early").await.unwrap();
    socket.settle_here().unwrap();
    assert_eq!(read(&socket, 100).await, b"early");
    write(&mut socket, b"late").await;
    let mut late = [0; 4];
    peer.read_exact(&mut late).await.unwrap();
    assert_eq!(&late, b"late");
}

#[tokio::test]
async fn an_end_is_told_and_what_was_written_before_arrives() {
    let (mut socket, mut peer) = pair();
    write(&mut socket, b"bye").await;
    socket.shutdown().unwrap();
    let mut all = Vec::new();
    peer.read_to_end(&mut all).await.unwrap();
    assert_eq!(all, b"bye");
}

#[tokio::test]
async fn the_peer_is_the_process_that_has_connected() {
    let (socket, _peer) = pair();
    assert_eq!(
        socket.peer_uid().unwrap(),
        rustix::process::getuid().as_raw()
    );
}
